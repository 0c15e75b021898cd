"""Frontends: what clients speak to a node. They parse, submit and encode; no rule of the database lives here.

The HTTP side, from the socket inwards:

* `http_server.py` owns the listening socket: bounded connections, the path table, one place where every error
  becomes JSON, orderly close. It knows no route.
* `http_api.py` is the client API (interface, section 3): one handler per route, over a `Node` (`node_api.py`);
  `http_data.py` the part of it that is about data, `http_members.py` that about members and leadership; `leading.py`
  sends on what is the leader's.
* `http_host.py` says who a request may say that it talks to, and which pages may ask for changes.
* `http_memory.py` is what a connection holds of the node's memory for its request and its answer.
* `http_head.py` is how long the head of a request may be. `http_reply.py` is the bytes of an answer and of an error,
  `http_body.py` the bounded reading of a request, `http_query.py` what stands in its query, `http_file.py` a file as an
  answer (a backup, streamed), `json_values.py` the translation between JSON and byte strings, `json_requests.py` from
  bodies to operations.

The route on which peers change to frames of their own is one more entry of the path table, given by the composition
root, so that clients and peers share one address.

Decisions
---------
* **aiohttp's low-level server, not `web.Application`.** One small `POST /v1/execute` at a time on each of 32 keep-alive
  connections, uvloop, one core for the server, handlers that answer a constant: Application 34,000 requests/s,
  `web.Server` with `web.Response` 42,000, `web.Server` with the answer written as one prepared byte string 61,000. This
  frontend, which also parses and checks the command, makes 45,000 to 48,000 against a node that answers at once.
  `benchmarks/http_execute.py` repeats it.
  What the Application would have given, we do ourselves and test: routes, 405 with `Allow`, `Expect: 100-continue`,
  size limits.
* **Everything is bounded**: connections (the one that has waited for its client for longest makes room for a new one,
  so that crowds cannot lock out peers and health checks), requests at work (`busy`), the body's size (413) and the time
  it may take (hazard B98), and the time a client may take to read its answer.
* **A turn of the loop is shared** (`http_turns.py`): of thousands of requests that are ready at once so many are begun,
  or answered, in one turn, that heartbeats come in between.
* **Content-Encoding of requests is not supported**: no decompression, no bombs (hazard B99).
* **What is long is read and written beside the loop**, on one thread (`raftdb.node.aside`): a body, or an answer, over
  the budget in `raftdb.budgets`. A short one is not worth the change of threads.
* **A request outlives its client.** A handler is not cancelled when the client goes away: the command may be in the log
  already. The node bounds its time.
* **A `Host` that is not ours is refused**, on reads as well: a page whose own name resolves to this node would be given
  the data by its visitor's browser (DNS rebinding).
* **A foreign `Origin` is refused** on requests that change something: a page of another site must not write through
  a visitor's browser (hazard B103). Programs send no `Origin`.

Considered and rejected: a hand-written HTTP parser (faster still, but smuggling bugs are a solved problem in aiohttp's
C parser and this is no place to solve them again); streaming JSON decoding (a command is small; the body is bounded).
"""
