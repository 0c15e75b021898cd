"""Calls that wait at the leader: how long they take, what is left of the wait when they are sent again, and that they
hold up no other call. By hand, in virtual time."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from raftdb.client import methods
from raftdb.client.flow import Caller, CallLimits, Exchange, Flow
from raftdb.client.given import as_bytes
from raftdb.client.http1 import Response
from raftdb.client.model import Answer
from raftdb.client.routing import Pause, Router
from raftdb.client.session import SEQUENCES_AHEAD_MAX, Sessions
from raftdb.errors import RequestRefused, Unavailable
from tests.addresses import at
from tests.machine.toys import toys


@pytest.fixture(autouse=True)
def with_toys() -> Iterator[None]:
    with toys():
        yield


class Clock:
    """A client at this time, and the steps of its calls."""

    def __init__(self, *, sessions: bool = True) -> None:
        self.now_ms = 0.0
        self.caller = Caller(
            Router([at("a:1"), at("b:1")], random=Random(1)),
            sessions=Sessions() if sessions else None,
            clock=lambda: self.now_ms,
            random=Random(1),
        )

    def call(self, name: str, *arguments: str) -> Flow[Answer]:
        method = methods.execute(as_bytes, name, arguments, "linearizable")
        return self.caller.flow(method, CallLimits(self.now_ms, 8_000.0))

    def registered(self, flow: Flow[Answer]) -> Exchange:
        """The first step of a call, once its session is registered."""
        step = next(flow)
        assert isinstance(step, Exchange)
        if step.request.target == "/v1/sessions":
            step = flow.send(answer({"session": {"id": body(step)["id"]}, "index": 1, "term": 1}))
        assert isinstance(step, Exchange)
        return step


def answer(content: object, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(content).encode())


def refusal(code: str, leader: str | None = None) -> Response:
    hint = None if leader is None else {"id": "n2", "http": leader, "redis": None, "redis_cluster": None}
    status = 307 if code == "not_leader" else 503
    return answer({"error": {"code": code, "message": code, "leader": hint}}, status)


def body(step: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(step.request.body)
    return found


def ended(flow: Flow[Answer], outcome: Response) -> Answer:
    with pytest.raises(StopIteration) as end:
        flow.send(outcome)
    result: Answer = end.value.value
    return result


def test_the_wait_stands_beside_the_command_and_comes_on_top_of_the_timeout() -> None:
    clock = Clock()
    flow = clock.call("take", "b", "COUNT", "2", "WAIT", "20")
    step = clock.registered(flow)
    assert (body(step)["args"], body(step)["wait_ms"]) == (["b", "COUNT", "2"], 20_000)
    assert step.attempt.answer_by_ms == 28_000
    assert (step.attempt.prompt_ms or 0) > 20_000, "the node is not given up while it holds the request"
    clock.now_ms = 19_000
    assert ended(flow, answer({"result": [2], "index": 3, "term": 1})).value == [2]
    assert not clock.caller.router.pace.is_slow, "a long wait is no slow network"


def test_who_is_handed_back_asks_the_next_leader_under_the_remaining_time() -> None:
    clock = Clock()
    flow = clock.call("take", "b", "WAIT", "20")
    first = clock.registered(flow)
    clock.now_ms = 5_000
    second: Any = flow.send(refusal("not_leader", "b:1"))
    assert (str(second.attempt.address), body(second)["wait_ms"]) == ("b:1", 15_000)
    assert body(second)["session"] == body(first)["session"], "so it is served once"
    clock.now_ms = 26_000
    third: Any = flow.send(refusal("no_leader"))
    while isinstance(third, Pause):
        clock.now_ms += third.duration_ms
        third = flow.send(None)
    assert body(third)["wait_ms"] == 1, "it is asked once more"
    clock.now_ms = 28_001
    with pytest.raises(Unavailable):
        flow.send(refusal("no_leader"))


def test_a_call_that_waits_holds_up_no_other() -> None:
    clock = Clock()
    waiting = clock.call("take", "b", "WAIT", "50")
    held = clock.registered(waiting)
    step = held
    for _ in range(SEQUENCES_AHEAD_MAX + 10):
        flow = clock.call("fill", "b", "1")
        step = clock.registered(flow)
        assert body(step)["session"]["id"] != body(held)["session"]["id"]
        ended(flow, answer({"result": None, "index": 3, "term": 1}))
    assert body(step)["session"]["acknowledged"] == SEQUENCES_AHEAD_MAX + 10


def test_a_lock_is_asked_for_in_the_session_that_owns_it() -> None:
    clock = Clock()
    waiting = clock.registered(clock.call("sit", "s", "me", "WAIT", "50"))
    other = clock.registered(clock.call("rise", "s", "me"))
    assert body(waiting)["session"]["id"] == body(other)["session"]["id"]


def test_without_a_session_it_waits_as_well() -> None:
    clock = Clock(sessions=False)
    flow = clock.call("take", "b", "WAIT", "3")
    probe: Any = next(flow)
    assert probe.request.target == "/v1/status"
    step: Any = flow.send(answer({"role": "leader", "leader": {"id": "n1", "http": "a:1", "redis": None}}))
    assert body(step)["wait_ms"] == 3_000
    assert "session" not in body(step)


def test_a_wait_that_cannot_be_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(RequestRefused, match="WAIT takes seconds"):
        Clock().call("take", "b", "WAIT", "51")
