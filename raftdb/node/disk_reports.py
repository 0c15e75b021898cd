"""How far the log is on the disk: told by the log's thread, taken in by the turns of the loop.

To wake the loop costs both threads some system calls, and a turn in which often nothing happens: a leader whose own
disk is done first only waits for its followers, and their acknowledgement brings a turn anyhow. So the thread wakes the
loop only if something would follow from what it tells; every turn takes in what was told until then, and there is one
with every tick at the latest.
"""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger("raftdb.node")

SLOW_SYNC_MS = 200.0
"""An fsync slower than this is worth a line in the log: it delays every write."""


class DiskReports:
    """The latest write of the log that is durable. `reached` is called on the log's thread, all else on the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_durable: Callable[[int], None]) -> None:
        """`on_durable` is called on the loop with each report that is taken in."""
        self._loop = loop
        self._on_durable = on_durable
        self._is_awaited = True
        self._durable_sequence = self._taken_sequence = 0

    def reached(self, sequence: int) -> None:
        """All writes up to this number are durable."""
        # Told first and then looked: the loop does it the other way round, so one of the two sees the other's news.
        self._durable_sequence = sequence
        if self._is_awaited:
            self._loop.call_soon_threadsafe(self.take)

    def take(self) -> None:
        """Take in the latest report, if there is one since the last call."""
        sequence = self._durable_sequence
        if sequence > self._taken_sequence:
            self._taken_sequence = sequence
            self._on_durable(sequence)

    def wait(self, is_awaited: bool) -> None:
        """Note whether the loop is to be woken for the next report, and take in an awaited one that is here already."""
        self._is_awaited = is_awaited
        if is_awaited:
            self.take()


def tell_if_slow(sync_ms: float) -> None:
    """Log an fsync that took long."""
    if sync_ms > SLOW_SYNC_MS:
        logger.warning("slow fsync", extra={"fields": {"milliseconds": round(sync_ms, 1)}})
