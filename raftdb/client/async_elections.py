"""Elections: one of several processes leads, which is to hold a lock, and says something of itself to the others.

The leader's value stands before the name of the owner in the lock itself. So who leads and what it says of itself are
one thing, read at one moment, and end at the same time.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Generic

from raftdb.client.async_io import sleep
from raftdb.client.async_locks import AsyncHeld, AsyncLock
from raftdb.client.given import Lifetime, Text, V, as_text, to_bytes
from raftdb.client.leases import LOCK_TTL_S
from raftdb.client.service_methods import Mode, holder
from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient

VALUE_BYTES_MAX = 64
"""Longest value of a leader: the rest of an owner's 100 bytes is its name."""
LOOK_MS = 1_000.0
"""How often `observe` looks."""


class AsyncElection(Generic[V]):
    """An election among those that campaign under one name. It is a lock of that name, held by the leader."""

    def __init__(self, db: "AsyncClient[V]", name: Text, *, ttl: Lifetime = LOCK_TTL_S) -> None:
        self.name = as_text(to_bytes(name))
        self._db = db
        self._ttl = ttl
        self._held: AsyncHeld[V] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def campaign(self, value: Text = b"", *, wait: Lifetime | None = None) -> AsyncHeld[V]:
        """Wait until this process leads; the result is the lock that it holds then, for `with` or until `resign`.

        `value` (at most 64 bytes) is what others see as `leader`, such as an address. Raises `LockTimeout` if somebody
        else still leads after `wait`, `Deadlock` if this thread or task leads already, and `RaftdbError`.
        """
        text = to_bytes(value)
        if len(text) > VALUE_BYTES_MAX:
            raise RequestRefused(
                "too_large",
                f"the value of a leader has {len(text)} bytes: the limit is {VALUE_BYTES_MAX}",
                hint="write more into a key, through `held.db`",
            )
        lock = AsyncLock(self._db, self.name, Mode(), wait=wait, ttl=self._ttl, text=text)
        self._held = await lock.acquire()
        return self._held

    @property
    def is_leader(self) -> bool:
        """Whether this object leads: by time alone, without asking anybody."""
        return self._held is not None and self._held.is_held

    @property
    async def leader(self) -> V | None:
        """The value of the leader, asked for now; None if nobody leads."""
        found = await self._db._run(holder(to_bytes(self.name)))
        return None if found is None else self._db._form(found.owner.rpartition(b" ")[0])

    async def observe(self) -> AsyncIterator[V | None]:
        """The value of each leader, beginning with the present one: None while nobody leads. It looks every second, so
        a leader in between may be missed."""
        last: object = self
        while True:
            found = await self._db._run(holder(to_bytes(self.name)))
            if found != last:
                last = found
                yield None if found is None else self._db._form(found.owner.rpartition(b" ")[0])
            await sleep(LOOK_MS)

    async def resign(self) -> None:
        """Lead no longer; does nothing if this object does not lead. Raises `LockLost` if it had lost that before."""
        held, self._held = self._held, None
        if held is not None:
            await held.release()
