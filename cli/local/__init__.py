"""The cluster that `raftdb up` runs on this machine, a process per node.

* `folder` is where its settings, addresses and data are, and holds the lock that keeps a second `up` out.
* `cluster` starts, stops and watches the processes.
* `left_over` finds and ends those that an earlier `up` could not stop, because it was killed.

The nodes are ordinary `raftdb serve` processes with ordinary folders: each can be stopped, examined and started by
hand as well.
"""
