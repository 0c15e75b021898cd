"""The Python client: it finds the leader, follows redirects, and retries what may be retried.

```python
from raftdb import AsyncClient, Client

with Client("127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003") as client:
    client.set("kunci", "satu")
    client.get("kunci")  # b"satu"
```

The blocking and the asynchronous client share a core without I/O:

* `given`, `comparing`, `addresses`: arguments of callers as bytes, conditions and addresses, or a `TypeError`; and the
  form in which results come back.
* `credentials`: who the client is, and the line of a request that says so.
* `protocol`, `answers`, `refusals`, `json_body`, `model`: the HTTP interface as values: a `Request` to send, and a
  typed answer or error from the response.
* `routing`: which node to ask next, and when to stop; `reasons` says why none served. It has no sockets and no clock:
  it is told the time and what happened, and returns the next step.
* `session`: the numbers that make a write happen once; `leased`: the session to which keys are bound, which is renewed.
* `flow`: a call from beginning to end, as a generator of steps: session, then routing.
* `methods`, `cluster_methods`, `user_methods`: the request of each method, and how its answer is read.
* `buffer`, `transaction`, `retrying`: the reads and writes of a transaction, its state, and when it is tried again.
* `leases`, `keeping`, `fences`, `schedules`, `service_methods`: until when something is held, what is renewed when, the
  fences of writes, the times of `every`, and the requests about locks and queues.
* `watching`: what a watch has got, and how it goes on at another node.

The two halves above the core differ in `await`, and in little else. So only the asynchronous one is written, and
`.ci/unasync.py` makes each `sync_NAME` from its `async_NAME` (a test checks that it is current):

* `async_connection`: one exchange over a kept-alive connection, spoken in `http1`.
* `async_sharing`: the flows of all calls of a client. Their steps are computed one at a time, and carried out side by
  side.
* `async_client`: the client itself; `async_commands`: its methods, each of which is one line.
* `async_users`: its methods about users. `async_transacting`: how a transaction begins, and is tried again.
* `async_transaction`: a transaction, which reads at once and writes when it is committed.
* `async_backup`: a backup into a file, which is verified before it takes its name (`backup`).
* `async_services`: locks (`async_locks`), queues (`async_queues`, `async_jobs`), elections (`async_elections`) and
  schedules (`async_schedules`); `async_holding` has what a client holds, and clients of their own for its waits.
* `async_watching`: the changes of keys, over a connection of its own.

Only `io` and `tasks` are written by hand in both halves, with the same names. `async_io` and `sync_io` connect (with
`dialing`, and `resolving` for names), send, receive and wait, and know the process or event loop that a client belongs
to; `async_tasks` and `sync_tasks` know who holds something, and tell it when that is lost. Only the asynchronous half
imports asyncio, and nothing here imports aiohttp: a one-shot `raftdb get` must be quick.

**What is retried.** Reads change nothing and are repeated. A write that was sent and not answered may have been
executed. Within a session it is sent again under its number until the deadline, because it is executed once however
often it arrives; its outcome is unknown only if no answer comes by then. Without a session, repeating it could execute
it twice, or undo a later write of another client (a `set` is not idempotent among several clients). So without one it
is sent again only if it surely was not executed: the connection was refused, or the node answered `not_leader` or 503.
Otherwise the caller gets `OutcomeUnknown`. While the leader is unknown such a write is preceded by `GET /v1/status`,
which may safely be lost: if the write itself were sent to a follower that is paused, its outcome would be unknown
without need.

**What exactly once rests on.** A session must outlive each of its messages. The cluster forgets a session after an hour
without use, or sooner if there are more clients than it remembers; a registration that arrives later than that would
bring the session back without its answers. A client never registers a name again that it knows to be registered.

**Sharing.** Threads may share a blocking client, and tasks of one event loop an asynchronous one. They do not wait for
each other's answers: in `benchmarks/client_threads.py` 16 threads do about as much through one client as through one
each. A child process begins a session of its own, because two processes with the same numbers would get each other's
answers. A transaction belongs to one thread or task.

**Holding.** What is held, a lock or a job, is renewed by two threads (`renewing`), for both halves: an event loop that
is blocked by a computation loses no lease. Whether something is lost is decided by time alone, and without the network:
`leases` says how. A call that waits, for a lock or a message, has a client for itself: in the session of the others it
would keep their replies from being forgotten. Loops over jobs end in order (`stopping`).

**Deadlines.** A call ends by its deadline, whatever the system's resolver, a silent address, another thread or a server
that sends byte by byte does. Its socket is closed then, and a thread that still resolves a name is not waited for.
"""

__all__ = [
    "addresses",
    "async_client",
    "async_transaction",
    "async_watching",
    "backup",
    "comparing",
    "credentials",
    "dialing",
    "encryption",
    "async_elections",
    "async_jobs",
    "async_locks",
    "async_queues",
    "async_schedules",
    "http1",
    "json_body",
    "leases",
    "model",
    "pace",
    "protocol",
    "retrying",
    "service_methods",
    "sync_backup",
    "sync_client",
    "sync_elections",
    "sync_jobs",
    "sync_locks",
    "sync_queues",
    "sync_schedules",
    "sync_transaction",
    "sync_watching",
]
"""The modules that other packages may use. Programs of users find what is theirs in `raftdb` itself."""
