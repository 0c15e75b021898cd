"""Requests that the leader holds until they can be served: in turn, each answered once, and none woken in vain."""

from collections.abc import Iterator

import pytest

from raftdb.commands.waiting import name_of
from raftdb.core.messages import Heartbeat
from raftdb.errors import RaftdbError
from raftdb.limits import WAIT_AGAIN_MS, WAIT_MS_MAX
from raftdb.machine.operations import Mode, SessionOperation, TransactionOperation
from raftdb.machine.queues.info import QueueInfo
from raftdb.machine.queues.managing import QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.sessions import RegisterSession
from raftdb.node import orphans, waiting
from raftdb.node.turn import Answer, Inputs
from tests.machine.toys import STICKY, Fill, Rise, Sit, Take, left, toys
from tests.node.bench import Bench, code_of, value_of

NAME = b"n" * 16


@pytest.fixture
def alone() -> Iterator[Bench]:
    with toys():
        bench = Bench(nodes=1)
        bench.lead()
        yield bench


def entries(bench: Bench) -> int:
    """How many entries there are."""
    return int(bench.core.log.last_index)


def answered(bench: Bench, requests: list[int]) -> list[object]:
    """The values that these requests were answered with; ... for one that was not."""
    return [value_of(bench.answers[each]) if each in bench.answers else ... for each in requests]


def depose(bench: Bench) -> None:
    """Another node leads a later term."""
    bench.receive(Heartbeat("n2", "n1", bench.core.term + 1, 0, 0))


def test_who_finds_something_is_served_at_once(alone: Bench) -> None:
    alone.do(Fill(b"b", 2))
    assert answered(alone, alone.wait(Take(b"b"))) == [[1]]


def test_those_that_wait_are_counted_by_what_they_wait_for(alone: Bench) -> None:
    alone.wait(*[Take(b"b")] * 3, Take(b"other"))
    name, other = name_of(Take(b"b")), name_of(Take(b"other"))
    waiters = alone.replica.waiters
    assert (waiters.count_in(name), waiters.count_in(other), waiters.count_in(b"none")) == (3, 1, 0)
    alone.do(Fill(b"b", 2))
    assert (waiters.count_in(name), waiters.count_in(other)) == (1, 1)


def test_a_leader_tells_how_many_wait_for_the_messages_of_a_queue(alone: Bench) -> None:
    alone.do(Enqueue(b"mail", b"a", delay_ms=60_000))
    alone.wait(Receive(b"mail"), Dequeue(b"mail"), Dequeue(b"other"))

    read = alone.read(QueueInfo(b"mail"))
    assert isinstance(read, Answer)
    assert read.value[-2:] == [b"waiting_receivers", 2]
    logged = alone.do(TransactionOperation((QueueInfo(b"mail"),), (), Mode.ATOMIC))
    assert isinstance(logged, Answer)
    assert logged.value[0].value[-2:] == [b"waiting_receivers", None], "that is no part of the log"


def test_who_does_not_lead_does_not_know_how_many_wait() -> None:
    bench = Bench(nodes=3)
    bench.lead()
    bench.write(b"v")
    bench.acknowledge("n2", bench.core.log.last_index)
    bench.ask(QueueSet(b"mail", ((b"visibility", b"60"),)))
    bench.acknowledge("n2", bench.core.log.last_index)
    depose(bench)
    read = bench.read(QueueInfo(b"mail"))
    assert isinstance(read, Answer)
    assert read.value[-2:] == [b"waiting_receivers", None]


def test_waiting_leaves_no_trace_in_the_log_and_one_is_woken_for_each_that_can_be_served(
    alone: Bench,
) -> None:
    before = entries(alone)
    waiting = alone.wait(*[Take(b"b")] * 5)
    assert entries(alone) == before
    alone.do(Fill(b"b", 1))
    assert entries(alone) == before + 2
    assert answered(alone, waiting) == [[1], ..., ..., ..., ...]
    alone.do(Fill(b"other", 1))
    assert entries(alone) == before + 3
    alone.do(Fill(b"b", 3))
    assert entries(alone) == before + 7
    assert answered(alone, waiting) == [[1], [1], [1], [1], ...]


def test_what_one_takes_is_not_there_for_the_next(alone: Bench) -> None:
    waiting = alone.wait(Take(b"b", 10), Take(b"b", 2), Take(b"b"))
    before = entries(alone)
    alone.do(Fill(b"b", 11))
    assert answered(alone, waiting) == [[10], [1], ...]
    assert entries(alone) == before + 3, "the third was not woken in vain"
    alone.do(Fill(b"b", 1))
    assert answered(alone, waiting) == [[10], [1], [1]]


def test_who_is_to_wait_no_longer_is_answered_as_at_its_deadline(alone: Bench) -> None:
    alone.do(Sit(b"s", b"holder"))
    first, second, place = alone.wait(Take(b"b"), Take(b"b"), Sit(b"s", b"me"), wait_ms=WAIT_MS_MAX)
    before = entries(alone)
    alone.turn(wait_ends=[second, place, 12345])
    assert answered(alone, [first, second]) == [..., []]
    assert answered(alone, [place]) == [None]
    assert entries(alone) == before + 1, "its place is given up, however long it might have waited"
    alone.do(Fill(b"b", 1))
    assert answered(alone, [first]) == [[1]]


def test_who_takes_less_than_it_might_leaves_the_rest_to_the_next(alone: Bench) -> None:
    waiting = alone.wait(*[Take(STICKY, 10)] * 3)
    alone.do(Fill(STICKY, 2))
    assert answered(alone, waiting) == [[1], [1], ...]


def test_who_is_overtaken_keeps_the_place(alone: Bench) -> None:
    first, second = alone.wait(Take(b"b"), Take(b"b"))
    alone.log_is_held = True
    filling = alone.ask(Fill(b"b", 1))
    alone.write_log()
    assert alone.core.log.last_index == alone.replica.applied_index + 1, "the first was proposed"
    assert answered(alone, filling) == [None]
    alone.ask(Take(b"b"))
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, [first, second]) == [[1], ...]


def test_a_try_that_comes_first_in_the_log_sends_the_waiter_back_to_the_front(alone: Bench) -> None:
    first, second = alone.wait(Take(b"b"), Take(b"b"))
    alone.log_is_held = True
    alone.ask(Fill(b"b", 1))
    # The try stands in the log before the entry of the waiter, which is proposed when the filling is applied.
    (thief,) = alone.ask(Take(b"b"))
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, [thief, first, second]) == [[1], ..., ...]
    alone.do(Fill(b"b", 1))
    assert answered(alone, [first, second]) == [[1], ...]


def test_the_deadline_is_answered_without_an_entry(alone: Bench) -> None:
    before = entries(alone)
    soon, later = [*alone.wait(Take(b"b"), wait_ms=100), *alone.wait(Take(b"b"), wait_ms=5_000)]
    alone.pass_time(90)
    assert answered(alone, [soon, later]) == [..., ...]
    alone.pass_time(50)
    assert answered(alone, [soon, later]) == [[], ...]
    alone.do(Fill(b"b", 1))
    assert answered(alone, [soon, later]) == [[], [1]]
    assert entries(alone) == before + 2


def test_who_has_gone_leaves_the_turn_to_the_next(alone: Bench) -> None:
    first, second = alone.wait(Take(b"b"), Take(b"b"))
    alone.turn(left=[first])
    alone.do(Fill(b"b", 1))
    assert answered(alone, [first, second]) == [..., [1]]
    assert alone.replica.waiters.count == 0


def test_who_goes_while_its_command_is_under_way_gets_no_answer(alone: Bench) -> None:
    (first,) = alone.wait(Take(b"b"))
    alone.log_is_held = True
    alone.ask(Fill(b"b", 2))
    alone.write_log()
    alone.turn(left=[first])
    alone.log_is_held = False
    alone.write_log()
    assert first not in alone.answers
    assert left(alone.state, b"b") == 1, "without a session it is lost, as the essay says"
    assert alone.replica.waiters.count == 0


def test_those_that_wait_are_handed_back_when_another_node_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "STEPS_PER_TURN", 3)
    with toys():
        bench = Bench(nodes=3)
        bench.lead()
        bench.acknowledge("n2", bench.core.log.last_index)
        requests = bench.wait(*[Take(b"b")] * 3, Sit(b"s", b"a"), Sit(b"s", b"b"), *[Take(b"c")] * 3)
        bench.acknowledge("n2", bench.core.log.last_index)
        assert answered(bench, requests[3:5]) == [bench.core.commit_index - 1, ...]
        seated = requests.pop(3)
        effects = bench.turn(messages=[])
        bench.receive(Heartbeat("n2", "n1", bench.core.term + 1, 0, 0))
        assert {code_of(bench.answers[each]) for each in requests} == {"not_leader"}
        assert bench.replica.waiters.count == 0
        assert seated in bench.answers
        assert not effects.more
        more = bench.wait(Take(b"b"))
        assert code_of(bench.answers[more[0]]) == "not_leader"


def test_a_new_leader_looks_once_its_own_entry_is_applied() -> None:
    with toys():
        bench = Bench(nodes=3)
        bench.lead()
        (request,) = bench.wait(Take(b"b"))
        assert request not in bench.answers
        bench.turn(left=[], is_stopping=True)
        assert code_of(bench.answers[request]) == "no_leader"


def test_the_same_sequence_is_served_once(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    take = SessionOperation(NAME, 1, 1, Take(b"b"))
    (first,) = alone.wait(take)
    (again,) = alone.wait(take)
    assert code_of(alone.answers[first]) == "busy"
    other = SessionOperation(NAME, 2, 1, Take(b"c"))
    assert answered(alone, alone.wait(other, wait_ms=1)) == [...]
    alone.do(Fill(b"b", 2))
    assert answered(alone, [again]) == [[1]]
    assert answered(alone, alone.wait(take)) == [[1]], "the kept reply, at once"
    assert left(alone.state, b"b") == 1


def test_a_waiting_sequence_holds_up_no_other_and_no_acknowledgement(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    (request,) = alone.wait(SessionOperation(NAME, 1, 1, Take(b"b")))
    for sequence in range(2, 1_500):
        alone.do(SessionOperation(NAME, sequence, sequence - 1 if sequence > 2 else 1, Fill(b"c", 1)))
    alone.do(Fill(b"b", 1))
    assert code_of(alone.answers[request]) == "session_expired", "its client has acknowledged it"
    assert left(alone.state, b"b") == 1


def test_a_copy_that_comes_while_the_first_is_under_way_gets_its_answer(alone: Bench) -> None:
    alone.do(RegisterSession(NAME))
    take = SessionOperation(NAME, 1, 1, Take(b"b"))
    (first,) = alone.wait(take)
    alone.log_is_held = True
    alone.ask(Fill(b"b", 2))
    alone.write_log()
    (again,) = alone.wait(take)
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, [first, again]) == [[1], [1]]
    assert left(alone.state, b"b") == 1


def test_a_place_is_handed_on_in_one_entry(alone: Bench) -> None:
    requests = alone.wait(*[Sit(b"s", b"%d" % number) for number in range(4)])
    before = entries(alone)
    assert answered(alone, requests)[1:] == [..., ..., ...]
    alone.do(Rise(b"s", b"0"))
    assert entries(alone) == before + 1
    assert answered(alone, requests)[1:] == [before + 1, ..., ...]
    alone.do(Rise(b"s", b"2"))
    alone.do(Rise(b"s", b"1"))
    assert answered(alone, requests[3:]) == [before + 3]
    assert isinstance(alone.answers[requests[2]], RaftdbError), "its place was taken from it"


def test_at_its_deadline_a_place_is_given_up_by_an_entry(alone: Bench) -> None:
    alone.wait(Sit(b"s", b"a"))
    late, held, twin = alone.wait(Sit(b"s", b"b"), Sit(b"s", b"c"), Sit(b"s", b"c"), wait_ms=100)
    (longer,) = alone.wait(Sit(b"s", b"c"))
    before = entries(alone)
    alone.pass_time(200)
    assert answered(alone, [late, held, twin, longer]) == [None, None, None, ...]
    assert entries(alone) == before + 1, "another request holds the place of c"
    alone.do(Rise(b"s", b"a"))
    assert answered(alone, [longer]) == [before + 2]


def test_who_has_waited_long_and_asks_again_finds_its_place(alone: Bench) -> None:
    alone.wait(Sit(b"s", b"a"))
    again, silent = alone.wait(Sit(b"s", b"b"), Sit(b"s", b"c"), wait_ms=WAIT_AGAIN_MS)
    before = entries(alone)
    alone.pass_time(WAIT_AGAIN_MS + 100)
    assert answered(alone, [again, silent]) == [None, None]
    assert entries(alone) == before
    (last,) = alone.wait(Sit(b"s", b"d"), wait_ms=WAIT_MS_MAX)
    (again,) = alone.wait(Sit(b"s", b"b"), wait_ms=WAIT_MS_MAX)
    alone.pass_time(orphans.HELD_MS - 5_000)
    alone.do(Rise(b"s", b"a"))
    assert answered(alone, [again, last]) == [entries(alone), ...], "before one that came later"
    alone.pass_time(5_000)
    alone.do(Rise(b"s", b"b"))
    assert answered(alone, [last]) == [entries(alone)], "c did not ask again"


def test_a_grant_that_comes_before_the_end_of_the_place_is_not_lost(alone: Bench) -> None:
    alone.wait(Sit(b"s", b"a"))
    (late,) = alone.wait(Sit(b"s", b"b"), wait_ms=100)
    alone.log_is_held = True
    alone.ask(Rise(b"s", b"a"))
    alone.pass_time(200)
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, [late]) == [alone.core.log.last_index - 1]


def test_a_place_without_a_request_is_kept_for_a_while(alone: Bench) -> None:
    alone.wait(Sit(b"s", b"a"))
    gone, stays = alone.wait(Sit(b"s", b"b"), Sit(b"s", b"c"), wait_ms=50_000)
    alone.turn(left=[gone])
    alone.pass_time(orphans.HELD_MS - 1_000)
    (back,) = alone.wait(Sit(b"s", b"b"), wait_ms=50_000)
    alone.pass_time(5_000)
    alone.turn(left=[back])
    before = entries(alone)
    alone.pass_time(orphans.HELD_MS - 1_000)
    assert entries(alone) == before
    alone.pass_time(2_000)
    assert entries(alone) == before + 1
    alone.do(Rise(b"s", b"a"))
    assert answered(alone, [stays]) == [before + 2]
    alone.pass_time(100_000)
    assert entries(alone) == before + 2


def test_a_new_leader_ends_the_places_that_nobody_asks_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "PAGE", 2)
    with toys():
        bench = Bench(nodes=1)
        bench.lead()
        bench.wait(*[Sit(b"s", b"%d" % number) for number in range(8)])
        bench.start()
        bench.lead()
        (back,) = bench.wait(Sit(b"s", b"5"), wait_ms=50_000)
        bench.pass_time(orphans.HELD_MS - 1_000)
        before = entries(bench)
        bench.pass_time(2_000)
        for _ in range(5):
            bench.pass_time(1)
        assert entries(bench) == before + 6
        bench.do(Rise(b"s", b"0"))
        assert answered(bench, [back]) == [before + 7]


def test_a_turn_does_a_bounded_part_of_a_storm(alone: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "STEPS_PER_TURN", 10)
    requests = alone.wait(*[Take(b"b")] * 100, wait_ms=1_000)
    alone.log_is_held = True
    alone.ask(Fill(b"b", 50))
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, requests).count([1]) == 50
    alone.now_ms += 2_000
    effects = alone.replica.turn(Inputs(now_ms=alone.now_ms))
    assert 0 < len(effects.answers) <= 10
    assert effects.more
    alone.answers.update(effects.answers)
    alone.turn()
    assert answered(alone, requests).count([]) == 50
    assert alone.replica.waiters.count == 0


def test_nothing_is_proposed_while_the_disk_is_full(alone: Bench) -> None:
    requests = alone.wait(Take(b"b"))
    filling = alone.ask(Fill(b"b", 1))
    assert answered(alone, requests) == [[1]], filling
    (late,) = alone.wait(Take(b"b"), wait_ms=500)
    alone.log_is_held = True
    alone.ask(Fill(b"b", 1))
    sequence = alone.jobs.pop(0)
    alone.log.write([sequence.batch])
    before = entries(alone)
    alone.turn(persisted_sequence=sequence.sequence, disk_is_full=True)
    assert entries(alone) == before
    alone.turn()
    alone.log_is_held = False
    alone.write_log()
    assert answered(alone, [late]) == [[1]]
