"""The state on LMDB: an overlay of changes in memory over a durable checkpoint.

Two named databases: `values`, key to sealed value, and `meta` with the sealed records

    format    version of this layout, 4 bytes
    applied   index, term, number of keys in `values`, 8 bytes each; written by every flush

A flush is one transaction that moves the values and the applied index together (hazard B30), so a crash leaves the
old checkpoint or the new one. Opening reads the marker and compares the number of keys; values are verified when read.
Reads go through the live overlay, the frozen one and LMDB, in that order. While a flush commits, the frozen overlay
still hides the disk, so a reader cannot tell whether it is done.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from zlib import crc32

import lmdb

from storage.codec import CHECKSUM, CHECKSUM_BYTES, seal, unseal, unseal_head
from storage.contract import KEY_BYTES_MAX, Describe, FrozenChanges, Usage
from storage.env import Environment
from storage.errors import FolderDamaged, Misused, StorageError, other_format
from storage.export import write_container
from storage.gaps import Gaps
from storage.manifest import Manifest
from storage.overlay import RELEASED_MIN, Overlay
from storage.plan import check_write
from storage.scanning import scan_layers

STATE_FORMAT_VERSION = 2
"""Version of this layout and of the keys that the layers above keep in it. In version 2 the most numerous keys sort
last."""
STATE_MAP_BYTES = 1 << 40
"""Address space set aside for the state, 1 TiB. Sparse: neither memory nor disk until used."""

VERIFY_SLICE_KEYS = 8192
"""Keys verified without a pause: about three milliseconds of the interpreter lock, if nobody asks for it."""
VERIFY_PAUSE_SECONDS = 10e-6
"""A pause long enough for the system to take this thread off its core, so that a thread that waits for the lock gets
it."""

FULL_FRACTION = 0.8
"""Share of the pages in use from which on a copy to be sent keeps the free pages: copying them costs less than leaving
them out, for which LMDB copies the pages of each long value in a step of its own, at a fifth of the speed."""

VALUES = b"values"
META = b"meta"
FORMAT_KEY = b"format"
APPLIED_KEY = b"applied"

FORMAT = Struct(">I")
APPLIED = Struct(">QQQ")


class LmdbStateStore:
    """`StateStore` on one LMDB environment (contract in `storage.contract`)."""

    def __init__(
        self, folder: Path, *, create: bool, map_bytes: int = STATE_MAP_BYTES, read_only: bool = False
    ) -> None:
        """Open the state in `folder` at its checkpoint. With `create` a missing or empty one is made.

        `read_only` changes no file, and needs a folder that nobody else has open. Raises `FolderDamaged`,
        `WriteFailed`.
        """
        self._environment = Environment(
            folder, databases=(VALUES, META), map_bytes=map_bytes, create=create, read_only=read_only
        )
        self._values = self._environment.databases[VALUES]
        self._meta = self._environment.databases[META]
        self._live = Overlay()
        self._frozen: Overlay | None = None
        self._thawed: Overlay | None = None
        """Changes that are on the disk, freed a few at a time with each write."""
        self._gaps = Gaps()
        try:
            if create:
                self._create_marker()
            self._checkpoint = self._applied = self._read_marker()
        except BaseException:
            self._environment.close()
            raise

    @property
    def applied(self) -> tuple[int, int]:
        """See `StateStore.applied`."""
        return self._applied

    @property
    def checkpoint(self) -> tuple[int, int]:
        """See `StateStore.checkpoint`."""
        return self._checkpoint

    @property
    def change_bytes(self) -> int:
        """See `StateStore.change_bytes`."""
        return self._live.change_bytes

    @property
    def change_count(self) -> int:
        """Keys that were changed since the last freeze."""
        return len(self._live.changes)

    @property
    def memory_bytes(self) -> int:
        """See `StateStore.memory_bytes`."""
        layers = (self._live, self._frozen, self._thawed)
        return sum(layer.memory_bytes for layer in layers if layer is not None)

    def claim_writes(self) -> None:
        """See `StateStore.claim_writes`."""
        self._environment.claim_writes()

    def get(self, key: bytes) -> bytes | None:
        """See `StateStore.get`."""
        if key in self._live.changes:
            return self._live.changes[key]
        if self._frozen is not None and key in self._frozen.changes:
            return self._frozen.changes[key]
        if not 0 < len(key) <= KEY_BYTES_MAX:
            return None
        # The path of every random read: the transaction is begun here, without a context manager in between.
        try:
            with self._environment.begin(self._values, buffers=True) as transaction:
                sealed = transaction.get(key)
                return None if sealed is None else unseal(key, sealed, what="value of key")
        except lmdb.Error as error:
            raise self._unreadable(error) from error

    def head(self, key: bytes, length: int) -> bytes | None:
        """See `StateStore.head`."""
        layer = self._live
        if key not in layer.changes and self._frozen is not None:
            layer = self._frozen
        if key in layer.changes:
            value = layer.changes[key]
            return None if value is None else value[:length]
        if not 0 < len(key) <= KEY_BYTES_MAX:
            return None
        try:
            with self._environment.begin(self._values, buffers=True) as transaction:
                sealed = transaction.get(key)
                return None if sealed is None else unseal_head(key, sealed, length, what="value of key")
        except lmdb.Error as error:
            raise self._unreadable(error) from error

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See `StateStore.scan`."""
        if limit <= 0:
            return []
        overlays = [layer for layer in (self._live, self._frozen) if layer is not None]
        with self._environment.read("state") as transaction, transaction.cursor(self._values) as cursor:
            return scan_layers(overlays, cursor, self._gaps, first, end, limit=limit, length=length)

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        """See `StateStore.write`."""
        check_write(changes, index=index, applied_index=self._applied[0])
        self._live.update(changes)
        self._gaps.written(key for key, value in changes.items() if value is not None)
        self._applied = (index, term)
        if self._thawed is not None and not self._thawed.release(RELEASED_MIN + len(changes)):
            self._thawed = None

    def freeze(self) -> FrozenChanges | None:
        """See `StateStore.freeze`."""
        if self._frozen is not None or self._applied == self._checkpoint:
            return None
        self._live.order()
        self._frozen, self._live = self._live, Overlay()
        return FrozenChanges(self._frozen.changes, *self._applied, change_bytes=self._frozen.change_bytes)

    def flush(self, frozen: FrozenChanges) -> None:
        """See `StateStore.flush`. Keys go to LMDB in order, in slices small enough to let other threads in."""
        if self._frozen is None:
            raise Misused("nothing is frozen")
        with self._environment.write() as transaction, transaction.cursor(self._values) as cursor:
            for keys in self._frozen.slices():
                pairs, deleted = _seal_slice(frozen.changes, keys)
                cursor.putmulti(pairs)
                for key in deleted:
                    if cursor.set_key(key):
                        cursor.delete()
            self._put_marker(transaction, frozen.index, frozen.term)

    def thaw(self, frozen: FrozenChanges) -> None:
        """See `StateStore.thaw`."""
        if self._frozen is None or self._frozen.changes is not frozen.changes:
            raise Misused("these changes are not the frozen ones")
        self._thawed, self._frozen = self._frozen, None
        self._checkpoint = (frozen.index, frozen.term)

    def clear(self) -> None:
        """See `StateStore.clear`."""
        if self._frozen is not None:
            raise Misused("cannot clear the state while changes are frozen")
        with self._environment.write() as transaction:
            transaction.drop(self._values, delete=False)
            self._put_marker(transaction, 0, 0)
        self._live, self._gaps = Overlay(), Gaps()
        self._applied = self._checkpoint = (0, 0)

    def export(
        self,
        path: Path,
        *,
        cluster_id: str,
        describe: Describe,
        verify: bool = False,
    ) -> Manifest:
        """Write the state as of the checkpoint on disk to the snapshot file `path`, durably, as a whole or not at all.

        It runs on the thread that flushes, so that the checkpoint stands still meanwhile. `describe` is given a
        function that reads a key of that checkpoint, and says (configuration index, configuration). `verify` reads
        every checksum first and leaves out all free pages, where deleted values may stand; it is for a copy that is to
        be kept. Raises `FolderDamaged`, `OutOfSpace`, `WriteFailed`, `Misused` on another thread.
        """
        self._environment.require_writer()
        if verify:
            self.verify()
        environment = self._environment
        compact, data_bytes = self._copy_plan(verify)
        index, term = self._read_marker()
        configuration_index, configuration = describe(self._get_durable)
        manifest = Manifest(
            cluster_id=cluster_id,
            index=index,
            term=term,
            configuration_index=configuration_index,
            configuration=configuration,
            data_bytes=data_bytes,
        )
        return write_container(
            path, manifest, copy=lambda descriptor: environment.copy_to(descriptor, compact=compact)
        )

    def export_bytes(self, *, verify: bool = False) -> int:
        """About how much disk such an export takes."""
        return self._copy_plan(verify)[1]

    def verify(self) -> int:
        """Read every value of the checkpoint on disk; returns how many. Raises `FolderDamaged`.

        It checks checksums, order and number of keys. Call it on the thread that flushes, or on a store that is not
        written: its read transaction stays open throughout. It takes half a second per million keys; other threads get
        in between slices.
        """
        unpack = CHECKSUM.unpack_from
        with (
            self._environment.read_copies("state") as transaction,
            transaction.cursor(self._values) as cursor,
        ):
            keys, last = 0, b""
            for keys, (key, sealed) in enumerate(cursor.iternext(), 1):
                if key <= last:
                    raise FolderDamaged("state", f"key {key!r} stands after key {last!r}")
                # `unseal` written out: this line runs for every key there is.
                if len(sealed) < CHECKSUM_BYTES or unpack(sealed)[0] != crc32(
                    sealed[CHECKSUM_BYTES:], crc32(key)
                ):
                    raise FolderDamaged(f"value of key {key!r}", "its checksum does not match")
                last = key
                if keys % VERIFY_SLICE_KEYS == 0:
                    time.sleep(VERIFY_PAUSE_SECONDS)
            expected = self._environment.entries(transaction, VALUES)
        if keys != expected:
            raise FolderDamaged("state", f"{keys} keys can be reached, but {expected} were written")
        return keys

    def usage(self) -> Usage:
        """What the state occupies on disk. From any thread."""
        return self._environment.usage()

    def close(self) -> None:
        """See `StateStore.close`."""
        self._environment.close()
        for overlay in (self._live, self._frozen, self._thawed):
            if overlay is not None:
                overlay.release(len(overlay.changes))

    def _copy_plan(self, keep: bool) -> tuple[bool, int]:
        """(whether to leave free pages out of a copy, how long it will be)."""
        used_bytes = self._environment.copied_bytes(compact=True)
        all_bytes = self._environment.copied_bytes(compact=False)
        compact = keep or used_bytes < FULL_FRACTION * all_bytes
        return compact, used_bytes if compact else all_bytes

    def _get_durable(self, key: bytes) -> bytes | None:
        """The value of `key` as of the checkpoint on disk, whatever lies over it in memory."""
        with self._environment.read("state") as transaction:
            sealed = transaction.get(key, db=self._values)
            return None if sealed is None else unseal(key, sealed, what="value of key")

    def _unreadable(self, error: lmdb.Error) -> StorageError:
        """The error for a failed read of an open store. Raises `Misused` if it is closed."""
        self._environment.require_open()
        return self._environment.unreadable("state", error)

    def _create_marker(self) -> None:
        with self._environment.read("state") as transaction:
            entries = self._environment.entries(transaction, META) + self._environment.entries(
                transaction, VALUES
            )
        if not entries:
            with self._environment.write() as writing:
                writing.put(FORMAT_KEY, seal(FORMAT_KEY, FORMAT.pack(STATE_FORMAT_VERSION)), db=self._meta)
                self._put_marker(writing, 0, 0)

    def _put_marker(self, transaction: "lmdb.Transaction[bytes]", index: int, term: int) -> None:
        marker = APPLIED.pack(index, term, self._environment.entries(transaction, VALUES))
        transaction.put(APPLIED_KEY, seal(APPLIED_KEY, marker), db=self._meta)

    def _read_marker(self) -> tuple[int, int]:
        """(index, term) of the checkpoint on disk, after comparing the number of keys (hazard B81)."""
        with self._environment.read("state") as transaction:
            parts = [transaction.get(key, db=self._meta) for key in (FORMAT_KEY, APPLIED_KEY)]
            if parts[0] is None or parts[1] is None:
                raise FolderDamaged("state", "the record of its checkpoint is missing")
            version = unseal(FORMAT_KEY, parts[0], what="state meta record")
            if version != FORMAT.pack(STATE_FORMAT_VERSION):
                raise other_format("the state", int.from_bytes(version), STATE_FORMAT_VERSION)
            index, term, keys = APPLIED.unpack(unseal(APPLIED_KEY, parts[1], what="state meta record"))
            found = self._environment.entries(transaction, VALUES)
            if found != keys:
                raise FolderDamaged("state", f"it holds {found} keys, but {keys} were written")
        return index, term


def _seal_slice(
    changes: Mapping[bytes, bytes | None], keys: list[bytes]
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Sealed pairs to put and keys to delete, both in the order of `keys`."""
    pack = CHECKSUM.pack
    pairs: list[tuple[bytes, bytes]] = []
    deleted: list[bytes] = []
    for key in keys:
        value = changes[key]
        if value is None:
            deleted.append(key)
        else:
            # `seal` written out: this line runs for every key of a checkpoint.
            pairs.append((key, pack(crc32(value, crc32(key))) + value))
    return pairs, deleted
