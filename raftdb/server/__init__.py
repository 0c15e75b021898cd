"""The server: settings, logs, and the composition root that puts one node together.

* `config`: the table of settings and where they come from.
* `logs`: one line per action, for people or for machines.
* `bootstrap`: opens the folder, starts disk, driver, network and listener, and stops it all in order.
* `open_files`, `threads`: whether the system gives a node what it needs.
* `listening`: the address that a node listens on, and whether it can be had.
* `ending`: who asks a node to stop, what it ends with, and that all its parts are closed, in order and in time.
* `allocator` lets what was held for a moment go back to the system.
* `collector`: how often Python looks for garbage, and where not.
* `start`: what a start finds in the folder.
* `network`: links to the peers, and what they carry; whom to dial.
* `addresses`: where each member may be and is dialled, and how the configuration learns who has moved.
* `membership`: a node that asks to be taken in by a running cluster.
* `folder`: whose a data folder is, how a cluster gets its id, and the errors of storage as fatal ones.
* `disk`: the threads that write log and state, and the swap of the state for a received snapshot.
* `snapshots`: snapshots made and brought to followers, and received.
* `space`: looks at the space that is left, and tells the driver when growing writes must stop and may go on.
* `peers`: who may be a peer; the first uuid met under a member's id is the one that counts, and the last start that was
  met is written down, so that a folder that was put back is found out.
* `local_node`: the node as the frontends see it; backups are made here.
* `restore`, `recover`, `doctor`: a first data folder from a backup, a new cluster of what one node has left, and the
  examination of a folder; no node runs in it.

Nothing else in raftdb creates its own collaborators: every part is handed what it needs, here.
"""
