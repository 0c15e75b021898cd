"""The simulator: production replicas in a simulated, hostile world that follows from a seed.

```
  Simulation (cluster) -- one seed --> Options (options), Chance and Scheduler (scheduler)
      |
      +-- Host x N (host)        the production Replica and EffectRunner, with what its driver would do around them
      |      +-- SimulatedEffectHandler (effect_handler)    what it does with each effect
      |      +-- SimulatedDisk (disk)    writes and trims of the log that become durable late, or never
      |      +-- StateThread (state_thread)    checkpoints and installed snapshots, and crashes around them
      |      +-- Courier (courier)       snapshots that are fetched late, damaged, or not at all
      |      +-- Peers (peers)           whom it knows and is connected to
      |      +-- Copies (copies)         older copies of its folder, which are put back
      +-- Links (links)          handshakes; who can reach whom
      +-- Network (network)      frames that are late, lost, doubled, replayed, damaged, misdirected
      +-- Nemesis (nemesis)      crashes, pauses, leaders that sleep, partitions, disks that fail
      +-- Operators (operators)  add, remove and move nodes, and want others to lead, while all that happens
      +-- Crowd (crowd)          all clients, and what their answers must be taken together
      |      +-- Client x M (clients)        reads and writes, and the history of the answers
      |      +-- Transactor x K (transactors)    transactions on lists
      |      +-- Caller (caller)             each one's way to the cluster; with a session, it repeats itself
      +-- Oracle (oracle)        sees every step (observing), and knows what must never happen
      |      +-- Shadow x N (shadow)     what each disk holds, and has held
      |      +-- Electorate (electorate) which configuration each log names, and whose votes and disks count
      |      +-- Forgetting (forgetting) what nodes had said before their folder was put back
  linearizability               could one copy of the data have given these answers?
  answers                       is what everybody was told what the committed log makes of it?
  model                         the database as one would explain it at a table, against which answers are held
  timeline                      the cluster clock never runs ahead of the time that has passed
  idleness                      time with a leader counts, also where nobody writes and leaders come and go
  serializability               could transactions, one after another, have seen what they saw?
  promises                      nothing is said before it is synced
  story                         a run told to people: `raftdb simulate`
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
    "story",
]
"""The module that the command line may use."""
