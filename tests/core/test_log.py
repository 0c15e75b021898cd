"""The log: against examples, and against a plain list of entries that does the same without any cleverness."""

import gc
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raftdb.core import block
from raftdb.core.block import ENTRY_OVERHEAD_BYTES
from raftdb.core.invariants import check_log
from raftdb.core.log import Log
from raftdb.core.model import ORIGIN, Entry, EntryId, EntryKind, Term
from raftdb.errors import InvariantBroken
from tests.blocks import blocks

EVERYTHING = 1 << 40


def entries_of(first: int, terms: Sequence[Term], size: int = 8) -> list[Entry]:
    """Entries of these terms, from index `first` on."""
    return [
        Entry(index, term, EntryKind.COMMAND, b"x" * size) for index, term in enumerate(terms, start=first)
    ]


def blocks_from(first: int, terms: Sequence[Term], size: int = 8) -> Sequence[block.Block]:
    """The same as blocks: one for each run of a term."""
    return blocks(entries_of(first, terms, size))


def entry_bytes(entry: Entry) -> int:
    return block.entry_bytes(entry.data)


def cached(log: Log, first: int, last: int, *, bytes_max: int) -> tuple[Entry, ...] | None:
    """What `Log.cached` gives, as entries."""
    found = log.cached(first, last, bytes_max=bytes_max)
    return None if found is None else tuple(block.entries_of(found))


def log_of(terms: Sequence[Term], *, base: EntryId = ORIGIN, cache_bytes_max: int = EVERYTHING) -> Log:
    """A log whose entries, behind `base`, were appended and not yet written."""
    log = Log(base=base, last_index=base.index, cache_bytes_max=cache_bytes_max)
    log.append(blocks_from(base.index + 1, terms))
    return log


def test_an_empty_log_ends_at_its_origin() -> None:
    log = Log(cache_bytes_max=0)
    assert (log.last, log.cache_first, log.persisted_index) == (ORIGIN, 1, 0)
    assert log.term_at(0) == 0
    assert log.term_at(1) is None
    assert log.cached_bytes_above(0) == 0


def test_a_position_outside_of_the_log_has_no_term() -> None:
    """Hazard B19: None, and never 0."""
    log = log_of([3, 3, 5], base=EntryId(7, 2))
    assert [log.term_at(index) for index in range(5, 13)] == [None, None, 2, 3, 3, 5, None, None]
    assert log.term_at(0) is None


def test_a_log_read_from_disk_knows_its_terms_and_has_no_bodies() -> None:
    log = Log(last_index=5, term_starts=[(1, 1), (3, 4)], cache_bytes_max=EVERYTHING)
    assert [log.term_at(index) for index in range(7)] == [0, 1, 1, 4, 4, 4, None]
    assert (log.persisted_index, log.cache_first) == (5, 6)
    assert log.cached(5, 5, bytes_max=EVERYTHING) is None
    log.append(blocks_from(6, [4]))
    assert cached(log, 6, 6, bytes_max=0) == tuple(entries_of(6, [4]))


def test_where_two_logs_may_still_agree() -> None:
    log = log_of([1, 1, 4, 4, 6], base=EntryId(10, 1))
    for (index, term), expected in {
        (15, 6): (15, 6),
        (99, 9): (15, 6),
        (15, 5): (14, 4),
        (14, 4): (14, 4),
        (14, 3): (12, 1),
        (11, 3): (11, 1),
        (15, 0): (10, 1),  # what was compacted is committed: there every log agrees
        (3, 9): (10, 1),
    }.items():
        assert log.last_not_above(index, term) == expected, (index, term)


def test_a_truncation_cuts_the_claim_of_a_write_that_is_on_its_way() -> None:
    """Hazard B17, also if the first entries come back: the write of the others lies between."""
    log = log_of([1, 2, 2])
    log.written(1)
    log.truncate_from(2)
    log.append(blocks_from(2, [3]))
    log.written(2)
    log.truncate_from(2)
    log.append(blocks_from(2, [2, 2]))
    log.written(3)
    for sequence, expected in [(1, 1), (2, 1), (3, 3)]:
        log.persisted(sequence, commit_index=0)
        assert log.persisted_index == expected


def test_a_truncation_takes_back_what_was_durable() -> None:
    log = Log(last_index=5, term_starts=[(1, 1), (4, 2)], cache_bytes_max=EVERYTHING)
    log.truncate_from(3)
    assert (log.last, log.persisted_index, log.cache_first) == ((2, 1), 2, 3)
    log.append(blocks_from(3, [1]))
    assert log.term_at(3) == 1
    check_log(log)


def test_a_batch_holds_one_entry_or_what_fits() -> None:
    log = log_of([1] * 6)
    size = entry_bytes(entries_of(1, [1])[0])
    assert size == 8 + ENTRY_OVERHEAD_BYTES
    for bytes_max, count in [
        (0, 1),
        (size - 1, 1),
        (size, 1),
        (2 * size - 1, 1),
        (2 * size, 2),
        (EVERYTHING, 4),
    ]:
        found = cached(log, 2, 5, bytes_max=bytes_max)
        assert found is not None
        assert [entry.index for entry in found] == list(range(2, 2 + count))


def test_followers_that_are_as_far_get_the_very_same_entries() -> None:
    """So that they are made, and encoded, once. A truncation or a snapshot puts others there."""
    log = log_of([1, 1, 1, 1])
    given = log.cached(2, 4, bytes_max=1000)
    assert log.cached(2, 4, bytes_max=1000) is given
    assert cached(log, 2, 3, bytes_max=1000) == tuple(entries_of(2, [1, 1]))
    log.truncate_from(4)
    log.append(blocks_from(4, [2], size=9))
    other = cached(log, 2, 4, bytes_max=1000)
    assert other is not None
    assert [entry.term for entry in other] == [1, 1, 2]
    log.reset(EntryId(1, 1))
    log.append(blocks_from(2, [3, 3, 3]))
    newest = cached(log, 2, 4, bytes_max=1000)
    assert newest is not None
    assert [entry.term for entry in newest] == [3, 3, 3]


@pytest.mark.parametrize(("persisted", "commit_index", "cache_first"), [(5, 5, 6), (5, 3, 4), (2, 5, 3)])
def test_only_what_is_on_disk_and_committed_leaves_the_cache(
    persisted: int, commit_index: int, cache_first: int
) -> None:
    log = Log(cache_bytes_max=0)
    for index in range(1, 6):
        log.append(blocks_from(index, [1]))
        log.written(index)
    log.persisted(persisted, commit_index=commit_index)
    assert log.cache_first == cache_first
    check_log(log)


def test_the_cache_stays_within_its_limit_in_the_long_run() -> None:
    log = Log(cache_bytes_max=4_000)
    for index in range(1, 1_000):
        log.append(blocks_from(index, [1]))
        log.written(index)
        log.persisted(index, commit_index=index)
        assert log.memory_bytes <= 4_000
    assert log.memory_bytes >= 2_500, "it is emptied by a quarter, not wholly"


@pytest.mark.parametrize(
    ("count", "data_bytes", "together"),
    [(20_000, 20, 100), (2_000, 1_000, 100), (5_000, 20, 1), (2_000, 1_000, 1)],
)
def test_entries_are_counted_as_what_they_take_in_memory(count: int, data_bytes: int, together: int) -> None:
    """Small ones in blocks of their own take six times their data; a cache that is counted by data would be as much
    larger."""
    log = Log(cache_bytes_max=EVERYTHING)
    tracemalloc.start()
    try:
        for first in range(1, count, together):
            new = [
                Entry(first + n, 1, EntryKind.COMMAND, bytes(data_bytes) + b"%d" % n) for n in range(together)
            ]
            log.append(blocks(new))
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.9 * taken_bytes < log.memory_bytes < 1.2 * taken_bytes


def test_the_collector_of_garbage_knows_no_entry_in_memory() -> None:
    """It would walk over half a million of them at once, and all else would wait."""
    log = log_of([])
    log.append(blocks_from(1, [1] * 2_000))
    for index in range(2_001, 4_001):
        log.append(blocks_from(index, [1]))
    known = [thing for thing in gc.get_objects() if type(thing) in (Entry, block.Block)]
    assert len(known) < 1_000, "but for what other tests hold"
    assert cached(log, 1_999, 2_000, bytes_max=EVERYTHING) == tuple(entries_of(1_999, [1, 1]))


def test_a_log_begins_after_what_is_compacted() -> None:
    log = Log(cache_bytes_max=EVERYTHING)
    log.append(blocks_from(1, [1, 1, 2, 2, 4]))
    log.written(1)
    log.persisted(1, commit_index=5)
    for index, base_term in [(1, 1), (3, 2), (4, 2)]:
        log.compact_to(index)
        assert (log.base, log.last, log.cache_first) == ((index, base_term), (5, 4), index + 1)
        check_log(log)
    log.compact_to(5)
    assert (log.base, log.last, log.cache_first) == ((5, 4), (5, 4), 6)
    log.append(blocks_from(6, [4]))
    assert [log.term_at(index) for index in (4, 5, 6, 7)] == [None, 4, 4, None]


@pytest.mark.parametrize("index", [2, 4, 7])
def test_a_log_is_not_compacted_outside_of_itself_or_beyond_the_disk(index: int) -> None:
    log = Log(base=EntryId(3, 1), last_index=3, cache_bytes_max=EVERYTHING)
    log.append(blocks_from(4, [1, 1, 1]))
    with pytest.raises(InvariantBroken, match="compaction to"):
        log.compact_to(index)


def test_a_reset_cuts_the_claim_of_a_write_that_is_on_its_way() -> None:
    """Hazard B17: it wrote other entries than those that come behind the snapshot."""
    log = log_of([1, 1, 1, 1, 1, 1])
    log.written(1)
    log.reset(EntryId(4, 2))
    log.written(2)
    log.append(blocks_from(5, [2, 2]))
    log.written(3)
    for sequence, expected in [(1, 4), (2, 4), (3, 6)]:
        log.persisted(sequence, commit_index=4)
        assert log.persisted_index == expected


def test_a_reset_may_also_go_back_to_below_the_end() -> None:
    log = log_of([1, 1, 1, 1, 1, 1])
    log.written(1)
    log.persisted(1, commit_index=0)
    log.reset(EntryId(4, 2))
    assert (log.base, log.last, log.persisted_index) == ((4, 2), (4, 2), 4)
    check_log(log)


class LogModel(RuleBasedStateMachine):
    """A log next to a list of its entries, the writes in flight as (sequence, entries then in the log)."""

    @initialize(
        base=st.tuples(st.integers(0, 5), st.integers(0, 2)),
        terms=st.lists(st.integers(0, 2), max_size=6),
        cache_bytes_max=st.sampled_from([0, 90, 300, EVERYTHING]),
    )
    def start(self, base: tuple[int, int], terms: list[int], cache_bytes_max: int) -> None:
        self.base = EntryId(*base) if base[0] else ORIGIN
        term = self.base.term
        recovered_terms = [term := term + step for step in terms]
        self.model = entries_of(self.base.index + 1, recovered_terms)
        starts: list[tuple[int, int]] = []
        for entry in self.model:
            if not starts or starts[-1][1] != entry.term:
                starts.append((entry.index, entry.term))
        self.log = Log(
            base=self.base,
            last_index=self.last,
            term_starts=starts,
            cache_bytes_max=cache_bytes_max,
        )
        self.disk = list(self.model)
        self.in_flight: list[tuple[int, list[Entry]]] = []
        self.sequence = 0
        self.commit_index = self.base.index

    @property
    def last(self) -> int:
        return self.base.index + len(self.model)

    def entry_at(self, index: int) -> Entry:
        return self.model[index - self.base.index - 1]

    def last_term(self) -> int:
        return self.model[-1].term if self.model else self.base.term

    @rule(steps=st.lists(st.integers(0, 2), min_size=1, max_size=4), size=st.integers(0, 60))
    def append(self, steps: list[int], size: int) -> None:
        self._append(steps, size)
        self._write()

    @rule(data=st.data(), steps=st.lists(st.integers(0, 1), min_size=1, max_size=3))
    @precondition(lambda self: self.commit_index < self.last)
    def replace(self, data: st.DataObject, steps: list[int]) -> None:
        """Truncate and append in one write, as a follower does. The new entries may equal the old ones."""
        index = data.draw(st.integers(self.commit_index + 1, self.last))
        del self.model[index - self.base.index - 1 :]
        self.log.truncate_from(index)
        self._append(steps, 8)
        self._write()

    def _append(self, steps: list[int], size: int) -> None:
        term = self.last_term()
        new = entries_of(self.last + 1, [term := term + step for step in steps], size)
        self.model.extend(new)
        self.log.append(blocks(new))

    def _write(self) -> None:
        self.sequence += 1
        self.log.written(self.sequence)
        self.in_flight.append((self.sequence, list(self.model)))

    @rule(data=st.data())
    @precondition(lambda self: self.in_flight)
    def persist(self, data: st.DataObject) -> None:
        """The disk is done with some of the oldest writes."""
        count = data.draw(st.integers(1, len(self.in_flight)))
        sequence, self.disk = self.in_flight[count - 1]
        del self.in_flight[:count]
        self.log.persisted(sequence, commit_index=self.commit_index)

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.commit_index = data.draw(st.integers(self.commit_index, self.last))

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        index = data.draw(
            st.integers(
                self.base.index, max(self.base.index, min(self.commit_index, self.log.persisted_index))
            )
        )
        kept = self.model[index - self.base.index :]
        self.base = self.name_at(index)
        self.model = kept
        self.log.compact_to(index)

    @rule(data=st.data(), beyond=st.integers(0, 3), step=st.integers(0, 2))
    def install(self, data: st.DataObject, beyond: int, step: int) -> None:
        """A snapshot takes the log's place: it ends in the log, where another entry stands, or beyond its end."""
        index = data.draw(st.integers(self.commit_index, self.last)) + beyond
        term = self.name_at(min(index, self.last)).term + step
        self.base, self.model = EntryId(index, term), []
        self.log.reset(self.base)
        self.commit_index = index
        self._write()

    def name_at(self, index: int) -> EntryId:
        return self.base if index == self.base.index else self.entry_at(index).name

    @rule(bytes_max=st.integers(0, 400))
    def look_for_a_tail(self, bytes_max: int) -> None:
        """The lowest index with so little above it, by trying them all, as far as memory goes."""
        cached = [entry for entry in self.model if entry.index >= self.log.cache_first]
        expected = None
        if sum(map(entry_bytes, cached)) > bytes_max:
            expected = next(
                index
                for index in range(self.log.cache_first, self.last + 1)
                if sum(entry_bytes(entry) for entry in cached if entry.index > index) <= bytes_max
            )
        assert self.log.index_with_bytes_above(bytes_max) == expected

    @rule(data=st.data(), bytes_max=st.integers(0, 300))
    @precondition(lambda self: self.model)
    def look_up(self, data: st.DataObject, bytes_max: int) -> None:
        first = data.draw(st.integers(self.base.index + 1, self.last))
        last = data.draw(st.integers(first, self.last))
        found = cached(self.log, first, last, bytes_max=bytes_max)
        if first < self.log.cache_first:
            assert found is None
            return
        expected = [self.entry_at(first)]
        for index in range(first + 1, last + 1):
            if sum(map(entry_bytes, expected)) + entry_bytes(self.entry_at(index)) > bytes_max:
                break
            expected.append(self.entry_at(index))
        assert found == tuple(expected)

    @rule(index=st.integers(0, 20), term=st.integers(0, 8))
    def look_for_agreement(self, index: int, term: int) -> None:
        candidates = [self.base, *(entry.name for entry in self.model)]
        fitting = [name for name in candidates if name.index <= index and name.term <= term]
        assert self.log.last_not_above(index, term) == (fitting[-1] if fitting else self.base)

    @invariant()
    def is_the_same(self) -> None:
        log = self.log
        check_log(log)
        assert log.last == (self.last, self.last_term())
        expected = {entry.index: entry.term for entry in self.model} | {self.base.index: self.base.term}
        for index in range(self.last + 3):
            assert log.term_at(index) == expected.get(index)
        for index in range(self.base.index, self.last + 1):
            above = [entry for entry in self.model if entry.index > index and entry.index >= log.cache_first]
            assert log.cached_bytes_above(index) == sum(map(entry_bytes, above))
        starts = {entry.term: entry.index for entry in reversed(self.model)}
        runs = [(start, term) for term, start in reversed(starts.items())]
        assert (log.term_runs(99), log.term_runs(1)) == (runs, runs[-1:])

    @invariant()
    def what_counts_as_durable_is_on_disk(self) -> None:
        on_disk = {entry.index: entry for entry in self.disk}
        for entry in self.model:
            if entry.index <= self.log.persisted_index:
                assert on_disk.get(entry.index) == entry
        if not self.in_flight:
            assert self.log.persisted_index == self.last


LogModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
TestLogModel = LogModel.TestCase
