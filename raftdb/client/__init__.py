"""The Python client: finds the leader, follows redirects, retries what may be retried, and says what it
knows.

```python
from raftdb import AsyncClient, Client

with Client("127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003") as client:
    client.set("kunci", "satu")
    client.get("kunci")  # b"satu"
```

Blocking and asynchronous, one client over a core without I/O:

* `given`, `addresses`: what callers give, as bytes and addresses, or a `TypeError`; and the form in which they get it
  back.
* `protocol`, `answers`, `refusals`, `json_body`, `model`: our HTTP interface as values: a `Request` to send, an answer
  or a typed error out of what came back.
* `routing`: which node to ask next, and when to stop. No sockets, clock or sleep: it is told the time and
  what happened, and answers with the next step.
* `session`: the numbers that make a write happen once.
* `flow`: a call from beginning to end, as a generator of steps: session, then routing.
* `methods`, `cluster_methods`: what each method sends, and what it makes of the answer.
* `buffer`, `transaction`, `retrying`: a transaction as it grows, what is known of it, and when it is tried again.

Above that the two halves differ in `await`, and in little else. So one is written, the asynchronous one, and
`.ci/unasync.py` makes each `sync_NAME` from its `async_NAME` (a test says whether it is current):

* `async_connection`: one exchange over a kept-alive connection, spoken in `http1`.
* `async_sharing`: the steps of flows, in turn where they count and side by side where they wait.
* `async_client`: the client itself; `async_commands` are its methods, each of them a line.
* `async_transaction`: reads at once, writes when it is committed.
* `async_backup`: a backup into a file, which is verified before it takes its name (`backup`).

By hand and twice is only what each half does by means of its own, under the same names: `async_io` and `sync_io`
connect (`dialing`, with `resolving` for names), send, receive, wait, and know where they are at home. Nothing but the
asynchronous half imports asyncio, and nothing at all imports aiohttp: a one-shot `raftdb get` must be quick.

**What is retried.** Reads change nothing and are asked again. A write that was sent and not answered may have happened.
Within a session it is sent again under its number until the deadline, for it happens once however often it arrives;
only if no answer comes by then is its outcome unknown. Without a session repeating it could do it twice, or undo what
another client did since (a `set` is not idempotent among several clients). So there it is sent again only if it surely
was not executed: the connection was refused, the node said `not_leader`, or answered 503. Otherwise the caller gets
`OutcomeUnknown`; and while the leader is unknown such a write is preceded by `GET /v1/status`, which may be asked of a
node that does not answer: a write sent to a paused follower would end as *unknown* for nothing.

**What exactly once rests on.** A session outlives every message of it. The cluster forgets one after an hour of
silence, or sooner if there are more clients than it remembers; a registration that is delayed for longer than that
would bring the session back without its memory. A client never registers a name again that it knows to be registered.

**Sharing.** Threads share a blocking client, tasks of one event loop an asynchronous one, and neither wait for each
other's answers: in `benchmarks/client_threads.py` 16 threads do about as much through one client as through one each. A
child process begins a session of its own: two processes with one numbering would take each other's answers. A
transaction belongs to one thread or task.

**Deadlines.** A call ends by its deadline, whatever the system's resolver, a silent address, another thread or a
dripping server does; then the socket is closed and the thread that still resolves is left behind.
"""
