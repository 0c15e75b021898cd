"""Which node is asked, when it is asked again, and when never again. Time is a number here."""

import json
from functools import partial
from random import Random
from typing import Any

import pytest

from raftdb.client.addresses import parse_addresses
from raftdb.client.http1 import Response
from raftdb.client.pace import (
    ANSWERS_PER_CALL,
    ANSWERS_WAITED,
    CALL_MS_MAX,
    NODE_MS_MAX,
    NODE_MS_MIN,
    Pace,
    answer_deadline_ms,
)
from raftdb.client.protocol import Kind
from raftdb.client.routing import (
    PAUSE_MS_FIRST,
    PAUSE_MS_MAX,
    REDIRECTS_MAX,
    RETRY_AFTER_MS_MAX,
    TASK_ATTEMPT_MS,
    Attempt,
    Call,
    Pause,
    Router,
)
from raftdb.endpoint import Endpoint
from raftdb.errors import OutcomeUnknown, RaftdbError, ReplyError, RequestRefused, Unavailable
from tests.addresses import at

A, B, C, D = map(at, ("a:1", "b:1", "c:1", "d:1"))
OK = Response(200, {}, b'{"result": "OK", "index": 1, "term": 1}')


def answer(status: int, code: str, leader: Endpoint | None = None, **headers: str) -> Response:
    error: dict[str, object] = {"code": code, "message": code}
    if leader is not None:
        error["leader"] = {"id": "x", "http": str(leader), "redis": None}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, json.dumps({"error": error}).encode())


def status_of(leader: Endpoint | None, *, role: str = "follower") -> Response:
    named = None if leader is None else {"id": "x", "http": str(leader)}
    return Response(200, {}, json.dumps({"id": "y", "role": role, "leader": named}).encode())


def make(
    kind: Kind,
    *,
    leader: Endpoint | None = None,
    timeout_ms: float = 5_000,
    stretches: bool = False,
    **more: Any,
) -> Call:
    router = Router([A, B, C], random=Random(1))
    router.leader = leader
    return Call(router, kind, now_ms=0, timeout_ms=timeout_ms, stretches=stretches, **more)


def attempt(call: Call, now_ms: float = 0) -> Attempt:
    step = call.next_step(now_ms)
    assert isinstance(step, Attempt)
    return step


def pause(call: Call, now_ms: float = 0) -> float:
    step = call.next_step(now_ms)
    assert isinstance(step, Pause)
    return step.duration_ms


def asked(call: Call, now_ms: float = 0) -> tuple[Endpoint, bool]:
    step = attempt(call, now_ms)
    return step.address, step.probe


def router_of(call: Call) -> Router:
    return call._router


class TestFindingTheLeader:
    def test_a_read_goes_to_the_first_node_and_follows_its_redirect(self) -> None:
        call = make(Kind.READ)
        first = attempt(call)
        assert (first.address, first.probe) == (A, False)
        assert call.answered(first, answer(307, "not_leader", C)) is None
        second = attempt(call)
        assert second.address == C
        assert call.answered(second, OK) is OK
        assert router_of(call).leader == C

    def test_a_write_asks_who_leads_before_it_is_sent(self) -> None:
        call = make(Kind.WRITE)
        probe = attempt(call)
        assert (probe.address, probe.probe, probe.prompt_ms) == (A, True, NODE_MS_MIN)
        assert call.answered(probe, status_of(B)) is None
        request = attempt(call)
        assert (request.address, request.probe, request.answer_by_ms) == (B, False, 5_000)
        assert call.answered(request, OK) is OK

    def test_a_node_that_says_it_leads_is_sent_the_write(self) -> None:
        call = make(Kind.WRITE)
        call.answered(attempt(call), status_of(A))
        assert asked(call) == (A, False)

    def test_a_node_that_leads_does_so_where_it_answered_whatever_address_it_is_known_by(self) -> None:
        call = make(Kind.WRITE)
        call.answered(attempt(call), status_of(D, role="leader"))
        step = attempt(call)
        assert (step.address, step.probe) == (A, False)
        assert call.answered(step, OK) is OK
        assert router_of(call).leader == A

    def test_a_leader_that_is_named_at_an_address_out_of_reach_is_found_at_a_given_one(self) -> None:
        call = make(Kind.WRITE)
        call.answered(attempt(call), status_of(D))
        call.failed(attempt(call), "no answer in time", sent=False)
        call.answered(attempt(call), status_of(D, role="leader"))
        assert asked(call) == (B, False)

    def test_the_known_leader_is_asked_first_and_without_a_probe(self) -> None:
        assert asked(make(Kind.WRITE, leader=B)) == (B, False)
        assert asked(make(Kind.READ, leader=D)) == (D, False)

    def test_a_redirect_may_name_a_node_that_was_not_given(self) -> None:
        call = make(Kind.WRITE, leader=A)
        call.answered(attempt(call), answer(307, "not_leader", D))
        assert asked(call) == (D, False)

    def test_a_redirect_without_a_body_is_followed_by_its_location(self) -> None:
        call = make(Kind.READ)
        redirect = Response(307, {"location": "http://c:1/v1/execute"}, b"")
        call.answered(attempt(call), redirect)
        assert asked(call) == (C, False)

    def test_a_leader_that_was_just_found_dead_is_not_asked_again_in_the_same_sweep(self) -> None:
        call = make(Kind.WRITE, leader=B)
        call.failed(attempt(call), "refused", sent=False)
        assert asked(call) == (A, True)
        step = Attempt(A, True, 0, 0)
        call.answered(step, status_of(B))
        assert asked(call) == (C, True)

    def test_nodes_that_send_each_other_to_and_fro_end_in_a_pause(self) -> None:
        call = make(Kind.READ)
        call.answered(attempt(call), answer(307, "not_leader", B))
        call.answered(attempt(call), answer(307, "not_leader", A))
        call.answered(attempt(call), answer(307, "not_leader", B))
        assert pause(call) > 0

    def test_redirects_to_ever_new_nodes_end(self) -> None:
        call = make(Kind.READ, leader=A)
        for number in range(REDIRECTS_MAX + 1):
            call.answered(attempt(call), answer(307, "not_leader", at(f"x{number}:1")))
        assert asked(call)[0] in (B, C)

    def test_a_paused_node_costs_a_read_a_third_of_its_time_and_not_all(self) -> None:
        call = make(Kind.READ, timeout_ms=6_000)
        first = attempt(call)
        assert first.prompt_ms == 2_000
        call.failed(first, "no answer in time", sent=True)
        assert asked(call, 2_000) == (B, False)


class TestRetries:
    def test_a_write_that_was_sent_and_not_answered_is_unknown_and_never_sent_again(self) -> None:
        call = make(Kind.WRITE, leader=A)
        with pytest.raises(OutcomeUnknown):
            call.failed(attempt(call), "closed", sent=True)
        assert router_of(call).leader is None

    def test_a_write_whose_connection_was_refused_is_sent_elsewhere(self) -> None:
        call = make(Kind.WRITE, leader=A)
        call.failed(attempt(call), "refused", sent=False)
        assert asked(call) == (B, True)

    def test_an_unanswered_probe_says_nothing_about_the_write(self) -> None:
        call = make(Kind.WRITE)
        call.failed(attempt(call), "closed", sent=True)
        assert asked(call) == (B, True)

    @pytest.mark.parametrize("code", ["no_leader", "no_quorum", "busy"])
    def test_503_is_surely_not_executed_so_a_write_is_sent_again(self, code: str) -> None:
        call = make(Kind.WRITE, leader=A)
        assert call.answered(attempt(call), answer(503, code)) is None
        call.next_step(0)

    def test_a_busy_leader_is_given_a_pause_and_asked_again(self) -> None:
        call = make(Kind.WRITE, leader=B)
        call.answered(attempt(call), answer(503, "busy", retry_after="1"))
        assert 1_000 < pause(call) <= 1_000 + PAUSE_MS_FIRST
        assert asked(call, 1_000) == (B, False)

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (503, "no_space", Unavailable),
            (504, "outcome_unknown", OutcomeUnknown),
            (422, "command_failed", ReplyError),
            (400, "bad_request", RequestRefused),
            (413, "too_large", RequestRefused),
            (409, "conflict", RaftdbError),
            (410, "compacted", RaftdbError),
            (500, "internal", RaftdbError),
            (400, "code_of_the_future", RaftdbError),
        ],
    )
    def test_other_errors_end_a_write(self, status: int, code: str, error: type[RaftdbError]) -> None:
        call = make(Kind.WRITE, leader=A)
        with pytest.raises(error) as caught:
            call.answered(attempt(call), answer(status, code))
        assert caught.value.code == code

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_gateway_that_fails_without_our_json_proves_nothing(self, status: int) -> None:
        call = make(Kind.WRITE, leader=A)
        with pytest.raises(OutcomeUnknown):
            call.answered(attempt(call), Response(status, {}, b"<html>bad gateway</html>"))

    @pytest.mark.parametrize("kind", [Kind.READ, Kind.ANY_NODE])
    def test_reads_are_asked_again_whatever_became_of_them(self, kind: Kind) -> None:
        call = make(kind, leader=A)
        call.failed(attempt(call), "closed", sent=True)
        second = attempt(call)
        assert second.address == B
        assert call.answered(second, answer(504, "outcome_unknown")) is None
        assert asked(call) == (C, False)


class TestTime:
    def test_pauses_grow_with_jitter_up_to_a_limit(self) -> None:
        call = make(Kind.READ, timeout_ms=60_000)
        pauses = []
        for _ in range(8):
            for _ in range(3):
                call.failed(attempt(call), "refused", sent=False)
            pauses.append(pause(call))
        for number, length in enumerate(pauses):
            longest = min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2**number)
            assert longest / 2 <= length <= longest

    def test_one_deadline_holds_for_all_attempts(self) -> None:
        call = make(Kind.READ, timeout_ms=1_000)
        step = attempt(call, 900)
        assert step.answer_by_ms == step.connect_by_ms == 1_000
        call.answered(step, answer(503, "no_leader"))
        with pytest.raises(Unavailable) as caught:
            call.next_step(1_000)
        assert caught.value.code == "no_leader"

    def test_no_pause_lasts_beyond_the_deadline(self) -> None:
        call = make(Kind.READ, timeout_ms=1_000)
        for _ in range(3):
            call.failed(attempt(call, 990), "refused", sent=False)
        with pytest.raises(Unavailable):
            call.next_step(990)

    def test_nobody_there_is_told_early_if_asked_for(self) -> None:
        call = make(Kind.WRITE, timeout_ms=60_000, unreachable_timeout_ms=500)
        for _ in range(3):
            call.failed(attempt(call, 600), "connection refused", sent=False)
        with pytest.raises(
            Unavailable, match="no node answers at a:1, b:1, c:1: connection refused"
        ) as caught:
            call.next_step(600)
        assert caught.value.code == "unreachable"

    def test_somebody_there_is_given_all_the_time(self) -> None:
        call = make(Kind.WRITE, timeout_ms=60_000, unreachable_timeout_ms=500)
        call.answered(attempt(call, 600), status_of(None))
        call.failed(attempt(call, 600), "refused", sent=False)
        call.failed(attempt(call, 600), "refused", sent=False)
        assert pause(call, 600) > 0

    def test_no_leader_for_too_long_names_what_each_node_said(self) -> None:
        call = make(Kind.WRITE, timeout_ms=1_000)
        for address in (A, B):
            assert attempt(call).address == address
            call.answered(Attempt(address, True, 0, 0), status_of(None))
        call.failed(attempt(call), "refused", sent=False)
        with pytest.raises(Unavailable, match=r"in 1 s \(a:1, b:1: knows no leader; c:1: refused") as caught:
            call.next_step(1_000)
        assert caught.value.code == "no_leader"

    def test_a_leader_out_of_reach_is_told_with_the_setting_that_says_where_it_is(self) -> None:
        call = make(Kind.WRITE, timeout_ms=1_000)
        call.answered(attempt(call), status_of(D))
        call.failed(attempt(call), "no answer in time", sent=False)
        for _ in range(2):
            call.failed(attempt(call), "refused", sent=False)
        with pytest.raises(
            Unavailable, match=r"d:1: no answer in time \(a:1 says that the leader is there"
        ) as caught:
            call.next_step(1_000)
        assert "`advertise`" in str(caught.value.hint)


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "addresses"),
        [
            ("h:1", ("h:1",)),
            ("http://h:1/, h:2 ,h:1", ("h:1", "h:2")),
            ("[::1]:8001", ("[::1]:8001",)),
        ],
    )
    def test_addresses_are_read_with_or_without_a_scheme(self, text: str, addresses: tuple[str, ...]) -> None:
        assert tuple(map(str, parse_addresses(text))) == addresses

    @pytest.mark.parametrize(
        "text", ["", ",", "h", "h:", ":1", "h:x", "h:0", "h:65536", "ftp://h:1", "::1:80", "h:1/x"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(RequestRefused):
            parse_addresses(text)

    def test_what_all_nodes_say_is_said_once(self) -> None:
        call = make(Kind.READ, timeout_ms=1_000)
        for _ in range(2):
            call.answered(attempt(call), answer(503, "no_leader"))
        call.failed(attempt(call), "refused", sent=False)
        with pytest.raises(Unavailable) as caught:
            call.next_step(1_000)
        assert caught.value.message == "no_leader (tried for 1 s; c:1: refused)"


def test_a_task_finds_the_leader_first_and_is_then_given_its_time() -> None:
    call = make(Kind.TASK)
    first = attempt(call)
    assert (first.address, first.probe, first.prompt_ms) == (A, True, NODE_MS_MIN)
    assert call.answered(first, status_of(B)) is None
    task = attempt(call)
    assert (task.address, task.probe, task.answer_by_ms) == (B, False, TASK_ATTEMPT_MS)
    assert call.answered(task, OK) is OK


def test_a_task_that_is_cut_off_is_asked_for_again_until_the_time_is_over() -> None:
    call = make(Kind.TASK, leader=B)
    call.failed(attempt(call), "closed", sent=True)
    assert asked(call) == (A, True)
    with pytest.raises(Unavailable) as raised:
        call.next_step(5_000)
    assert raised.value.code == "unreachable"
    assert "b:1 did not finish: closed" in raised.value.message


class TestWritesOfASession:
    def test_one_that_was_sent_and_not_answered_is_sent_again(self) -> None:
        call = make(Kind.ONCE, leader=A)
        call.failed(attempt(call), "closed", sent=True)
        assert call.may_have_happened
        assert asked(call) == (B, False)

    def test_one_whose_outcome_a_node_does_not_know_is_sent_again(self) -> None:
        call = make(Kind.ONCE, leader=A)
        assert call.answered(attempt(call), answer(504, "outcome_unknown")) is None
        assert call.may_have_happened
        assert asked(call) == (B, False)

    def test_a_paused_node_costs_it_a_third_of_its_time_and_not_all(self) -> None:
        assert attempt(make(Kind.ONCE, leader=A, timeout_ms=6_000)).prompt_ms == 2_000

    def test_what_surely_was_not_executed_leaves_no_doubt(self) -> None:
        call = make(Kind.ONCE)
        call.failed(attempt(call), "refused", sent=False)
        call.answered(attempt(call), answer(503, "no_leader"))
        call.answered(attempt(call), answer(307, "not_leader", A))
        assert not call.may_have_happened
        with pytest.raises(Unavailable):
            call.next_step(5_000)

    def test_the_deadline_leaves_its_outcome_unknown_if_it_was_ever_sent(self) -> None:
        call = make(Kind.ONCE, timeout_ms=1_000)
        call.failed(attempt(call), "closed", sent=True)
        call.answered(attempt(call), answer(503, "no_leader"))
        with pytest.raises(OutcomeUnknown, match=r"in 1 s \(a:1: closed; b:1: no_leader\)"):
            call.next_step(1_000)

    @pytest.mark.parametrize("code", ["no_space", "too_large", "internal"])
    def test_a_refusal_ends_it_only_if_it_was_never_sent(self, code: str) -> None:
        call = make(Kind.ONCE, leader=A)
        with pytest.raises(RaftdbError, match=code):
            call.answered(attempt(call), answer(503, code))
        call = make(Kind.ONCE, leader=A)
        call.failed(attempt(call), "closed", sent=True)
        assert call.answered(attempt(call), answer(503, code)) is None

    @pytest.mark.parametrize("code", ["command_failed", "conflict", "session_expired"])
    def test_what_the_command_came_to_is_final(self, code: str) -> None:
        call = make(Kind.ONCE, leader=A)
        call.failed(attempt(call), "closed", sent=True)
        with pytest.raises(ReplyError) as caught:
            call.answered(attempt(call), answer(409, code))
        assert caught.value.code == code


def test_retry_after_is_honoured_within_a_limit() -> None:
    for asked_s, least_ms in ((3, 3_000), (10**30, RETRY_AFTER_MS_MAX)):
        call = make(Kind.READ, leader=A, timeout_ms=1e9)
        call.answered(attempt(call), answer(503, "busy", retry_after=str(asked_s)))
        assert least_ms < pause(call) <= least_ms + PAUSE_MS_FIRST
    call = make(Kind.READ, leader=A, timeout_ms=5_000)
    call.answered(attempt(call), answer(503, "busy", retry_after="6"))
    with pytest.raises(Unavailable):
        call.next_step(0)


@pytest.mark.parametrize("code", ["no_leader", "no_quorum"])
def test_an_election_is_not_waited_for_as_long_as_a_server_that_asks_for_a_pause(code: str) -> None:
    call = make(Kind.ONCE, leader=A)
    for _ in (A, B, C):
        call.answered(attempt(call), answer(503, code, retry_after="1"))
    assert 0 < pause(call) <= PAUSE_MS_FIRST


class TestPace:
    """How long a silent node is waited for, and a call."""

    def test_a_node_of_which_nothing_is_known_is_waited_for_in_proportion_to_the_deadline(self) -> None:
        assert [
            attempt(make(Kind.READ, timeout_ms=ms)).connect_by_ms for ms in (600, 1_500, 9_000, 90_000)
        ] == [
            600,
            NODE_MS_MIN,
            3_000,
            NODE_MS_MAX,
        ]

    def test_a_node_that_has_answered_is_waited_for_as_long_as_it_takes_and_the_others_are_not(self) -> None:
        """One is on this machine, the others are far away."""
        call = make(Kind.WRITE, timeout_ms=9_000)
        probe = attempt(call)
        call.took(probe, 2)
        call.answered(probe, status_of(B))
        assert attempt(call).connect_by_ms == 3_000
        pace = router_of(call).pace
        assert pace.node_ms(A, call_ms=9_000) == NODE_MS_MIN
        pace.answered(B, 2_000)
        assert pace.node_ms(B, call_ms=9_000) == ANSWERS_WAITED * 2_000
        pace.was_silent(B)
        assert pace.node_ms(B, call_ms=9_000) == 3_000

    def test_what_a_node_knows_by_itself_comes_soon_after_the_connection(self) -> None:
        """However long the call may take: a frozen node accepts connections, and says nothing."""
        deadline = partial(answer_deadline_ms, now_ms=100, stretches=False)
        by_ms = [deadline(60_000, dialled_ms=dialled_ms, prompt_ms=1_000) for dialled_ms in (0.1, 2_000)]
        assert by_ms == [1_100, 100 + ANSWERS_WAITED * 2_000]
        assert deadline(500, dialled_ms=0, prompt_ms=1_000) == 500
        assert deadline(60_000, dialled_ms=0, prompt_ms=None) == 60_000

    def test_connecting_shows_a_slow_network_too(self) -> None:
        """The first answer may be that of a write, which takes longer than a call on a desk."""
        deadline = partial(answer_deadline_ms, now_ms=100, dialled_ms=2_000, prompt_ms=None)
        assert deadline(8_000, stretches=True) == 100 + ANSWERS_PER_CALL * 2_000
        assert deadline(8_000, stretches=False) == 8_000

    def test_each_sweep_waits_longer_for_a_word(self) -> None:
        call = make(Kind.ANY_NODE, timeout_ms=60_000)
        waits = []
        for _ in range(5):
            for address in (A, B, C):
                step = attempt(call)
                assert step.address == address
                call.failed(step, "no answer in time", sent=True)
                waits.append(step.prompt_ms)
            pause(call)
        assert waits[::3] == waits[2::3] == [1_000, 2_000, 4_000, 8_000, NODE_MS_MAX]

    def test_a_call_whose_time_nobody_has_named_has_more_of_it_on_a_slow_network(self) -> None:
        call = make(Kind.WRITE, timeout_ms=8_000, stretches=True)
        probe = attempt(call)
        call.took(probe, 4_000)
        call.answered(probe, status_of(B))
        assert attempt(call, 4_000).answer_by_ms == ANSWERS_PER_CALL * 4_000
        router_of(call).pace.answered(C, 50_000)
        assert router_of(call).pace.call_ms(8_000, stretches=True) == CALL_MS_MAX
        assert router_of(call).pace.call_ms(8_000, stretches=False) == 8_000

    def test_a_slow_answer_is_forgotten_in_time(self) -> None:
        pace, told = Pace(), [Pace().is_slow]
        for duration_ms in (4_000, 2, 2, 2, 2):
            pace.answered(A, duration_ms)
            told.append(pace.is_slow)
        assert told == [False, True, True, True, True, False]

    def test_who_gives_up_says_that_the_network_is_slow(self) -> None:
        call = make(Kind.READ, timeout_ms=8_000)
        step = attempt(call)
        call.took(step, 2_100)
        call.answered(step, answer(503, "no_leader"))
        with pytest.raises(Unavailable) as caught:
            call.next_step(8_000)
        assert "on a slow network: nodes answer after 2.1 s" in caught.value.message

    def test_the_only_node_is_waited_for_twice_as_long(self) -> None:
        router = Router([A], random=Random(1))
        call = Call(router, Kind.ANY_NODE, now_ms=0, timeout_ms=6_000)
        assert attempt(call).connect_by_ms == 4_000

    def test_a_question_to_one_node_has_no_second_chance(self) -> None:
        """A frozen node takes the connection, and says nothing: that is known long before the deadline."""
        router = Router([A], random=Random(1))
        call = Call(router, Kind.ANY_NODE, now_ms=0, timeout_ms=8_000, is_repeated=False)
        call.failed(attempt(call), "no answer in time", sent=True)
        with pytest.raises(Unavailable) as caught:
            call.next_step(1_000)
        assert (caught.value.code, caught.value.message) == (
            "unreachable",
            "no node answers at a:1: no answer in time",
        )


def test_a_request_that_waits_is_held_before_its_time_begins() -> None:
    call = make(Kind.ONCE, leader=A, timeout_ms=3_000, wait_ms=20_000)
    first = call.next_step(0)
    assert isinstance(first, Attempt)
    assert (first.address, first.answer_by_ms, first.prompt_ms) == (A, 23_000, 21_000)
    call.failed(first, "gone", sent=True)
    second = call.next_step(15_000)
    assert isinstance(second, Attempt)
    assert call.held_ms(15_000) == 5_000
    assert second.prompt_ms == 5_000 + 1_000
    assert call.held_ms(25_000) == 0


def test_what_was_waited_for_says_nothing_about_how_fast_a_node_is() -> None:
    router = Router([A])
    call = Call(router, Kind.ONCE, now_ms=0, timeout_ms=3_000, wait_ms=20_000)
    step = call.next_step(0)
    assert isinstance(step, Attempt)
    call.took(step, 19_000)
    assert not router.pace.is_slow
