"""The deterministic machine: what a committed command does to the state, and nothing else.

Every replica applies the same entries in the same order and must end with the same bytes. So this package has
no clock, no randomness, no I/O and no storage: a handler is a function of the command, the index of its entry
and the state. A test reads the source and refuses imports and constructs that could differ between two
processes (hazard B63).

* `machine`: the table from command type to handler, `apply` for entries of the log, `read` for reads beside
  it.
* `transaction`: the changes of entries that are being applied, over a view of the state; and what a view must
  offer.
* `keyspace`: how keys and values of the services stand in the one ordered key space.
* `kv`: the key-value service. Other services get a prefix of the key space and a module of their own.
* `reply`: what a command answers.

Rules
-----
1. An error of a command is a reply (`ReplyError`), equal on every replica, text included. Apply catches
   nothing else: any other exception is a bug or a broken disk, and stops the node rather than letting
   replicas diverge.
2. A handler checks first and writes last: a command that answers an error has changed nothing.
3. Whatever the log holds must be answerable. Limits were checked before the command was proposed, but by
   another node and another configuration: those that protect the machine are checked again here, as constants
   (hazards B64, B67).
4. An entry that cannot even be decoded is `Fatal`: our own leader wrote it, so this node is too old or its
   disk is bad, and to skip it would be to diverge.
5. A stored value carries its revision, the index of the entry that last changed it. Deleting a key deletes
   its revision; a key that comes back has a higher one, so that a watch sees the difference (hazard B58).

Left open on purpose: the time of an entry becomes an argument of `apply` with the cluster clock (values hold
their expiry already, none for now); sessions and transactions are entries that hold commands and are applied
through `Machine.execute`, a transaction that must be undone as a whole on a `Transaction` laid over another.
"""
