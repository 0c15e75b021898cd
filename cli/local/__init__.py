"""The cluster that `raftdb up` runs on this machine, with one process for each node.

* `folder` has its addresses and data, and the lock that keeps a second `up` out.
* `cluster` starts, stops and watches the processes.
* `process` has what their processes begin with, and how they have ended.
* `namespaces` gives each node an address of its own, where that is asked for and allowed.
* `left_over` finds and ends processes that an earlier `up` could not stop, because it was killed.

The nodes are ordinary `raftdb serve` processes with ordinary folders: each can be stopped, examined and started by
hand as well.
"""
