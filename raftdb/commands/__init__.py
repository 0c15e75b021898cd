"""The commands of raftdb: what they are (`model`), what they may hold (`limits`), how they are called
(`spec`).

`model` has one frozen dataclass per command that the machine can execute. `spec` has the one table of names (its rows
are in `table`, what a row says in `row`, arguments that need reading in `arguments`): arity, syntax, group, summary,
examples, read or write. It feeds the shell's completion and help, the HTTP API, the Redis listener and the
documentation; there is no second list anywhere, and tests hold the machine and the wire to it.

`operations` has what an entry of the log may hold beside a command: transactions, and what belongs to sessions;
`transactions` makes a transaction of commands as people name them. `queries` has reads that are no commands.

Several names may build one command (`incr`, `decr` and `incrby` are all `IncrementBy`): what is replicated is
the meaning, not the spelling, so that a new name needs no new entry format.

This package imports the standard library and `raftdb.errors` only, and is quick to import: a one-shot `raftdb
get` pays for it.
"""
