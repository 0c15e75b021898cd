"""Users, and what they may do: kept in the state, so in checkpoints, snapshots and backups, and the same on every node.

* `rights`: grants, needs, and whether one meets the other. `needs`: what each operation needs, read off its fields.
* `records`: users, roles and tokens as they stand in the key space.
* `service`: the operations that change them, and the queries that list them.
* `narrowing`: lists of names, without those that their reader may not see.
* `checking`: the judgement, where an operation is admitted and, if users have changed since, where it takes effect.

A user has roles, a role has grants, and a grant lets its holder read, or change, all keys, queues or locks whose names
begin with a prefix. The role `admin` may do everything. A token stands for its user. A cluster without users serves
everybody; from the first user on it serves nobody else.

What it does not do: it keeps no password and no secret of a token, only digests, and makes none: that takes time by
design, and is the work of the node that was asked. It does not know who asks; the frontends find that out.
"""
