"""The commands of raftdb as people name them: the table, the ways to it and from it.

* `spec` has the one table of names, made from the services of the machine (`raftdb.machine.services`): arity,
  syntax, group, summary, examples, read or write. It feeds the shell's completion and help, the HTTP API and the
  tests of the documentation.
* `transactions` makes a transaction of commands as people name them.
* `answers` makes of what the machine answers what people are shown.

Several names may build one command (`incr`, `decr` and `incrby` are all `IncrementBy`): what is replicated is
the meaning, not the spelling, so that a new name needs no new entry format.

All of it is quick to import: a one-shot `raftdb get` pays for it.
"""

__all__ = [
    "answers",
    "spec",
    "transactions",
]
"""The modules that other packages may use: all of them."""
