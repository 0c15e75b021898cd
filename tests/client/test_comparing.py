"""Transactions that branch, keys that are bound to a client's session, and the deletion of very many."""

import json
from collections.abc import Iterator

import pytest

from raftdb import Client, CommandFailed, Comparison, RemoteProtocolError, RequestRefused
from raftdb.client.given import as_bytes
from raftdb.client.http1 import Response
from raftdb.client.methods import transact
from raftdb.client.protocol import Kind
from raftdb.errors import required
from raftdb.frontend.json_requests import transaction_of
from raftdb.limits import DEFAULT_LIMITS
from raftdb.machine.operations import Comparison as MachineComparison
from raftdb.machine.operations import Mode, Relation, TransactionOperation
from raftdb.machine.strings import Delete, Get, Set
from tests.client.fake_node import FakeCluster
from tests.client.machine_state import MachineState


@pytest.fixture
def state(cluster: FakeCluster) -> MachineState:
    cluster.state = MachineState()
    return cluster.state


@pytest.fixture
def client(cluster: FakeCluster, state: MachineState) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=5_000) as client:
        yield client


CONDITIONS = (
    Comparison("a", value="1"),
    Comparison(b"\xff", "!=", value=b"\xfe"),
    Comparison("c", "<", revision=7),
    Comparison("d", exists=True),
    Comparison("e", exists=False),
)


def test_a_node_reads_the_conditions_as_they_are_meant() -> None:
    method = transact(
        as_bytes,
        [("set", ["k", "1"])],
        {},
        "atomic",
        compare=iter(CONDITIONS),
        otherwise=[("get", ["k"]), ("del", ["k"])],
    )
    request = required(method.request, "request")
    _, operation = transaction_of(json.dumps(request.content).encode(), limits=DEFAULT_LIMITS)
    assert operation == TransactionOperation(
        (Set(b"k", b"1"),),
        mode=Mode.ATOMIC,
        comparisons=(
            MachineComparison(b"a", Relation.EQUAL, b"1"),
            MachineComparison(b"\xff", Relation.NOT_EQUAL, b"\xfe"),
            MachineComparison(b"c", Relation.LESS, 7),
            MachineComparison(b"d", Relation.NOT_EQUAL, 0),
            MachineComparison(b"e", Relation.EQUAL, 0),
        ),
        otherwise=(Get(b"k"), Delete(b"k")),
    )


def test_the_answer_says_which_commands_were_executed() -> None:
    others = [("get", ["k"]), ("del", ["k"])]
    method = transact(as_bytes, [("incr", ["k"])], {}, "atomic", compare=CONDITIONS[:1], otherwise=others)

    def answered(**body: object) -> Response:
        return Response(200, body=json.dumps({"index": 9, "term": 2, **body}).encode())

    met = method.parse(answered(results=[4], succeeded=True))
    assert (met.succeeded, met.results, met.index) == (True, (4,), 9)
    unmet = method.parse(answered(results=["4", "4"], succeeded=False))
    assert (unmet.succeeded, unmet.results) == (False, (b"4", b"4"))
    for odd in (
        answered(results=[4]),
        answered(results=[4], succeeded=False),
        answered(results=[4], succeeded=1),
    ):
        with pytest.raises(RemoteProtocolError):
            method.parse(odd)
    assert transact(as_bytes, [], {}, "atomic").parse(answered(results=[])).succeeded is None


def test_what_only_compares_is_a_read_and_what_may_write_is_not() -> None:
    def kind(otherwise: list[tuple[str, list[str]]]) -> Kind:
        method = transact(as_bytes, [], {}, "atomic", compare=CONDITIONS, otherwise=otherwise)
        return required(method.request, "request").kind

    assert kind([]) is Kind.READ
    assert kind([("del", ["k"])]) is Kind.WRITE


@pytest.mark.parametrize(
    "condition",
    [
        Comparison("a"),
        Comparison("a", value="1", revision=2),
        Comparison("a", "!=", exists=True),
        Comparison("a", "==", value="1"),  # type: ignore[arg-type]
    ],
)
def test_a_condition_that_says_nothing_or_too_much_is_refused(client: Client, condition: Comparison) -> None:
    with pytest.raises(RequestRefused):
        client.transact([("get", ["k"])], compare=[condition])


def test_conditions_are_comparisons_and_commands_for_otherwise_need_one(client: Client) -> None:
    with pytest.raises(TypeError):
        client.transact([], compare=[("a", "=", "1")])  # type: ignore[list-item]
    with pytest.raises(RequestRefused, match="without a condition"):
        client.transact([], otherwise=[("get", ["k"])])


def test_keys_that_are_bound_to_the_session_are_gone_when_the_client_is_closed(
    cluster: FakeCluster, state: MachineState
) -> None:
    with Client(cluster.addresses, timeout_ms=5_000) as client:
        assert client.set("worker", "here", ttl=60, session=True)
        client.set("result", "42")
        with client.transaction() as transaction:
            transaction.set("also", "1", session=True)
            assert transaction.get("also") == b"1"
        assert state.contents() == {b"worker": b"here", b"result": b"42", b"also": b"1"}
    assert state.contents() == {b"result": b"42"}


def test_a_client_without_a_session_cannot_bind_keys(cluster: FakeCluster, state: MachineState) -> None:
    with (
        Client(cluster.addresses, timeout_ms=5_000, sessions=False) as client,
        pytest.raises(CommandFailed, match="session"),
    ):
        client.set("worker", "here", session=True)


def test_all_keys_with_a_prefix_are_deleted_however_many(client: Client, state: MachineState) -> None:
    client.mset({f"a{number}": "" for number in range(2_000)})
    client.set("b", "")
    assert client.delprefix("a") == 2_000
    assert client.delprefix("a") == 0
    assert state.contents() == {b"b": b""}
