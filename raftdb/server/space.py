"""Measuring the space that is left, again and again, and telling the driver how much more may be written.

A full disk would stop the node, so growth is refused before. While it is refused, the node makes checkpoints by itself
as long as something was applied: only then do deleted values and compacted entries give their pages back.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from raftdb.background import Background
from raftdb.errors import OutcomeUnknown, Unavailable
from raftdb.node.driver import Driver
from raftdb.server.disk import NodeDisk
from storage import DATA_FILE, JOURNAL_FILE, LOG_FOLDER, MISSING_HINT, STATE_FOLDER, StorageError, WriteFailed

logger = logging.getLogger("raftdb.server")

PERIOD_SECONDS = 1.0
"""Time between two measurements. Bytes written in between count against the space that the last one found."""
RECLAIM_LOOKS = 5
"""Measurements between two checkpoints that are made to get space back."""


class _Told(NamedTuple):
    """The last report in the log about the space."""

    reason: str | None
    is_exhausted: bool


class SpaceWatch:
    """Refreshes the disk's `SpaceGuard` beside the event loop, and keeps `Driver.space` current."""

    def __init__(
        self,
        driver: Driver,
        disk: NodeDisk,
        background: Background,
        *,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._driver = driver
        self._disk = disk
        self._background = background
        self._period_seconds = period_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="space-watch")
        self._task: asyncio.Task[None] | None = None
        self._told = _Told(None, is_exhausted=False)
        self._trouble: str | None = None
        """Why the last measurement failed."""

    async def start(self) -> None:
        """Measure once, so that the node serves no request before it knows its space; then go on measuring."""
        await self.look()
        self._task = self._background.start(self._watch(), name="space watch")

    async def look(self) -> None:
        """Measure, and log it if something changed. If it cannot be measured now, the next time will do.

        Raises `WriteFailed` if a file of the database is gone: a deleted file goes on taking writes, and a node without
        writes would not notice (hazard B89).
        """
        budget, guard = self._driver.space, self._disk.space
        pending_bytes, grown_bytes, spent = self._disk.pending_bytes, budget.grown_bytes, budget.is_spent
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._find_files)
            reason = await loop.run_in_executor(
                self._thread, lambda: guard.refresh(pending_bytes=pending_bytes, spent=spent)
            )
        except FileNotFoundError as error:
            raise WriteFailed(f"{error.filename} was deleted while in use", hint=MISSING_HINT) from error
        except (OSError, StorageError) as error:
            self._tell_trouble(str(error))
            return
        self._trouble = None
        budget.measured(
            reason,
            grown_bytes=grown_bytes,
            headroom_bytes=guard.headroom_bytes,
            last_headroom_bytes=guard.last_headroom_bytes,
            room_bytes=guard.room_bytes,
        )
        budget.checkpoint_bytes = self._disk.checkpoint_bytes
        self._tell_changes()

    def _find_files(self) -> None:
        """Raise `FileNotFoundError` if the folder, or a data file in it, is gone."""
        path = self._disk.folder.path
        log, state = path / LOG_FOLDER, path / STATE_FOLDER
        for place in (path, log / DATA_FILE, log / JOURNAL_FILE, state / DATA_FILE):
            place.stat()

    def _tell_trouble(self, why: str) -> None:
        """Log why nothing was measured, once for as long as it is the same."""
        if why != self._trouble:
            logger.warning("the space that is left cannot be measured", extra={"fields": {"why": why}})
        self._trouble = why

    def _tell_changes(self) -> None:
        """Log what has changed since it was last logged."""
        reason, is_exhausted = self._driver.no_space, self._driver.space.is_exhausted
        if self._told.reason is None and reason is not None:
            logger.warning("no space: growing writes are refused", extra={"fields": {"why": reason}})
        elif self._told.reason is not None and reason is None:
            logger.info("space again: growing writes are accepted")
        if is_exhausted and not self._told.is_exhausted:
            logger.warning("no space: no more commands are taken from the leader")
        self._told = _Told(reason, is_exhausted)

    async def close(self) -> None:
        """Stop looking. The stores may be closed afterwards."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        # It may hang if the disk does not answer, and must not hold up the loop.
        await asyncio.to_thread(self._thread.shutdown)

    async def _watch(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(self._period_seconds)
            await self.look()
            looks = looks + 1 if self._driver.space.shortage is not None else 0
            if looks % RECLAIM_LOOKS == 1:
                await self._reclaim()

    async def _reclaim(self) -> None:
        """Make a checkpoint if anything was applied since the last one, and compact the log."""
        view = self._driver.view
        if view.applied_index > view.checkpoint_index:
            # A node that stops, or whose disk has failed, makes none; the cause was logged already.
            with suppress(Unavailable, OutcomeUnknown):
                await self._driver.checkpoint(stale=True)
