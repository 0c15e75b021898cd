"""Who asks, and what that user may do here: between the frontends, which get the credentials, and the node.

* `passwords`: digests of passwords, and whether a password fits one. Takes time by design.
* `tokens`: secrets of tokens, and their digests.
* `users`: the users as this node's state has them now; judges what a user asks for (`raftdb.machine.users`), and says
  with it by which users it was judged, so that the machine can judge again.
* `logins`: finds the user of a password or a token. Passwords are checked one at a time, on a thread, and an address
  from which many were wrong waits longer each time.

A frontend finds the user of a connection or a request here, and hands its name on with everything that it asks the
node for. A node asks `users` for what it takes in. So a frontend that forgets the user gets nothing: without one, where
there are users, the machine refuses (`raftdb.machine.users.checking`).

The users are those of this node's state, which may lag. A read that may be stale is refused where there are users and
no leader was heard for a while (`users.SILENCE_S_MAX`), because a user who was removed meanwhile could go on reading.
"""

__all__ = ["logins", "passwords", "tokens", "users"]
"""The modules that other packages may use."""
