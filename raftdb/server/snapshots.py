"""Snapshots on their way: made, sent, received. Storage makes and checks the files, transport carries them."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from raftdb.core.events import SnapshotDelivered
from raftdb.core.model import EntryId, NodeId
from raftdb.node.replica import Replica
from raftdb.server.disk import NodeDisk
from raftdb.transport.snapshot_client import DeliveryFailed, SnapshotClient
from raftdb.transport.snapshot_protocol import PieceDamaged, PieceMisplaced, SnapshotRefused, Transfer
from storage.errors import OutOfSpace, SnapshotDamaged, SnapshotForeign, SnapshotGap
from storage.manifest import Manifest
from storage.receive import SnapshotReceiver
from storage.send import SnapshotReader
from storage.send import Transfer as StoredTransfer

logger = logging.getLogger("raftdb.server")

RETAIN_SECONDS = 30.0
"""How long the log is kept from a delivered snapshot on, so that the follower goes on by entries once it has it."""


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
        except SnapshotDamaged as error:
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
    ) -> None:
        self._replica = replica
        self._disk = disk
        self._client = client
        self._cluster_id = cluster_id
        self._address_of = address_of
        self._making = asyncio.Lock()
        self._current: tuple[Path, Manifest] | None = None
        self._retained: dict[NodeId, int] = {}

    async def deliver(self, target: NodeId) -> SnapshotDelivered:
        """Bring a snapshot to `target`; a failure is an outcome, too."""
        address = self._address_of(target)
        if address is None:
            return SnapshotDelivered(target, None)
        try:
            path, manifest = await self._snapshot()
            reader = SnapshotReader(path)
        except (OutOfSpace, SnapshotDamaged) as error:
            logger.warning("no snapshot to send", extra={"fields": {"peer": target, "why": error.message}})
            return SnapshotDelivered(target, None)
        self._retain(target, manifest.index)
        try:
            term = self._replica.raft.state.term
            await self._client.deliver(target, address, ReaderSource(reader), leader_term=term)
        except DeliveryFailed:
            return SnapshotDelivered(target, None)
        finally:
            reader.close()
            asyncio.get_running_loop().call_later(RETAIN_SECONDS, self._release, target, manifest.index)
        end = EntryId(manifest.index, manifest.term)
        return SnapshotDelivered(target, end, manifest.configuration_index, manifest.configuration)

    async def _snapshot(self) -> tuple[Path, Manifest]:
        """A snapshot behind which the log goes on: the present file, or a new one."""
        async with self._making:
            if self._current is None or self._current[1].index < self._replica.raft.state.log.base.index:
                if self._current is not None:
                    self._current[0].unlink(missing_ok=True)
                    self._current = None
                path = self._disk.folder.outgoing(f"{self._replica.checkpoint_index}.snapshot")
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

    def _retain(self, target: NodeId, index: int) -> None:
        self._retained[target] = index
        self._replica.retained_index = min(self._retained.values())

    def _release(self, target: NodeId, index: int) -> None:
        if self._retained.get(target) == index:
            del self._retained[target]
        self._replica.retained_index = min(self._retained.values(), default=None)


class Receiver:
    """Where the transport puts a snapshot that arrives: storage's receiver, with the transport's words."""

    def __init__(self, receiver: SnapshotReceiver, *, on_begin: Callable[[], object]) -> None:
        """`on_begin` is called, on the receiver's thread, before anything that was received is touched."""
        self._receiver = receiver
        self._on_begin = on_begin
        self._transfer: StoredTransfer | None = None

    def begin(self, transfer: Transfer) -> int:
        """The offset to go on from."""
        self._on_begin()
        self._transfer = StoredTransfer(
            cluster_id=transfer.cluster_id,
            index=transfer.index,
            term=transfer.term,
            size_bytes=transfer.size_bytes,
            digest=transfer.sha256,
        )
        try:
            return self._receiver.begin(self._transfer)
        except (SnapshotForeign, SnapshotDamaged, OutOfSpace) as error:
            raise SnapshotRefused("refused", error.message) from error

    def write(self, offset: int, piece: bytes, crc32: int) -> int:
        """Take one piece; returns the next offset."""
        try:
            return self._receiver.write(self._begun(), offset, piece, crc32)
        except SnapshotGap as gap:
            raise PieceMisplaced(gap.expected or 0) from gap
        except SnapshotDamaged as error:
            raise PieceDamaged(error.message) from error

    def finish(self) -> None:
        """Verify the whole and keep it."""
        try:
            self._receiver.finish(self._begun())
        except (SnapshotGap, SnapshotDamaged, SnapshotForeign) as error:
            raise SnapshotRefused("refused", error.message) from error

    def discard(self) -> None:
        """Throw away what was received."""
        self._receiver.discard()

    def _begun(self) -> StoredTransfer:
        if self._transfer is None:
            raise SnapshotRefused("unknown_transfer", "no snapshot was offered")
        return self._transfer
