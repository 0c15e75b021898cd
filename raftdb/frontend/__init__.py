"""Frontends: the protocols that clients speak to a node. They parse requests, hand operations to the node, and encode
the answers; they contain no rule of the database.

`redis` is the listener for Redis clients, with an essay of its own; `accepting` lets connections in. The HTTP side,
from the socket inwards:

* `http_server.py` owns the listening socket: the path table, one place where every error becomes JSON, orderly close.
  It knows no route. `http_connection.py` bounds the head of a request.
* `http_lean.py` answers short requests, with heads that are known, without aiohttp's help; `http_execute.py` is what
  serves them.
* `http_api.py` is the client API (docs/interface.md, section 3): one handler per route, over a `Node` (`node_api.py`).
  `http_data.py` is the part of it about data, `http_locks.py` and `http_queues.py` those about locks and queues, with
  the words of commands by `http_commands.py`, `http_members.py` the one about members and leadership; `leading.py`
  redirects requests that only the leader can serve.
* `http_watch.py` serves those who follow changes, and `watch_hub.py` tells all of them together; `http_history.py`
  answers how keys were some time ago.
* `http_host.py` checks the host names that a request may name, and `http_browser.py` what a page may read and ask for.
* `http_pages.py` serves the pages of `raftdb.web`, and `http_description.py` the description of all this.
* `http_metrics.py` answers Prometheus, and `http_charts.py` the page of charts, with what the server gives them.
* `http_memory.py` takes the memory for a connection's request and its answer from the node's account.
* `http_head.py` bounds the head of a request. `http_reply.py` writes the bytes of an answer and of an error,
  `http_body.py` reads a body within limits, `http_query.py` parses the query, `http_file.py` streams a file as an
  answer (a backup), `http_stream.py` is an answer that goes on (events), `http_waiting.py` has the node hold a request
  until it can be served, `http_turns.py` bounds the requests of one turn, `json_values.py` translates between JSON and
  byte strings, and `json_requests.py` makes operations of bodies.

The composition root adds the route on which peers change to frames of their own to the path table, so that clients and
peers share one address.

Decisions
---------
* **aiohttp's low-level server, not `web.Application`.** One small `POST /v1/execute` at a time on each of 32 keep-alive
  connections, uvloop, one core for the server, handlers that answer a constant: Application 34,000 requests/s,
  `web.Server` with `web.Response` 42,000, `web.Server` with the answer written as one prepared byte string 61,000. This
  frontend, which also parses and checks the command, made 45,000 to 48,000 against a node that answers at once, before
  it had the lean path. `benchmarks/http_execute.py` repeats it. What the Application would have given is written here
  and tested: routes, 405 with `Allow`, `Expect: 100-continue`, size limits.
* **Everything is bounded**: connections (a new one closes the one that has waited for its client for longest, so that
  crowds cannot lock out peers and health checks), requests at work (`busy`), the body's size (413) and the time until
  it has arrived, and the time that a client may take to read its answer (hazard B98).
* **A turn of the loop is shared** (`http_turns.py`): of thousands of requests that are ready at once only a part is
  begun or answered in one turn, so that heartbeats come in between.
* **Content-Encoding of requests is not supported**, because a short compressed body may become a very long one (hazard
  B99).
* **Long bodies and answers are decoded and encoded on a thread** beside the loop, one after the other
  (`raftdb.node.aside`), those over the budgets in `raftdb.budgets`. For a short one the change of threads would take
  longer than the work.
* **A request outlives its client.** A handler is not cancelled when the client goes away, because the command may be in
  the log already. The node bounds its time. Only one that is held, and not in the log, is given up.
* **A `Host` that is not this node's is refused**, on reads as well: a page whose own name resolves to this node could
  otherwise read the data in its visitor's browser (DNS rebinding).
* **A foreign `Origin` is refused** on requests that change something: a page of another site must not write through
  a visitor's browser (hazard B103). One of ours has to bear a token. Programs send no `Origin`.
* **Known heads instead of a parser of our own** (`http_lean.py`): to parse, check and answer a short read takes
  8 microseconds of processor time, without the socket's, and 38 by aiohttp's way. With the node's work and the system
  calls a linearizable read on one of 64 keep-alive connections costs the leader half of what it did.

Considered and rejected: a hand-written HTTP parser (it would be as fast on heads that are not known, but aiohttp's C
parser has solved the bugs of request smuggling); streaming JSON decoding (a command is small; the body is bounded).
"""

from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_browser import Browsers, MemberAddresses
from raftdb.frontend.http_lessons import serve_lessons
from raftdb.frontend.http_login import Gate
from raftdb.frontend.http_pages import PagesApi
from raftdb.frontend.http_processes import serve_processes
from raftdb.frontend.http_server import HttpServer, ServerLimits
from raftdb.frontend.impaired_clients import Wrap, as_it_is, through
from raftdb.frontend.node_api import Backup, Consistency
from raftdb.frontend.redis.server import RedisLimits, RedisServer

__all__ = [
    "Backup",
    "Browsers",
    "Consistency",
    "Gate",
    "HttpApi",
    "HttpServer",
    "MemberAddresses",
    "PagesApi",
    "RedisLimits",
    "RedisServer",
    "ServerLimits",
    "Wrap",
    "as_it_is",
    "serve_lessons",
    "serve_processes",
    "through",
]
"""What other packages may use: a listener for each protocol, and what they need of a node."""
