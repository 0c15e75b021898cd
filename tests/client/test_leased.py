"""The session to which keys are bound: which writes use it, how it is kept, and how its loss is told. By hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from raftdb.client import methods
from raftdb.client.flow import Caller, CallLimits, Exchange, Flow, Method
from raftdb.client.given import as_bytes, session_ttl_ms
from raftdb.client.http1 import AnswerLost, Response
from raftdb.client.keeping import Batch, Sort
from raftdb.client.leased import LeasedSessions
from raftdb.client.leases import SessionLost
from raftdb.client.renewing import Renewals, Renewer, send
from raftdb.client.routing import Router
from raftdb.client.service_methods import renewal
from raftdb.client.session import Sessions
from raftdb.errors import RequestRefused, SessionExpired
from tests.addresses import at

TTL_MS = 15_000
EXPIRED = {"error": {"code": "session_expired", "message": "no such session"}}


@dataclass
class Clock:
    now_ms: float = 0.0

    def __call__(self) -> float:
        return self.now_ms


def no_renewer() -> Renewer:
    raise AssertionError("nothing is renewed by a thread here")


class Noted(Renewals):
    """Notes what is kept, without threads."""

    def __init__(self) -> None:
        super().__init__(no_renewer)
        self.kept: list[Any] = []

    def keep(self, kept: Any) -> None:
        self.kept.append(kept)

    def drop(self, kept: Any) -> None:
        self.kept.remove(kept)


@dataclass
class Client:
    clock: Clock = field(default_factory=Clock)
    renewals: Noted = field(default_factory=Noted)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    refuses: Callable[[Any], bool] = lambda content: False
    registers_in_ms: float = 0.0

    def __post_init__(self) -> None:
        self.caller = Caller(
            Router([at("a:1")], random=Random(1)), sessions=Sessions(), clock=self.clock, random=Random(1)
        )

    def lease(self) -> LeasedSessions:
        return LeasedSessions(TTL_MS, self.renewals, lambda: None, clock=self.clock)

    def flow(self, method: Method[Any]) -> Flow[Any]:
        return self.caller.flow(method, CallLimits(self.clock.now_ms, 8_000.0), self.lease)

    def run(self, flow: Flow[Any]) -> Any:
        """Carry out a flow at a node that does all but what it refuses."""
        try:
            step = next(flow)
            while True:
                assert isinstance(step, Exchange)
                step = flow.send(self.answer(step))
        except StopIteration as end:
            return end.value

    def answer(self, step: Exchange) -> Response:
        content = json.loads(step.request.body or b"{}")
        self.sent.append((f"{step.request.method} {step.request.target}", content))
        if step.request.target == "/v1/sessions":
            self.clock.now_ms += self.registers_in_ms
        if self.refuses(content):
            return Response(409, {}, json.dumps(EXPIRED).encode())
        results = ["OK"] * len(content.get("commands", ()))
        body = {"result": "OK", "results": results, "index": 1, "term": 1, "revision": 1}
        return Response(200, {}, json.dumps(body).encode())

    def execute(self, name: str, *words: str) -> Any:
        return self.run(self.flow(methods.execute(as_bytes, name, words, "linearizable")))

    def bind(self, key: str) -> Any:
        return self.execute("set", key, "here", "SESSION")

    def sessions_used(self) -> list[str]:
        return [content["session"]["id"] for _, content in self.sent if "session" in content]


def test_only_what_binds_keys_begins_a_session_with_a_time_to_live() -> None:
    client = Client()
    client.execute("set", "a", "1")
    client.execute("set", "SESSION", "SESSION", "EX", "5")
    client.execute("set", "a", "1", "FENCE", "session", "5")
    assert [content for path, content in client.sent if path == "POST /v1/sessions"] == [
        {"id": client.sessions_used()[0]}
    ]
    assert client.renewals.kept == []
    client.bind("b")
    client.execute("set", "b", "1", "EX", "5", "session", "FENCE", "lock", "5")
    bound = client.sessions_used()[-1]
    assert client.sessions_used() == [client.sessions_used()[0]] * 3 + [bound] * 2
    assert bound != client.sessions_used()[0]
    assert client.sent[-3] == ("POST /v1/sessions", {"id": bound, "ttl_ms": TTL_MS})
    (kept,) = client.renewals.kept
    assert (kept.name, kept.sort) == (bound.encode(), Sort.SESSION)


def test_a_transaction_that_binds_a_key_is_in_it() -> None:
    client = Client()
    for commands in ([("set", ["a", "1", "SESSION"]), ("incr", ["n"])], [("incr", ["n"])]):
        client.run(client.flow(methods.transact(as_bytes, commands, {}, "atomic")))
    bound, plain = client.sessions_used()
    assert client.sent[0] == ("POST /v1/sessions", {"id": bound, "ttl_ms": TTL_MS})
    assert plain != bound


def test_its_renewal_is_a_request_of_its_own_and_is_over_when_the_cluster_says_so() -> None:
    client = Client()
    client.bind("a")
    (kept,) = client.renewals.kept
    (bound,) = client.sessions_used()
    request = renewal(Batch((kept,))).request
    assert request is not None
    assert (request.method, request.target) == ("PUT", f"/v1/sessions/{bound}")

    class Over:
        def renew(self, batch: Batch, timeout_ms: float) -> int:
            raise SessionExpired("no such session")

        def close(self) -> None: ...

    send(Over(), Batch((kept,)))
    assert kept.lease.is_lost


def test_a_loss_by_time_is_raised_once_and_nothing_is_sent_then() -> None:
    client = Client()
    client.bind("a")
    client.clock.now_ms += TTL_MS
    sent = len(client.sent)
    with pytest.raises(SessionLost):
        client.bind("b")
    assert len(client.sent) == sent
    assert client.renewals.kept == []
    client.execute("set", "plain", "1")
    client.bind("a")
    first, _, last = client.sessions_used()
    assert last != first
    assert [kept.name for kept in client.renewals.kept] == [last.encode()]


def test_a_session_that_the_cluster_has_ended_is_not_replaced_in_silence() -> None:
    client = Client()
    client.bind("a")
    (kept,) = client.renewals.kept
    (first,) = client.sessions_used()
    client.refuses = lambda content: content.get("session", {}).get("id") == first
    with pytest.raises(SessionLost):
        client.bind("b")
    assert kept.lease.is_lost
    assert client.bind("b").value == "OK"
    assert client.sessions_used()[-1] != first


def test_a_write_that_may_have_been_executed_in_it_says_so_and_the_next_one_tells_of_the_loss() -> None:
    client = Client()
    client.bind("a")
    flow = client.flow(methods.execute(as_bytes, "set", ["b", "1", "SESSION"], "linearizable"))
    next(flow)
    step = flow.send(AnswerLost("closed"))
    while not isinstance(step, Exchange):
        step = flow.send(None)
    with pytest.raises(SessionExpired, match="had been sent before"):
        flow.send(Response(409, {}, json.dumps(EXPIRED).encode()))
    with pytest.raises(SessionLost):
        client.bind("b")


def test_its_time_counts_from_when_it_was_asked_for() -> None:
    client = Client(registers_in_ms=5_000.0)
    client.bind("a")
    (kept,) = client.renewals.kept
    assert kept.lease.ends_ms == TTL_MS - kept.lease.margin_ms


def test_closing_ends_both_sessions_and_renews_nothing_any_more() -> None:
    client = Client()
    client.execute("incr", "n")
    client.bind("a")
    plain, bound = client.sessions_used()
    client.run(client.caller.close())
    assert [path for path, _ in client.sent[-2:]] == [
        f"DELETE /v1/sessions/{plain}",
        f"DELETE /v1/sessions/{bound}",
    ]
    assert client.renewals.kept == []
    client.bind("a")
    assert client.sessions_used()[-1] not in (plain, bound)


def test_a_time_to_live_that_no_session_can_have_is_refused() -> None:
    assert session_ttl_ms(1) == 1_000
    for lifetime in (0, 0.999, 86_400.001):
        with pytest.raises(RequestRefused, match="cannot live"):
            session_ttl_ms(lifetime)
