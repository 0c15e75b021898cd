"""The simulator: production replicas in a simulated, hostile world that follows from a seed.

```
  Simulation (cluster) -- one seed --> Options (options), Chance and Scheduler (scheduler)
      |
      +-- Host x N (host)        the production Replica and EffectRunner, in place of their driver
      |      +-- SimulatedEffectHandler (effect_handler)    carries out each effect
      |      +-- SimulatedDisk (disk)    writes and trims of the log that become durable late, or never
      |      +-- StateThread (state_thread)    checkpoints and installed snapshots, and crashes around them
      |      +-- Courier (courier)       snapshots that are fetched late, damaged, or not at all
      |      +-- Peers (peers)           the peers that it knows and has links to
      |      +-- Copies (copies)         older copies of its folder, which are put back
      +-- Links (links)          handshakes, and which nodes can reach each other
      +-- Network (network)      frames that are late, lost, doubled, replayed, damaged, misdirected
      +-- Nemesis (nemesis)      crashes, pauses, leaders that sleep, partitions, disks that fail
      +-- Operators (operators)  add, remove and move nodes, and transfer the leadership, meanwhile
      +-- Crowd (crowd)          all clients, and the checks of all their answers
      |      +-- Client x M (clients)        reads and writes, and the history of the answers
      |      +-- Transactor x K (transactors)    transactions on lists
      |      +-- Worker x L (workers)        messages of queues, acknowledged in time or too late
      |      +-- Ledger (ledger)             what became of every message, by the state of the machine
      |      +-- Locker x P (lockers)        locks that are asked for, kept too long, written under
      |      +-- LockWitness (lock_witness)  what locks promise, at every entry, by the state of the machine
      |      +-- Observer x O (watchers)   follow changes, from node to node
      |      +-- WatchWitness (watch_witness)    what they must have been told, by the state of the machine
      |      +-- Keeper x R (keepers)        keys that are bound to sessions, and sessions that are closed
      |      +-- Waiter x S (waiters)        requests that the leader holds, and each has to answer (holding)
      |      +-- Caller (caller)             sends a client's requests; with a session it repeats them
      +-- Oracle (oracle)        checks every step (observing) for broken safety properties
      |      +-- Shadow x N (shadow)     the present and past content of each disk
      |      +-- Electorate (electorate) the configurations in each log, and whose votes and disks count
      |      +-- Forgetting (forgetting) disks that were replaced by older copies
  linearizability               one copy of the data could have given these answers
  answers                       each answer is the one that the committed log gives
  model                         a simple model of the database, which answers are compared with
  queue_model, queue_rules      the queues of the model, and the commands on them
  lock_model                    the locks of the model
  timeline                      the cluster clock never runs ahead of the time that has passed
  idleness                      time with a leader counts, also without writes and while leaders change
  serializability               a serial order of the transactions explains their reads
  promises                      no message is sent before what it says is synced
  story                         the output of `raftdb simulate`
  recording                     a run as data, which a page can play
  lessons, lesson_script        scripts of what happens, and what is said of it
  lesson_world                  their world, in which nothing else goes wrong
  safety                        the five properties of Raft, watched where a rule is broken, in the oracle's place
  entry_words                   entries in a few words
  broken_rules, planting        rules of Raft that a lesson, or a test, breaks
```

The code under test is that of production: core, machine, waiting requests, the order of effects and wire encoding. Only
the event loop, the sockets and LMDB are replaced by virtual ones, which behave worse. Everything follows from the seed:
a run replays byte for byte, in another process and with another hash seed. Each class of faults is off in half of the
seeds (swarm testing), and rates and speeds are drawn anew, so that runs differ in kind. In half of the seeds logs are
compacted after very few entries, so that followers often need snapshots; in the others they never are. In a few seeds
the network is slow: a frame takes up to a second, and a lost one holds up those after it.

A run has two parts. In the first the faults strike, and the safety properties are checked after every step of every
core: see `oracle`. Then all faults stop, and the cluster has to recover within a bound: there is one leader that every
member follows, all requests are answered, every joining learner is a voter, and every removed node knows that it was
removed. In half of the seeds operators change the members in the first part, and in half they transfer the leadership.
At the end the states are compared with the result of the committed log, and the clients' history is searched for an
order that explains it.

In some seeds there is a third part, in which clients send nothing, leaders change, and a key has to expire in time: see
`idleness`.

Assumptions -------------------------
* Every node meets every other once before the first folder is wiped, because the rule that keeps a wiped node out needs
  a node that remembers its folder (hazard B36).
* Damaged and wiped nodes stay out, and are always a minority of the voters and of the first members, because folders
  that look new would otherwise elect a leader among themselves.
* Operators remove no node right after another one was lost for good, because the check that protects them counts nodes
  that were heard lately.
* A disk keeps everything that it reported as synced, except for flipped bits.
* A folder is put back to an older copy only if all others remember the start that it forgets, and such nodes and lost
  ones together are a minority, because otherwise no node could notice it.
* The pieces of a snapshot are assembled correctly: a receiver has all of it, verified, or nothing.

Considered and rejected
-----------------------
* Threads or an event loop under a fake clock: the simulator would not decide the order of callbacks, so no run would
  replay.
* Checking only outcomes: a vote that is sent before it is synced does harm in one run of thousands, while a check of
  the message finds it in the first.
"""

__all__ = [
    "linearizability",
    "serializability",
    "story",
]
"""The modules that the command line may use."""
