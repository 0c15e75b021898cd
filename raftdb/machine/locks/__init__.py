"""Locks: who may do what, one at a time, some at a time or many who only read.

* `records`: how locks stand in the key space.
* `line`: one lock while an entry changes it: it is granted, given back and handed on.
* `deadlocks`: whether a wait would never end. `over`: what has ended, swept or not.
* `holding`: the commands that take, renew and give back. `fencing`: what depends on holding. `looking`: who only looks.
* `ends`: leases that are over, and what sessions leave behind.
* `spelling`: how the commands are read and written. `service`: their table.

A lock is a promise about the log: at no point of it do two owners hold an exclusive lock. It is no promise about the
world. A process that holds a lock may be paused, and go on after its lease, when somebody else holds the lock: no
service can prevent that (hazard B69). So each grant has a token, and tokens only grow. What is written here can be
fenced: a transaction, or a `set`, that names a token is refused if that lock is not held under it any more. What is
written elsewhere can be, if the other side keeps the highest token that it has seen and refuses lower ones.

Time is that of the cluster clock, and what is over at the time of an entry is over (hazards B68, B70, B71): a lease
ends late by an election, and never early. The lease of a grant begins when the entry is applied, so a slow commit takes
nothing away from it.

Decisions
---------
* The line is part of the state: it survives the leader, and is fair over all nodes. A place has no time of its own: the
  leader that holds the request gives it up, and a new leader those of clients that do not come back.
* Nobody overtakes: a shared request waits behind an exclusive one though it could be granted, else writers starve.
* A grant to somebody who waited has a short lease until it is renewed, because its client may be gone. An upgrade goes
  to the front of the line: everybody in it waits for the one who upgrades anyway.
* The records of the graph are those of the locks: no edges are stored, and none have to be kept right.

Considered and rejected: a session for every lock, as ephemeral nodes have it. A lease of its own tells a slow client
from one that is gone, lock by lock; who wants both asks in a session.
"""
