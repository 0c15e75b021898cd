"""The command line of raftdb: one-shot commands, the shell, and a cluster on this machine.

Everything here is only a client of running nodes, over their public HTTP interface, but for `serve`, which is one,
`folders`, which opens the data folders of stopped ones, and `simulate`, which runs nodes in a world of its own.
The folders, from the top down; each has an essay of its own:

* `main`: where errors become messages and exit codes. `program`: the table of sub-commands, and how a command line is
  read. `subcommands`: what each of them does.
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

**Why click.** argparse reads the options of one command. This program has more to read: options before and after a
sub-command, arguments that are taken verbatim, help out of tables, sub-commands that are loaded when they are called,
and completion in three shells. All of that would be written by hand around argparse; click has it, and each sub-command
is a function with its options above it. The price is start-up: on a busy machine `raftdb get` takes 135 ms of processor
time where argparse takes 127, within the 150. Only `program` and `subcommands` know click, so that the client library
and the nodes work where it is not installed. What follows the name of a database command is data, and
click never looks at it.
"""

RAFTDB_VERSION = "0.1.0"
"""Compared with `raftdb.__version__` at start: a foreign package called `cli` is told from ours by this."""
