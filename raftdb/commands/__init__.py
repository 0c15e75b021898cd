"""The commands of raftdb by name: their table, transactions of them, and their answers.

* `spec` has the one table of names, made from the services of the machine (`raftdb.machine.services`): arity, syntax,
  group, summary, examples, read or write. The shell's completion and help, the HTTP API and the tests of the
  documentation use it.
* `transactions` makes a transaction of commands, given by name.
* `waiting` splits the option WAIT off a command, of which it is no part.
* `answers` turns results of the machine into the answers that people are shown.

Several names may build one command (`incr`, `decr` and `incrby` are all `IncrementBy`): the log has the command and not
the name, so that a new name needs no new entry format.

The package must be quick to import, because a one-shot `raftdb get` needs it.
"""

__all__ = [
    "answers",
    "spec",
    "transactions",
    "waiting",
]
"""The modules that other packages may use: all of them."""
