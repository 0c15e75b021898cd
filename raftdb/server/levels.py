"""How full the queues and locks of a node are, for `GET /metrics`: read page by page, each in a turn of its own.

Ten thousand queues cannot be walked in one turn of the event loop, nor all be labels of a time series. So a walk reads
`PAGE_LENGTH` of them in a turn, keeps the totals, and the levels of only a few: the `LISTED_MAX` with the oldest
messages and the `LISTED_MAX` that are longest. A queue that was listed stays so for `STICKY_SECONDS`, because a series
that comes and goes cannot be read; of those that are only kept the latest `STICKY_MAX` are.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any, Literal, Protocol

from raftdb.errors import RaftdbError
from raftdb.machine.locks.levels import LockLevel, ReadLockLevels
from raftdb.machine.operations import UserOperation
from raftdb.machine.queues.levels import QueueLevel, ReadQueueLevels
from raftdb.machine.service import Query
from raftdb.machine.users.checking import NODE

PAGE_LENGTH = 64
"""Queues, or locks, that are read in one turn: about a millisecond."""
LISTED_MAX = 50
STICKY_SECONDS = 3600.0
STICKY_MAX = 500
FRESH_SECONDS = 2.0
"""A walk is not repeated so soon: several may scrape a node."""


@dataclass(slots=True)
class Levels:
    """What a walk has found. `listed` are the queues with labels, by name; the rest is of all queues and locks."""

    listed: dict[bytes, QueueLevel] = field(default_factory=dict)
    queues: int = 0
    visible: int = 0
    in_flight: int = 0
    dead: int = 0
    oldest_ms: int = 0
    held: int = 0
    waiting: int = 0


class Execute(Protocol):
    """Reads from the state as it is here; see `Driver.execute`."""

    def __call__(self, operation: UserOperation, *, consistency: Literal["stale"]) -> Awaitable[Any]:
        """Read."""
        ...


class LevelsReader:
    """Walks through the queues and locks of one node when it is asked, one walk at a time."""

    def __init__(self, execute: Execute, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._execute = execute
        self._clock = clock
        self._walking = asyncio.Lock()
        self._levels = Levels()
        self._read_s: float | None = None
        self._listed_s: dict[bytes, float] = {}
        """When each queue was last among the oldest or the longest."""

    async def read(self) -> Levels:
        """The present levels, or those of the last walk if the state cannot be read now."""
        async with self._walking:
            if self._read_s is None or self._clock() - self._read_s >= FRESH_SECONDS:
                try:
                    self._levels = await self._walk()
                except RaftdbError:
                    # A snapshot is being put in place, or the node stops: the next walk will do.
                    return self._levels
                self._read_s = self._clock()
            return self._levels

    async def _walk(self) -> Levels:
        levels = Levels()
        kept: dict[bytes, QueueLevel] = {}
        oldest: list[QueueLevel] = []
        longest: list[QueueLevel] = []
        page: list[QueueLevel]
        async for page in self._pages(ReadQueueLevels):
            for level in page:
                levels.visible += level.visible
                levels.in_flight += level.in_flight
                levels.dead += level.dead
                levels.oldest_ms = max(levels.oldest_ms, level.oldest_ms)
                if level.name in self._listed_s:
                    kept[level.name] = level
            levels.queues += len(page)
            oldest = nlargest(LISTED_MAX, oldest + page, key=lambda level: level.oldest_ms)
            longest = nlargest(LISTED_MAX, longest + page, key=lambda level: level.visible + level.in_flight)
        levels.listed = self._listed({level.name: level for level in (*oldest, *longest)}, kept)
        locks: list[LockLevel]
        async for locks in self._pages(ReadLockLevels):
            levels.held += sum(lock.held for lock in locks)
            levels.waiting += sum(lock.waiting for lock in locks)
        return levels

    async def _pages(self, read: Callable[[bytes | None, int], Query]) -> AsyncIterator[Any]:
        """The pages of what `read` reads behind a name, each a list of levels."""
        after: bytes | None = None
        while True:
            page = (
                await self._execute(UserOperation(NODE, 0, read(after, PAGE_LENGTH)), consistency="stale")
            ).value
            yield page
            if len(page) < PAGE_LENGTH:
                return
            after = page[-1].name

    def _listed(self, now: dict[bytes, QueueLevel], kept: dict[bytes, QueueLevel]) -> dict[bytes, QueueLevel]:
        """The levels to show: those of `now`, and of `kept` those that were among them not long ago."""
        now_s = self._clock()
        for name in now:
            self._listed_s.pop(name, None)
            self._listed_s[name] = now_s
        sticky = [
            name
            for name, listed_s in self._listed_s.items()
            if name not in now and name in kept and now_s - listed_s < STICKY_SECONDS
        ]
        shown = {**{name: kept[name] for name in sticky[-STICKY_MAX:]}, **now}
        self._listed_s = {name: listed_s for name, listed_s in self._listed_s.items() if name in shown}
        return shown
