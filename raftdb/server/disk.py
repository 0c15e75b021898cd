"""The node's writing threads: one for the log, one for the state. All work that blocks on the disk happens there.

The order of writes to the log is the order in which they were submitted. The state's thread makes checkpoints,
copies and swaps, one after the other, so that a copy sees one checkpoint and a swap happens while nothing else uses the
state.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TypeVar

from raftdb.core.model import EntryId
from raftdb.errors import Fatal
from raftdb.machine.keyspace import CONFIGURATION_KEY, unpack_configuration
from raftdb.tally import ENTRIES, Tally
from storage import (
    FULL_BYTES,
    LAST_BYTES,
    DataFolder,
    FrozenChanges,
    LmdbLogStore,
    LmdbStateStore,
    LogBatch,
    LogWriter,
    Manifest,
    Measured,
    SpaceGuard,
    Usage,
)

Result = TypeVar("Result")
PAGE_BYTES = 4096


class NodeDisk:
    """See `raftdb.node.turn.Disk`. `log` and `state` are open; `close` closes them."""

    def __init__(
        self,
        folder: DataFolder,
        log: LmdbLogStore,
        state: LmdbStateStore,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        reserve_bytes: int | None = None,
    ) -> None:
        """`reserve_bytes`: see `storage.space.SpaceGuard`."""
        self.folder = folder
        self.log = log
        self.state = state
        self.sync_seconds = Tally()
        """How long writes of the log took, fsync included."""
        self.batch_entries = Tally(ENTRIES)
        """How many entries each of them had; those without any are not among them."""
        self.writer = LogWriter(log, on_durable=on_durable, on_failure=on_failure, on_synced=self._synced)
        self.receiving: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """Held while received files are moved into place, so that they are not written to."""
        self.exchanging = threading.Lock()
        """Held while the state is closed and another one takes its place."""
        stores: dict[str, Measured] = {"log": log, "state": _StateMeasured(self)}
        self.space = SpaceGuard(folder.path, stores, reserve_bytes=reserve_bytes)
        self._flushing_bytes = 0
        self._state_thread = ThreadPoolExecutor(
            1, thread_name_prefix="state-writer", initializer=state.claim_writes
        )

    @property
    def last_sync_ms(self) -> float:
        """How long the last write of the log took, fsync included."""
        return self.writer.last_sync_ms

    def _synced(self, seconds: float, entries: int) -> None:
        """Count a write of the log. On the thread that wrote it: only one writes at a time."""
        self.sync_seconds.add(seconds)
        if entries:
            self.batch_entries.add(entries)

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Write `batch` to the log soon, in order."""
        self.writer.submit(sequence, batch)

    def write_here(self, batch: LogBatch) -> bool:
        """Write a short `batch` at once if the disk is quick; see `raftdb.node.turn.Disk`."""
        return self.writer.write_here(batch)

    async def put_fact(self, name: str, value: bytes) -> None:
        """Make a small fact about this node durable in the log's file."""
        await asyncio.wrap_future(self.writer.call(lambda: self.log.put_meta(name, value)))

    async def flush(self, frozen: FrozenChanges) -> None:
        """Make a checkpoint durable in the state."""
        self._flushing_bytes = frozen.change_bytes
        await self._on_state_thread(lambda: self.state.flush(frozen))
        self._flushing_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Changes that are in memory and must still find room in the state."""
        return self.state.change_bytes + self._flushing_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """About what a checkpoint would take on the disk now: for each changed key a page is copied, unless several
        are on one. The space kept for checkpoints must be enough for the copies."""
        copied_bytes = min(PAGE_BYTES * self.state.change_count, LAST_BYTES // 2)
        return self.pending_bytes + copied_bytes + FULL_BYTES

    async def trim(self, base: EntryId) -> None:
        """Begin the log after `base`: a bounded step, then the writes that have gathered, then the next step."""
        while await asyncio.wrap_future(self.writer.call(lambda: self.log.trim(base.index, base.term))):
            pass

    async def install(self, end: EntryId) -> LmdbStateStore:
        """Put the received snapshot in place of the state, then begin the log anew after it; returns the new state.

        Raises Fatal if the state that was put in place is not the snapshot that was meant, and what storage raises.
        """
        async with self.receiving():
            await self._on_state_thread(lambda: self._swap(end))
        await asyncio.wrap_future(self.writer.call(lambda: self.log.reset(*end)))
        return self.state

    async def export(self, path: Path, *, cluster_id: str, verify: bool) -> Manifest:
        """Copy the state's checkpoint into the snapshot file `path`.

        Raises `OutOfSpace` rather than take space that the log needs to go on, and what storage raises.
        """

        def copy() -> Manifest:
            self.space.require_room(self.state.export_bytes(verify=verify))
            return self.state.export(path, cluster_id=cluster_id, describe=describe_state, verify=verify)

        return await self._on_state_thread(copy)

    async def remove(self, path: Path) -> None:
        """Remove a file that was exported, if it is there; a long one takes the system a while. It is queued after its
        export, so that the file of an export whose caller has gone does not stay."""
        await self._on_state_thread(lambda: path.unlink(missing_ok=True))

    def close(self) -> None:
        """Finish what is queued, stop the threads, close the stores: each of them, whatever happens to another."""
        with ExitStack() as stack:
            stack.callback(self.log.close)
            stack.callback(self._close_state)
            stack.callback(self.writer.close)
            stack.callback(self._state_thread.shutdown)

    def _close_state(self) -> None:
        """Close the present state; another one may take its place until its thread has ended."""
        self.state.close()

    def _swap(self, end: EntryId) -> None:
        with self.exchanging:
            self.state.close()
            self.folder.swap_in_snapshot()
            self.state = state = self.folder.open_state()
        if state.checkpoint != end:
            raise Fatal(f"the installed snapshot ends at {state.checkpoint}, not at {tuple(end)}")

    async def _on_state_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._state_thread, work)


class _StateMeasured:
    """See `storage.space.Measured`: measures the present state, which a snapshot may replace."""

    def __init__(self, disk: NodeDisk) -> None:
        self._disk = disk

    def usage(self) -> Usage:
        """The space that the state occupies; waits while the state is being replaced."""
        with self._disk.exchanging:
            return self._disk.state.usage()


def describe_state(get: Callable[[bytes], bytes | None]) -> tuple[int, bytes]:
    """(index, data) of the configuration that a state holds: the last one committed in it (hazard B35)."""
    stored = get(CONFIGURATION_KEY)
    if stored is None:
        raise Fatal("the state holds no configuration", hint="check the folder with: raftdb doctor DIR")
    return unpack_configuration(stored)
