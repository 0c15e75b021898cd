"""Snapshots on their way: made, sent, received. Storage makes and checks the files, transport carries them."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from raftdb.background import Background
from raftdb.core.events import SnapshotDelivered
from raftdb.core.model import EntryId, NodeId
from raftdb.node.replica import Replica
from raftdb.node.view import NodeView
from raftdb.server.disk import NodeDisk
from raftdb.transport.snapshot_client import DeliveryFailed, SnapshotClient
from raftdb.transport.snapshot_protocol import PieceDamaged, PieceMisplaced, SnapshotRefused, Transfer
from storage.errors import OutOfSpace, SnapshotDamaged, SnapshotForeign, SnapshotGap, SystemFailure
from storage.manifest import Manifest
from storage.receive import SnapshotReceiver
from storage.send import SnapshotReader
from storage.send import Transfer as StoredTransfer

logger = logging.getLogger("raftdb.server")

RETAIN_SECONDS = 30.0
"""How long the log is kept from a delivered snapshot on, so that the follower goes on by entries once it has it."""
KEEP_SECONDS = 300.0
"""How long a snapshot file is kept after its last use: a follower that comes back within it goes on where it was."""

PAUSE_SECONDS_MIN = 0.25
PAUSE_SECONDS_MAX = 5.0
"""From the start of a delivery that failed to the next one, doubled each time: a follower that has no space for a
snapshot says so in a millisecond, and would be asked again with every heartbeat."""


class ReaderSource:
    """A snapshot file as the transport reads it."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self.index = reader.manifest.index
        self.term = reader.manifest.term
        self.size_bytes = reader.size_bytes
        self.sha256 = reader.digest

    def read(self, offset: int, bytes_max: int) -> bytes:
        """At most `bytes_max` bytes from `offset` on."""
        try:
            return self._reader.read(offset, bytes_max)
        except SystemFailure as error:
            raise OSError(error.message) from error


class Courier:
    """Brings the state to followers that need it. One file serves all of them for as long as it is new enough."""

    def __init__(
        self,
        replica: Replica,
        disk: NodeDisk,
        client: SnapshotClient,
        cluster_id: str,
        address_of: Callable[[NodeId], str | None],
        background: Background,
        *,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self._replica = replica
        self._view = NodeView(replica)
        self._disk = disk
        self._client = client
        self._cluster_id = cluster_id
        self._address_of = address_of
        self._background = background
        self._keep_seconds = keep_seconds
        # Held while the file is made or removed.
        self._changing = asyncio.Lock()
        self._current: tuple[Path, Manifest] | None = None
        self._made = 0
        self._users = 0
        self._removal: asyncio.Task[None] | None = None
        self._retained: dict[NodeId, int] = {}
        self._failures: dict[NodeId, int] = {}

    async def deliver(self, target: NodeId) -> SnapshotDelivered:
        """Bring a snapshot to `target`; a failure is an outcome, too."""
        address = self._address_of(target)
        if address is None:
            return SnapshotDelivered(target, None)
        self._users += 1
        began = time.monotonic()
        try:
            delivered = await self._deliver(target, address)
        finally:
            self._users -= 1
            self._remove_later()
        if delivered.snapshot is not None:
            self._failures.pop(target, None)
        else:
            self._failures[target] = self._failures.get(target, 0) + 1
            await asyncio.sleep(began + self.pause_of(target) - time.monotonic())
        return delivered

    def pause_of(self, target: NodeId) -> float:
        """Seconds from the start of the last delivery, which failed, to the next one."""
        doublings = min(self._failures.get(target, 0) - 1, 16)
        return min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2.0**doublings)

    async def _deliver(self, target: NodeId, address: str) -> SnapshotDelivered:
        try:
            path, manifest = await self._snapshot()
            reader = SnapshotReader(path)
        except (OutOfSpace, SnapshotDamaged, SystemFailure) as error:
            logger.warning("no snapshot to send", extra={"fields": {"peer": target, "why": error.message}})
            return SnapshotDelivered(target, None)
        self._retain(target, manifest.index)
        try:
            term = self._view.term
            await self._client.deliver(target, address, ReaderSource(reader), leader_term=term)
        except DeliveryFailed:
            return SnapshotDelivered(target, None)
        finally:
            reader.close()
            self._background.after(RETAIN_SECONDS, self._release, target, manifest.index)
        end = EntryId(manifest.index, manifest.term)
        return SnapshotDelivered(target, end, manifest.configuration_index, manifest.configuration)

    async def _snapshot(self) -> tuple[Path, Manifest]:
        """A snapshot behind which the log goes on: the present file, or a new one."""
        async with self._changing:
            if self._current is None or self._current[1].index < self._view.first_index - 1:
                await self._remove()
                self._made += 1
                # A name of its own, for the file of an earlier one may still be on its way out.
                name = f"{self._view.checkpoint_index}-{self._made}.snapshot"
                path = self._disk.folder.outgoing(name)
                started = time.monotonic()
                manifest = await self._disk.export(path, cluster_id=self._cluster_id, verify=False)
                milliseconds = round((time.monotonic() - started) * 1000, 1)
                details = {
                    "index": manifest.index,
                    "bytes": manifest.size_bytes,
                    "milliseconds": milliseconds,
                }
                logger.info("snapshot made", extra={"fields": details})
                self._current = (path, manifest)
            return self._current

    def _remove_later(self) -> None:
        """Count the time from here on: a file as large as the state is not kept for nobody."""
        if self._removal is not None:
            self._removal.cancel()
        self._removal = self._background.start(self._remove_unused(), name="removal of a snapshot")

    async def _remove_unused(self) -> None:
        await asyncio.sleep(self._keep_seconds)
        async with self._changing:
            if not self._users:
                await self._remove()

    async def _remove(self) -> None:
        """Remove the present file, if there is one. Called under the lock. A large file takes its time to go; what
        cannot be removed is left to the next start, which empties the folder."""
        current, self._current = self._current, None
        if current is not None:
            with suppress(OSError):
                await asyncio.to_thread(current[0].unlink, missing_ok=True)

    def _retain(self, target: NodeId, index: int) -> None:
        self._retained[target] = index
        self._replica.retained_index = min(self._retained.values())

    def _release(self, target: NodeId, index: int) -> None:
        if self._retained.get(target) == index:
            del self._retained[target]
        self._replica.retained_index = min(self._retained.values(), default=None)


class Receiver:
    """Where the transport puts a snapshot that arrives: storage's receiver, with the transport's words."""

    def __init__(self, receiver: SnapshotReceiver) -> None:
        self._receiver = receiver
        self._transfer: StoredTransfer | None = None

    def begin(self, transfer: Transfer) -> int:
        """The offset to go on from."""
        self._transfer = StoredTransfer(
            cluster_id=transfer.cluster_id,
            index=transfer.index,
            term=transfer.term,
            size_bytes=transfer.size_bytes,
            digest=transfer.sha256,
        )
        try:
            return self._receiver.begin(self._transfer)
        except (SnapshotForeign, SnapshotDamaged, OutOfSpace, SystemFailure) as error:
            raise SnapshotRefused("refused", error.message) from error

    def write(self, offset: int, piece: bytes, crc32: int) -> int:
        """Take one piece; returns the next offset."""
        try:
            return self._receiver.write(self._begun(), offset, piece, crc32)
        except SnapshotGap as gap:
            raise PieceMisplaced(gap.expected or 0) from gap
        except SnapshotDamaged as error:
            raise PieceDamaged(error.message) from error
        except (SnapshotForeign, OutOfSpace, SystemFailure) as error:
            raise SnapshotRefused("refused", error.message) from error

    def finish(self) -> None:
        """Verify the whole and keep it."""
        try:
            self._receiver.finish(self._begun())
        except (SnapshotGap, SnapshotDamaged, SnapshotForeign, SystemFailure) as error:
            raise SnapshotRefused("refused", error.message) from error

    def discard(self) -> None:
        """Throw away what was received."""
        self._receiver.discard()

    def _begun(self) -> StoredTransfer:
        if self._transfer is None:
            raise SnapshotRefused("unknown_transfer", "no snapshot was offered")
        return self._transfer
