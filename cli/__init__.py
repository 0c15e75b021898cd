"""The command line of raftdb: one-shot commands, the shell, and a cluster on this machine.

Everything here is only a client of running nodes, over their public HTTP interface, but for `serve`, which is one,
and `folders`, which opens the data folders of stopped ones.
The modules, from the pure to the outside world:

* `lexer` (a line to words), `syntax` (what may follow what), `words` (the shell's own commands), `vocabulary`
  (everything that can be typed), `suggest` (completions and the grey hint), `highlight`, `blocks`,
  `private_lines`: what is typed. Pure.
* `transactions` (what a line means while one is open), `cluster_view` and `status_line` (prompt and bar), `render`
  (values and tables to text): what is known and shown. Pure.
* `options`, `output`, `answers`, `failures`, `paths`: what was asked for, where results go and in which form, how
  errors are told and which exit code; files that were named.
* `interpreter`, `executor`, `dot_commands`, `repeat`: run one command line against a cluster; shared by scripts
  and the shell.
* `main` (the sub-commands), `oneshot`, `expansion` (values from files), `admin`, `backup`, `script`.
* `shell` with `keys`, `pasting`, `completer`, `history`, `patience`, and in threads of their own `monitor` (watches the
  cluster) and `finder` (looks up keys and paths): nothing that may wait does so where somebody types.
* `serve`, and `folders` (restore, doctor): the two that work on a node's data folder, through `raftdb.server`.
* `local_folder`, `local_cluster`, `left_over`, `up`: the cluster of `raftdb up`. `stop_signals`, `asking`: what ends
  a program at which a person sits, and what that person is asked.

Commands of the database come from `raftdb.commands.spec` and are listed nowhere else. Transactions are kept here
and sent as one request: the nodes know of none that is open. A one-shot command must
be useful within 150 ms: modules are imported where they are needed, and prompt_toolkit only by the
interactive shell.
"""

RAFTDB_VERSION = "0.1.0"
"""Compared with `raftdb.__version__` at start: a foreign package called `cli` is told from ours by this."""
