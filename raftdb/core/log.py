"""The log as the core sees it: terms of all of it, bodies of its tail (thesis 3.5).

The core decides by index and term alone, so for the whole log it keeps one (first index, term) pair per term.
Bodies are kept for the tail: always for what is not yet on disk or was appended and is not yet committed (so that
its bytes can be counted: `cached_bytes_above`), and beyond that as many bytes as the cache allows, since followers
and the state machine mostly ask for what was just appended. Older bodies are read from disk by the replica, on
request (`update.EntriesWanted`).

Bodies are kept in columns of bytes, and an entry object is made anew for each caller. The garbage collector does not
track bytes, but took 107 ms to walk over half a million entry objects, during which nothing else ran.

Invariants, checked by `invariants.check_log`:
* indexes run from `base.index + 1` to `last_index` without a gap; terms never decrease along it;
* `base.index <= persisted_index <= last_index`; everything above `persisted_index` is in the cache;
* a position outside of the log has no term: the answer is None, never 0 (hazard B19).
"""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat

from raftdb.core.model import ORIGIN, Entry, EntryId, EntryKind, Index, Term
from raftdb.errors import InvariantBroken

KINDS = {int(kind): kind for kind in EntryKind}
"""The kind of an entry by its number."""
ENTRY_OVERHEAD_BYTES = 32
"""Counted for every entry beside its data, so that many empty entries are not free."""


ENTRY_MEMORY_BYTES = 52
"""What an entry in memory takes beside its data: the data's object, and its places in the lists. Measured with
tracemalloc: 51 to 52 bytes for data of 20 to 4000."""


def entry_bytes(entry: Entry) -> int:
    """Size of an entry as limits count it, in bytes."""
    return len(entry.data) + ENTRY_OVERHEAD_BYTES


class Log:
    """Terms of the whole log, bodies of its tail, and what of it is on disk."""

    def __init__(
        self,
        *,
        base: EntryId = ORIGIN,
        last_index: Index = 0,
        term_starts: Sequence[tuple[Index, Term]] = (),
        cache_bytes_max: int,
    ) -> None:
        self.base = base
        self.last_index = last_index
        self.persisted_index = last_index
        self._run_starts = [base.index] + [start for start, _ in term_starts]
        self._run_terms = [base.term] + [term for _, term in term_starts]
        self._cache_bytes_max = cache_bytes_max
        self._cache: list[bytes] = []  # data of the last entries
        self._cache_kinds = bytearray()  # their kinds
        self._cache_ends = array("q")  # running total of bytes up to and with each of them
        self._writes: deque[tuple[int, Index]] = deque()  # (sequence, last index written by it)
        self._given: tuple[range, tuple[Entry, ...]] = (
            range(0),
            (),
        )  # what was last asked for: followers get the same

    @property
    def last_term(self) -> Term:
        """Term of the last entry (of `base` if there is none)."""
        return self._run_terms[-1]

    @property
    def last(self) -> EntryId:
        """Name of the last entry."""
        return EntryId(self.last_index, self._run_terms[-1])

    @property
    def cache_first(self) -> Index:
        """Index of the first entry whose body is in memory; `last_index + 1` if none is."""
        return self.last_index + 1 - len(self._cache)

    def term_at(self, index: Index) -> Term | None:
        """Term of the entry at `index`; None if it was compacted away or never existed."""
        if index > self.last_index or index < self.base.index:
            return None
        return self._run_terms[bisect_right(self._run_starts, index) - 1]

    def last_not_above(self, index: Index, term: Term) -> EntryId:
        """The last entry at or below `index` whose term is not above `term`: where two logs may still agree.

        Never below `base`: what was compacted is committed, so there every log agrees.
        """
        position = max(min(index, self.last_index), self.base.index)
        run = bisect_right(self._run_starts, position) - 1
        while self._run_terms[run] > term:
            if run == 0:
                return self.base
            position = self._run_starts[run] - 1
            run -= 1
        return EntryId(position, self._run_terms[run])

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one."""
        for entry in entries:
            if entry.term != self._run_terms[-1]:
                self._run_starts.append(entry.index)
                self._run_terms.append(entry.term)
        start = self._cache_ends[-1] if self._cache_ends else 0
        sizes = accumulate((entry_bytes(entry) for entry in entries), initial=start)
        next(sizes)
        self._cache.extend([entry.data for entry in entries])
        self._cache_kinds.extend([entry.kind for entry in entries])
        self._cache_ends.extend(sizes)
        self.last_index += len(entries)

    def truncate_from(self, index: Index) -> None:
        """Forget the entries from `index` on. A write in flight no longer counts for them.

        A write in flight may complete after this: its claim is cut here, so that a different entry that comes to
        stand at the same index is never taken for durable (hazard B17).
        """
        self._given = range(0), ()
        kept = max(0, index - self.cache_first)
        del self._cache[kept:], self._cache_kinds[kept:], self._cache_ends[kept:]
        self.last_index = index - 1
        while len(self._run_starts) > 1 and self._run_starts[-1] >= index:
            self._run_starts.pop()
            self._run_terms.pop()
        self.persisted_index = min(self.persisted_index, self.last_index)
        self._writes = deque((sequence, min(last, self.last_index)) for sequence, last in self._writes)

    def compact_to(self, index: Index) -> None:
        """Begin after `index`: entries up to it live on in the state only. `index` is not beyond what is on disk."""
        term = self.term_at(index)
        if term is None:
            raise InvariantBroken(f"compaction to {index} of {self.base}..{self.last}")
        if index > self.persisted_index:
            raise InvariantBroken(f"compaction to {index} beyond the disk's {self.persisted_index}")
        run = bisect_right(self._run_starts, index) - 1
        self._run_starts[: run + 1] = [index]
        self._run_terms[: run + 1] = [term]
        self.base = EntryId(index, term)
        self._drop(index + 1 - self.cache_first)

    def reset(self, base: EntryId) -> None:
        """Forget everything and begin anew after `base`, the end of a snapshot. Claims of writes in flight are cut."""
        self._given = range(0), ()
        self.base = base
        self.last_index = self.persisted_index = base.index
        self._run_starts = [base.index]
        self._run_terms = [base.term]
        self._drop(len(self._cache))
        self._writes = deque((sequence, base.index) for sequence, _ in self._writes)

    def written(self, sequence: int) -> None:
        """Note that everything up to `last_index` is handed to the disk under `sequence`."""
        self._writes.append((sequence, self.last_index))

    def persisted(self, sequence: int, *, commit_index: Index) -> None:
        """Everything handed over up to `sequence` is on disk; what is also committed may leave the cache."""
        while self._writes and self._writes[0][0] <= sequence:
            self.persisted_index = max(self.persisted_index, self._writes.popleft()[1])
        self._evict(min(self.persisted_index, commit_index))

    def cached(self, first: Index, last: Index, *, bytes_max: int) -> tuple[Entry, ...] | None:
        """Entries from `first` on, up to `last` or `bytes_max` bytes, but at least one; None if not in memory."""
        offset = first - self.cache_first
        if offset < 0:
            return None
        if first > last:
            return ()
        fitting = bisect_right(self._cache_ends, self._bytes_before(offset) + bytes_max, lo=offset)
        end = min(max(fitting, offset + 1), last - self.cache_first + 1)
        indexes = range(first, first + end - offset)
        if indexes != self._given[0]:
            kinds = map(KINDS.__getitem__, self._cache_kinds[offset:end])
            entries = tuple(map(Entry, indexes, self._terms_of(indexes), kinds, self._cache[offset:end]))
            self._given = indexes, entries
        return self._given[1]

    def cached_bytes_above(self, index: Index) -> int:
        """Bytes of the cached entries above `index`: derived, so that no counter can leak (hazard B21)."""
        if not self._cache or index >= self.last_index:
            return 0
        return self._cache_ends[-1] - self._bytes_before(max(0, index + 1 - self.cache_first))

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that the cached entries take."""
        overhead = len(self._cache) * (ENTRY_MEMORY_BYTES - ENTRY_OVERHEAD_BYTES)
        return self.cached_bytes_above(self.cache_first - 1) + overhead

    def index_with_bytes_above(self, bytes_max: int) -> Index | None:
        """The lowest index with at most `bytes_max` bytes above it; None if that is below what is in memory."""
        if self.cached_bytes_above(self.cache_first - 1) <= bytes_max:
            return None
        return self.cache_first + bisect_right(self._cache_ends, self._cache_ends[-1] - bytes_max - 1)

    def _evict(self, last_evictable: Index) -> None:
        """Drop the oldest bodies, up to `last_evictable`, while the cache is over its limit, many at a time."""
        if self.memory_bytes <= self._cache_bytes_max:
            return
        total = self.cached_bytes_above(self.cache_first - 1)
        # The limit is of memory, the running totals are of bytes as the other limits count them.
        kept_bytes = self._cache_bytes_max * 3 // 4 * total // self.memory_bytes
        surplus = self._cache_ends[-1] - kept_bytes
        count = bisect_right(self._cache_ends, surplus)
        self._drop(min(count, last_evictable - self.cache_first + 1))

    def _drop(self, count: int) -> None:
        """Forget the oldest `count` bodies."""
        if count > 0:
            del self._cache[:count], self._cache_kinds[:count], self._cache_ends[:count]

    def _bytes_before(self, offset: int) -> int:
        """The running total up to the cached entry at `offset`, without it."""
        if offset:
            return self._cache_ends[offset - 1]
        return self._cache_ends[0] - len(self._cache[0]) - ENTRY_OVERHEAD_BYTES

    def _terms_of(self, indexes: range) -> Iterable[Term]:
        """The terms of these entries, which are in the log; mostly all of them are of one."""
        run = bisect_right(self._run_starts, indexes[0]) - 1
        if bisect_right(self._run_starts, indexes[-1]) - 1 == run:
            return repeat(self._run_terms[run])
        return [self._run_terms[bisect_right(self._run_starts, index) - 1] for index in indexes]
