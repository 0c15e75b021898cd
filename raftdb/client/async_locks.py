"""Locks: taking one, waiting for it, holding it, and leaving it.

While a lock is held a thread renews it (`raftdb.client.renewing`), and time alone decides when it is lost
(`raftdb.client.leases`). What is written through `held.db` is fenced (`raftdb.client.fences`), so that not even a
process that was paused for an hour, and knows nothing of it, writes under a lock that is somebody else's by now.
"""

import logging
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from raftdb.client.async_holding import AsyncHolding
from raftdb.client.async_io import sleep
from raftdb.client.async_tasks import Block, Lost
from raftdb.client.fences import Fence
from raftdb.client.given import Lifetime, Text, V, as_text, milliseconds, to_bytes, wait_milliseconds
from raftdb.client.keeping import Batch, Kept, Sort
from raftdb.client.leases import LOCK_TTL_S, Lease, LockLost, LockTimeout, next_wait_ms, now_ms
from raftdb.client.service_methods import Mode, lock, renewal, unlock
from raftdb.errors import Deadlock, Fenced, OutcomeUnknown, SessionExpired, Unavailable

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient

AGAIN_MS = 500.0
"""Pause before a lock is asked for again after the cluster could not be reached."""
UNREACHED_MS_MAX = 8_000.0
"""A single request for a lock is given up after this time, besides its wait."""

logger = logging.getLogger("raftdb.client")


class AsyncHeld(Generic[V]):
    """A lock that is held, until `release`, or until its block is left.

    `token` is its fencing number: it only grows, over all locks of the cluster, so a resource outside can refuse what
    comes with a smaller one than it has seen. `db` is the client, with every write fenced by this lock. `lost` is an
    event: once it is set somebody else may hold the lock.
    """

    def __init__(
        self,
        db: "AsyncClient[V]",
        holding: AsyncHolding,
        key: tuple[int, bytes],
        mode: Mode,
        token: int,
        lease: Lease,
    ) -> None:
        self.token = token
        self.lost = Lost(lease)
        self._holding = holding
        self._key = key
        self._mode = mode
        self._plain = db
        self._kept = Kept(lease, key[1], b"%d" % token, Sort.LOCK, self.lost.tell)
        self._entered = 0
        self._block: Block | None = None
        self.db: AsyncClient[V] = db._fenced_by(Fence(key[1], token, mode.is_shared, lease))
        holding.renewals.keep(self._kept)
        holding.held[key] = self

    def __repr__(self) -> str:
        state = "lost" if self.lost.is_set() else "held"
        return f"<{type(self).__name__} {self.name!r} {state}, token {self.token}>"

    @property
    def name(self) -> str:
        """The name of the lock."""
        return as_text(self._key[1])

    @property
    def is_held(self) -> bool:
        """Whether it is neither released nor lost, by time alone."""
        is_mine = self._holding.is_here and self._holding.held.get(self._key) is self
        return is_mine and not self.lost.is_set()

    def covers(self, mode: Mode) -> bool:
        """Whether who holds this may do what `mode` allows."""
        return mode == self._mode or (mode.shared and self._mode == Mode())

    def check(self) -> None:
        """Raise `LockLost` if the lock was lost."""
        if self.lost.is_set():
            raise LockLost(f"the lock {self.name!r} was not renewed in time, and somebody else may hold it")

    async def release(self) -> None:
        """Give the lock back, if that was not done yet, in the process that took it. Raises `LockLost` if it was lost
        before. If the cluster cannot be reached, the lock ends by itself when its time is over."""
        if self._holding.held.get(self._key) is not self or not self._holding.is_here:
            return
        del self._holding.held[self._key]
        self._holding.renewals.drop(self._kept)
        self.check()
        try:
            if not await self._plain._run(unlock(self._key[1], self.token)):
                self._kept.lease.end()
        except (Unavailable, OutcomeUnknown, SessionExpired) as error:
            logger.warning("the lock %r was not given back, and ends by itself: %s", self.name, error)
        self.check()

    async def __aenter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            self._block = self.lost.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered:
            return
        was_cancelled = self._block is not None and self._block.leave(error)
        try:
            await self.release()
        except LockLost as lost:
            # What the block raised because of the loss says less; anything else says more.
            if error is None or was_cancelled or isinstance(error, Fenced | LockLost):
                raise lost from error
            error.add_note(str(lost))


class AsyncLock(Generic[V]):
    """A lock that can be taken, by `with` or by `acquire`. Threads and tasks may share it: each takes it for itself."""

    def __init__(
        self,
        db: "AsyncClient[V]",
        name: Text,
        mode: Mode,
        *,
        wait: Lifetime | None = None,
        ttl: Lifetime = LOCK_TTL_S,
        reentrant: bool = False,
        text: Text = b"",
    ) -> None:
        """`text` stands before the name of the owner, for people and for elections."""
        self.name = as_text(to_bytes(name))
        self._db = db
        self._name = to_bytes(name)
        self._mode = mode
        self._wait_ms = None if wait is None else float(wait_milliseconds(wait))
        self._ttl_ms = float(milliseconds(ttl))
        self._reentrant = reentrant
        self._text = to_bytes(text)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def acquire(self) -> AsyncHeld[V]:
        """Take the lock; the caller releases it.

        Raises `LockTimeout` if it is not free in time, `Deadlock` if this thread or task holds it already (unless it
        is reentrant), or if to wait for it would be to wait for ever, and `RaftdbError`.
        """
        holding = self._db._own_holding()
        key = holding.number(), self._name
        held = holding.held.get(key)
        if held is not None:
            if not self._reentrant or not held.covers(self._mode):
                raise Deadlock(
                    f"the lock {self.name!r} is held already by this thread or task, which would wait for itself",
                    hint="take it with reentrant=True, in the same mode",
                )
            held.check()
            return held
        token, lease = await self._take(holding, holding.owner(key[0], self._text))
        return AsyncHeld(self._db, holding, key, self._mode, token, lease)

    async def __aenter__(self) -> AsyncHeld[V]:
        held = await self.acquire()
        return await held.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        holding = self._db._own_holding()
        held = holding.held.get((holding.number(), self._name))
        if held is not None:
            await held.__aexit__(kind, error, traceback)

    async def _take(self, holding: AsyncHolding, owner: bytes) -> tuple[int, Lease]:
        """The token, and the lease that it is held for. First the lock is tried, which takes no place in its line."""
        began_ms = now_ms()
        try:
            found = await self._ask(self._db, owner, began_ms, None)
        except (Unavailable, OutcomeUnknown, SessionExpired):
            if self._wait_ms == 0:
                raise
            found = None
        if found is not None:
            return found
        if self._wait_ms == 0:
            raise self._timeout()
        with holding.waiting_client() as client:
            return await self._wait(client, owner, began_ms)

    async def _wait(self, client: "AsyncClient[bytes]", owner: bytes, began_ms: float) -> tuple[int, Lease]:
        """Ask again and again, each time held by whoever leads, until the lock is granted or the time is over."""
        while True:
            left_ms = self._left_ms(began_ms)
            try:
                found = await self._ask(client, owner, began_ms, next_wait_ms(left_ms))
            except (Unavailable, OutcomeUnknown, SessionExpired) as error:
                if self._left_ms(began_ms) <= AGAIN_MS:
                    raise
                logger.warning("still waiting for the lock %r: %s", self.name, error)
                await sleep(AGAIN_MS)
                continue
            if found is not None:
                return found
            if self._left_ms(began_ms) <= 0:
                raise self._timeout()

    async def _ask(
        self,
        client: "AsyncClient[V] | AsyncClient[bytes]",
        owner: bytes,
        began_ms: float,
        wait_ms: float | None,
    ) -> tuple[int, Lease] | None:
        """Ask once. A grant that waited lives only for a moment, because its client may be gone, so it is renewed
        before anybody relies on it."""
        timeout_ms = min(max(self._left_ms(began_ms), AGAIN_MS), UNREACHED_MS_MAX)
        lease = Lease(self._ttl_ms, sent_ms=now_ms())
        method = lock(self._name, self._mode, ttl_ms=self._ttl_ms, owner=owner, wait_ms=wait_ms)
        token = await client._run(method, timeout_ms if self._wait_ms else None)
        if token is None:
            return None
        if wait_ms is None and lease.due_ms > now_ms():
            return token, lease
        lease = Lease(self._ttl_ms, sent_ms=now_ms())
        kept = Kept(lease, self._name, b"%d" % token, Sort.LOCK, _nothing)
        is_held = await client._run(renewal(Batch((kept,))))
        return (token, lease) if is_held and not lease.is_lost else None

    def _left_ms(self, began_ms: float) -> float:
        if self._wait_ms is None:
            return inf
        return max(began_ms + self._wait_ms - now_ms(), 0.0)

    def _timeout(self) -> LockTimeout:
        waited = f" in {self._wait_ms / 1000:g} s" if self._wait_ms else ""
        return LockTimeout(f"the lock {self.name!r} was not free{waited}")


class AsyncReadWriteLock(Generic[V]):
    """A lock that many share, or one has alone. Nobody that shares it overtakes one that waits to have it alone."""

    def __init__(self, db: "AsyncClient[V]", name: Text) -> None:
        self.name = as_text(to_bytes(name))
        self._db = db
        self._name = to_bytes(name)

    def shared(
        self, *, wait: Lifetime | None = None, ttl: Lifetime = LOCK_TTL_S, reentrant: bool = False
    ) -> AsyncLock[V]:
        """The lock as many share it, for readers."""
        return AsyncLock(self._db, self._name, Mode(shared=True), wait=wait, ttl=ttl, reentrant=reentrant)

    def exclusive(
        self, *, wait: Lifetime | None = None, ttl: Lifetime = LOCK_TTL_S, reentrant: bool = False
    ) -> AsyncLock[V]:
        """The lock as one has it alone, for writers."""
        return AsyncLock(self._db, self._name, Mode(), wait=wait, ttl=ttl, reentrant=reentrant)


def _nothing() -> None:
    """What happens when a lease is lost that nobody relies on yet."""
