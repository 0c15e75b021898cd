"""The deterministic machine: what a committed entry does to the state, and nothing else.

Every replica applies the same entries in the same order and must end with the same bytes. So this package has
no clock, no randomness, no I/O and no storage: a handler is a function of the command, the index of its entry
and the state. A test reads the source and refuses imports and constructs that could differ between two
processes (hazard B63).

A service is a module: `strings`, `editing`, `counters`, `batches`, `expiry`, `scanning`, `revisions`, `connection`,
`sessions`. It has a dataclass and a handler for each of its commands, and ends with one `Service` that says the rest.

* `service`: what a service and a command are, in every respect. `services`: the list of all, and what is read off it.
* `forms`: commands as they stand in the log, read off their dataclasses. `entries`: whole entries; `operations`: what
  they may hold beside a command.
* `machine`: from an entry to its reply, and to what somebody may wait for; reads beside the log.
* `sweeper`: the end of what is due, of all services.
* `transaction`: the changes of entries that are being applied, over a view of the state; and what a view must
  offer.
* `keyspace`: how keys and values of the services stand in the one ordered key space.
* `clock`: the cluster clock, moved by the times that entries bear.
* `deadlines`: indexes of what is to end at a time of that clock.
* `values`: values as they stand there, with their number and their deadlines kept exact.
* `arguments`, `integers`: how arguments are read, and numbers are spelt.
* `transactions`: several commands as one. `sessions`: once, however often it is sent; `replies`: what is kept for
  that.
* `reply`: what an operation answers.

To add a command
----------------
In the module of its service: a frozen dataclass (its form in the log follows from its fields), a handler beside it, and
a `CommandType` with the next free number and a row for each name. Nothing else lists commands: shell, help, completion,
HTTP, the log and its pages, budgets and the sweeper are made from these. The model of the simulator
(`raftdb.simulation.model`) is a second opinion, written by hand: the tests ask it about every command. A new service
is a module, a line in `services`, and prefixes of the key space that no other has (`keyspace`).

Rules
-----
1. An error of a command is a reply (`ReplyError`), equal on every replica, text included. Apply catches
   nothing else: any other exception is a bug or a broken disk, and stops the node rather than letting
   replicas diverge.
2. A handler checks first and writes last: a command that answers an error has changed nothing. What the entry
   does besides stays: the clock has moved, and in a session the error is kept as any reply is.
3. Whatever the log holds must be answerable. Limits were checked before the command was proposed, but by
   another node and another configuration: those that protect the machine are checked again here, as constants
   (hazards B64, B67). That includes time: what an entry touches is bounded, for nothing else happens meanwhile.
4. An entry that cannot even be decoded is `Fatal`: our own leader wrote it, so this node is too old or its
   disk is bad, and to skip it would be to diverge.
5. A stored value carries its revision, the index of the entry that last changed it, its expiry included. Deleting
   a key deletes its revision; a key that comes back has a higher one, so that a watch sees the difference (hazard
   B58).
6. Time is what the entries say. A value is there until the clock of the state is beyond its expiry, on every
   replica alike and for every command; that it takes room until it is swept is nobody's business but the sweep's.

Decisions
---------
* A plain `set` looks at the head of what is there before, so that the number of values and the index of expiries are
  exact: 0.2 us if that is in memory, some 3 us if it is on disk. Counting keys when somebody asks would read them all.
* The deadline of a session is written at most once a minute, though every operation uses it: writing it each time
  would be two changes of an index per operation, for a precision that nobody needs.
* A reply is kept with a digest of what was asked and not with the question itself: the question may be large, and a
  client that uses a number twice has made a mistake, which 64 bits find out.

Considered and rejected: to end what is due within whatever entry moves the clock past it. It needs no entry of its own,
but a `set` would pay for the end of a thousand keys; and an entry that does what its proposer did not ask for is hard
to explain in a log.
"""
