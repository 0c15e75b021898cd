"""The command line of raftdb: one-shot commands, the shell, and a cluster on this machine.

Most of it is only a client of running nodes, over their public HTTP interface. The exceptions are `serve`, which runs a
node, `folders`, which opens the data folders of stopped ones, and `simulate`, which runs nodes in a simulated world.
The folders, from the top down, each of which has an essay of its own:

* `main` turns errors into messages and exit codes. `program` has the table of sub-commands, and reads a command line.
  `subcommands` has a module for each sub-command, or for a few.
* `prompt`: the interactive prompt.
* `local`: the cluster of `raftdb up`.
* `run`: the execution of commands, for scripts and for the prompt.
* `admin`: an operator's requests to a running cluster.
* `line`: the language of the line. Pure.
* `console`: output, errors, paths, signals.

Commands of the database come from `raftdb.commands.spec` and are listed nowhere else. An open transaction is kept here,
and sent as one request when it is committed. A one-shot command must answer within 150 ms, so modules are imported
where they are needed, and prompt_toolkit only by the interactive shell.

**Why click.** argparse reads the options of one command. This program needs more: options before and after a
sub-command, arguments that are taken verbatim, help from tables, sub-commands that are imported when they are called,
and completion in three shells. click has all of that, and each sub-command is a function with its options above it. In
return the start takes longer: on a busy machine `raftdb get` takes 135 ms of processor time, and 127 with argparse, of
the 150. Only `program` and `subcommands` import click, so that the client library and the nodes work without it. click
does not parse the words after the name of a database command, because they are data.
"""

RAFTDB_VERSION = "0.1.0"
"""Compared with `raftdb.__version__` at the start, so that another package called `cli` is noticed."""

__all__ = [
    "console",
    "local",
    "main",
    "torture",
]
"""What others may use: the entry point, and, for benchmarks, the cluster of processes of this machine, torture runs,
and how these fail."""
