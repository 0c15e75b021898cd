"""Twins of the LMDB stores on a disk in memory: the same contract, for simulators and for tests.

They keep the checks and the stored bytes of the LMDB pair (`storage.blocks`, `storage.codec`, `storage.plan`), and none
of its data structures: the state here is a plain dictionary sorted at each scan, so that one can be the model of the
other. The faults that a simulator can inject into the disk under them are in `storage.memory_disk`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from struct import Struct

import cbor2

from storage.blocks import Span, cut_before, verify
from storage.codec import INDEX_KEY, seal, unseal, unseal_head
from storage.contract import TRIM_BLOCKS_MAX, Describe, FrozenChanges, LoadedLog, LogBatch
from storage.errors import FolderDamaged, Missing, Misused, SnapshotDamaged
from storage.manifest import Manifest, pack_container, unpack_container
from storage.memory_disk import MemoryDisk, Session
from storage.overlay import counted_bytes, grown_bytes
from storage.plan import check_write, plan_write

DATA_PREFIX = b"d"
META_PREFIX = b"m"
"""Two key spaces on one disk. Meta sorts last, which is what makes a torn transaction leave the meta record."""
RANGE_KEY = META_PREFIX + b"range"
HARD_STATE_KEY = META_PREFIX + b"hard_state"
FACT_PREFIX = META_PREFIX + b"fact:"
APPLIED_KEY = META_PREFIX + b"applied"

THREE_NUMBERS = Struct(">QQQ")


class MemoryLogStore:
    """`LogStore` on a `MemoryDisk` (contract in `storage.contract`)."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        """Open the log on `disk`, a new and empty one by default. Raises `FolderDamaged`."""
        self.disk = disk if disk is not None else MemoryDisk()
        self._session = Session(self.disk)
        if not self.disk.content:
            self._session.commit(_range_of(0, 0, 0))
            self.disk.sync()
        self._base_index, self._base_term, self._last_index = self._range()
        keys = [key for key in self.disk.content if key.startswith(DATA_PREFIX)]
        self._firsts = sorted(INDEX_KEY.unpack(key[len(DATA_PREFIX) :])[0] for key in keys)
        """The first index of each block."""

    def claim_writes(self) -> None:
        """See `LogStore.claim_writes`."""
        self._session.claim_writes()

    def load(self, *, collect_kinds: frozenset[int] = frozenset()) -> LoadedLog:
        """See `LogStore.load`."""
        content = self._session.content()
        base_index, base_term, last_index = self._range()
        terms: list[tuple[int, int]] = []
        collected: list[bytes] = []
        index = base_index + 1
        for place, first in enumerate(self._firsts):
            span = self._verified(first)
            if first != index and not (place == 0 and first <= base_index < span.last_index):
                raise FolderDamaged("log", f"record {index} is missing, {first} stands in its place")
            if span.kind in collect_kinds:
                collected.append(content[_key_of(first)])
            if not terms or terms[-1][1] != span.term:
                terms.append((index, span.term))
            index = span.last_index + 1
        for key, value in content.items():
            if key.startswith(META_PREFIX):
                unseal(key, value, what="log meta record")
        if index != last_index + 1:
            raise FolderDamaged("log", f"it ends at record {index - 1}, but {last_index} was written")
        return LoadedLog(
            self._get(HARD_STATE_KEY), base_index, base_term, last_index, tuple(terms), tuple(collected)
        )

    def read(self, first: int, last: int, *, bytes_max: int) -> list[bytes]:
        """See `LogStore.read`."""
        content = self._session.content()
        base_index, _base_term, last_index = self._range()
        blocks: list[bytes] = []
        block_bytes = 0
        while first <= last:
            if not base_index < first <= last_index:
                raise Missing(first, base_index=base_index, last_index=last_index)
            span = self._holding(first)
            block = content[_key_of(span.first_index)]
            block_bytes += len(block)
            if blocks and block_bytes > bytes_max:
                break
            blocks.append(block)
            first = span.last_index + 1
        return blocks

    def write(self, batches: Sequence[LogBatch]) -> None:
        """See `LogStore.write`."""
        plan = plan_write(batches, base_index=self._base_index, last_index=self._last_index)
        transaction: dict[bytes, bytes | None] = {}
        firsts = self._firsts
        if plan.cut_from is not None:
            kept = bisect_left(firsts, plan.cut_from)
            cut = self._holding(plan.cut_from).first_index
            if cut < plan.cut_from == self._base_index + 1:
                kept -= 1
            elif cut < plan.cut_from:
                block = self._session.content()[_key_of(cut)]
                transaction[_key_of(cut)] = cut_before(block, plan.cut_from)
            transaction.update(_deletions(firsts[kept:]))
            firsts = firsts[:kept]
        transaction.update((_key_of(first), block) for first, block in plan.blocks)
        if transaction:
            transaction.update(_range_of(self._base_index, self._base_term, plan.last_index))
        if plan.hard_state is not None:
            transaction[HARD_STATE_KEY] = seal(HARD_STATE_KEY, plan.hard_state)
        if transaction:
            self._session.commit(transaction)
        self._firsts = firsts + [first for first, _ in plan.blocks]
        self._last_index = plan.last_index

    def trim(self, base_index: int, base_term: int, *, blocks_max: int = TRIM_BLOCKS_MAX) -> int:
        """See `LogStore.trim`."""
        if base_index <= self._base_index or blocks_max <= 0:
            return 0
        if base_index > self._last_index:
            raise Misused(f"cannot trim up to {base_index}: the log ends at {self._last_index}")
        if self._holding(base_index).term != base_term:
            raise Misused(f"record {base_index} does not have term {base_term}")
        passed = [self._verified(first) for first in self._firsts[:blocks_max] if first <= base_index]
        stop, term = min(passed[-1].last_index, base_index), passed[-1].term
        gone = [span.first_index for span in passed if span.last_index <= base_index]
        self._session.commit(_deletions(gone) | _range_of(stop, term, self._last_index))
        trimmed = stop - self._base_index
        self._base_index, self._base_term = stop, term
        self._firsts = self._firsts[len(gone) :]
        return trimmed

    def reset(self, base_index: int, base_term: int) -> None:
        """See `LogStore.reset`."""
        transaction = _deletions(self._firsts) | _range_of(base_index, base_term, base_index)
        self._session.commit(transaction)
        self._firsts = []
        self._base_index, self._base_term, self._last_index = base_index, base_term, base_index

    def get_meta(self, name: str) -> bytes | None:
        """See `LogStore.get_meta`."""
        return self._get(FACT_PREFIX + name.encode())

    def put_meta(self, name: str, value: bytes) -> None:
        """See `LogStore.put_meta`."""
        key = FACT_PREFIX + name.encode()
        self._session.commit({key: seal(key, value)})

    def close(self) -> None:
        """See `LogStore.close`."""
        self._session.close()

    def flip_record_bit(self, index: int, *, bit: int) -> None:
        """Damage the stored block that has the entry at `index`; see `MemoryDisk.flip_bit`."""
        self.disk.flip_bit(_key_of(self._firsts[bisect_right(self._firsts, index) - 1]), bit=bit)

    def _range(self) -> tuple[int, int, int]:
        data = self._get(RANGE_KEY)
        if data is None:
            raise FolderDamaged("log", "the record of its range is missing")
        base_index, base_term, last_index = THREE_NUMBERS.unpack(data)
        return base_index, base_term, last_index

    def _holding(self, index: int) -> Span:
        """What is in the block that has the entry at `index`."""
        place = bisect_right(self._firsts, index) - 1
        span = self._verified(self._firsts[place]) if place >= 0 else None
        if span is None or index > span.last_index:
            raise FolderDamaged(f"log record {index}", "it is missing")
        return span

    def _verified(self, first: int) -> Span:
        """What is in the block that begins with the entry at `first`."""
        block = self._session.content().get(_key_of(first))
        if block is None:
            raise FolderDamaged(f"log record {first}", "it is missing")
        return verify(INDEX_KEY.pack(first), block)

    def _get(self, key: bytes) -> bytes | None:
        sealed = self._session.content().get(key)
        return None if sealed is None else unseal(key, sealed, what="log meta record")


class MemoryStateStore:
    """`StateStore` on a `MemoryDisk` (contract in `storage.contract`)."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        """Open the state on `disk` at its checkpoint, a new and empty one by default. Raises `FolderDamaged`."""
        self.disk = disk if disk is not None else MemoryDisk()
        self._session = Session(self.disk)
        if not self.disk.content:
            self._session.commit(_applied_at(0, 0, 0))
            self.disk.sync()
        sealed = self.disk.content.get(APPLIED_KEY)
        if sealed is None:
            raise FolderDamaged("state", "the record of its checkpoint is missing")
        index, term, keys = THREE_NUMBERS.unpack(unseal(APPLIED_KEY, sealed, what="state meta record"))
        if keys != len(self.disk.content) - 1:
            raise FolderDamaged(
                "state", f"it holds {len(self.disk.content) - 1} keys, but {keys} were written"
            )
        self._live: dict[bytes, bytes | None] = {}
        self._frozen: FrozenChanges | None = None
        self._change_bytes = 0
        self._live_bytes = self._frozen_bytes = 0
        self._applied = self._checkpoint = (index, term)

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
        return self._change_bytes

    @property
    def memory_bytes(self) -> int:
        """See `StateStore.memory_bytes`."""
        return self._live_bytes + self._frozen_bytes

    def claim_writes(self) -> None:
        """See `StateStore.claim_writes`."""
        self._session.claim_writes()

    def get(self, key: bytes) -> bytes | None:
        """See `StateStore.get`."""
        content = self._session.content()
        for layer in (self._live, self._frozen.changes if self._frozen else {}):
            if key in layer:
                return layer[key]
        sealed = content.get(DATA_PREFIX + key)
        return None if sealed is None else unseal(key, sealed, what="value of key")

    def head(self, key: bytes, length: int) -> bytes | None:
        """See `StateStore.head`."""
        content = self._session.content()
        for layer in (self._live, self._frozen.changes if self._frozen else {}):
            if key in layer:
                value = layer[key]
                return None if value is None else value[:length]
        sealed = content.get(DATA_PREFIX + key)
        return None if sealed is None else unseal_head(key, sealed, length, what="value of key")

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See `StateStore.scan`."""
        content = self._session.content()
        keys = {key[1:] for key in content if key.startswith(DATA_PREFIX)} | set(self._live)
        if self._frozen is not None:
            keys |= set(self._frozen.changes)
        found: list[tuple[bytes, bytes]] = []
        for key in sorted(key for key in keys if first <= key and (end is None or key < end)):
            if len(found) >= limit:
                break
            value = self.get(key) if length is None else self.head(key, length)
            if value is not None:
                found.append((key, value))
        return found

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        """See `StateStore.write`."""
        self._session.content()
        check_write(changes, index=index, applied_index=self._applied[0])
        self._live_bytes += grown_bytes(self._live, changes)
        self._live.update(changes)
        self._change_bytes += counted_bytes(changes)
        self._applied = (index, term)

    def freeze(self) -> FrozenChanges | None:
        """See `StateStore.freeze`."""
        if self._frozen is not None or self._applied == self._checkpoint:
            return None
        self._frozen = FrozenChanges(self._live, *self._applied, change_bytes=self._change_bytes)
        self._live = {}
        self._frozen_bytes, self._live_bytes = self._live_bytes, 0
        self._change_bytes = 0
        return self._frozen

    def flush(self, frozen: FrozenChanges) -> None:
        """See `StateStore.flush`."""
        content = self._session.content()
        transaction: dict[bytes, bytes | None] = {
            DATA_PREFIX + key: None if value is None else seal(key, value)
            for key, value in frozen.changes.items()
        }
        keys = len(content) - 1
        for key, value in transaction.items():
            keys += (value is not None) - (key in content)
        self._session.commit(transaction | _applied_at(frozen.index, frozen.term, keys))

    def thaw(self, frozen: FrozenChanges) -> None:
        """See `StateStore.thaw`."""
        if frozen is not self._frozen:
            raise Misused("these changes are not the frozen ones")
        self._frozen = None
        self._frozen_bytes = 0
        self._checkpoint = (frozen.index, frozen.term)

    def clear(self) -> None:
        """See `StateStore.clear`."""
        if self._frozen is not None:
            raise Misused("cannot clear the state while changes are frozen")
        deletions: dict[bytes, bytes | None] = {
            key: None for key in self._session.content() if key.startswith(DATA_PREFIX)
        }
        self._session.commit(deletions | _applied_at(0, 0, 0))
        self._live = {}
        self._live_bytes = self._change_bytes = 0
        self._applied = self._checkpoint = (0, 0)

    def export(self, *, cluster_id: str, describe: Describe) -> tuple[Manifest, bytes]:
        """A snapshot of the checkpoint on the disk, whole, in memory; see `LmdbStateStore.export`."""
        content = self._session.content()
        index, term, _keys = THREE_NUMBERS.unpack(
            unseal(APPLIED_KEY, content[APPLIED_KEY], what="state meta record")
        )

        def read(key: bytes) -> bytes | None:
            sealed = content.get(DATA_PREFIX + key)
            return None if sealed is None else unseal(key, sealed, what="value of key")

        configuration_index, configuration = describe(read)
        data = cbor2.dumps(sorted(content.items()))
        manifest = Manifest(
            cluster_id=cluster_id,
            index=index,
            term=term,
            configuration_index=configuration_index,
            configuration=configuration,
            data_bytes=len(data),
        )
        return manifest, pack_container(manifest, data)

    @staticmethod
    def install(disk: MemoryDisk, snapshot: bytes) -> Manifest:
        """Replace the content of `disk` by an exported `snapshot`, in one transaction, after verifying it.

        Like the swap on a real disk: stores open on it are to be closed before, and opened anew. Raises
        `SnapshotDamaged`, and then nothing has changed.
        """
        manifest, data = unpack_container(snapshot)
        content: dict[bytes, bytes] = {bytes(key): bytes(value) for key, value in cbor2.loads(data)}
        try:
            state = MemoryStateStore(MemoryDisk(content=content))
            if state.checkpoint != (manifest.index, manifest.term):
                raise SnapshotDamaged("the snapshot", f"it is the state at {state.checkpoint}")
            state.scan(b"", None, limit=len(content))
        except FolderDamaged as error:
            raise SnapshotDamaged(error.what, error.why) from error
        removed: dict[bytes, bytes | None] = dict.fromkeys(disk.content.keys() - content.keys())
        disk.commit(removed | content)
        return manifest

    def close(self) -> None:
        """See `StateStore.close`."""
        self._session.close()

    def flip_value_bit(self, key: bytes, *, bit: int) -> None:
        """Damage the stored value of `key`; see `MemoryDisk.flip_bit`."""
        self.disk.flip_bit(DATA_PREFIX + key, bit=bit)


def _key_of(first: int) -> bytes:
    """Where the block is stored that begins with the entry at `first`."""
    return DATA_PREFIX + INDEX_KEY.pack(first)


def _deletions(firsts: Sequence[int]) -> dict[bytes, bytes | None]:
    """A transaction that deletes the blocks that begin with these entries."""
    return {_key_of(first): None for first in firsts}


def _range_of(base_index: int, base_term: int, last_index: int) -> dict[bytes, bytes | None]:
    """A transaction that writes the range of a log."""
    return {RANGE_KEY: seal(RANGE_KEY, THREE_NUMBERS.pack(base_index, base_term, last_index))}


def _applied_at(index: int, term: int, keys: int) -> dict[bytes, bytes | None]:
    """A transaction that writes the marker of a state with `keys` keys."""
    return {APPLIED_KEY: seal(APPLIED_KEY, THREE_NUMBERS.pack(index, term, keys))}
