"""The time of the cluster as a leader counts it, and the end of what is due: late by an election, and never early."""

from typing import Any

import pytest

from raftdb.budgets import SWEEP_VALUES_MAX
from raftdb.commands.answers import shown
from raftdb.core import leader
from raftdb.core.block import entries_of
from raftdb.core.messages import AppendEntries, Heartbeat, HeartbeatReply
from raftdb.core.model import Entry, EntryKind, Role
from raftdb.errors import SessionExpired
from raftdb.limits import SESSION_IDLE_MS
from raftdb.machine.counters import IncrementBy
from raftdb.machine.entries import decode, encode, stamp
from raftdb.machine.expiry import TimeToLive
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Expire, Operation, SessionOperation, TransactionOperation
from raftdb.machine.reply import Result
from raftdb.machine.scanning import Keys
from raftdb.machine.service import Command
from raftdb.machine.session_records import IDLE_GRAIN_MS
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.node import replica
from raftdb.node.bodies import read_blocks
from raftdb.node.pending import ReadRequest
from raftdb.node.turn import Answer, Inputs
from raftdb.node.view import NodeView
from raftdb.server.disk import describe_state
from storage.memory import MemoryStateStore
from storage.memory_disk import MemoryDisk
from tests.blocks import blocks
from tests.node.bench import Bench, value_of

NAME = b"s" * 16


def entries(bench: Bench) -> list[tuple[int, Operation]]:
    """Time and operation of every entry in the log that has one."""
    first, last = bench.core.log.base.index + 1, bench.core.log.last_index
    stored = entries_of(read_blocks(bench.log, first, last, bytes_max=1 << 30))
    return [decode(entry.data) for entry in stored if entry.kind is EntryKind.COMMAND]


def expiries(bench: Bench) -> list[int]:
    """The times at which the end of what is due was proposed."""
    return [time_ms for time_ms, operation in entries(bench) if isinstance(operation, Expire)]


def local(bench: Bench, command: Command) -> object:
    """What the applied state says, without time passing."""
    answer = bench.answers[read(bench, command)]
    assert isinstance(answer, Answer), answer
    return shown(command, Result(answer.value, answer.revision))


def read(bench: Bench, command: Command) -> int:
    bench.last_request += 1
    bench.turn(reads=[ReadRequest(bench.last_request, command, True)])
    return bench.last_request


def command_entry(index: int, term: int, operation: Operation, time_ms: int) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, stamp(encode(operation), time_ms))


def pass_time(bench: Bench, milliseconds: float) -> None:
    """Time passes on the node's own clock, and a tick comes."""
    bench.now_ms += milliseconds
    bench.turn(ticks=1)


@pytest.fixture
def alone() -> Bench:
    """A cluster of one, which leads; its local clock began somewhere."""
    bench = Bench()
    bench.now_ms = 123_456.7
    bench.lead()
    return bench


def test_a_leader_counts_from_the_clock_of_the_state(alone: Bench) -> None:
    alone.do(Set(b"a", b"1"))
    alone.now_ms += 1_000.4
    alone.do(Set(b"a", b"2"))
    alone.now_ms += 0.7
    alone.do(Set(b"a", b"3"))
    assert [time_ms for time_ms, _ in entries(alone)] == [0, 1_000, 1_001]
    assert NodeView(alone.replica).clock_ms == 1_001


def test_time_goes_on_after_a_restart_and_what_passed_meanwhile_does_not_count(alone: Bench) -> None:
    alone.now_ms += 5_000
    alone.do(Set(b"a", b"1", 10_000))
    alone.start()
    alone.now_ms = 0.0
    alone.lead()
    alone.now_ms = 700.0
    alone.do(Set(b"b", b"1"))
    assert entries(alone)[-1][0] == 5_700
    assert local(alone, TimeToLive(b"a")) == 10


def test_before_its_no_op_is_applied_a_leader_stamps_no_time_and_ends_nothing() -> None:
    """Hazards B71, B72: it does not know yet what others have stamped."""
    bench = Bench(nodes=3)
    bench.follow(2, [command_entry(2, 2, Set(b"k", b"v", 500), 7_000)], 2)
    bench.lead()
    bench.now_ms = 60_000.0
    bench.ask(Set(b"a", b"1"))
    pass_time(bench, 60_000)
    assert [time_ms for time_ms, _ in entries(bench)] == [7_000, 0]
    assert local(bench, Get(b"k")) == b"v"
    bench.acknowledge("n2", bench.core.log.last_index)
    pass_time(bench, 500.9)
    assert expiries(bench) == []
    assert local(bench, Get(b"k")) == b"v"
    pass_time(bench, 0.1)
    assert expiries(bench) == [7_501]


def test_an_entry_of_an_earlier_leader_that_commits_later_moves_the_base() -> None:
    """What was stamped before is before what is stamped now."""
    bench = Bench(nodes=3)
    bench.follow(2, [command_entry(2, 2, Set(b"k", b"v"), 9_000)], 1)
    assert NodeView(bench.replica).clock_ms == 0
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    assert NodeView(bench.replica).clock_ms == 9_000
    bench.ask(Set(b"a", b"1"))
    assert entries(bench)[-1][0] == 9_000


def test_who_no_longer_leads_stamps_nothing_and_counts_anew_when_it_leads_again() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.now_ms = 8_000.0
    bench.ask(Set(b"a", b"1"))
    assert entries(bench)[-1][0] == 8_000
    term = bench.core.term + 1
    last = bench.core.log.last
    entry = command_entry(last.index + 1, term, Set(b"b", b"1"), 50)
    bench.receive(AppendEntries("n2", "n1", term, last.index, last.term, last.index + 1, blocks([entry])))
    assert bench.core.role is Role.FOLLOWER
    assert NodeView(bench.replica).clock_ms == 8_000, "a time that is behind moves nothing"
    bench.now_ms = 90_000.0
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.now_ms = 90_300.0
    bench.ask(Set(b"a", b"2"))
    assert entries(bench)[-1][0] == 8_300


def test_what_is_due_is_ended_once_and_by_an_entry(alone: Bench) -> None:
    """Hazard B72: a proposal like any other, one at a time."""
    alone.do(Set(b"k", b"v", 1_000))
    pass_time(alone, 1_000.9)
    assert expiries(alone) == [1_000], "the time is committed, and nothing is due in it"
    assert local(alone, Get(b"k")) == b"v"
    alone.log_is_held = True
    pass_time(alone, 0.2)
    for _ in range(5):
        pass_time(alone, 100)
    assert local(alone, Get(b"k")) == b"v", "no time passes where nothing is committed"
    alone.log_is_held = False
    alone.write_log()
    assert expiries(alone) == [1_000, 1_001]
    assert local(alone, Get(b"k")) == b""
    assert local(alone, Keys(b"")) == []
    pass_time(alone, 60_000)
    assert expiries(alone) == [1_000, 1_001]


def test_what_does_not_fit_into_one_sweep_is_ended_by_the_next(alone: Bench) -> None:
    pairs = tuple(Set(b"%d" % number, b"v", 1_000) for number in range(SWEEP_VALUES_MAX + 1))
    alone.do(TransactionOperation((*pairs, Set(b"later", b"v", 5_000))))
    pass_time(alone, 1_001)
    assert expiries(alone) == [1_001, 1_001]
    assert local(alone, Keys(b"")) == [b"later"]
    pass_time(alone, 4_000)
    assert expiries(alone) == [1_001, 1_001, 5_001]


def test_a_deadline_that_moved_is_looked_up_and_nothing_is_ended_for_the_old_one(
    alone: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    plain = Machine.next_deadline_ms

    def next_deadline_ms(self: Machine, view: Any) -> int | None:
        looks.append(plain(self, view))
        return looks[-1]

    monkeypatch.setattr(Machine, "next_deadline_ms", next_deadline_ms)
    alone.do(Set(b"k", b"v", 1_000))
    alone.do(Set(b"k", b"v", 5_000))
    looks.clear()
    for _ in range(40):
        pass_time(alone, 100)
    assert looks == [5_000] * 5, "one look when the old deadline had passed, and one a second"
    assert expiries(alone) == [1_000, 2_000, 3_000, 4_000]
    alone.do(Set(b"soon", b"v", 50))
    pass_time(alone, 51)
    assert expiries(alone)[4:] == [4_051]


def test_nothing_is_looked_up_where_nothing_ends(alone: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.do(Set(b"k", b"v"))
    pass_time(alone, 1)
    monkeypatch.setattr(Machine, "next_deadline_ms", None)
    for _ in range(20):
        alone.do(Set(b"k", b"v"))
        pass_time(alone, 1_000)


def test_a_follower_ends_nothing_whatever_its_clock_shows() -> None:
    """Hazard B55."""
    bench = Bench(nodes=3)
    bench.follow(2, [command_entry(2, 2, Set(b"k", b"v", 500), 0)], 2)
    last_index = bench.core.log.last_index
    for _ in range(3):
        bench.now_ms += 3_600_000.0
        bench.receive(Heartbeat("n2", "n1", 2, last_index, 1))
    assert bench.core.log.last_index == last_index
    assert local(bench, Get(b"k")) == b"v"


def test_an_end_that_is_under_way_is_not_asked_for_again_until_its_term_is_over() -> None:
    """Hazard B72: the leader cannot reach a majority, and so ends nothing; the next one asks anew."""
    bench = Bench(nodes=3)
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.ask(Set(b"k", b"v", 1_000))
    bench.acknowledge("n2", bench.core.log.last_index)
    for _ in range(5):
        pass_time(bench, 1_001)
    assert expiries(bench) == [1_001]
    assert local(bench, Get(b"k")) == b"v"
    last = bench.core.log.last
    term = bench.core.term + 1
    # Another leader, whose log does not have it.
    other = blocks([Entry(last.index, term, EntryKind.NOOP, b"")])
    bench.receive(AppendEntries("n2", "n1", term, last.index - 1, last.term, last.index - 1, other))
    assert expiries(bench) == []
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    assert NodeView(bench.replica).clock_ms == 0, "five seconds as a leader, and nobody has confirmed them"
    pass_time(bench, 1_001)
    assert expiries(bench) == [1_001]
    bench.acknowledge("n2", bench.core.log.last_index)
    assert local(bench, Get(b"k")) == b""


def test_a_refused_end_is_asked_for_again(alone: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.do(Set(b"k", b"v", 1_000))
    with monkeypatch.context() as patched:
        patched.setattr(leader, "_waiting_bytes", lambda state: 1 << 40)
        pass_time(alone, 1_001)
    assert expiries(alone) == []
    pass_time(alone, 4)
    assert expiries(alone) == [1_005]


def test_an_idle_session_ends_and_one_in_use_does_not(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    alone.do(RegisterSession(b"t" * 16))
    pass_time(alone, SESSION_IDLE_MS)
    alone.do(SessionOperation(NAME, 1, 1, IncrementBy(b"n", 1)))
    pass_time(alone, IDLE_GRAIN_MS + 1)
    assert expiries(alone) == [SESSION_IDLE_MS, SESSION_IDLE_MS + IDLE_GRAIN_MS + 1]
    assert NodeView(alone.replica).session_count == 1
    assert value_of(alone.do(SessionOperation(NAME, 2, 2, IncrementBy(b"n", 1)))) == 2
    ended = alone.do(SessionOperation(b"t" * 16, 1, 1, IncrementBy(b"n", 1)))
    assert isinstance(ended, SessionExpired)


def test_a_repetition_is_answered_with_index_and_term_of_then(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    operation = SessionOperation(NAME, 1, 1, IncrementBy(b"n", 5))
    first = alone.do(operation)
    assert isinstance(first, Answer)
    alone.start()
    alone.lead()
    again = alone.do(operation)
    assert again == first
    assert alone.core.term > first.term
    assert alone.core.log.last_index > first.index


def test_sessions_clock_and_expiries_are_in_every_generation_of_snapshots(alone: Bench) -> None:
    """Hazards B32, B56: also in the snapshot of a state that was a snapshot itself, without traffic in between."""
    operation = SessionOperation(NAME, 1, 1, IncrementBy(b"n", 5))
    alone.do(RegisterSession(NAME))
    first = alone.do(operation)
    alone.now_ms += 4_000
    alone.do(TransactionOperation((Set(b"k", b"v", 1_000), Set(b"gone", b"v", 1))))
    pass_time(alone, 2)
    contents, snapshots = [], []
    alone.ask_for_checkpoint()
    alone.flush_and_tell()
    store = alone.state
    for _ in range(3):
        contents.append(store.scan(b"", None, limit=1_000))
        snapshots.append(store.export(cluster_id="c", describe=describe_state)[1])
        disk = MemoryDisk()
        MemoryStateStore.install(disk, snapshots[-1])
        store = MemoryStateStore(disk)
    assert contents[0] == contents[1] == contents[2]
    assert snapshots[0] == snapshots[1] == snapshots[2]
    assert any(key.startswith(b"r") for key, _ in contents[0]), "a reply is kept"
    alone.state = store
    alone.start()
    alone.lead()
    assert NodeView(alone.replica).clock_ms == 4_002
    assert NodeView(alone.replica).session_count == 1
    assert alone.do(operation) == first
    assert local(alone, TimeToLive(b"k")) == 1
    pass_time(alone, 999)
    assert local(alone, Get(b"k")) == b""


def test_a_large_transaction_ends_the_turn(alone: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that many of them do not keep heartbeats waiting: their changes and replies count, not only their bytes."""
    monkeypatch.setattr(replica, "APPLY_BYTES_MAX", 20_000)
    many = TransactionOperation(tuple(Set(b"%d" % number, b"") for number in range(200)))
    longer = Set(b"long", bytes(9_900))
    reading = TransactionOperation((Get(b"long"),))
    for operations, applied in (
        ([many, many], 1),
        ([longer, Get(b"long")], 1),
        ([reading, reading, reading], 2),
    ):
        before = alone.replica.applied_index
        alone.log_is_held = True
        alone.ask(*operations)
        alone.log_is_held = False
        sequence = alone.jobs[-1].sequence
        for job in alone.jobs:
            alone.log.write([job.batch])
        alone.jobs.clear()
        effects = alone.replica.turn(Inputs(persisted_sequence=sequence))
        assert alone.replica.applied_index == before + applied
        assert effects.more
        alone._take(effects)
        alone.turn()


def test_heartbeats_alone_move_no_clock() -> None:
    """Time that nobody needs costs no entry."""
    bench = Bench(nodes=3)
    bench.lead()
    bench.acknowledge("n2", bench.core.log.last_index)
    last_index = bench.core.log.last_index
    for round_ in range(1, 20):
        pass_time(bench, 25)
        bench.receive(HeartbeatReply("n2", "n1", bench.core.term, round_))
    assert bench.core.log.last_index == last_index
    assert NodeView(bench.replica).clock_ms == 0


def test_a_session_that_was_closed_is_forgotten(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    alone.do(CloseSession(NAME))
    assert NodeView(alone.replica).session_count == 0
