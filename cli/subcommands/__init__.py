"""The sub-commands of `raftdb`, a module for each or for a few that belong together; `cli.program` has their table.

* `oneshot` runs one command of the database, and `shell` the interactive shell or a script.
* `cluster`, `log` and `backup` (with `snapshot`) are for operators of a cluster. `up` runs one on this machine.
* `completion` prints what bash, zsh and fish need to complete the command line.
* `options` is what they have in common: the options of a client, and how click reads and explains all options.
* `serve` starts a node, and `folders` (restore, recover, doctor) opens the folders of stopped ones: both do so through
  `raftdb.server`. `simulate` runs simulated nodes. Every other sub-command is only a client.

Each module is imported when its sub-command is called: nobody waits for what another one needs.
"""
