"""The contract of a log store, on LMDB and on its twin, by example and against a plain list."""

import shutil
import threading
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raftdb.core.block import Block, cut_to, entries_of
from raftdb.core.model import Entry, EntryKind
from storage import LoadedLog, LogBatch, LogStore
from storage.contract import INDEX_MAX
from storage.errors import Missing, Misused
from tests.storage.media import KINDS, Medium, blocks, scratch_folder

BIG = 1 << 30


def test_a_new_log_is_empty(medium: Medium) -> None:
    assert medium.log().load() == LoadedLog(None, 0, 0, 0, ())


def test_what_was_written_is_there_after_a_restart(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(b"term 1", None, blocks(1, 3)), LogBatch(b"term 2", None, blocks(4, 5, term=2))])
    log.close()
    log = medium.log()
    assert log.load() == LoadedLog(b"term 2", 0, 0, 5, ((1, 1), (4, 2)))
    assert log.read(1, 5, bytes_max=BIG) == blocks(1, 3) + blocks(4, 5, term=2)


def test_an_empty_hard_state_is_not_a_missing_one(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(hard_state=b"")])
    log.write([LogBatch()])
    log.write([])
    assert log.load().hard_state == b""


def test_truncation_append_and_hard_state_are_one_step(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(b"a", None, blocks(1, 9))])
    log.write([LogBatch(b"b", 5, blocks(5, 6, term=2))])
    assert log.load() == LoadedLog(b"b", 0, 0, 6, ((1, 1), (5, 2)))


def test_batches_take_effect_in_order(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(None, None, blocks(1, 10))])
    log.write(
        [
            LogBatch(None, 8, blocks(8, 12, term=2)),
            LogBatch(b"x", 11, ()),
            LogBatch(None, 6, blocks(6, 7, term=3)),
            LogBatch(b"y", None, blocks(8, 8, term=3)),
        ]
    )
    assert log.load() == LoadedLog(b"y", 0, 0, 8, ((1, 1), (6, 3)))
    assert log.read(6, 8, bytes_max=BIG) == blocks(6, 7, term=3) + blocks(8, 8, term=3)


@pytest.mark.parametrize(
    "batch",
    [
        LogBatch(blocks=blocks(5, 5)),
        LogBatch(blocks=blocks(3, 3)),
        LogBatch(blocks=[*blocks(4, 4), *blocks(6, 6)]),
        LogBatch(truncate_from=5),
        LogBatch(truncate_from=0),
        LogBatch(blocks=blocks(4, 4, term=INDEX_MAX + 1)),
        LogBatch(blocks=[b""]),
        LogBatch(blocks=[blocks(4, 4)[0][:24]]),
        LogBatch(blocks=[blocks(4, 9, data=b"")[0][:-1]]),
        LogBatch(blocks=[blocks(4, 4)[0][:20] + bytes(4) + blocks(4, 4)[0][24:]]),
    ],
)
def test_a_gap_is_refused_and_nothing_of_its_write_is_kept(medium: Medium, batch: LogBatch) -> None:
    log = medium.log()
    log.write([LogBatch(b"a", None, blocks(1, 3))])
    with pytest.raises(Misused):
        log.write([LogBatch(hard_state=b"b"), batch])
    assert log.load() == LoadedLog(b"a", 0, 0, 3, ((1, 1),))
    log.write([LogBatch(blocks=blocks(4, 4))])


def test_read_stops_before_the_bytes_allowed_but_gives_at_least_one(medium: Medium) -> None:
    log = medium.log()
    written = blocks(1, 9, data=b"x" * 100, of=1)
    log.write([LogBatch(blocks=written)])
    size = len(written[0])
    assert log.read(2, 9, bytes_max=3 * size) == written[1:4]
    assert log.read(2, 9, bytes_max=3 * size - 1) == written[1:3]
    assert log.read(2, 9, bytes_max=0) == written[1:2]
    assert log.read(3, 2, bytes_max=BIG) == []


def test_read_gives_whole_blocks_the_very_bytes_that_were_written(medium: Medium) -> None:
    log = medium.log()
    written = blocks(1, 12, of=4)
    log.write([LogBatch(blocks=written)])
    for (first, last), expected in {
        (1, 1): written[:1],
        (4, 4): written[:1],
        (4, 5): written[:2],
        (6, 7): written[1:2],
        (5, 12): written[1:],
    }.items():
        assert log.read(first, last, bytes_max=BIG) == expected, (first, last)


def test_a_truncation_inside_a_block_writes_its_beginning_anew(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 12, of=4))])
    log.write([LogBatch(None, 7, blocks(7, 8, term=2))])
    log.close()
    log = medium.log()
    assert log.read(1, 8, bytes_max=BIG) == blocks(1, 4) + blocks(5, 6) + blocks(7, 8, term=2)
    log.write([LogBatch(truncate_from=5)])
    assert log.read(1, 4, bytes_max=BIG) == blocks(1, 4)
    assert log.load() == LoadedLog(None, 0, 0, 4, ((1, 1),))


def test_a_log_may_begin_inside_a_block(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 12, of=4))])
    assert log.trim(6, 1) == 6
    log.close()
    log = medium.log()
    assert log.load() == LoadedLog(None, 6, 1, 12, ((7, 1),))
    assert log.read(7, 12, bytes_max=BIG) == blocks(1, 12, of=4)[1:]
    with pytest.raises(Missing):
        log.read(6, 12, bytes_max=BIG)
    assert log.trim(7, 1) == 1
    assert log.load() == LoadedLog(None, 7, 1, 12, ((8, 1),))
    assert log.trim(8, 1) == 1
    assert log.read(9, 12, bytes_max=BIG) == blocks(9, 12)


def test_nothing_is_left_of_a_block_that_is_trimmed_and_truncated_to_the_same_place(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 4))])
    log.trim(2, 1)
    log.write([LogBatch(None, 3, blocks(3, 5, term=2))])
    log.close()
    log = medium.log()
    assert log.load() == LoadedLog(None, 2, 1, 5, ((3, 2),))
    assert log.read(3, 5, bytes_max=BIG) == blocks(3, 5, term=2)


def test_the_blocks_of_a_kind_are_collected(medium: Medium) -> None:
    log = medium.log()
    named = blocks(3, 3, kind=2, data=b"members")
    log.write([LogBatch(blocks=[*blocks(1, 2), *named, *blocks(4, 5)])])
    assert log.load(collect_kinds=frozenset({2})).collected == tuple(named)


@pytest.mark.parametrize(("first", "last", "missing"), [(0, 5, 0), (2, 5, 2), (11, 11, 11), (9, 12, 11)])
def test_an_absent_record_is_an_error_that_names_it(
    medium: Medium, first: int, last: int, missing: int
) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 10))])
    assert log.trim(3, 1) == 3
    with pytest.raises(Missing) as caught:
        log.read(first, last, bytes_max=BIG)
    assert caught.value.index == missing


def test_trim_goes_in_steps_each_with_a_truthful_base(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 4, of=1) + blocks(5, 10, term=2, of=1))])
    assert log.trim(7, 2, blocks_max=3) == 3
    assert log.load() == LoadedLog(None, 3, 1, 10, ((4, 1), (5, 2)))
    assert log.trim(7, 2, blocks_max=100) == 4
    assert log.trim(7, 2) == 0
    assert log.trim(2, 1) == 0
    log.close()
    log = medium.log()
    assert log.load() == LoadedLog(None, 7, 2, 10, ((8, 2),))
    assert log.trim(10, 2) == 3
    log.write([LogBatch(blocks=blocks(11, 11, term=2))])
    assert log.load() == LoadedLog(None, 10, 2, 11, ((11, 2),))


def test_trim_of_another_log_is_refused(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 5))])
    for index, term in ((6, 1), (3, 2)):
        with pytest.raises(Misused):
            log.trim(index, term)
    assert log.load().base_index == 0


def test_truncation_at_or_below_the_base_is_refused(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 5))])
    log.trim(3, 1)
    with pytest.raises(Misused):
        log.write([LogBatch(truncate_from=3)])
    log.write([LogBatch(truncate_from=4)])
    assert log.load() == LoadedLog(None, 3, 1, 3, ())


def test_reset_goes_on_after_another_position(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(b"a", None, blocks(1, 50))])
    log.reset(65, 3)
    assert log.load() == LoadedLog(b"a", 65, 3, 65, ())
    log.write([LogBatch(blocks=blocks(66, 67, term=4))])
    log.reset(60, 2)
    log.close()
    assert medium.log().load() == LoadedLog(b"a", 60, 2, 60, ())


def test_facts_are_kept_apart_from_everything_else(medium: Medium) -> None:
    log = medium.log()
    log.put_meta("range", b"mine")
    log.put_meta("peer n2", b"uuid")
    log.put_meta("peer n2", b"uuid 2")
    log.close()
    log = medium.log()
    assert (log.get_meta("range"), log.get_meta("peer n2"), log.get_meta("x")) == (b"mine", b"uuid 2", None)
    assert log.load() == LoadedLog(None, 0, 0, 0, ())


def test_only_the_owner_of_the_writes_writes(medium: Medium) -> None:
    """lmdb itself accepts a write from any thread, without a word."""
    log = medium.log()
    refused: list[str] = []
    works: list[Callable[[], None]] = [
        lambda: log.write([LogBatch(blocks=blocks(1, 1))]),
        lambda: log.put_meta("a", b""),
        lambda: log.reset(1, 1),
    ]

    def attempt() -> None:
        for work in works:
            try:
                work()
            except Misused as error:
                refused.append(error.message)
        log.claim_writes()
        log.write([LogBatch(blocks=blocks(1, 1))])

    thread = threading.Thread(target=attempt, name="stranger")
    thread.start()
    thread.join()
    assert len(refused) == 3
    assert all("stranger" in message for message in refused)
    with pytest.raises(Misused):
        log.write([LogBatch(blocks=blocks(2, 2))])
    assert log.load().last_index == 1


def test_a_closed_log_refuses_everything_but_to_be_closed(medium: Medium) -> None:
    log = medium.log()
    log.close()
    log.close()
    for work in (log.load, lambda: log.get_meta("a"), lambda: log.write([LogBatch(hard_state=b"")])):
        with pytest.raises(Misused):
            work()


class LogAgainstList(RuleBasedStateMachine):
    """Random writes, trims, resets and restarts on a log, beside the same done to a list of entries."""

    kind = "memory"

    @initialize()
    def start(self) -> None:
        self.folder = scratch_folder()
        self.medium = Medium(self.kind, self.folder / "store")
        self.log: LogStore = self.medium.log()
        self.base = (0, 0)
        self.entries: list[Entry] = []
        self.term = 1

    @property
    def last(self) -> int:
        return self.base[0] + len(self.entries)

    def batch(self, draw: st.DataObject) -> LogBatch:
        """A random batch that fits, done to the list."""
        truncate_from = draw.draw(st.none() | st.integers(self.base[0] + 1, self.last + 1))
        if truncate_from is not None:
            del self.entries[truncate_from - self.base[0] - 1 :]
            self.term += 1
        added: list[Block] = []
        for _ in range(draw.draw(st.integers(0, 3))):
            kind = draw.draw(st.sampled_from(EntryKind))
            payloads = draw.draw(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
            added.append(Block.of(self.last + 1, self.term, kind, payloads))
            self.entries += added[-1].entries()
        return LogBatch(None, truncate_from, [block.encoded for block in added])

    @rule(draw=st.data(), count=st.integers(1, 3))
    def write(self, draw: st.DataObject, count: int) -> None:
        self.log.write([self.batch(draw) for _ in range(count)])

    @precondition(lambda self: self.entries)
    @rule(draw=st.data(), blocks_max=st.integers(1, 4))
    def trim(self, draw: st.DataObject, blocks_max: int) -> None:
        goal = draw.draw(st.sampled_from(self.entries))
        count = self.log.trim(*goal.name, blocks_max=blocks_max)
        wanted = goal.index - self.base[0]
        assert count == wanted if blocks_max >= wanted else blocks_max <= count <= wanted
        self.base = self.entries[count - 1].name
        del self.entries[:count]

    @rule(step=st.integers(0, 3))
    def reset(self, step: int) -> None:
        self.base = (self.last + step, self.term)
        self.entries = []
        self.log.reset(*self.base)

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.log = self.medium.log()

    @invariant()
    def same(self) -> None:
        starts = [
            (entry.index, entry.term)
            for before, entry in zip([None, *self.entries], self.entries, strict=False)
            if before is None or before.term != entry.term
        ]
        assert self.log.load() == LoadedLog(None, *self.base, self.last, tuple(starts))
        first = self.base[0] + 1
        stored = map(Block.verified, self.log.read(first, self.last, bytes_max=BIG))
        assert list(entries_of(cut_to(stored, first, self.last, bytes_max=BIG))) == self.entries

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.folder)


def machine(kind: str) -> type[LogAgainstList]:
    return type(f"LogAgainstList_{kind}", (LogAgainstList,), {"kind": kind})


TestLmdb = machine(KINDS[0]).TestCase
TestMemory = machine(KINDS[1]).TestCase
TestLmdb.settings = TestMemory.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
