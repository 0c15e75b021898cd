"""The listener for Redis clients: Redis' commands and replies, and the order and bounds of connections.

From the socket inwards:

* `server` owns the listening socket, and bounds the requests in flight of all connections. `connection` is one
  connection, which writes replies in the order of requests; its docstring has the rules, and `bounds` what limits it.
  `beginning` makes an operation of a request, `replying` is a reply that is awaited, `unread` cuts clients off that do
  not read.
* `client_state` keeps a client's state between commands, `watching` the keys that it watches.
* `rows` defines a row of the table of commands. `strings`, `subsequences`, `keys`, `scanning` (with the `cursors` of
  SCAN), `objects`, `transactions`, `connection_commands`, `introspection` and `cluster_commands` have the rows; `table`
  puts them together, and answers COMMAND. `services` makes rows of the commands that Redis does not have.
* `arguments` parses numbers and times, `globs` matches patterns; `errors` has the texts of Redis' errors, `slots`
  computes the slot of a key in a Redis cluster, `versions` has the version of Redis whose replies these are.

`raftdb.wire.resp` encodes and decodes the protocol, and the machine executes commands: a row turns arguments into an
operation, and its result, which is independent of frontends, into the reply that Redis would give.

Decisions
---------
* **No task and no future for a request.** A request is an operation and a callback (`Driver.submit`). A reply takes its
  place in a queue when its request is begun; the callback fills it, and the ready replies at the front of the queue are
  written together at the end of the turn.
* **A pipeline keeps its order without waiting.** A read after an unanswered write becomes a part of the log. That takes
  an entry, while waiting would take a round for each change between reading and writing (`connection`).
* **The node's time counts.** The machine has no calendar. `EXAT` and its like become a time to live when they are
  begun, and `EXPIRETIME` adds the remaining time to the clock of the node that answers.
* **Connections do not know who leads.** They submit to a `RedisNode`. That is the node itself, whose refusal becomes
  MOVED, or one that passes operations on to the leader (`raftdb.forwarding`) with the same promises.
* **Errors have Redis' texts.** The stories in the tests were recorded with Redis 7.0, and are compared with a real one
  if it is installed, and so are random commands: replies are equal byte for byte.

Considered and rejected: refusing reads in a pipeline with writes, or answering them from before the writes. Both would
be quicker, but ordinary clients would read values that they have just overwritten.
"""
