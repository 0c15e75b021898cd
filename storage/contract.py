"""The contract of a log store and a state store, which the LMDB pair and its twins in memory implement.

The stores deal in bytes and integers only: an index is a position from 1, and a term is a number stored with it, whose
meaning the stores do not know. One contract suite (tests/storage) runs on both implementations.

Threads. Every writing method belongs to one thread at a time: the thread that opened the store, until another
calls `claim_writes`. Writing from any other thread raises `Misused`. Reading methods may be called from any thread;
no read transaction outlives the call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

INDEX_MAX = 2**63 - 1
"""Largest index and term: eight bytes with room to compare as signed numbers anywhere."""

KEY_BYTES_MAX = 511
"""Longest key of the state store, LMDB's own limit (hazard B67). The shortest is one byte."""

TRIM_BLOCKS_MAX = 4096
"""Blocks that one `trim` deletes unless told otherwise: some milliseconds of the writing thread."""


Describe = Callable[[Callable[[bytes], bytes | None]], tuple[int, bytes]]
"""A function that gets a function which reads a key of a state, and returns (configuration index, configuration) as of
that state."""


class LogBatch(NamedTuple):
    """What must become durable together: a new hard state, a truncation, blocks appended, in that order of effect.

    * `hard_state`: replaces the stored one; None leaves it.
    * `truncate_from`: entries with index >= it go before the append; None truncates nothing.
    * `blocks`: appended as they are; their indexes go on without a gap from the last one kept.
    """

    hard_state: bytes | None = None
    truncate_from: int | None = None
    blocks: Sequence[bytes] = ()


class LoadedLog(NamedTuple):
    """What a log holds, after all of it was verified.

    * `base_index`, `base_term`: the entry before the first one kept, (0, 0) if nothing was ever trimmed.
    * `last_index`: the last entry, equal to `base_index` if there is none.
    * `term_starts`: (first index of a run, its term), ascending, for the entries kept.
    * `collected`: the blocks of the kinds that `load` was asked to collect, ascending.
    """

    hard_state: bytes | None
    base_index: int
    base_term: int
    last_index: int
    term_starts: tuple[tuple[int, int], ...]
    collected: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store occupies, in bytes. Used pages and reusable ones make up the file.

    * `file_bytes`: length of the file, which never shrinks; `allocated_bytes`: what of it the disk has set aside.
    * `used_bytes`: pages that hold something; the rest is written again before the file grows.
    * `map_bytes`: what the file cannot grow beyond.
    """

    file_bytes: int
    allocated_bytes: int
    used_bytes: int
    map_bytes: int

    @property
    def reusable_bytes(self) -> int:
        """What can be written without asking the disk for more."""
        return max(0, min(self.file_bytes, self.allocated_bytes) - self.used_bytes)


class LogStore(Protocol):
    """A durable sequence of entries in blocks (`storage.blocks`), a hard state beside it, and small named facts."""

    def claim_writes(self) -> None:
        """From now on only the calling thread may write. Call it while no write is under way."""

    def load(self, *, collect_kinds: frozenset[int] = frozenset()) -> LoadedLog:
        """Read everything once, verifying checksums and contiguity; keep the blocks of `collect_kinds`.

        Raises `FolderDamaged`, and mends nothing.
        """
        ...

    def read(self, first: int, last: int, *, bytes_max: int) -> list[bytes]:
        """The blocks with the entries first..last, checksums verified; empty if first > last.

        They are whole, so there may be entries before `first` in the first one, and after `last` in the last one. Stops
        before they would pass `bytes_max`, but returns at least one. Raises `Missing` if `first` is not held or, unless
        `bytes_max` ended it before, `last` is not; `FolderDamaged` for a bad checksum.
        """
        ...

    def write(self, batches: Sequence[LogBatch]) -> None:
        """Make all batches durable, in order, together and with one wait for the disk: all of it or nothing.

        Raises `Misused` (gap, truncation at or below the base, wrong thread; nothing written) or `WriteFailed`,
        after which this store never writes again.
        """

    def trim(self, base_index: int, base_term: int, *, blocks_max: int = TRIM_BLOCKS_MAX) -> int:
        """Let the log begin after `base_index`, deleting at most `blocks_max` blocks; returns how many entries went.

        Durable. A block goes once the base has passed its last entry. The base is right after every step, so a caller
        repeats it until it returns 0. Raises `Misused` if `base_index` is past the end or has another term, and what
        `write` raises.
        """
        ...

    def reset(self, base_index: int, base_term: int) -> None:
        """Delete every block and go on after (base_index, base_term), as if all before it had been trimmed. The hard
        state stays.

        For a snapshot that the log does not connect to (hazards B25, B34). Durable; raises what `write` raises.
        """

    def get_meta(self, name: str) -> bytes | None:
        """The fact stored under `name`, verified; None if there is none. Raises `FolderDamaged`."""

    def put_meta(self, name: str, value: bytes) -> None:
        """Store a small fact durably. Raises what `write` raises."""

    def close(self) -> None:
        """Release the files. Idempotent; everything acknowledged is already durable."""


@dataclass(frozen=True, slots=True)
class FrozenChanges:
    """Changes on their way to the disk: `changes` (None deletes) up to (index, term). They are not altered any more.

    `change_bytes` is what they took in memory when written, overwritten ones included, and more for deletions.
    """

    changes: Mapping[bytes, bytes | None]
    index: int
    term: int
    change_bytes: int


class StateStore(Protocol):
    """One ordered key space, bytes to bytes: changes in memory over a durable checkpoint.

    Keys are 1 to `KEY_BYTES_MAX` bytes. A crash loses what was not flushed, never a part of a flush.
    """

    @property
    def applied(self) -> tuple[int, int]:
        """(index, term) of the last `write`, in memory."""
        ...

    @property
    def checkpoint(self) -> tuple[int, int]:
        """(index, term) that is surely durable: a restart comes back with this or a later one."""
        ...

    @property
    def change_bytes(self) -> int:
        """Bytes of what was written since the last `freeze`, overwritten included: what the next one has to carry, or
        more."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that changes take: present ones, frozen ones, and those that are durable and still held."""
        ...

    def claim_writes(self) -> None:
        """From now on only the calling thread may `flush` and `clear`. Call it while neither is under way."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, None if it has none. Raises `FolderDamaged` for a bad checksum."""

    def head(self, key: bytes, length: int) -> bytes | None:
        """The first `length` bytes of the value of `key`, all if it is shorter, None if it has none.

        The cost does not grow with the value: the checksum of a long value is not verified.
        """

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Pairs with first <= key < end (None: to the last key), ascending, at most `limit`.

        `length`: of each value no more than so many bytes, as `head` gives them.
        """
        ...

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        """Apply `changes` (None deletes) and move `applied`, in memory, both or neither.

        `index` must grow: applying an index twice is a bug (hazard B30) and raises `Misused`, as a bad key does.
        """

    def freeze(self) -> FrozenChanges | None:
        """Set the present changes aside for `flush` and lay a new overlay over them; reads see both.

        None if a frozen overlay exists already, or nothing was applied since the checkpoint.
        """

    def flush(self, frozen: FrozenChanges) -> None:
        """Make `frozen` and its applied index durable in one transaction. The one method for the writing thread.

        Raises `WriteFailed`, after which this store never flushes again.
        """

    def thaw(self, frozen: FrozenChanges) -> None:
        """Drop the frozen overlay after its flush returned; moves `checkpoint`. On the thread that reads."""

    def clear(self) -> None:
        """Delete everything, in memory and durably; `applied` is (0, 0) again. Only while nothing is frozen."""

    def close(self) -> None:
        """Release the files; what was not flushed is gone. Idempotent."""
