"""Requests that are passed on: order, changes of leader, exactly once, bounds."""

import asyncio

import pytest

from raftdb.budgets import KEYS_ON_LOOP_MAX
from raftdb.errors import OutcomeUnknown, Unavailable
from raftdb.forwarding import Forwarder
from raftdb.machine.batches import MultiSet
from raftdb.machine.editing import Append
from raftdb.machine.keyspace import SESSION_PREFIX
from raftdb.machine.operations import SessionOperation, TransactionOperation, UserOperation
from raftdb.machine.reply import Page, Result
from raftdb.machine.scanning import ReadPage
from raftdb.machine.sessions import CloseSession
from raftdb.machine.strings import Get, Set
from raftdb.machine.users.service import PutRole, PutUser
from raftdb.memory import MEMORY_BYTES_MIN, MemoryAccount
from raftdb.node.turn import Answer
from tests.forwarding.support import FakeCluster, Outcome, wait_until

COUNT = 50
EXPECTED = b"".join(b"%02d." % number for number in range(COUNT))


def append_all(forwarder: Forwarder, told: list[Outcome], count: int = COUNT) -> None:
    """Writes whose order and number shows in the value."""
    for number in range(count):
        forwarder.submit(Append(b"k", b"%02d." % number), told.append)


def value_of(cluster: FakeCluster) -> object:
    answer = cluster.execute(Get(b"k"))
    assert isinstance(answer, Answer)
    return answer.value


def check_all_done_once(cluster: FakeCluster, told: list[Outcome]) -> None:
    """Every write was done once, in order, and each got its own answer."""
    assert value_of(cluster) == EXPECTED
    assert [answer.value for answer in told if isinstance(answer, Answer)] == [
        3 * number for number in range(1, COUNT + 1)
    ]
    assert cluster.memory.request_bytes == 0


async def test_what_is_passed_on_is_done_in_order_and_answered() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    append_all(forwarder, told)
    assert told == []
    await wait_until(lambda: len(told) == COUNT)
    check_all_done_once(cluster, told)
    assert cluster.own.seen == 0
    assert forwarder.pending_count == 0


async def test_what_is_passed_on_keeps_the_rights_of_who_asked() -> None:
    """A node passes on whose it is, and by which users it has judged it: where those have changed, the state judges
    again (hazard B102)."""
    cluster, told = FakeCluster(), list[Outcome]()
    admin = UserOperation(b"root", 1 << 40, PutRole(b"r", (b"write keys a",)))
    for operation in (PutUser(b"root", b"", (b"admin",)), admin):
        assert isinstance(cluster.execute(operation), Answer)
    cluster.execute(UserOperation(b"root", 1 << 40, PutUser(b"ana", b"", (b"r",))))
    forwarder = cluster.forwarder()
    for asked in (Set(b"a", b"v"), Set(b"b", b"v"), Get(b"a"), Get(b"b"), ReadPage(b"b", b"", 9, True)):
        forwarder.submit(UserOperation(b"ana", 1, asked), told.append)
    forwarder.submit(Set(b"a", b"nobody's"), told.append)
    await wait_until(lambda: len(told) == 6)
    assert [getattr(outcome, "code", "done") for outcome in told] == [
        "done", "forbidden", "done", "forbidden", "forbidden", "unauthenticated",
    ]  # fmt: skip


@pytest.mark.parametrize("applied", [0, 1, 2, 30, 1000])
@pytest.mark.parametrize("successor", ["n3", "n1", "n2"])
async def test_on_a_new_leader_all_goes_on_from_the_first_unanswered_exactly_once(
    applied: int, successor: str
) -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    old = cluster.nodes["n2"]
    append_all(forwarder, told, 10)
    await wait_until(lambda: len(told) == 10)
    old.is_held = True
    for number in range(10, 40):
        forwarder.submit(Append(b"k", b"%02d." % number), told.append)
    await wait_until(lambda: len(old.waiting) >= 30)
    cluster.elect(None)
    old.is_held = False
    old.lose(applied)
    for number in range(40, COUNT):
        forwarder.submit(Append(b"k", b"%02d." % number), told.append)
    cluster.elect(successor)
    await wait_until(lambda: len(told) == COUNT)
    check_all_done_once(cluster, told)


async def test_a_connection_that_is_lost_changes_nothing() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    append_all(forwarder, told)
    leader = cluster.nodes["n2"]
    for turns in range(1, 12):
        await asyncio.sleep(0)
        if turns % 3 == 0:
            cluster.cut()
            leader.answer_all()
    await wait_until(lambda: len(told) == COUNT)
    check_all_done_once(cluster, told)


async def test_a_leader_that_leads_again_executes_nothing_out_of_order() -> None:
    """It refuses the first of two requests, and leads when the second one arrives."""
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    leader = cluster.nodes["n2"]
    forwarder.submit(Set(b"k", b""), told.append)
    await wait_until(lambda: len(told) == 1)
    for number in range(COUNT):
        leader.refusal = leader.not_leader() if number % 7 == 3 else None
        forwarder.submit(Append(b"k", b"%02d." % number), told.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    leader.refusal = None
    await wait_until(lambda: len(told) == COUNT + 1)
    assert value_of(cluster) == EXPECTED


async def test_what_a_leader_does_not_know_any_more_goes_to_the_next() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    cluster.nodes["n2"].refusal = cluster.nodes["n2"].not_leader()
    append_all(forwarder, told)
    await wait_until(lambda: cluster.nodes["n2"].seen > 2)
    assert told == []
    cluster.elect("n3")
    await wait_until(lambda: len(told) == COUNT)
    check_all_done_once(cluster, told)


async def test_without_a_leader_requests_wait_and_then_were_surely_not_executed() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder(patience_s=0.05)
    cluster.elect(None)
    forwarder.submit(Set(b"k", b"v"), told.append)
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(told) == 2)
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert {each.code for each in told if isinstance(each, Unavailable)} == {"no_leader"}
    cluster.elect("n2")
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(told) == 3)
    assert isinstance(told[2], Answer)
    assert told[2].value is None
    assert cluster.memory.request_bytes == 0


async def test_a_write_that_nobody_answers_is_unknown_and_a_read_is_not_executed() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder(patience_s=0.05)
    cluster.nodes["n2"].is_held = True
    forwarder.submit(Set(b"k", b"v"), told.append)
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(told) == 2)
    assert isinstance(told[0], OutcomeUnknown)
    assert isinstance(told[1], Unavailable)
    assert forwarder.pending_count == 0


async def test_not_executed_is_believed_only_of_what_was_sent_once() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    leader = cluster.nodes["n2"]
    forwarder.submit(Set(b"k", b"1"), told.append)
    await wait_until(lambda: len(told) == 1)
    leader.refusal = Unavailable("busy", "too much waits")
    forwarder.submit(Set(b"k", b"2"), told.append)
    await wait_until(lambda: len(told) == 2)
    assert isinstance(told[1], Unavailable)
    assert told[1].code == "busy"
    leader.refusal, leader.is_held = None, True
    forwarder.submit(Set(b"k", b"3"), told.append)
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: any(type(operation) is Get for operation, _ in leader.waiting))
    leader.refusal = Unavailable("busy", "too much waits")
    leader.lose(1000)
    await wait_until(lambda: len(told) == 4)
    assert isinstance(told[2], OutcomeUnknown)
    assert isinstance(told[3], Unavailable)
    assert value_of(cluster) == b"3"


async def test_a_session_that_was_ended_is_replaced() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    for _ in range(64):
        forwarder.submit(Set(b"k", b"1"), told.append)
    await wait_until(lambda: len(told) == 64)
    names = [key[1:] for key, _ in cluster.database.layer.scan(SESSION_PREFIX, b"t", limit=1000)]
    assert len(names) == 64
    for name in names:
        cluster.execute(CloseSession(name))
    for _ in range(64):
        forwarder.submit(Set(b"k", b"2"), told.append)
    await wait_until(lambda: len(told) == 128)
    assert {each.code for each in told[64:] if isinstance(each, Unavailable)} == {"busy"}
    assert value_of(cluster) == b"1"
    for _ in range(64):
        forwarder.submit(Set(b"k", b"3"), told.append)
    await wait_until(lambda: len(told) == 192)
    assert all(isinstance(each, Answer) for each in told[128:])


async def test_the_leader_itself_passes_nothing_on_until_it_does_not_lead() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    cluster.elect("n1")
    forwarder.submit(Append(b"k", b"00."), told.append)
    await wait_until(lambda: len(told) == 1)
    assert cluster.pipes == []
    cluster.own.is_held = True
    for number in range(1, COUNT):
        forwarder.submit(Append(b"k", b"%02d." % number), told.append)
        if number == 20:
            cluster.elect("n2")
            cluster.own.answer_all()
    await wait_until(lambda: len(told) == COUNT)
    check_all_done_once(cluster, told)


async def test_a_large_operation_keeps_its_place() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    many = MultiSet(tuple((b"%d" % number, b"v") for number in range(KEYS_ON_LOOP_MAX + 1)))
    forwarder.submit(Set(b"0", b"before"), told.append)
    forwarder.submit(many, told.append)
    forwarder.submit(Append(b"0", b"after"), told.append)
    await wait_until(lambda: len(told) == 3)
    answer = cluster.execute(Get(b"0"))
    assert isinstance(answer, Answer)
    assert answer.value == b"vafter"
    assert cluster.memory.request_bytes == 0


async def test_values_of_all_kinds_come_back() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    forwarder.submit(Set(b"k", b"\x00\xff"), told.append)
    forwarder.submit(TransactionOperation((Get(b"k"), Append(b"k", b"!"))), told.append)
    await wait_until(lambda: len(told) == 2)
    forwarder.submit(ReadPage(b"", b"", 10), told.append)
    await wait_until(lambda: len(told) == 3)
    assert isinstance(told[1], Answer)
    assert isinstance(told[1].value[0], Result)
    assert [each.value for each in told[1].value] == [b"\x00\xff", 3]
    expected = cluster.execute(ReadPage(b"", b"", 10))
    assert isinstance(told[2], Answer)
    assert isinstance(expected, Answer)
    assert isinstance(told[2].value, Page)
    assert told[2].value == expected.value


async def test_a_read_within_the_log_is_not_read_again_after_the_writes_that_followed_it() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    old = cluster.nodes["n2"]
    old.is_held = True
    forwarder.submit(Append(b"k", b"v"), told.append)
    forwarder.submit(TransactionOperation((Get(b"k"),)), told.append)
    forwarder.submit(Append(b"k", b"w"), told.append)
    await wait_until(lambda: sum(type(each) is SessionOperation for each, _ in old.waiting) == 3)
    cluster.elect("n3")
    old.lose(1000)
    await wait_until(lambda: len(told) == 3)
    assert isinstance(told[1], Answer)
    assert told[1].value[0].value == b"v"
    assert value_of(cluster) == b"vw"


async def test_a_connection_that_was_not_used_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder(idle_s=600.0, patience_s=6_000.0)
    began_s = asyncio.get_running_loop().time()

    def pass_time(duration_s: float) -> None:
        monkeypatch.setattr(forwarder, "_now_s", lambda: began_s + duration_s)

    pass_time(0.0)
    forwarder.submit(Set(b"k", b"v"), told.append)
    await wait_until(lambda: len(told) == 1)
    (old,) = cluster.pipes
    pass_time(601.0)
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(told) == 2)
    assert not old.is_open
    assert len(cluster.pipes) == 2
    cluster.nodes["n2"].is_held = True
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(cluster.nodes["n2"].waiting) == 1)
    pass_time(1_202.0)
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: len(cluster.nodes["n2"].waiting) == 2)
    cluster.nodes["n2"].answer_all()
    await wait_until(lambda: len(told) == 4)


async def test_who_waits_in_vain_learns_why_nothing_could_be_passed_on() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder(patience_s=0.05)
    cluster.nodes["n2"].refusal = Unavailable("no_leader", "I am looking for a leader, too")
    forwarder.submit(Get(b"k"), told.append)
    await wait_until(lambda: bool(told))
    assert isinstance(told[0], Unavailable)
    assert "I am looking for a leader, too" in told[0].message


async def test_no_more_are_under_way_or_wait_than_the_limits_allow() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder(requests_max=200, out_max=8)
    leader = cluster.nodes["n2"]
    leader.is_held = True
    with pytest.raises(Unavailable) as refused:
        append_all(forwarder, told, 300)
    assert refused.value.code == "busy"
    assert forwarder.pending_count >= 200
    await wait_until(lambda: len(leader.waiting) == 8)
    leader.is_held = False
    leader.answer_all()
    await wait_until(lambda: forwarder.pending_count == 0)
    assert leader.most_waiting == 8
    append_all(forwarder, told, 1)
    await wait_until(lambda: forwarder.pending_count == 0)


async def test_without_memory_a_node_is_busy_and_nothing_is_left_over() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    cluster.memory = MemoryAccount(MEMORY_BYTES_MIN)
    forwarder = cluster.forwarder()
    cluster.nodes["n2"].is_held = True

    def fill() -> None:
        for _ in range(100):
            forwarder.submit(Set(b"k", b"v" * (1 << 20)), told.append)

    with pytest.raises(Unavailable) as refused:
        fill()
    assert refused.value.code == "busy"
    cluster.nodes["n2"].is_held = False
    forwarder.close()
    assert forwarder.pending_count == 0
    assert cluster.memory.request_bytes == 0
    assert len(told) > 1


async def test_who_stops_tells_all_who_wait() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    cluster.nodes["n2"].is_held = True
    forwarder.submit(Set(b"k", b"v"), told.append)
    await wait_until(lambda: len(cluster.nodes["n2"].waiting) == 2)
    forwarder.submit(Set(b"k", b"w"), told.append)
    forwarder.submit(Get(b"k"), told.append)
    forwarder.close()
    assert [type(each) for each in told] == [OutcomeUnknown, Unavailable, Unavailable]
    with pytest.raises(Unavailable):
        forwarder.submit(Get(b"k"), told.append)
