"""Queues: putting messages, taking them for good, and jobs, which are handed out until they are done.

A job that is not done, because its worker died, slept or failed, is handed out again: so each is done at least once.
It is done exactly once where its result and its end are one transaction (`client.transaction(job=job)`), because the
cluster refuses that of a worker whose time was over.

`consume` keeps all that it holds, also what it has fetched ahead: a thread extends it each third of `visibility`, for
up to `max_run` seconds. What has not begun when a loop ends goes back at once, and nothing is counted against it.
"""

import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, Unpack, overload

from raftdb.client import service_methods as methods
from raftdb.client.async_io import sleep
from raftdb.client.async_jobs import AsyncJob
from raftdb.client.async_tasks import run_all
from raftdb.client.given import Lifetime, Text, V, as_text, milliseconds, to_bytes, wait_milliseconds, whole
from raftdb.client.http1 import Interrupted
from raftdb.client.leases import Lease, now_ms
from raftdb.client.methods import integer, status_only
from raftdb.client.service_methods import Delivery, Put, PutManyOptions, PutOptions
from raftdb.client.stopping import Stop
from raftdb.errors import OutcomeUnknown, RequestRefused, SessionExpired, Unavailable
from raftdb.limits import WAIT_MS_MAX

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient

VISIBILITY_S = 30.0
"""How long a job outlives its last extension, unless the caller says otherwise."""
VISIBILITY_MS_MIN = 1_000
"""A job is over for its worker half a second before it is handed out again: below this nothing would be left."""
MAX_RUN_S = 3_600.0
"""How long a job is extended, unless the caller says otherwise: one that hangs is handed out again then."""
AGAIN_MS = 1_000.0
"""Pause of a loop while the cluster cannot be reached."""
WORKER_NAME_MAX = 100

logger = logging.getLogger("raftdb.client")


class AsyncQueue(Generic[V]):
    """A queue of messages. It comes into being with its first message. Threads and tasks may share this object."""

    def __init__(self, db: "AsyncClient[V]", name: Text) -> None:
        self.name = as_text(to_bytes(name))
        self._db = db
        self._name = to_bytes(name)
        self._stops: dict[Stop, None] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def put(
        self,
        value: Text,
        **options: Unpack[PutOptions],
    ) -> Put:
        """Put a message; returns its id, and whether it is new.

        `delay`: it is visible only after that time, in seconds or as a `timedelta`. `dedup`: nothing is put if the
        queue has seen this id within its window. `unique`: nor while a message of this id waits; once it was received
        another may be put. `group`: messages of a group are handed out strictly in order, one at a time. `priority`: 9
        comes before 0, which is the default. `ttl`: it expires if it was not received by then.

        Raises `QueueFull`, and `RaftdbError`.
        """
        arguments = methods.put_arguments(self._name, value, options)
        return await self._db._run(methods.put(arguments))

    async def put_many(
        self,
        values: Iterable[Text],
        **options: Unpack[PutManyOptions],
    ) -> list[Put]:
        """Put several messages in order, all of them or, if that fails, none. For the options see `put`, of which this
        has `delay`, `group`, `priority` and `ttl`."""
        several = [methods.put_many_arguments(self._name, value, options) for value in values]
        return await self._db._run(methods.put_many(several)) if several else []

    async def pop(self, *, wait: Lifetime = 0) -> V | None:
        """Take the first message for good; returns its value, or None if there is none within `wait`.

        It is gone with that: if the caller dies it is lost. `consume` loses none.
        """
        method = partial(methods.pop, self._db._form, self._name)
        wait_ms = float(wait_milliseconds(wait))
        if not wait_ms:
            return await self._db._run(method(None))
        if self._db._fences:
            raise RequestRefused("bad_request", "what waits has no fences", hint="leave the wait out")
        ends_ms = now_ms() + wait_ms
        with self._db._own_holding().waiting_client() as client:
            while True:
                left_ms = max(ends_ms - now_ms(), 0.0)
                value = await client._run(method(min(left_ms, WAIT_MS_MAX)))
                if value is not None or left_ms <= WAIT_MS_MAX:
                    return value

    async def receive(
        self, count: int = 1, *, visibility: Lifetime = VISIBILITY_S, wait: Lifetime = 0
    ) -> list[AsyncJob[V]]:
        """Up to `count` jobs (at most 100), none if there are none within `wait` seconds.

        They are the caller's for `visibility`, in which it has to `ack` them; nobody extends them but `job.extend`.
        """
        ends_ms = now_ms() + wait_milliseconds(wait)
        with self._db._own_holding().waiting_client() as client:
            while True:
                left_s = max(ends_ms - now_ms(), 0.0) / 1000 if wait else 0
                found = await self._fetch(client, count, visibility, 0, min(left_s, WAIT_MS_MAX / 1000))
                if found or left_s <= WAIT_MS_MAX / 1000:
                    return found

    def consume(
        self, *, visibility: Lifetime = VISIBILITY_S, max_run: Lifetime = MAX_RUN_S, batch: int = 1
    ) -> AsyncIterator[AsyncJob[V]]:
        """The jobs of the queue, one after the other, for ever: it waits while there are none, and while the cluster
        cannot be reached.

        Use each as a context: `with job: ...`. When that is left the job is done. An exception is logged, and the job
        is handed out again later. Up to `batch` jobs are fetched at a time. The loop ends by `break`, by `stop`, and by
        SIGTERM, if the program does not handle that itself.
        """
        return self._consume(Stop(), visibility, max_run, batch)

    @overload
    async def worker(
        self,
        function: "Callable[[V], Awaitable[Any]]",
        *,
        concurrency: int = ...,
        visibility: Lifetime = ...,
        max_run: Lifetime = ...,
        pass_job: Literal[False] = ...,
    ) -> None: ...

    @overload
    async def worker(
        self,
        function: "Callable[[AsyncJob[V]], Awaitable[Any]]",
        *,
        concurrency: int = ...,
        visibility: Lifetime = ...,
        max_run: Lifetime = ...,
        pass_job: Literal[True],
    ) -> None: ...

    async def worker(
        self,
        function: "Callable[[Any], Awaitable[Any]]",
        *,
        concurrency: int = 1,
        visibility: Lifetime = VISIBILITY_S,
        max_run: Lifetime = MAX_RUN_S,
        pass_job: bool = False,
    ) -> None:
        """Call `function` with the value of each job, or with `pass_job` the job itself, up to `concurrency` at a time,
        until `stop` or SIGTERM. The job is done when the function returns; for the rest see `consume`."""
        if whole(concurrency, "the concurrency") < 1:
            raise RequestRefused("bad_request", f"the concurrency is at least 1, not {concurrency}")
        stop = Stop()

        async def work() -> None:
            async for job in self._consume(stop, visibility, max_run, 1):
                async with job:
                    await function(job if pass_job else job.value)

        with stop.heeding_sigterm():
            await run_all([work] * concurrency, stop.set)

    def stop(self) -> None:
        """End the loops of `consume` and `worker` of this object: what has begun is finished. Any thread may call it,
        and a handler of a signal."""
        for stop in list(self._stops):
            stop.set()

    async def info(self) -> dict[str, int | str]:
        """What the cluster knows of the queue: `visible`, `delayed`, `in_flight` and `dead` messages, and more. Raises
        `RaftdbError` `not_found` if there is no such queue."""
        return await self._db._run(methods.info(self._name))

    async def length(self) -> int:
        """How many messages are visible."""
        return await self._db._run(integer("qlen", self._name))

    async def configure(self, **settings: Text | bool) -> None:
        """Change settings of the queue, such as `max_failures=5`, `paused=True` or `dead_letter="broken"`: those of
        `qset`."""
        words = [
            word
            for name, value in settings.items()
            for word in (name, int(value) if isinstance(value, bool) else value)
        ]
        await self._db._run(status_only("qset", self._name, *words))

    async def redrive(self, *ids: Text, to: Text | None = None) -> int:
        """Make dead messages visible again, those named or all, here or in the queue `to`; returns how many."""
        target: tuple[Text, ...] = () if to is None else ("TO", to)
        return await self._db._run(integer("redrive", self._name, *target, *ids))

    async def purge(self) -> int:
        """Remove all messages but the dead ones; returns how many."""
        return await self._db._run(integer("purge", self._name))

    async def delete(self) -> int:
        """Remove the queue and all its messages; returns how many."""
        return await self._db._run(integer("qdel", self._name))

    async def _consume(
        self, stop: Stop, visibility: Lifetime, max_run: Lifetime, batch: int
    ) -> AsyncIterator[AsyncJob[V]]:
        if milliseconds(visibility) < VISIBILITY_MS_MIN:
            raise RequestRefused("bad_request", "the visibility of what is extended is at least a second")
        waiting: list[AsyncJob[V]] = []
        self._stops[stop] = None
        holding = self._db._own_holding()
        try:
            with (
                stop.heeding_sigterm(),
                holding.waiting_client() as client,
                stop.calling(client._interrupt),
            ):
                while not stop.is_set:
                    waiting = await self._fetch_patiently(client, stop, visibility, max_run, batch)
                    while waiting and not stop.is_set:
                        job = waiting.pop(0)
                        if not job.lost.is_set():
                            yield job._begin(float(milliseconds(max_run)))
        finally:
            self._stops.pop(stop, None)
            for job in waiting:
                await job._give_back()

    async def _fetch_patiently(
        self, client: "AsyncClient[bytes]", stop: Stop, visibility: Lifetime, max_run: Lifetime, batch: int
    ) -> list[AsyncJob[V]]:
        """Jobs, as soon as there are any; none only if the loop is to look around."""
        try:
            return await self._fetch(client, batch, visibility, max_run, WAIT_MS_MAX / 1000)
        except Interrupted:
            return []
        except (Unavailable, OutcomeUnknown, SessionExpired) as error:
            if not stop.is_set:
                logger.warning("the queue %r is asked again: %s", self.name, error)
                await sleep(AGAIN_MS)
            return []

    async def _fetch(
        self,
        client: "AsyncClient[bytes]",
        count: int,
        visibility: Lifetime,
        max_run: Lifetime,
        wait: Lifetime,
    ) -> list[AsyncJob[V]]:
        """Receive once. Jobs that were waited for are extended before they begin, because nobody here knows for how
        long they have been handed out already."""
        visibility_ms, sent_ms = float(milliseconds(visibility)), now_ms()
        method = methods.receive(
            self._name,
            count=count,
            visibility_ms=visibility_ms,
            worker=_worker_name(),
            wait_ms=float(wait_milliseconds(wait)) or None,
        )
        found = await client._run(method)
        until_ms = now_ms() + milliseconds(max_run)
        lease = Lease(visibility_ms, sent_ms=sent_ms)
        if found and lease.due_ms <= now_ms():
            sent_ms = now_ms()
            receipts = [delivery.receipt for delivery in found]
            if await client._run(methods.extend(self._name, receipts, visibility_ms)) < len(found):
                # Nobody here knows which of them is over, so the others have to be somebody else's as well.
                for receipt in receipts:
                    await client._run(methods.give_back(self._name, receipt))
                return []
        return [
            self._job(delivery, Lease(visibility_ms, sent_ms=sent_ms, renewed_until_ms=until_ms))
            for delivery in found
        ]

    def _job(self, delivery: Delivery, lease: Lease) -> AsyncJob[V]:
        return AsyncJob(self._db, self._name, delivery, lease)


def _worker_name() -> str:
    """Who works, for people who look at a message."""
    return f"{socket.gethostname()}:{os.getpid()}"[-WORKER_NAME_MAX:]
