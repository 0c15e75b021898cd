"""The listener for Redis clients: the protocol, the commands in Redis' words, and the order and bounds of connections.

From the socket inwards:

* `server` owns the listening socket, and what all connections have in flight. `connection` is one connection: requests
  come in, replies go out in order; its docstring has the rules. `replying` is one reply that is awaited.
* `session` is what is remembered of a client between commands, `watching` the keys that it watches.
* `rows` says what a row of the table of commands is. `strings`, `keys`, `scanning` (with the `cursors` of SCAN),
  `objects`, `transactions`, `connection_commands`, `introspection` and `cluster_commands` have the rows; `table` puts
  them together, and tells clients of them (COMMAND).
* `arguments` reads numbers and times, `globs` patterns; `errors` has Redis' words for what is wrong, `slots` the place
  of a key in a Redis cluster, `versions` whose replies these are.

The bytes are `raftdb.wire.resp`'s. What commands do is the machine's: a row turns arguments into an operation, and the
result, which says what happened in no frontend's words, into the reply that Redis would give.

Decisions
---------
* **No task and no future for a request.** A request is an operation and a callback (`Driver.submit`). A reply takes its
  place in a queue when its request is begun; the callback fills it, and what is ready at the front is written once at
  the end of the turn.
* **A pipeline keeps its order without waiting.** A read behind an unanswered write becomes a part of the log. It costs
  an entry, where waiting would cost a round for each change between reading and writing (`connection`).
* **Time is the leader's.** A machine knows no calendar. `EXAT` and its like become a time to live when they are begun,
  and `EXPIRETIME` adds what is left to the calendar of the node that answers.
* **What is wrong is said as Redis says it.** The stories in the tests were told by Redis 7.0 and are held against one
  where there is one, and so are random commands: replies are equal byte for byte.

Considered and rejected: refusing reads in a pipeline with writes, or answering them from before the writes. Both would
be quicker, and ordinary clients would read what they have just overwritten.
"""
