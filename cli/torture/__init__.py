"""`raftdb torture`: real nodes of this machine, harmed in every way that needs no root, under clients whose answers are
checked.

```
  Run (run) -- one seed --> faults, their victims and durations, commands of the clients, settings of the nodes
      |
      +-- Nodes (nodes)         processes of a `cli.local` cluster: started, killed, paused, taken in, removed
      +-- Nemesis (nemesis)     a thread: chooses a fault now and then, and undoes each
      |      +-- Faults (faults)       the table of the kinds, and what undoes each
      |      +-- Links (links)         those of the network
      +-- Observer (observer)   a thread: asks every node for its status, sees terms and leaders
      +-- Crowd (crowd)         the clients of a round, a thread each (workload)
      |      +-- registers     single commands on keys: linearizable
      |      +-- lists         transactions that read and append: serializable, strictly
      |      +-- bank          transfers: the sum stays, and nobody is in debt
      |      +-- queues        messages: delivered, acknowledged once, groups in order
      |      +-- locks         tokens only grow, and fence what is written
      +-- Recorder (recorder)   how each operation ended, and for how long nothing was written
      +-- agreement             whether all nodes agree at the end of a round, and the digests of their disks
      +-- Evidence (evidence), Journal (journal)   the folder of the run, and what was done, with times
      +-- Verdict (verdict), Progress (progress)   what people see
```

A run is a series of rounds. In each, clients work on keys of their own while faults strike; then all faults are undone,
the nodes have to come to agree within a limit, everything is read once more, and each workload's history is checked and
forgotten. So the memory that a run needs does not grow with its length, a violation is found in the minute in which it
happened, and the cluster, whose log, members and data live on, has met every fault of all rounds before. At the end all
nodes are killed once more, and the states on their disks are compared.

The checkers are those of the simulator (`raftdb.simulation.linearizability`, `serializability`) for what clients of
single keys and of transactions were told. The simulator's checks of queues and locks look at each entry of the log, of
which a client sees nothing; so these two, and the bank, are checked by what their own clients saw.

What is not done, because it needs root or a module of the kernel: disks that answer late or lie about fsync, single
damaged sectors, clocks that are set. `raftdb simulate` has all of these.

Assumptions
-----------
* An operation without an answer may have been executed, now or at any later time, or never. It is recorded as unknown.
* Nodes that end by themselves, but for a disk that was made to fail, have a bug: a run that saw it has failed.
* A round in which nothing could be written shows little. So there is a truce while no write is acknowledged.

Considered and rejected
-----------------------
* Clients as processes: their histories would have to be collected, and they spend their time waiting for nodes, so one
  interpreter is enough for them.
* One history for the whole run, checked at its end: it grows without limit, and a violation would be found hours later.
* Repeating a run exactly: time is real, and so is the order in which processes run. A seed repeats what is done.
"""
