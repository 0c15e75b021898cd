"""The server: settings, logs, and the composition root that puts one node together.

* `config`: the table of settings and where they come from; `setting_values`: how their values are read;
  `environment`: which variables are settings.
* `logs`: one line per action, for people or for machines.
* `bootstrap`: opens the folder, starts disk, driver, network and listener, and stops it all in order.
* `open_files`, `threads`: whether the system gives a node the files and threads that it needs.
* `handing_over`: another node leads before this one stops.
* `listening`: the address that a node listens on, and whether it can be had.
* `shutdown`: what asks a node to stop, the error that it ends with, and the closing of all its parts, in order and in
  time.
* `allocator` lets memory that was used for a moment go back to the system.
* `collector`: how often Python looks for garbage, which objects it leaves out, and how long that takes.
* `start`: what a start finds in the folder. `facts`: what the folder keeps beside the log, and under which names.
* `network`: links to the peers, and what they carry; whom to dial.
* `addresses`: where each member may be and is dialled, and how the configuration learns who has moved.
* `membership`: a new node asks a running cluster to add it.
* `folder`: opening a data folder and checking its identity, how a cluster gets its id, and the errors of storage as
  fatal ones.
* `disk`: the threads that write log and state, and the swap of the state for a received snapshot.
* `outgoing`: snapshots that are made for followers. `incoming`: the one that is fetched from the leader.
* `space`: measures the space that is left, and tells the driver when growing writes must stop and may go on.
* `peers`: which nodes may be peers; the first uuid met under a member's id is the one that counts, and the last start
  that was met is written down, so that a folder that was put back is found out.
* `access`: who asks this node (`raftdb.access`), put together, and the first user of a cluster.
* `local_node`: the node as the frontends see it; backups are made here.
* `measures`: all metrics, where each is read; `levels` walks through queues and locks for them, `exposition` makes text
  of them, and `metrics` puts these together. `figures` are plain numbers for pages, and `charts` samples of them.
* `restore`, `recover`, `doctor`: a first data folder from a backup, a new cluster from the folder of one remaining
  node, and the examination of a folder; `state_digest`: what a folder holds, as one number to compare. No node runs in
  these folders meanwhile. `network_findings`: what settings expose to whom.

No other part of raftdb creates its own collaborators: each is handed what it needs, here.
"""

__all__ = [
    "bootstrap",
    "collector",
    "config",
    "doctor",
    "folder",
    "network_findings",
    "recover",
    "restore",
    "setting_values",
    "state_digest",
]
"""The modules that the command line may use: a node that runs, and folders of nodes that do not."""
