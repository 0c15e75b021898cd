"""The Python client: finds the leader, follows redirects, retries what may be retried, and says what it
knows.

```python
from raftdb.client.sync_client import Client

with Client("127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003") as client:
    client.execute("set", ["kunci", "satu"])
    client.execute("get", ["kunci"]).value  # b"satu"
```

* `protocol`: our HTTP interface as values: a `Request` to send, an answer or a typed error out of what came
  back.
* `routing`: which node to ask next, and when to stop. No sockets, clock or sleep: it is told the time and
  what happened, and answers with the next step.
* `http1`, `connection`: one exchange over a kept-alive socket.
* `sync_client`: the loop that carries out the steps of `routing` with `connection`, for one thread at a time.
* `backup`: a backup on its way into a file, verified before it takes its name.
* `membership`: members and leadership, for both clients.
* `model`: the typed answers.

An asynchronous client is a second such loop over the same `protocol` and `routing`.

**What is retried.** Without a session, a write that was sent and not answered may have happened, and
repeating it could do it twice, or undo what another client did since (a `set` is not idempotent among several
clients). So a write is sent again only if it surely was not executed: the connection was refused, the node
said `not_leader`, or answered 503. Otherwise the caller gets `OutcomeUnknown`. Reads
change nothing and are asked again. While the leader is unknown a write is preceded by `GET /v1/status`, which
may be asked of a node that does not answer: a write sent to a paused follower would end as *unknown* for
nothing.

Nothing here imports asyncio or aiohttp: a one-shot `raftdb get` must be quick.
"""
