"""One job: a message that was handed out, until it is done, given back, or lost."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from raftdb.client import service_methods as methods
from raftdb.client.async_tasks import Block, Lost
from raftdb.client.given import Lifetime, V, as_text, milliseconds
from raftdb.client.keeping import Kept, Sort
from raftdb.client.leases import Lease, now_ms
from raftdb.client.service_methods import Delivery
from raftdb.errors import Conflict, Fenced, RaftdbError

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient

GIVE_BACK_MS = 2_000.0
"""Longest time for giving back a job of a loop that ends; the job comes back by itself if that fails."""

logger = logging.getLogger("raftdb.client")


class AsyncJob(Generic[V]):
    """A message that was handed out to this process. `deliveries` counts how often it was handed out: 1 at first.

    Use it as a context, or end it by `ack` or `nack`. `lost` is an event: once it is set the job may be handed out to
    somebody else. A transaction with `job=job` is committed only if it is not.
    """

    def __init__(self, db: "AsyncClient[V]", queue: bytes, delivery: Delivery, lease: Lease) -> None:
        self.id = delivery.id
        self.deliveries = delivery.deliveries
        self.receipt = delivery.receipt
        self.value: V = db._form(delivery.value)
        self.lost = Lost(lease)
        self._db = db
        self._queue = queue
        self._lease = lease
        self._is_ended = False
        self._refusal: BaseException | None = None
        self._block: Block | None = None
        self._kept = Kept(lease, queue, delivery.receipt, Sort.DELIVERY, self.lost.tell)
        self._holding = db._own_holding()
        self._holding.renewals.keep(self._kept)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.queue!r}, delivery {self.deliveries}>"

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return as_text(self._queue)

    @property
    def end_command(self) -> tuple[str, tuple[bytes, ...]]:
        """See `raftdb.client.transaction.Ending`."""
        return "ack", (self._queue, self.receipt)

    def ended(self) -> None:
        """See `raftdb.client.transaction.Ending`."""
        self._is_ended = True
        self._holding.renewals.drop(self._kept)

    def refused(self, error: BaseException) -> None:
        """See `raftdb.client.transaction.Ending`."""
        self._refusal = error

    async def ack(self) -> bool:
        """The job is done, and its message gone. Returns False if it was lost before, so that somebody else may do it
        again."""
        self.ended()
        return await self._db._run(methods.ack(self._queue, [self.receipt])) == 1

    async def nack(
        self,
        *,
        delay: Lifetime | None = None,
        error: str | None = None,
        free: bool = False,
        dead: bool = False,
    ) -> bool:
        """Give the job back. It has failed once more, and is handed out again after `delay`, or after a time that grows
        with its failures. `error` is kept with it. With `free` nothing is counted and it is visible at once; with
        `dead` it is not handed out again. Returns False if it was lost before."""
        self.ended()
        method = methods.nack(self._queue, self.receipt, delay=delay, error=error, free=free, dead=dead)
        return await self._db._run(method) == 1

    async def extend(self, seconds: Lifetime) -> bool:
        """Have `seconds` more from now on; returns False if it was lost before."""
        sent_ms, time_ms = now_ms(), float(milliseconds(seconds))
        if await self._db._run(methods.extend(self._queue, [self.receipt], time_ms)) != 1:
            self._lease.end()
        return self._lease.renewed(sent_ms, time_ms)

    def _begin(self, max_run_ms: float) -> Self:
        """From now on it is extended for up to `max_run_ms`, however long it was fetched ahead; returns itself."""
        self._lease.renewed_until_ms = now_ms() + max_run_ms
        return self

    async def __aenter__(self) -> Self:
        self._block = self.lost.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        was_cancelled = self._block is not None and self._block.leave(error)
        if not self._holding.is_here:
            return False  # it is the job of the process that forked this one
        if error is not None and not was_cancelled and not isinstance(error, Exception):
            if not self._is_ended:
                await self._give_back()
            return False
        try:
            await self._conclude(None if was_cancelled else error)
        except RaftdbError as failure:
            logger.warning("%r was not ended, and is handed out again: %s", self, failure)
        return True

    async def _conclude(self, error: BaseException | None) -> None:
        """End the job as its block has ended: by an error, or well."""
        if error is not None and error is self._refusal and isinstance(error, Conflict):
            # It did nothing wrong: somebody else was faster with what it had read.
            await self._give_back()
        elif isinstance(error, Fenced) and self.lost.is_set():
            logger.warning("%r took too long, and wrote nothing: somebody else does it again", self)
        elif error is not None:
            logger.error("%r has failed", self, exc_info=error)
            if not self._is_ended:
                await self.nack(error=f"{type(error).__name__}: {error}")
        elif not self._is_ended and not await self.ack():
            logger.warning("%r took too long: somebody else may do it again", self)

    async def _give_back(self) -> None:
        """Let others have it at once."""
        self.ended()
        try:
            await self._db._run(methods.give_back(self._queue, self.receipt), GIVE_BACK_MS)
        except RaftdbError as failure:
            logger.warning("%r was not given back, and comes back by itself: %s", self, failure)
