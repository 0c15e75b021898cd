"""The blocking client with a session, on fake nodes and real sockets: lost replies, other threads, other processes."""

import threading
import time
from collections.abc import Iterator

import pytest

from raftdb import (
    Client,
    Conflict,
    OutcomeUnknown,
    SessionExpired,
    Transaction,
    Unavailable,
    transactional,
)
from raftdb.errors import LocalProtocolError
from tests.client.fake_node import LOSE_REPLY, LOSE_REQUEST, Canned, FakeCluster, error


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=5_000) as client:
        yield client


def sessions_of(cluster: FakeCluster) -> list[dict[str, object]]:
    return [body["session"] for node in cluster.nodes for body in node.bodies if body and "session" in body]


def test_writes_are_numbered_and_acknowledged(cluster: FakeCluster, client: Client) -> None:
    assert client.get("n") is None
    assert not cluster.state.sessions
    for _ in range(3):
        client.incr("n")
    (name,) = cluster.state.sessions
    assert sessions_of(cluster) == [{"id": name, "seq": n, "acknowledged": n} for n in (1, 2, 3)]
    assert len(name) == 32
    bytes.fromhex(name)


def test_a_write_whose_reply_is_lost_is_repeated_and_happens_once(
    cluster: FakeCluster, client: Client
) -> None:
    """Hazard B53: with a session a retry is safe, and the answer that of the first time."""
    client.incr("n")
    cluster.nodes[0].script += [LOSE_REPLY, LOSE_REQUEST, LOSE_REPLY, error(504, "outcome_unknown")]
    assert client.incr("n") == 2
    cluster.nodes[0].script += [LOSE_REPLY]
    assert client.transact([("incr", ["n"]), ("append", ["log", "x"])]).results == (3, "OK")
    assert cluster.values == {b"n": b"3", b"log": b"x"}


def test_a_leader_that_dies_with_the_reply_is_replaced(cluster: FakeCluster, client: Client) -> None:
    client.incr("n")
    cluster.nodes[0].script += [LOSE_REPLY] + [Canned(cut=True)] * 100

    def fail_over() -> None:
        while cluster.values[b"n"] == b"1":
            time.sleep(0.001)
        cluster.nodes[0].stop()
        cluster.leader = 2

    thread = threading.Thread(target=fail_over)
    thread.start()
    assert client.incr("n") == 2
    thread.join()
    assert cluster.values == {b"n": b"2"}


def test_no_answer_until_the_deadline_is_unknown(cluster: FakeCluster) -> None:
    with Client(cluster.addresses, timeout_ms=400) as client:
        client.incr("n")
        cluster.nodes[0].script += [LOSE_REPLY] * 100
        with pytest.raises(OutcomeUnknown) as caught:
            client.incr("n")
        assert not isinstance(caught.value, Unavailable)
        cluster.nodes[0].script.clear()
        assert client.incr("n") == 3


def test_an_expired_session_is_replaced_by_a_write_that_was_not_sent_in_it(
    cluster: FakeCluster, client: Client
) -> None:
    client.incr("n")
    cluster.state.sessions.clear()
    assert client.incr("n") == 2
    assert len(cluster.state.sessions) == 1


def test_a_session_that_expired_under_an_unanswered_write_is_told(
    cluster: FakeCluster, client: Client
) -> None:
    client.incr("n")
    cluster.nodes[0].script += [LOSE_REPLY, error(409, "session_expired")]
    with pytest.raises(SessionExpired, match="had been sent before"):
        client.incr("n")
    assert client.incr("n") == 3


def test_closing_ends_the_session_and_the_client_may_go_on(cluster: FakeCluster, client: Client) -> None:
    client.incr("n")
    client.close()
    assert not cluster.state.sessions
    assert client.incr("n") == 2
    assert len(cluster.state.sessions) == 1
    cluster.leader = None
    client.close()
    assert len(cluster.state.sessions) == 1


def test_without_sessions_nothing_is_registered(cluster: FakeCluster) -> None:
    with Client(cluster.addresses, sessions=False) as client:
        client.incr("n")
    assert [path for _, path in cluster.nodes[0].requests if "sessions" in path] == []
    assert sessions_of(cluster) == []


def test_a_commit_whose_reply_is_lost_happens_once(cluster: FakeCluster, client: Client) -> None:
    client.set("a", "1")
    cluster.nodes[0].script += [
        Canned(body={"result": "1", "index": 3, "term": 1, "revision": 3}),
        LOSE_REPLY,
    ]
    with client.transaction() as transaction:
        value = transaction.get("a")
        assert value == b"1"
        transaction.append("a", "2")
    assert client.get("a") == b"12"


def test_a_commit_that_surely_was_not_executed_may_be_repeated(cluster: FakeCluster) -> None:
    with Client(cluster.addresses, timeout_ms=300) as client:
        transaction = client.transaction()
        transaction.get("a")
        transaction.set("a", "1")
        cluster.leader = None
        with pytest.raises(Unavailable):
            transaction.commit()
        assert transaction.is_open
        cluster.leader = 1
        transaction.commit()
        assert client.get("a") == b"1"


class TestTransactional:
    def test_a_function_is_called_again_until_nothing_interferes(self, client: Client) -> None:
        interfering = ["1", "2"]

        @client.transactional
        def double(transaction: Transaction, extra: int) -> int:
            """Twice n."""
            value = int(transaction.get("n") or 0)
            if interfering:
                client.set("n", interfering.pop())
            transaction.set("n", str(2 * value + extra))
            return value

        assert double(extra=3) == 1
        assert client.get("n") == b"5"
        assert double.__doc__ == "Twice n."

    def test_attempts_have_an_end(self, client: Client) -> None:
        calls = []

        @transactional(client, max_attempts=3)
        def lose(transaction: Transaction) -> None:
            calls.append(transaction.get("n"))
            client.incr("n")

        with pytest.raises(Conflict) as caught:
            lose()
        assert caught.value.keys == (b"n",)
        assert calls == [None, b"1", b"2"]

        @client.transactional(max_attempts=1)
        def lose_once(transaction: Transaction) -> None:
            lose.__wrapped__(transaction)  # type: ignore[attr-defined]

        with pytest.raises(Conflict):
            lose_once()
        assert len(calls) == 4

    def test_a_conflict_of_something_else_is_not_ours(self, client: Client) -> None:
        calls = []

        @client.transactional
        def compare(transaction: Transaction) -> None:
            calls.append(transaction.get("n"))
            client.cas("other", 7, "x")

        with pytest.raises(Conflict) as caught:
            compare()
        assert caught.value.keys == (b"other",)
        assert len(calls) == 1

    def test_an_exception_about_two_moments_proves_nothing(self, client: Client) -> None:
        client.mset({"a": "5", "b": "5"})
        calls: list[int] = []

        @client.transactional
        def audit(transaction: Transaction, total: int) -> None:
            first = int(transaction.get("a") or 0)
            if not calls:
                client.mset({"a": "7", "b": "3"})
            calls.append(first)
            assert first + int(transaction.get("b") or 0) == total

        audit(10)
        assert calls == [5, 7]
        with pytest.raises(AssertionError):
            audit(11)
        assert calls == [5, 7, 7]

    def test_an_exception_forgets_the_writes(self, client: Client) -> None:
        @client.transactional
        def fail(transaction: Transaction) -> None:
            transaction.set("a", "1")
            raise KeyError("a")

        with pytest.raises(KeyError):
            fail()
        assert client.get("a") is None

    def test_they_do_not_nest(self, client: Client) -> None:
        @client.transactional
        def inner(transaction: Transaction) -> None: ...

        @client.transactional
        def outer(transaction: Transaction) -> None:
            inner()

        with pytest.raises(LocalProtocolError, match="do not nest"):
            outer()
