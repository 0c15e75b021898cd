"""Slices of entries: they change the state as each entry alone would, in one write, and no more than is allowed."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.block import Block
from raftdb.core.messages import AppendEntries
from raftdb.core.model import EntryKind
from raftdb.machine.counters import IncrementBy
from raftdb.machine.entries import encode, stamp
from raftdb.machine.keyspace import CONFIGURATION_KEY, unpack_configuration
from raftdb.machine.machine import Machine
from raftdb.machine.strings import Get, Set
from raftdb.node.bodies import Bodies
from raftdb.node.execution import answer_of, apply_slice
from raftdb.node.turn import Answer
from storage.memory import MemoryStateStore
from tests.node.bench import Bench, value_of

EVERYTHING = 1 << 40
MACHINE = Machine()


class CountingState(MemoryStateStore):
    """A state that notes the places at which it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[int, int]] = []

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        super().write(changes, index=index, term=term)
        self.places.append((index, term))


def commands(first: int, *operations: Set | IncrementBy, term: int = 2, time_ms: int = 500) -> Block:
    return Block.of(first, term, EntryKind.COMMAND, [stamp(encode(one), time_ms) for one in operations])


def content(state: MemoryStateStore) -> list[tuple[bytes, bytes]]:
    return state.scan(b"", None, limit=EVERYTHING)


MIXED = [
    commands(1, Set(b"a", b"1"), IncrementBy(b"n", 2), Set(b"b", b"2")),
    Block.of(4, 3, EntryKind.NOOP, [b""]),
    Block.of(5, 3, EntryKind.CONFIGURATION, [b"the members"]),
    commands(6, IncrementBy(b"n", 3), IncrementBy(b"a", 1), Set(b"b", b"x", 100), term=3, time_ms=900),
    commands(9, IncrementBy(b"b", 1), Set(b"b", b"y"), term=3, time_ms=2_000),
]


@given(st.sets(st.integers(1, 9)))
def test_slices_however_they_are_cut_come_to_the_same(ends: set[int]) -> None:
    alone, together = CountingState(), CountingState()
    expected = [
        reply
        for index in range(1, 11)
        for reply in apply_slice(
            [block for block in MIXED if block.last_index >= index],
            *(index, index, alone, MACHINE),
            bytes_max=EVERYTHING,
        ).replies
    ]
    replies = []
    first = 1
    for last in sorted({*ends, 10}):
        blocks = [block for block in MIXED if block.last_index >= first]
        replies += apply_slice(blocks, first, last, together, MACHINE, bytes_max=EVERYTHING).replies
        first = last + 1
    assert content(together) == content(alone)
    assert [(*reply[:2], str(reply[2])) for reply in replies] == [
        (*reply[:2], str(reply[2])) for reply in expected
    ]
    assert together.places == [alone.places[last - 1] for last in sorted({*ends, 10})], "one write each"
    stored = together.get(CONFIGURATION_KEY)
    assert stored is not None
    assert unpack_configuration(stored) == (5, b"the members")


@pytest.mark.parametrize(("bytes_max", "applied"), [(1, [1, 2, 3, 4]), (9_000, [2, 4]), (EVERYTHING, [4])])
def test_a_slice_ends_with_the_entry_that_fills_it(bytes_max: int, applied: list[int]) -> None:
    state = CountingState()
    block = commands(1, *[Set(b"%d" % number, bytes(1_000)) for number in range(4)])
    while state.applied[0] < 4:
        apply_slice([block], state.applied[0] + 1, 4, state, MACHINE, bytes_max=bytes_max)
    assert [index for index, _ in state.places] == applied


def test_a_slice_says_the_earliest_deadline_that_it_set() -> None:
    block = commands(1, Set(b"a", b"", 900), Set(b"b", b"", 400), Set(b"c", b""))
    found = apply_slice([block], 1, 3, CountingState(), MACHINE, bytes_max=EVERYTHING)
    assert found.deadline_ms == 500 + 400
    place, term, reply = found.replies[2]
    answer = answer_of(reply, place, term)
    assert isinstance(answer, Answer)
    assert (answer.index, answer.term, answer.revision) == (3, 2, 3)


def test_all_writes_of_a_turn_are_applied_in_one_write_and_each_is_answered() -> None:
    bench = Bench()
    bench.lead()
    places: list[int] = []
    plain = bench.state.write

    def write(changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        plain(changes, index=index, term=term)
        places.append(index)

    bench.state.write = write  # type: ignore[method-assign]
    asked = bench.ask(*[IncrementBy(b"n", 1) for _ in range(100)])
    assert [value_of(bench.answers[number]) for number in asked] == list(range(1, 101))
    assert places == [102]
    assert value_of(bench.read(Get(b"n"))) == b"100"


def test_bodies_come_from_memory_and_before_that_from_the_disk_in_whole_blocks() -> None:
    bench = Bench()
    bench.lead()
    bench.write(*[b"v"] * 10)
    bench.start()
    bench.lead()
    bench.write(*[b"w"] * 3)
    assert bench.core.log.cache_first == 13
    bodies = Bodies(bench.core, bench.log)
    found = [
        bodies.whole_blocks(first, last, EVERYTHING) for first, last in [(5, 6), (5, 16), (14, 14), (15, 16)]
    ]
    spans = [([(block.first_index, block.last_index) for block in blocks], last) for blocks, last in found]
    assert spans == [([(3, 12)], 6), ([(3, 12)], 12), ([(14, 16)], 14), ([(14, 16)], 16)]
    cut = [bodies.between(*wanted, EVERYTHING) for wanted in [(5, 6), (5, 16), (15, 16)]]
    assert [(some[0].first_index, some[-1].last_index) for some in cut] == [(5, 6), (5, 12), (15, 16)]


def test_what_a_conflict_has_dropped_is_not_applied_though_it_is_still_on_the_disk() -> None:
    """A node that has led comes back with a block of which the next leader has the first half: the rest is dropped and
    replaced in memory, committed at once, and applied before the disk has heard of it (hazard B16)."""
    bench = Bench()
    old = commands(2, *(Set(b"k", b"old-%d" % index) for index in range(2, 7)))
    bench.receive(AppendEntries("n2", "n1", 2, 1, 1, 1, (old,)))
    bench.start()
    assert (bench.core.log.last_index, bench.core.log.cache_first) == (6, 7)
    new = commands(5, Set(b"k", b"new-5"), term=3)
    bench.log_is_held = True
    bench.receive(AppendEntries("n3", "n1", 3, 4, 2, 5, (new,)))
    while bench.replica.applied_index < 5:
        bench.turn()
    assert value_of(bench.read(Get(b"k"))) == b"new-5"
    assert bench.state.applied == (5, 3)
