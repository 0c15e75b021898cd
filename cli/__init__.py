"""The command line of raftdb: one-shot commands, the shell, and a cluster on this machine.

Everything here is only a client of running nodes, over their public HTTP interface, but for `serve`, which is one,
and `folders`, which opens the data folders of stopped ones.
The modules, from the pure to the outside world:

* `lexer` (a line to words), `suggest` (completions and the grey hint), `render` (values and tables to text):
  pure.
* `options`, `output`, `failures`: what was asked for, where results go, how errors are told and which exit
  code.
* `interpreter`, `dot_commands`: run one command line against a cluster; shared by scripts and the shell.
* `main` (the sub-commands), `oneshot`, `admin`, `backup`, `script`, `shell` with `completer` and `history`.
* `serve`, and `folders` (restore, doctor): the two that work on a node's data folder, through `raftdb.server`.
* `local_folder`, `local_cluster`, `up`: the cluster of `raftdb up`.

Commands of the database come from `raftdb.commands.spec` and are listed nowhere else. A one-shot command must
be useful within 150 ms: modules are imported where they are needed, and prompt_toolkit only by the
interactive shell.
"""

RAFTDB_VERSION = "0.1.0"
"""Compared with `raftdb.__version__` at start: a foreign package called `cli` is told from ours by this."""
