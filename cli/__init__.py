"""The command line of raftdb: one-shot commands, the shell, and a cluster on this machine.

Everything here is only a client of running nodes, over their public HTTP interface, but for `serve`, which is one,
and `folders`, which opens the data folders of stopped ones.
The folders, from the top down; each has an essay of its own:

* `main`: the table of sub-commands, and where errors become exit codes. `subcommands`: what each of them does.
* `prompt`: what a person sees and uses at the prompt.
* `local`: the cluster of `raftdb up`.
* `run`: carrying out what was typed, for scripts and the prompt alike.
* `admin`: what an operator asks of a running cluster.
* `line`: the language of the line. Pure.
* `console`: output, errors, paths, signals.

Commands of the database come from `raftdb.commands.spec` and are listed nowhere else. Transactions are kept here
and sent as one request: the nodes know of none that is open. A one-shot command must
be useful within 150 ms: modules are imported where they are needed, and prompt_toolkit only by the
interactive shell.
"""

RAFTDB_VERSION = "0.1.0"
"""Compared with `raftdb.__version__` at start: a foreign package called `cli` is told from ours by this."""
