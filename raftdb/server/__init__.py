"""The server: settings, logs, and the composition root that puts one node together.

* `config`: the table of settings and where they come from.
* `logs`: one line per action, for people or for machines.
* `bootstrap`: opens the folder, the listener and the links, starts the driver, and stops it all in order.
* `local_node`: the node as the frontends see it.

Nothing else in raftdb creates its own collaborators: every part is handed what it needs, here.
"""
