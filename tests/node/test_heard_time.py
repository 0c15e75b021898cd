"""The time of the cluster where nobody writes: said with heartbeats, heard by who leads next, committed each second."""

import pytest

from raftdb.core.messages import AppendEntries, Heartbeat
from raftdb.core.model import Entry, EntryKind
from raftdb.machine.machine import Machine
from raftdb.machine.strings import Get, Set
from raftdb.node.clock import COMMIT_MS
from tests.blocks import blocks
from tests.node.bench import SETTINGS, Bench
from tests.node.test_clock import command_entry, entries, expiries, local, pass_time


def followed(time_ms: int, *, term: int = 2) -> Bench:
    """One of three that follows n2, and has heard this time; the log ends with n2's no-op at 2."""
    bench = Bench(nodes=3)
    bench.now_ms = 700_000.0
    bench.follow(term, [Entry(2, term, EntryKind.NOOP, b"")], 2)
    bench.receive(Heartbeat("n2", "n1", term, 2, 1, time_ms))
    return bench


def first_stamp(bench: Bench) -> int:
    """The time that a new leader stamps, once its no-op is committed and before any time has passed."""
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.ask(Set(b"a", b"1"))
    return entries(bench)[-1][0]


def test_a_leader_says_its_time_with_each_heartbeat_once_it_knows_it() -> None:
    bench = Bench(nodes=3)
    bench.follow(2, [command_entry(2, 2, Set(b"k", b"v"), 7_000)], 2)
    bench.lead()
    bench.sent.clear()
    for _ in range(SETTINGS.heartbeat_ticks):
        pass_time(bench, 100)
    assert {message.time_ms for message in bench.sent if isinstance(message, Heartbeat)} == {0}
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.sent.clear()
    for _ in range(SETTINGS.heartbeat_ticks):
        pass_time(bench, 100)
    said = [(message.target, message.time_ms) for message in bench.sent if isinstance(message, Heartbeat)]
    assert [target for target, _ in said] == ["n2", "n3"]
    assert {time_ms for _, time_ms in said} <= {7_100, 7_200}


def test_who_leads_next_goes_on_from_the_latest_time_that_it_heard() -> None:
    """Hazard B71: the log holds no time at all."""
    bench = followed(9_000)
    bench.receive(Heartbeat("n2", "n1", 2, 2, 2, 9_500), Heartbeat("n2", "n1", 2, 2, 1, 9_250))
    assert first_stamp(bench) == 9_500


def test_a_time_in_the_log_that_is_later_counts() -> None:
    bench = followed(9_000)
    entry = command_entry(3, 2, Set(b"k", b"v"), 9_800)
    bench.receive(AppendEntries("n2", "n1", 2, 2, 2, 3, blocks([entry])))
    assert first_stamp(bench) == 9_800


def test_what_is_heard_is_forgotten_if_somebody_may_have_counted_from_less_since() -> None:
    """n2 was cut off with this node and counted on; n3 was elected by the others, after a while without a leader, and
    what began by its clock must not end by that of n2."""
    bench = followed(9_000)
    later = [Entry(3, 3, EntryKind.NOOP, b""), command_entry(4, 3, Set(b"k", b"v", 1_500), 7_000)]
    bench.receive(AppendEntries("n3", "n1", 3, 2, 2, 4, blocks(later)))
    assert first_stamp(bench) == 7_000
    assert local(bench, Get(b"k")) == b"v"


def test_who_may_have_counted_need_not_have_been_heard() -> None:
    """The latest no-op in the log is of a leader that this node never followed: it may have been committed."""
    bench = followed(9_000)
    bench.receive(AppendEntries("n3", "n1", 4, 2, 2, 2, blocks([Entry(3, 3, EntryKind.NOOP, b"")])))
    assert first_stamp(bench) == 0


@pytest.mark.parametrize(
    "heartbeat",
    [
        Heartbeat("n3", "n1", 1, 1, 5, 60_000),
        Heartbeat("n2", "n3", 1, 1, 5, 60_000),
        Heartbeat("n2", "n1", 2, 2, 5, 0),
    ],
    ids=["of an older term", "for another, of an older term", "without a time"],
)
def test_a_heartbeat_that_the_core_does_not_take_says_nothing(heartbeat: Heartbeat) -> None:
    bench = followed(9_000)
    bench.receive(heartbeat)
    assert first_stamp(bench) == 9_000


def test_a_leader_that_is_elected_again_goes_on_from_where_it_was() -> None:
    bench = followed(9_000)
    assert first_stamp(bench) == 9_000
    bench.acknowledge("n2", bench.core.log.last_index)
    pass_time(bench, 5_000)
    # It reaches nobody, steps down, and is elected again: nobody else has led.
    for _ in range(3 * SETTINGS.election_timeout_ticks):
        pass_time(bench, 1)
    assert bench.core.leadership is None
    assert first_stamp(bench) >= 14_000


def test_a_restart_knows_only_what_was_committed() -> None:
    bench = followed(9_000)
    bench.start()
    assert first_stamp(bench) == 0


@pytest.mark.parametrize("pause_ms", [10, 400])
def test_the_time_is_committed_each_second_while_something_is_to_end(pause_ms: int) -> None:
    """And so survives a crash of all nodes; without anything that is to end, nothing is written."""
    alone = Bench()
    alone.lead()
    pass_time(alone, 60_000)
    alone.do(Set(b"other", b"v"))
    pass_time(alone, 60_000)
    assert expiries(alone) == []
    alone.do(Set(b"k", b"v", 5_000))
    for _ in range(4_000 // pause_ms):
        pass_time(alone, pause_ms)
    stamps = expiries(alone)
    assert len(stamps) in (3, 4)
    before = [120_000, *stamps]
    for earlier, later in zip(before, stamps, strict=False):
        assert COMMIT_MS <= later - earlier < COMMIT_MS + pause_ms
    assert local(alone, Get(b"k")) == b"v"
    pass_time(alone, 1_001 + pause_ms)
    assert local(alone, Get(b"k")) == b""
    count = len(expiries(alone))
    pass_time(alone, 60_000)
    assert len(expiries(alone)) == count


def test_writes_that_bear_the_time_commit_it_too() -> None:
    alone = Bench()
    alone.lead()
    alone.do(Set(b"k", b"v", 60_000))
    for _ in range(30):
        pass_time(alone, 300)
        alone.do(Set(b"other", b"v"))
    assert expiries(alone) == []


def test_a_key_that_was_deleted_needs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Bench()
    alone.lead()
    alone.do(Set(b"k", b"v", 60_000))
    alone.do(Set(b"k", b"v"))
    pass_time(alone, 1_000)
    assert expiries(alone) == []
    monkeypatch.setattr(Machine, "next_deadline_ms", None)
    pass_time(alone, 90_000)
