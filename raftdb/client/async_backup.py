"""As `backup`, for the asynchronous client: files are on a thread, the stream on the loop."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raftdb.client.backup import BackupTaken
from raftdb.client.backup import take_backup as take_backup_blocking
from raftdb.client.http1 import Sink

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient


async def take_backup(
    client: "AsyncClient[Any]", path: Path, *, replace: bool = False, timeout_ms: float | None = None
) -> BackupTaken:
    """See `raftdb.client.backup.take_backup`. Cancelled, it leaves no file."""
    source = _Source(partial(client.backup, timeout_ms=timeout_ms), asyncio.get_running_loop())
    taking = asyncio.ensure_future(asyncio.to_thread(take_backup_blocking, source, path, replace=replace))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        source.stop()
        with suppress(BaseException):
            await taking
        raise


class _Source:
    """What a backup on another thread is taken from: the client on its loop."""

    def __init__(
        self, backup: Callable[[Sink], Coroutine[Any, Any, int]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._backup = backup
        self._loop = loop
        self._task: asyncio.Task[int] | None = None
        self._is_stopped = False

    def backup(self, target: Sink, /, *, timeout_ms: float | None = None) -> int:
        """Stream into `target`; called on the other thread."""
        return asyncio.run_coroutine_threadsafe(self._run(target), self._loop).result()

    def stop(self) -> None:
        """End the stream, now or as soon as it begins; called on the loop."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self, target: Sink) -> int:
        if self._is_stopped:
            raise asyncio.CancelledError
        self._task = asyncio.ensure_future(self._backup(target))
        return await self._task
