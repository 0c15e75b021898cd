"""The deterministic machine: what a committed entry does to the state, and nothing else.

Every replica applies the same entries in the same order and must end with the same bytes. So this package has
no clock, no randomness, no I/O and no storage: a handler is a function of the command, the index of its entry
and the state. A test reads the source and refuses imports and constructs that could differ between two
processes (hazard B63).

A service is a module: `strings` (with its table in `string_table`), `editing`, `subsequences`, `counters`, `batches`,
`expiry`, `keys`, `scanning`, `drawing`, `revisions`, `connection`, `sessions`; or a package, as `queues`. It has a
dataclass and a handler for each of its commands, if it has any, and ends with a `Service` that declares the rest.

* `service`: the types that describe a service and a command. `services`: the list of all services, and tables made from
  it.
* `waiting`: how a type of command says that its sender may wait until it is served.
* `forms`: commands as they stand in the log, read off their dataclasses; `short_forms`: the same directly, for most of
  them. `entries`: whole entries; `operations`: the operations beside commands that they may hold.
* `machine`: from an entry to its reply, and to the changes that others may wait for; reads beside the log.
* `sweeper`: the end of what is due, of all services. `sweeping`: very many keys that are gone at once, and are removed
  by the sweeper step by step.
* `happenings`: what is noted of queues and locks for those who count it.
* `layer`: the changes of entries that are being applied, laid over a view of the state; and the interface of a view.
* `keyspace`: how keys and values of the services stand in the one ordered key space.
* `clock`: the cluster clock, moved by the times that entries bear.
* `deadlines`: indexes of values and sessions that are to end at a time of that clock.
* `locks`: the locks, a package with an essay of its own.
* `values`: values as they stand there, with their number and their deadlines kept exact. `removals`: the trace of those
  that are gone. `bound_keys`: those that end with a session.
* `arguments`, `integers`: how arguments are read, and numbers are spelt.
* `transactions`: several commands as one. `sessions`: operations that are done once, however often they are sent;
  `session_records`: how sessions stand in the state; `replies`: the replies that they keep.
* `keeping`: replies without what is in the state anyway. `slots`: the slot of a name in a Redis cluster.
* `reply`: the answers of operations.

To add a command
----------------
In the module of its service: a frozen dataclass (its form in the log follows from its fields), a handler beside it, and
a `CommandType` with the next free number and a row for each name. Shell, help, completion, HTTP, the log and its pages,
budgets and the sweeper are made from these. By hand come the methods of the Python clients and the model of the
simulator (`raftdb.simulation.model`), a second implementation with which the tests compare every command;
`docs/architecture.md` has the whole list. A new service is a module, a line in `services`, and prefixes of the key
space that no other has (`keyspace`).

Rules
-----
1. An error of a command is a reply (`ReplyError`), equal on every replica, text included. Apply catches
   nothing else: any other exception is a bug or a broken disk, and stops the node rather than letting
   replicas diverge.
2. A handler checks first and writes last: a command that answers an error has changed nothing. The other effects of the
  entry stay: the clock has moved, and a session keeps the error as it keeps any reply.
3. Every entry that the log holds must get a reply. Limits were checked before the command was proposed, but by another
  node with another configuration: those that protect the machine are checked again here, as constants (hazards B64,
  B67). That includes time: the number of keys and bytes that an entry touches is bounded, because nothing else happens
  meanwhile.
4. An entry that cannot even be decoded is `Fatal`: our own leader wrote it, so this node is too old or its disk is bad,
  and a node that skipped the entry would diverge.
5. A stored value carries its revision, the index of the entry that last changed it, its expiry included. Deleting
   a key deletes its revision; a key that comes back has a higher one, so that a watch sees the difference (hazard
   B58); and that it came and went, by a trace (`removals`).
6. Entries say what time it is. A value exists until the clock of the state is beyond its expiry, on every replica alike
  and for every command; only the sweep sees that it takes room until it is swept.

Decisions
---------
* A plain `set` looks at the head of the value that it replaces, so that the number of values and the index of expiries
  are exact: 0.2 us if that value is in memory, some 3 us if it is on disk. Counting keys on request would read them
  all.
* The deadline of a session is written at most once a minute, though every operation uses it: writing it each time
  would be two changes of an index per operation, for a precision that nobody needs.
* A reply is kept with a digest of the operation and not with the operation itself: the operation may be large, and 64
  bits are enough to find a client that uses a number twice by mistake.

Considered and rejected: ending values and sessions that are due within the entry that moves the clock past them. That
needs no entry of its own, but a `set` would pay for the end of a thousand keys; and an entry that does more than its
proposer asked for is hard to explain in a log.
"""

__all__ = [
    "arguments",
    "batches",
    "clock",
    "connection",
    "counters",
    "drawing",
    "editing",
    "entries",
    "expiry",
    "happenings",
    "integers",
    "keys",
    "keyspace",
    "layer",
    "locks",
    "machine",
    "operations",
    "queues",
    "removals",
    "reply",
    "revisions",
    "scanning",
    "service",
    "services",
    "session_records",
    "sessions",
    "slots",
    "strings",
    "subsequences",
    "users",
    "values",
    "waiting",
]
"""The modules that other packages may use: the machine, the operations of each service, and how they are written down.
The others are how the machine does what it does."""
