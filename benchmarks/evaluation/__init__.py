"""An evaluation of raftdb in the manner of a report on a replicated store, as one command:

    python -m benchmarks.evaluation [--quick] [--only consistency,members,amounts,failover,networks] [--output FOLDER]

It starts clusters of processes as `raftdb up` does, and writes `report.md` with tables, plots beside it (with
matplotlib: `pip install 'raftdb[bench]'`), and all figures as `figures.json`.

* `consistency`: after a load without faults, and under torture (`raftdb torture`), all nodes have the same digest of
  the state at the same index, and under torture the histories of clients are linearizable.
* `members`: throughput and latency while nodes are added and removed, 1, 3, 5, 7 and back, with the dips.
* `amounts`: over the number of values and their size, how long it takes to write them, until a follower has them, until
  a follower that was killed serves again, and until one that was away has caught up; memory and disk.
* `failover`: how long after SIGKILL of the leader another node leads and has committed, again and again.
* `networks`: forming, writes and failovers over several networks, which are made by the nodes themselves
  (docs/network.md).

Nodes and clients share the machine, which is said in the report, with what does not hold. Each part is a module that
returns plain figures; `report` makes text of them, and says what follows from them; `plots` draws.
"""
