"""Requests that wait at a leader elsewhere: held there, handed to the next leader, given up with their clients."""

from collections.abc import Iterator

import pytest

from raftdb.commands.waiting import command_of
from raftdb.errors import OutcomeUnknown, SessionExpired, Unavailable
from raftdb.forwarding import Forwarder
from raftdb.forwarding.sessions import UNANSWERED_MAX, WAIT_SESSIONS_MAX, NodeSession, WaitSessions
from raftdb.limits import WAITING_MAX
from raftdb.machine.operations import SessionOperation, UserOperation, WaitingOperation
from raftdb.node.turn import Answer
from tests.forwarding.support import FakeCluster, Leader, Outcome, wait_until
from tests.machine.toys import Fill, Sit, Take, left, toys

DONE = Answer([1], 7, 1)
NOT_LEADER = Unavailable("not_leader", "another node leads")


@pytest.fixture(autouse=True)
def with_toys() -> Iterator[None]:
    with toys():
        yield


def ask(forwarder: Forwarder, told: list[Outcome], *, count: int = 1, wait_ms: int = 50_000) -> list[int]:
    """So many requests that wait."""
    return [forwarder.wait(Take(b"%d" % number), told.append, wait_ms=wait_ms) for number in range(count)]


async def held(leader: Leader, count: int) -> None:
    """Wait until so many are held there."""
    await wait_until(lambda: len(leader.waits) == count)


async def test_a_request_is_held_where_the_leader_is() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder, leader = cluster.forwarder(), cluster.nodes["n2"]
    ask(forwarder, told, count=3)
    forwarder.wait(Sit(b"s", b"me"), told.append, wait_ms=1_000)
    await held(leader, 4)
    seat, *takes = leader.waits.values()
    assert seat == Sit(b"s", b"me"), "a place in the state needs no number, and waits for no session"
    assert [command_of(each) for each in takes] == [Take(b"0"), Take(b"1"), Take(b"2")]
    assert 0 < leader.wait_ms[1] <= 1_000
    leader.serve(3, DONE)
    await wait_until(lambda: told == [DONE])
    leader.serve(2, Answer([], 7, 1))
    await wait_until(lambda: told == [DONE, Answer([], 7, 1)])
    assert forwarder.pending_count == 0, "those that wait are no requests in flight"


async def test_a_request_that_waits_keeps_the_rights_of_who_asked() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder, leader = cluster.forwarder(), cluster.nodes["n2"]
    forwarder.wait(UserOperation(b"ana", 7, Take(b"0")), told.append, wait_ms=1_000)
    forwarder.wait(UserOperation(b"ana", 7, Sit(b"s", b"me")), told.append, wait_ms=1_000)
    await held(leader, 2)
    seat, take = leader.waits.values()
    assert seat == UserOperation(b"ana", 7, Sit(b"s", b"me"))
    assert isinstance(take, UserOperation)
    assert (take.user, take.revision) == (b"ana", 7)
    assert command_of(take) == Take(b"0")
    assert isinstance(take.operation, SessionOperation)


async def test_this_node_holds_it_itself_while_it_leads() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    cluster.elect("n1")
    ask(cluster.forwarder(), told)
    await held(cluster.own, 1)
    cluster.own.serve(1, DONE)
    await wait_until(lambda: told == [DONE])


@pytest.mark.parametrize("successor", ["n3", "n1", "n2"])
async def test_what_is_handed_back_goes_to_the_next_leader_under_its_remaining_time(successor: str) -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder, old, new = cluster.forwarder(), cluster.nodes["n2"], cluster.nodes[successor]
    ask(forwarder, told, count=5)
    await held(old, 5)
    old.serve(1, DONE)
    cluster.elect(None)
    for number in range(2, 6):
        old.serve(number, NOT_LEADER)
    cluster.elect(successor)
    await held(new, 4)
    assert {new.wait_ms[number] for number in new.waits} <= set(range(1, 50_001))
    for number in list(new.waits):
        new.serve(number, DONE)
    await wait_until(lambda: told == [DONE] * 5)


async def test_when_the_connection_breaks_all_ask_again() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    ask(cluster.forwarder(), told, count=3)
    leader = cluster.nodes["n2"]
    await held(leader, 3)
    cluster.cut()
    assert leader.left == [1, 2, 3], "the leader holds nothing for who has gone"
    await held(leader, 3)
    for number in list(leader.waits):
        leader.serve(number, DONE)
    await wait_until(lambda: told == [DONE] * 3)


async def test_who_goes_away_gives_up_the_turn_at_the_leader() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder, leader = cluster.forwarder(), cluster.nodes["n2"]
    first, second = ask(forwarder, told, count=2)
    await held(leader, 2)
    forwarder.leave(first)
    await wait_until(lambda: leader.left == [1])
    leader.serve(2, DONE)
    await wait_until(lambda: told == [DONE])
    forwarder.leave(second)
    cluster.elect(None)
    (third,) = ask(forwarder, told)
    forwarder.leave(third)
    cluster.elect("n2")
    ask(forwarder, told)
    await held(leader, 1)
    assert list(leader.waits) == [3], "what was left before it was sent is not sent"
    assert leader.left == [1]


async def test_without_a_leader_they_were_surely_not_executed() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    cluster.elect(None)
    ask(cluster.forwarder(patience_s=0.01), told)
    await wait_until(lambda: bool(told))
    (refusal,) = told
    assert isinstance(refusal, Unavailable)
    assert refusal.code == "no_leader"
    assert cluster.memory.request_bytes == 0


async def test_a_leader_that_does_not_answer_in_time_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raftdb.forwarding.waits.OVERDUE_S", 0.01)
    monkeypatch.setattr("raftdb.forwarding.waits.LOOK_S", 0.0)
    cluster, told = FakeCluster(), list[Outcome]()
    ask(cluster.forwarder(), told, wait_ms=1)
    leader = cluster.nodes["n2"]
    await wait_until(lambda: len(leader.left) > 1)
    assert set(leader.wait_ms.values()) == {1}
    assert told == []
    monkeypatch.setattr("raftdb.forwarding.waits.OVERDUE_S", 60.0)
    await held(leader, 1)
    leader.serve(max(leader.waits), DONE)
    await wait_until(lambda: told == [DONE])


async def test_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftdb.forwarding.waits.WAITING_MAX", 2)
    assert WAITING_MAX == 20_000
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    ask(forwarder, told, count=2)
    with pytest.raises(Unavailable, match="2 requests wait"):
        ask(forwarder, told)


async def test_who_stops_hands_all_back() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder = cluster.forwarder()
    ask(forwarder, told, count=2)
    await held(cluster.nodes["n2"], 2)
    forwarder.close()
    assert [each.code for each in told if isinstance(each, Unavailable)] == ["no_leader"] * 2
    assert cluster.memory.request_bytes == 0
    with pytest.raises(Unavailable, match="stopping"):
        ask(forwarder, told)


def numbered(leader: Leader, position: int = 0) -> SessionOperation:
    """What a leader holds, which has a number."""
    operation = list(leader.waits.values())[position]
    assert isinstance(operation, SessionOperation)
    return operation


async def test_what_a_leader_took_before_it_died_the_next_one_gives_to_the_same_client() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    cluster.execute(Fill(b"0", 2))
    ask(cluster.forwarder(), told)
    old, new = cluster.nodes["n2"], cluster.nodes["n3"]
    await held(old, 1)
    taken = numbered(old)
    cluster.execute(WaitingOperation(taken))
    cluster.elect(None)
    cluster.cut()
    cluster.elect("n3")
    await held(new, 1)
    assert numbered(new) == taken
    new.serve(1, cluster.execute(WaitingOperation(taken)))
    await wait_until(lambda: bool(told))
    assert [each.value for each in told if isinstance(each, Answer)] == [[1]]
    assert left(cluster.database.layer, b"0") == 1


async def test_a_leader_that_does_not_know_what_became_of_it_is_asked_again_under_the_same_number() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    ask(cluster.forwarder(), told)
    leader = cluster.nodes["n2"]
    await held(leader, 1)
    first = numbered(leader)
    leader.serve(1, OutcomeUnknown("another node leads"))
    await held(leader, 1)
    assert numbered(leader) == first
    leader.serve(2, DONE)
    await wait_until(lambda: told == [DONE])


async def test_one_whose_session_is_gone_gets_another_number_if_it_was_sent_once() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    ask(cluster.forwarder(), told, count=2)
    leader = cluster.nodes["n2"]
    await held(leader, 2)
    first = numbered(leader).session
    leader.serve(1, SessionExpired("no such session"))
    await held(leader, 2)
    assert [numbered(leader, position).session == first for position in (0, 1)] == [True, False]
    cluster.cut()
    await held(leader, 2)
    for number in list(leader.waits):
        leader.serve(number, SessionExpired("no such session"))
    await wait_until(lambda: len(told) == 2)
    assert {type(each) for each in told} == {OutcomeUnknown}, "a copy of it may have taken something"


async def test_one_that_was_sent_and_finds_no_leader_again_may_have_taken_something() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    ask(cluster.forwarder(patience_s=0.05), told)
    await held(cluster.nodes["n2"], 1)
    cluster.elect(None)
    cluster.cut()
    await wait_until(lambda: bool(told))
    assert isinstance(told[0], OutcomeUnknown)


async def test_those_that_wait_have_sessions_of_their_own_until_none_has_room() -> None:
    sessions, begun = WaitSessions(), list[NodeSession]()
    assert sessions.choose(0.0) is None
    while len(begun) < WAIT_SESSIONS_MAX:
        session = sessions.begin()
        assert session is not None
        assert sessions.begin() is None, "one at a time"
        sessions.registered(session, 0.0, is_known=True)
        begun.append(session)
        for _ in range(UNANSWERED_MAX):
            assert sessions.choose(0.0) is session
            session.wrap(Take(b"0"))
        assert sessions.choose(0.0) is None
    with pytest.raises(Unavailable, match="too many requests wait"):
        sessions.begin()
    begun[7].answered(1)
    assert sessions.choose(0.0) is begun[7]


async def test_a_session_that_cannot_be_registered_is_asked_for_again() -> None:
    sessions = WaitSessions()
    first = sessions.begin()
    assert first is not None
    sessions.registered(first, 0.0, is_known=False)
    assert sessions.choose(0.0) is None
    assert sessions.begin() not in (None, first)


async def test_what_is_to_wait_no_longer_is_answered_by_the_leader_that_holds_it() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    forwarder, leader = cluster.forwarder(), cluster.nodes["n2"]
    first, second = ask(forwarder, told, count=2)
    await held(leader, 2)
    forwarder.end_wait(second)
    forwarder.end_wait(99)
    await wait_until(lambda: leader.wait_ends == [2])
    assert told == []
    leader.serve(2, Answer([], 7, 1))
    await wait_until(lambda: told == [Answer([], 7, 1)])
    cluster.elect(None)
    leader.serve(1, NOT_LEADER)
    forwarder.end_wait(first)
    cluster.elect("n3")
    await held(cluster.nodes["n3"], 1)
    assert cluster.nodes["n3"].wait_ms == {1: 1}, "the next leader says what became of it"


async def test_what_was_never_sent_is_to_wait_no_longer_at_once() -> None:
    cluster, told = FakeCluster(), list[Outcome]()
    cluster.elect(None)
    forwarder = cluster.forwarder()
    (taken,) = ask(forwarder, told)
    seated = forwarder.wait(Sit(b"s", b"me"), told.append, wait_ms=1_000)
    forwarder.end_wait(taken)
    forwarder.end_wait(seated)
    assert [each.value for each in told if isinstance(each, Answer)] == [[], None]
