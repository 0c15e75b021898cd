"""The simulator: production replicas in a world that a seed makes up, and that means them harm.

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

What runs is what ships: core, machine, waiting requests, the order of effects and wire encoding; only the event loop,
the sockets and LMDB are replaced, by virtual ones with worse manners. Everything follows from the seed: a run replays
byte for byte, in another process and with another hash seed. Half of the classes of faults are off in each seed (swarm
testing), and rates and speeds are drawn anew, so that runs differ in kind. In half of the seeds logs are compacted
after very few entries, so that followers need snapshots all the time; in the others never. In a few the network is
slow: up to a second from one node to another, and what is lost holds up what is behind it.

A run has two parts. In the first the faults strike, and after every step of every core the safety properties are
checked: see `oracle`. Then all faults stop, and the cluster has to become well again within a bound: one leader,
every member behind it, all requests answered, every learner that was to join a voter, and every removed node aware of
it. In half of the seeds people change the members meanwhile, and in half they want others to lead. At the end the
states are compared with what the committed log makes, and the clients' history is searched for an order that explains
it.

In some seeds there is a third part: nobody asks anything, leaders come and go, and a key has to end in time: see
`idleness`.

What it takes for granted
-------------------------
* Every node meets every other once before the first folder is wiped: the rule that keeps a wiped node out (hazard B36)
  needs somebody who remembers it.
* Damaged and wiped nodes stay out, and are never more than a minority of the voters, nor of the first members: folders
  that look new would elect a leader among themselves.
* Nobody removes a node right after another one was lost for good: the arithmetic that protects people counts who was
  heard lately.
* A disk does not lie: what it said was synced survives, but for flipped bits.
* A folder is put back to an older copy only if all others remember the start that it forgets, and with those that are
  lost such nodes are a minority: nobody else can know better.
* The pieces of a snapshot's transfer are put together well: a receiver has the whole, verified, or nothing.

Considered and rejected
-----------------------
* Threads or an event loop under a fake clock: the order of callbacks is not ours, and so no run would replay.
* Checking only outcomes: a vote given before it is synced does harm in one run of thousands. Checked where it is said,
  it is found in the first.
"""
