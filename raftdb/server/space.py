"""Keeps looking at the space that is left, and tells the driver when growing writes must stop and may go on.

A full disk would stop the node, so growth is refused before. While it is refused, the node makes checkpoints by itself
as long as something was applied: what was deleted gives its pages back only then, and the log its own.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from raftdb.errors import Unavailable
from raftdb.node.driver import Driver
from raftdb.server.disk import NodeDisk
from storage.errors import StorageError

logger = logging.getLogger("raftdb.server")

PERIOD_SECONDS = 1.0
"""Between two looks. What is written in between counts against what the last look found."""
RECLAIM_LOOKS = 5
"""Looks between two checkpoints that are made to get space back."""


class SpaceWatch:
    """Refreshes the disk's `SpaceGuard` beside the event loop, and keeps `Driver.no_space` current."""

    def __init__(self, driver: Driver, disk: NodeDisk, *, period_seconds: float = PERIOD_SECONDS) -> None:
        self._driver = driver
        self._disk = disk
        self._period_seconds = period_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="space-watch")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, so that the node serves nothing before it knows; then go on looking."""
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def look(self) -> None:
        """Measure, and say so if something changed. What cannot be measured now is measured the next time."""
        pending_bytes, growth_bytes = self._disk.pending_bytes, self._driver.growth_bytes
        spent = self._driver.space_is_spent
        loop = asyncio.get_running_loop()
        try:
            reason = await loop.run_in_executor(
                self._thread, lambda: self._disk.space.refresh(pending_bytes=pending_bytes, spent=spent)
            )
        except (OSError, StorageError) as error:
            logger.warning("the space that is left cannot be measured", extra={"fields": {"why": str(error)}})
            return
        self._driver.growth_bytes_max = growth_bytes + self._disk.space.headroom_bytes
        before, self._driver.no_space = self._driver.no_space, reason
        if before is None and reason is not None:
            logger.warning("no space: growing writes are refused", extra={"fields": {"why": reason}})
        elif before is not None and reason is None:
            logger.info("space again: growing writes are accepted")

    async def close(self) -> None:
        """Stop looking. The stores may be closed afterwards."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown()

    async def _watch(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(self._period_seconds)
            await self.look()
            looks = looks + 1 if self._driver.no_space is not None else 0
            if looks % RECLAIM_LOOKS == 1:
                await self._reclaim()

    async def _reclaim(self) -> None:
        """Make a checkpoint if anything was applied since the last one, and compact the log."""
        replica = self._driver.replica
        if replica.applied_index > replica.checkpoint_index:
            with suppress(Unavailable):
                await self._driver.checkpoint()
