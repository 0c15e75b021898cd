"""The sub-commands of `raftdb`, with a module for each, or for a few; `cli.program` has their table.

* `oneshot` runs one command of the database, and `shell` runs the interactive shell or a script.
* `cluster`, `log` and `backup` (with `snapshot`) are for operators of a cluster. `up` runs one on this machine.
* `completion` prints the scripts by which bash, zsh and fish complete the command line.
* `options` has the common options of clients, and click's classes for sub-commands and help.
* `serve` starts a node, and `folders` (restore, recover, doctor) opens the folders of stopped ones, both by
  `raftdb.server`. `simulate` runs simulated nodes. All other sub-commands are only clients.

Each module is imported when its sub-command is called, so that none waits for the imports of another.
"""
