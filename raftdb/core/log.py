"""The log as the core sees it: terms of all of it, bodies of its tail (thesis 3.5).

The core decides by index and term alone, so for the whole log it keeps one (first index, term) pair per term.
Bodies are kept for the tail: always for what is not yet on disk or was appended and is not yet committed (so that
its bytes can be counted: `cached_bytes_above`), and beyond that as many bytes as the cache allows, since followers
and the state machine mostly ask for what was just appended. Older bodies are read from disk by the replica, on
request (`update.EntriesWanted`).

Bodies are kept as the bytes of whole blocks (`raftdb.core.block`); the value that names what is in one is made anew for
each caller. The garbage collector does not track bytes, but took 107 ms to walk over half a million objects, during
which nothing else ran.

Invariants, checked by `invariants.check_log`:
* indexes run from `base.index + 1` to `last_index` without a gap; terms never decrease along it;
* `base.index <= persisted_index <= last_index`; everything above `persisted_index` is in the cache;
* the cached blocks follow each other and end with the log; `base` may be inside the first one;
* a position outside of the log has no term: the answer is None, never 0 (hazard B19).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence

from raftdb.core.block import ENTRY_OVERHEAD_BYTES, SIZE_BYTES, Block, cut_to
from raftdb.core.model import ORIGIN, EntryId, Index, Term
from raftdb.errors import InvariantBroken

BLOCK_MEMORY_BYTES = 96
"""What a block in memory takes beside the data and the sizes of its entries: the header, the object around the bytes,
and its places in the lists. Measured with tracemalloc."""


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
        self._blocks: list[bytes] = []  # the blocks of the last entries
        self._block_ends = array("q")  # the last index of each
        self._byte_ends = array("q")  # running total of bytes up to and with each of them
        self._writes: deque[tuple[int, Index]] = deque()  # (sequence, last index written by it)
        self._given: tuple[tuple[Index, Index, int], tuple[Block, ...]] = (
            (0, 0, 0),
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
        if not self._blocks:
            return self.last_index + 1
        return max(self.base.index + 1, self._block(0).first_index)

    def term_at(self, index: Index) -> Term | None:
        """Term of the entry at `index`; None if it was compacted away or never existed."""
        if index > self.last_index or index < self.base.index:
            return None
        return self._run_terms[bisect_right(self._run_starts, index) - 1]

    def term_runs(self, limit: int) -> list[tuple[Index, Term]]:
        """Where each term begins, of the newest `limit` terms that the log has entries of."""
        starts = [max(start, self.base.index + 1) for start in self._run_starts[-limit:]]
        ends = [*starts[1:], self.last_index + 1]
        runs = zip(starts, ends, self._run_terms[-limit:], strict=True)
        return [(start, term) for start, end, term in runs if start < end]

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

    def last_of_term(self, first: Index, term: Term) -> Index:
        """The last of the neighbouring entries of `term` that begin at `first`; the index before it if that is not in
        the log or of another term."""
        if self.term_at(first) != term:
            return first - 1
        following = bisect_right(self._run_starts, first)
        return self._run_starts[following] - 1 if following < len(self._run_starts) else self.last_index

    def append(self, blocks: Sequence[Block]) -> None:
        """Add blocks that follow the last entry."""
        for block in blocks:
            if block.term != self._run_terms[-1]:
                self._run_starts.append(block.first_index)
                self._run_terms.append(block.term)
            self._byte_ends.append(block.size_bytes + (self._byte_ends[-1] if self._byte_ends else 0))
            self._block_ends.append(block.last_index)
            self._blocks.append(block.encoded)
            self.last_index = block.last_index

    def truncate_from(self, index: Index) -> None:
        """Forget the entries from `index` on. A write in flight no longer counts for them.

        A write in flight may complete after this: its claim is cut here, so that a different entry that comes to
        stand at the same index is never taken for durable (hazard B17).
        """
        self._given = (0, 0, 0), ()
        self.last_index = index - 1
        while len(self._run_starts) > 1 and self._run_starts[-1] >= index:
            self._run_starts.pop()
            self._run_terms.pop()
        kept = bisect_left(self._block_ends, index)
        cut = [self._block(kept)] if kept < len(self._blocks) else []
        del self._blocks[kept:], self._block_ends[kept:], self._byte_ends[kept:]
        self.append([block.part(block.first_index, index - 1) for block in cut if block.first_index < index])
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
        self._drop(bisect_right(self._block_ends, index))

    def reset(self, base: EntryId) -> None:
        """Forget everything and begin anew after `base`, the end of a snapshot. Claims of writes in flight are cut."""
        self._given = (0, 0, 0), ()
        self.base = base
        self.last_index = self.persisted_index = base.index
        self._run_starts = [base.index]
        self._run_terms = [base.term]
        self._drop(len(self._blocks))
        self._writes = deque((sequence, base.index) for sequence, _ in self._writes)

    def written(self, sequence: int) -> None:
        """Note that everything up to `last_index` is handed to the disk under `sequence`."""
        self._writes.append((sequence, self.last_index))

    def persisted(self, sequence: int, *, commit_index: Index) -> None:
        """Everything handed over up to `sequence` is on disk; what is also committed may leave the cache."""
        while self._writes and self._writes[0][0] <= sequence:
            self.persisted_index = max(self.persisted_index, self._writes.popleft()[1])
        self._evict(min(self.persisted_index, commit_index))

    def cached(self, first: Index, last: Index, *, bytes_max: int) -> tuple[Block, ...] | None:
        """Entries from `first` on, up to `last` or `bytes_max` bytes, but at least one; None if not in memory."""
        if first < self.cache_first:
            return None
        if first > last:
            return ()
        asked = first, last, bytes_max
        if asked != self._given[0]:
            self._given = asked, cut_to(self._blocks_from(first), first, last, bytes_max=bytes_max)
        return self._given[1]

    def cached_blocks(self, first: Index) -> Iterator[Block] | None:
        """The cached blocks, whole, from the one on that has the entry at `first`; None if that is not in memory. To be
        used before the log changes."""
        return None if first < self.cache_first else self._blocks_from(first)

    def cached_bytes_above(self, index: Index) -> int:
        """Bytes of the cached entries above `index`: derived, so that no counter can leak (hazard B21)."""
        if not self._blocks or index >= self.last_index:
            return 0
        index = max(index, self.cache_first - 1)
        place = bisect_left(self._block_ends, index + 1)
        return self._byte_ends[-1] - self._bytes_before(place) - self._block(place).bytes_up_to(index)

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that the cached entries take."""
        if not self._blocks:
            return 0
        entry_count = self.last_index + 1 - self._block(0).first_index
        overhead = entry_count * (SIZE_BYTES - ENTRY_OVERHEAD_BYTES) + len(self._blocks) * BLOCK_MEMORY_BYTES
        return self._byte_ends[-1] - self._bytes_before(0) + overhead

    def index_with_bytes_above(self, bytes_max: int) -> Index | None:
        """The lowest index with at most `bytes_max` bytes above it; None if that is below what is in memory."""
        if self.cached_bytes_above(self.cache_first - 1) <= bytes_max:
            return None
        goal = self._byte_ends[-1] - bytes_max
        place = bisect_left(self._byte_ends, goal)
        return self._block(place).index_at(goal - self._bytes_before(place))

    def _evict(self, last_evictable: Index) -> None:
        """Drop the oldest blocks, up to `last_evictable`, while the cache is over its limit, many at a time."""
        if self.memory_bytes <= self._cache_bytes_max:
            return
        total = self._byte_ends[-1] - self._bytes_before(0)
        # The limit is of memory, the running totals are of bytes as the other limits count them.
        kept_bytes = self._cache_bytes_max * 3 // 4 * total // self.memory_bytes
        count = bisect_right(self._byte_ends, self._byte_ends[-1] - kept_bytes)
        self._drop(min(count, bisect_right(self._block_ends, last_evictable)))

    def _drop(self, count: int) -> None:
        """Forget the oldest `count` blocks."""
        if count > 0:
            del self._blocks[:count], self._block_ends[:count], self._byte_ends[:count]

    def _block(self, place: int) -> Block:
        """The cached block at `place`."""
        return Block.read(self._blocks[place])

    def _blocks_from(self, index: Index) -> Iterator[Block]:
        """The cached blocks from the one on that has the entry at `index`."""
        place = bisect_left(self._block_ends, index)
        return map(self._block, range(place, len(self._blocks)))

    def _bytes_before(self, place: int) -> int:
        """The running total before the cached block at `place`."""
        return self._byte_ends[place - 1] if place else self._byte_ends[0] - self._block(0).size_bytes
