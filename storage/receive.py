"""Receiving a snapshot in pieces: resumed after a lost connection or a restart, verified as a whole, used or dropped.

    snapshot.cbor   which snapshot is being received
    frame           its header, followed by its digest
    data.mdb        its data, in place for LMDB to open
    complete.cbor   all of it was verified and is durable

The caller that fetches the pieces appends them in order, and is told where to go on. There is one snapshot at a time:
beginning another one drops it (hazard B33). Bytes that were received before a crash are not trusted: nothing counts
until the digest of the whole is right.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from storage.env import DATA_FILE, check_data_file
from storage.errors import (
    FolderDamaged,
    FolderForeign,
    Misused,
    OutOfSpace,
    SnapshotDamaged,
    SnapshotForeign,
)
from storage.export import hash_file
from storage.files import (
    make_folder,
    open_to_write,
    publish,
    read_record,
    remove_file,
    sync_folder,
    write_all,
    write_record,
)
from storage.manifest import DIGEST_BYTES, FRAME_BYTES, HEADER_BYTES, Manifest, decode_header
from storage.send import SnapshotId
from storage.state_store import LmdbStateStore
from storage.system_failures import mapped, write_failure

SNAPSHOT_FILE = "snapshot.cbor"
FRAME_FILE = "frame"
COMPLETE_FILE = "complete.cbor"
RECORD_BYTES_MAX = 4096

SYNC_BYTES = 16 << 20
"""Received between two syncs, so that the last one is short."""
SPARE_BYTES = 32 << 20
"""Bytes left free on the disk beside a snapshot, for the log."""


class SnapshotReceiver:
    """The folder in which one snapshot at a time arrives. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Take up what is in `folder`, which need not exist. Leftovers that are of no use are removed."""
        self._folder = folder
        self._snapshot: SnapshotId | None = None
        self._received = 0
        self._unsynced_bytes = 0
        # Bytes that were written from the start on without an interruption need not be read again to be hashed.
        self._hashed, self._hashed_bytes = sha256(), 0
        self._complete = False
        with mapped(folder):
            if folder.is_dir():
                self._take_up()

    @property
    def snapshot(self) -> SnapshotId | None:
        """Which one is being received, or is there."""
        return self._snapshot

    @property
    def received(self) -> int:
        """Bytes of it that have arrived without a gap: the offset to go on from."""
        return self._received

    @property
    def complete(self) -> bool:
        """All of it is there, verified and durable."""
        return self._complete

    def begin(self, snapshot: SnapshotId) -> int:
        """Receive `snapshot`; returns the offset to go on from: its size if it is complete already.

        Drops another one that was there, also a complete one: the caller has checked that this sender may ask for that.
        Raises `OutOfSpace`, `SystemFailure`, `WriteFailed`; `SnapshotDamaged` if there can be no such snapshot.
        """
        if snapshot == self._snapshot:
            return self._received
        if snapshot.data_bytes <= 0 or len(snapshot.digest) != DIGEST_BYTES:
            raise SnapshotDamaged("the snapshot", f"it cannot have {snapshot.size_bytes} bytes")
        self.discard()
        make_folder(self._folder)
        with mapped(self._folder):
            space = os.statvfs(self._folder)
        free_bytes = space.f_bavail * space.f_frsize
        if free_bytes < snapshot.size_bytes + SPARE_BYTES:
            raise OutOfSpace(
                f"no space for a snapshot of {snapshot.size_bytes} bytes: {free_bytes} are free",
                hint="free some space on this disk",
            )
        write_record(self._folder / SNAPSHOT_FILE, asdict(snapshot))
        self._snapshot = snapshot
        return 0

    def append(self, piece: bytes) -> int:
        """Store the next `piece` of the snapshot that was begun; returns the offset of the one after it.

        Raises `SnapshotDamaged` if it reaches past the end; as soon as the header is there, also if that is not what
        was announced, and `SnapshotForeign`; `OutOfSpace`, `WriteFailed`; `Misused` if nothing was begun.
        """
        if self._received + len(piece) > self._present().size_bytes:
            raise SnapshotDamaged(f"the piece at {self._received}", "it reaches past the end")
        self._append(piece)
        return self._received

    def finish(self) -> Manifest:
        """Verify the whole and make it durable; returns what it is. Calling it again does nothing more.

        It checks the digest, the header, the frame of the LMDB file, every checksum in it, and that it is the state at
        the index it claims. A snapshot that fails is dropped, so that it is fetched again (hazards B31, B91). Raises
        `SnapshotDamaged`, `SnapshotForeign`, `WriteFailed`; `Misused` if not all is there. Takes about a second per
        million keys, in slices.
        """
        snapshot = self._present()
        if self._received != snapshot.size_bytes:
            raise Misused(f"the snapshot has {snapshot.size_bytes} bytes: {self._received} are here")
        if self._complete:
            return self._manifest(snapshot)
        try:
            self._sync(FRAME_FILE, DATA_FILE)
            self._check_digest(snapshot)
            manifest = self._manifest(snapshot)
            self._check_state(manifest)
        except (SnapshotDamaged, SnapshotForeign):
            self.discard()
            raise
        write_record(self._folder / COMPLETE_FILE, asdict(snapshot))
        self._complete = True
        return manifest

    def adopt(self, state_folder: Path) -> Manifest:
        """Make the complete snapshot the state in `state_folder`, which nobody has open; the folder is then empty.

        One rename of a file onto another: whatever happens, the old state is there or the new one. Raises `Misused`
        if no snapshot is complete, `WriteFailed`.
        """
        if self._snapshot is None or not self._complete:
            raise Misused("there is no complete snapshot")
        manifest = self._manifest(self._snapshot)
        try:
            publish(self._folder / DATA_FILE, state_folder / DATA_FILE)
        except OSError as error:
            raise write_failure(state_folder / DATA_FILE, error) from error
        self.discard()
        return manifest

    def discard(self) -> None:
        """Drop what is there. A crash at any step leaves something that the next start can take up or drop."""
        self._complete = False
        self._snapshot = None
        self._received = self._unsynced_bytes = self._hashed_bytes = 0
        self._hashed = sha256()
        try:
            if not self._folder.is_dir():
                return
            # The mark first, durably: it must never stand beside data that is partly gone.
            for names in ((COMPLETE_FILE,), (DATA_FILE, FRAME_FILE), (SNAPSHOT_FILE,)):
                if any((self._folder / name).exists() for name in names):
                    for name in names:
                        remove_file(self._folder / name)
                    sync_folder(self._folder)
        except OSError as error:
            raise write_failure(self._folder, error) from error

    def _take_up(self) -> None:
        """Find out how far the last process came."""
        records = []
        for name in (SNAPSHOT_FILE, COMPLETE_FILE):
            try:
                records.append(_snapshot_of(read_record(self._folder / name, bytes_max=RECORD_BYTES_MAX)))
            except FolderDamaged:
                # It belongs to a snapshot that can be fetched again; nothing else is in this folder.
                records.append(None)
        snapshot, completed = records
        frame_bytes, data_bytes = self._size(FRAME_FILE), self._size(DATA_FILE)
        # Without data there is nothing worth resuming: it was installed, or has hardly begun.
        if snapshot is None or not data_bytes:
            self.discard()
            return
        if completed is not None and (completed, data_bytes) != (snapshot, snapshot.data_bytes):
            self.discard()
            return
        self._snapshot = snapshot
        self._complete = completed is not None
        if frame_bytes < HEADER_BYTES:
            self._received = frame_bytes
        elif data_bytes < snapshot.data_bytes:
            self._received = HEADER_BYTES + data_bytes
        else:
            self._received = snapshot.data_bytes + min(frame_bytes, FRAME_BYTES)

    def _present(self) -> SnapshotId:
        """The snapshot that is being received."""
        if self._snapshot is None:
            raise Misused("no snapshot is being received")
        return self._snapshot

    def _places(self, offset: int, count: int) -> list[tuple[str, int, int]]:
        """(file, offset in it, count) for each part of the range of the container."""
        snapshot = self._present()
        data_end = snapshot.content_bytes
        # Container ranges, the file each is in, and what to subtract from an offset.
        ranges = (
            (0, HEADER_BYTES, FRAME_FILE, 0),
            (HEADER_BYTES, data_end, DATA_FILE, HEADER_BYTES),
            (data_end, snapshot.size_bytes, FRAME_FILE, snapshot.data_bytes),
        )
        parts = []
        for first, end, name, shift in ranges:
            start, stop = max(first, offset), min(end, offset + count)
            if start < stop:
                parts.append((name, start - shift, stop - start))
        return parts

    def _append(self, data: bytes) -> None:
        """Write `data` where the received part ends."""
        taken = 0
        header_was_there = self._received >= HEADER_BYTES
        for name, offset, count in self._places(self._received, len(data)):
            path = self._folder / name
            part = memoryview(data)[taken : taken + count]
            try:
                descriptor = open_to_write(path, os.O_WRONLY)
                try:
                    write_all(descriptor, part, offset)
                    self._unsynced_bytes += count
                    if self._unsynced_bytes >= SYNC_BYTES:
                        os.fdatasync(descriptor)
                        self._unsynced_bytes = 0
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise write_failure(path, error) from error
            self._hash(part)
            taken += count
            self._received += count
        if not header_was_there and self._received >= HEADER_BYTES:
            self._check_header_early()

    def _check_header_early(self) -> None:
        """Refuse a snapshot that cannot be used here before a gigabyte of it has come."""
        try:
            self._manifest(self._present())
        except (SnapshotDamaged, SnapshotForeign):
            self.discard()
            raise

    def _manifest(self, snapshot: SnapshotId) -> Manifest:
        """The manifest in the header. Raises `SnapshotDamaged` if it is not what `snapshot` announced."""
        manifest = decode_header(self._read(FRAME_FILE, 0, HEADER_BYTES))
        announced = (snapshot.cluster_id, snapshot.index, snapshot.term, snapshot.size_bytes)
        if announced != (manifest.cluster_id, manifest.index, manifest.term, manifest.size_bytes):
            raise SnapshotDamaged("the header of the snapshot", f"it is not what was announced: {announced}")
        return manifest

    def _hash(self, part: memoryview) -> None:
        """Take `part`, which was written at the end of the received, into the digest, if all before it is in there."""
        if self._hashed_bytes == self._received < self._present().content_bytes:
            self._hashed.update(part)
            self._hashed_bytes += len(part)

    def _check_digest(self, snapshot: SnapshotId) -> None:
        """The header and the data give the digest at the end, which is the one announced."""
        is_hashed = self._hashed_bytes == snapshot.content_bytes
        found = self._hashed.digest() if is_hashed else self._hash_files(snapshot)
        if not found == self._read(FRAME_FILE, HEADER_BYTES, DIGEST_BYTES) == snapshot.digest:
            raise SnapshotDamaged("the snapshot", "its digest does not match")

    def _hash_files(self, snapshot: SnapshotId) -> bytes:
        """The digest of what is there: part of it was received before this process began."""
        path = self._folder / DATA_FILE
        with mapped(path, "read"), path.open("rb", buffering=0) as file:
            header = self._read(FRAME_FILE, 0, HEADER_BYTES)
            return hash_file(file.fileno(), snapshot.data_bytes, start=header)

    def _check_state(self, manifest: Manifest) -> None:
        """LMDB's file is sound, every checksum in it is right, and it is the state at the index it claims."""
        try:
            check_data_file(self._folder / DATA_FILE)
            state = LmdbStateStore(self._folder, create=False, read_only=True)
            try:
                if state.checkpoint != (manifest.index, manifest.term):
                    raise SnapshotDamaged(
                        "the snapshot",
                        f"it is the state at {state.checkpoint}, not at {(manifest.index, manifest.term)}",
                    )
                state.verify()
            finally:
                state.close()
        except FolderDamaged as error:
            raise SnapshotDamaged(error.what, error.why) from error
        except FolderForeign as error:
            raise SnapshotForeign(f"of the snapshot, {error.message}") from error

    def _read(self, name: str, offset: int, count: int) -> bytes:
        path = self._folder / name
        with mapped(path, "read"), path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), count, offset)

    def _sync(self, *names: str) -> None:
        """Make the named files and their names durable."""
        for name in names:
            path = self._folder / name
            try:
                descriptor = open_to_write(path, os.O_WRONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise write_failure(path, error) from error
        try:
            sync_folder(self._folder)
        except OSError as error:
            raise write_failure(self._folder, error) from error

    def _size(self, name: str) -> int:
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0


def _snapshot_of(fields: Mapping[str, object] | None) -> SnapshotId | None:
    """The snapshot that a record names, None if it names none."""
    try:
        return SnapshotId(**fields) if fields is not None else None  # type: ignore[arg-type]  # a record of ours
    except TypeError:
        return None
