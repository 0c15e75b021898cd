"""Snapshots that followers are told of: made when one is needed, there for all who fetch it, then gone."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from raftdb.background import Background
from raftdb.core.events import SnapshotMade
from raftdb.core.model import EntryId, NodeId
from raftdb.node.replica import Replica
from raftdb.node.view import NodeView
from raftdb.server.disk import NodeDisk
from storage import Manifest, OutOfSpace, SnapshotDamaged, SnapshotReader, StorageError, SystemFailure

logger = logging.getLogger("raftdb.server")

ABSENT_SECONDS = 30.0
"""A follower that was told of a snapshot, or has read of it, is fetching it for so long. Meanwhile the file stays, and
the log is kept from its end on, so that the follower goes on by entries once it has it."""
LOOKS = 10
"""How often within that time it is looked what has ended."""
KEEP_SECONDS = 300.0
"""How long the newest file is kept after its last use: a follower that comes back within it goes on where it was."""


@dataclass(eq=False, slots=True)
class _File:
    """One snapshot file, and when each follower was last told of it or has read of it, by the monotonic clock."""

    path: Path
    manifest: Manifest
    digest: bytes
    used: dict[NodeId, float] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self.manifest.size_bytes

    def read(self, offset: int, bytes_max: int) -> bytes:
        """See `raftdb.transport.snapshot_server.SnapshotSource`. Opened each time: nobody says when he has enough."""
        try:
            reader = SnapshotReader(self.path)
            try:
                return reader.read(offset, bytes_max)
            finally:
                reader.close()
        except StorageError as error:
            raise OSError(error.message) from error


class Outgoing:
    """The snapshot files of one node. One serves all followers for as long as it is new enough."""

    def __init__(
        self,
        replica: Replica,
        view: NodeView,
        disk: NodeDisk,
        cluster_id: str,
        background: Background,
        *,
        keep_seconds: float = KEEP_SECONDS,
        absent_seconds: float = ABSENT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replica = replica
        self._view = view
        self._disk = disk
        self._cluster_id = cluster_id
        self._background = background
        self._keep_seconds = keep_seconds
        self._absent_seconds = absent_seconds
        self._clock = clock
        # Held while a file is made.
        self._making = asyncio.Lock()
        self._files: list[_File] = []
        """The newest last."""
        self._made = 0
        self._tidying: asyncio.Task[None] | None = None

    async def make(self, target: NodeId) -> SnapshotMade:
        """Have a snapshot for `target`: the present one if it is of use, or a new one; a failure is an outcome, too."""
        try:
            async with self._making:
                file = self._find_for(target) or await self._export()
        except (OutOfSpace, SnapshotDamaged, SystemFailure) as error:
            logger.warning("no snapshot to send", extra={"fields": {"peer": target, "why": error.message}})
            return SnapshotMade(target, None)
        self._use(file, target)
        manifest = file.manifest
        end = EntryId(manifest.index, manifest.term)
        configuration = manifest.configuration_index, manifest.configuration
        return SnapshotMade(target, end, *configuration, file.size_bytes, file.digest)

    def find(self, node: NodeId, digest: bytes) -> _File | None:
        """The file of that digest, for a member that reads of it."""
        for file in self._files:
            if file.digest == digest:
                self._use(file, node)
                return file
        return None

    def _find_for(self, target: NodeId) -> _File | None:
        """A file behind which the log goes on; or the one that `target` is fetching, for to begin another would end
        that, each time that the log gets shorter."""
        followed = self._view.followed.get(target)
        held_index = followed.match_index if followed is not None else 0
        for file in reversed(self._files):
            lacks_it = held_index < file.manifest.index
            is_connected = file.manifest.index >= self._view.first_index - 1
            if is_connected or (lacks_it and self._is_fetched(file, target)):
                return file
        return None

    def _is_fetched(self, file: _File, node: NodeId) -> bool:
        return node in file.used and self._clock() - file.used[node] < self._absent_seconds

    async def _export(self) -> _File:
        self._made += 1
        # A name of its own, for the file of an earlier one may still be on its way out.
        name = f"{self._view.checkpoint_index}-{self._made}.snapshot"
        path = self._disk.folder.outgoing(name)
        started = time.monotonic()
        manifest = await self._disk.export(path, cluster_id=self._cluster_id, verify=False)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        details = {"index": manifest.index, "bytes": manifest.size_bytes, "milliseconds": milliseconds}
        logger.info("snapshot made", extra={"fields": details})
        file = _File(path, manifest, await asyncio.to_thread(_digest_of, path))
        self._files.append(file)
        return file

    def _use(self, file: _File, node: NodeId) -> None:
        file.used[node] = self._clock()
        self._retain()
        if self._tidying is None or self._tidying.done():
            self._tidying = self._background.start(self._tidy(), name="old snapshots removed")

    def _retain(self) -> None:
        """Let the log be kept from the end of the oldest snapshot on that is being fetched."""
        indexes = (
            file.manifest.index
            for file in self._files
            if any(self._is_fetched(file, node) for node in file.used)
        )
        self._replica.retained_index = min(indexes, default=None)

    async def _tidy(self) -> None:
        """Remove each file when its time is over: it is as large as the state, and not kept for nobody."""
        while self._files:
            await asyncio.sleep(self._absent_seconds / LOOKS)
            over = [file for file in self._files if self._end_of(file) <= self._clock()]
            for file in over:
                self._files.remove(file)
                # What cannot be removed is left to the next start, which empties the folder.
                with suppress(OSError):
                    await asyncio.to_thread(file.path.unlink, missing_ok=True)
            self._retain()

    def _end_of(self, file: _File) -> float:
        """Until when `file` is kept: the newest for longer than those that are of use only to who fetches them."""
        is_newest = file is self._files[-1]
        return max(file.used.values()) + (self._keep_seconds if is_newest else self._absent_seconds)


def _digest_of(path: Path) -> bytes:
    """On a thread: the digest of a snapshot that was just made."""
    reader = SnapshotReader(path)
    reader.close()
    return reader.digest
