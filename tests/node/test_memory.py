"""Changes that wait for a slow disk: a leader takes no more writes, then nothing more is applied, and it goes on."""

import pytest

from raftdb.errors import Unavailable
from raftdb.machine.entries import encode
from raftdb.machine.strings import Get, Set
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.driver import Driver
from raftdb.node.pending import ReadRequest, WriteRequest
from tests.node.bench import Bench, set_entry, value_of
from tests.node.test_driver import answer, leading, wait_for

BYTES_MAX = 400_000
POLICY = CompactionPolicy(changes_bytes_max=BYTES_MAX)


def write_key(bench: Bench, number: int, value_bytes: int = 10_000) -> None:
    """A client stores a value under a key of its own."""
    bench.last_request += 1
    payload = encode(Set(b"k%d" % number, b"v" * value_bytes))
    bench.turn(writes=[WriteRequest(bench.last_request, payload)])


def fill(bench: Bench) -> int:
    """Write until nothing more is applied behind a checkpoint that is being written; returns how often."""
    for number in range(1000):
        write_key(bench, number)
        if bench.replica.applied_index < bench.core.commit_index:
            return number + 1
    raise AssertionError("changes take memory without a limit")


def test_changes_that_wait_for_the_disk_take_no_more_than_their_memory() -> None:
    bench = Bench(policy=POLICY)
    bench.lead()
    written = fill(bench)
    assert bench.flushing is not None
    assert BYTES_MAX <= bench.state.memory_bytes < BYTES_MAX + 20_000
    applied = bench.replica.applied_index
    for number in range(written, written + 20):
        write_key(bench, number)
    assert bench.replica.applied_index == applied
    effects = bench.turn(reads=[ReadRequest(9_000, Get(b"k0"))])
    assert (9_000 in bench.answers, effects.more) == (False, False), "the end of the checkpoint is an input"
    while bench.frozen is not None:
        bench.flush_and_tell()
    assert bench.replica.applied_index == bench.core.commit_index
    assert value_of(bench.answers[9_000]) == b"v" * 10_000
    assert bench.replica.pending_count == 0


def test_a_follower_s_changes_are_bounded_as_well() -> None:
    """It cannot refuse what is committed: it applies it when there is room, and reads it from its log then."""
    bench = Bench(nodes=3, policy=POLICY)
    entries = [set_entry(index, 2, b"v" * 10_000, key=b"k%d" % index) for index in range(2, 102)]
    for start in range(0, 100, 10):
        bench.follow(2, entries[start : start + 10], commit_index=start + 11)
    assert (bench.core.commit_index, bench.replica.applied_index < 60) == (101, True)
    assert bench.state.memory_bytes < BYTES_MAX + 20_000
    bench.start()
    bench.follow(2, [], commit_index=101)
    while bench.frozen is not None:
        bench.flush_and_tell()
    assert bench.replica.applied_index == 101


def test_a_leader_takes_no_more_writes_before_nothing_more_is_applied() -> None:
    bench = Bench(policy=POLICY)
    bench.lead()
    number = 0
    while bench.replica.takes_writes:
        write_key(bench, number)
        number += 1
    assert BYTES_MAX / 2 < bench.state.memory_bytes < BYTES_MAX
    assert bench.replica.applied_index == bench.core.commit_index
    bench.flush_and_tell()
    assert bench.replica.takes_writes


def test_what_is_overwritten_takes_no_memory_and_is_never_refused() -> None:
    """A hot key behind an export of minutes."""
    bench = Bench(policy=POLICY)
    bench.lead()
    for _ in range(100):
        write_key(bench, 1)
    assert bench.flushing is not None
    assert bench.replica.takes_writes
    assert bench.replica.applied_index == bench.core.commit_index


async def set_keys(driver: Driver, count: int) -> None:
    for number in range(count):
        await answer(driver, Set(b"k%d" % number, b"v" * 10_000))


async def test_writes_that_are_too_many_for_the_disk_are_busy_and_reads_go_on() -> None:
    async with leading(POLICY) as (driver, disk):
        disk.state_may_go_on.clear()
        with pytest.raises(Unavailable) as refused:
            await set_keys(driver, 1_000)
        assert refused.value.code == "busy"
        assert (await answer(driver, Get(b"k0"))).value == b"v" * 10_000
        disk.state_may_go_on.set()
        await wait_for(lambda: driver.replica.takes_writes)
        await answer(driver, Set(b"k", b"v"))
