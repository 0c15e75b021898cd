"""What callers give the clients, and in which form they get it back; and that nothing else is taken silently."""

import enum
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raftdb
from raftdb import (
    Answer,
    AsyncClient,
    Client,
    KeyPage,
    KeyValue,
    Membership,
    RaftdbError,
    RequestRefused,
    TransactionAnswer,
    Unavailable,
)
from raftdb.client.given import as_text, milliseconds, seconds, to_bytes, wait_milliseconds
from raftdb.errors import Fatal, ProtocolError
from tests.client.fake_node import Canned, FakeCluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=5_000) as client:
        yield client


class Number(enum.IntEnum):
    FIVE = 5


class Word(enum.StrEnum):
    ONE = "satu"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (5, b"5"),
        (-(10**30), b"-1" + b"0" * 30),
        (Number.FIVE, b"5"),
        (Word.ONE, b"satu"),
        ("kopi ☕", "kopi ☕".encode()),
        (b"\xff", b"\xff"),
    ],
)
def test_a_value_is_stored_as_what_it_says(client: Client, value: Any, stored: bytes) -> None:
    """`set("visits", 5)` stored five NUL bytes."""
    client.set("visits", value)
    assert client.get("visits") == stored
    with client.transaction() as transaction:
        transaction.set("again", value)
    assert client.get("again") == stored


NO_TEXTS = [True, False, 1.5, None, [1], ("a",), {"a": 1}, bytearray(b"a"), memoryview(b"a"), object()]


@pytest.mark.parametrize("value", NO_TEXTS, ids=lambda value: type(value).__name__)
def test_what_has_no_one_form_as_bytes_is_a_type_error(
    cluster: FakeCluster, client: Client, value: Any
) -> None:
    transaction = client.transaction()
    calls: list[Callable[[], object]] = [
        lambda: client.set("k", value),
        lambda: client.set(value, "v"),
        lambda: client.get(value),
        lambda: client.get_with_revision(value),
        lambda: client.mget([value]),
        lambda: client.exists("k", value),
        lambda: client.strlen(value),
        lambda: client.delete("k", value),
        lambda: client.pop(value),
        lambda: client.append("k", value),
        lambda: client.incr(value),
        lambda: client.cas("k", 0, value),
        lambda: client.getset("k", value),
        lambda: client.mset({"k": value}),
        lambda: client.expire(value, 1),
        lambda: client.ttl(value),
        lambda: client.persist(value),
        lambda: client.key_page(value),
        lambda: client.execute("get", [value]),
        lambda: client.transact([("get", [value])]),
        lambda: client.transact([], watch={"k": value} if not isinstance(value, int) else {"k": True}),
        lambda: transaction.get(value),
        lambda: transaction.set("k", value),
        lambda: transaction.mget([value]),
        lambda: transaction.exists(value),
        lambda: transaction.delete(value),
        lambda: transaction.pop(value),
        lambda: transaction.append("k", value),
        lambda: transaction.getset("k", value),
        lambda: transaction.mset({"k": value}),
        lambda: transaction.execute("set", ["k", value]),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(TypeError):
            pytest.fail(f"call {number} returned {call()!r}")
    assert [node.requests for node in cluster.nodes] == [[], [], []], "nothing was sent"
    assert transaction.commands == ()


@pytest.mark.parametrize("one", ["abc", b"abc", bytearray(b"abc"), 5, None], ids=repr)
def test_one_key_is_not_taken_for_several(cluster: FakeCluster, client: Client, one: Any) -> None:
    """`mget("abc")` asked for a, b and c."""
    transaction = client.transaction()
    calls: list[Callable[[], object]] = [
        lambda: client.mget(one),
        lambda: client.execute("mget", one),
        lambda: client.transact(one),
        lambda: client.transact([one]),
        lambda: client.transact([("mget", one)]),
        lambda: client.mset(one),
        lambda: client.mset([("a", "b")]),  # type: ignore[arg-type]
        lambda: client.transact([], watch=one if one is not None else [("a", 1)]),  # type: ignore[arg-type]
        lambda: transaction.mget(one),
        lambda: transaction.execute("mget", one),
        lambda: transaction.mset(one),
        lambda: client.exists(["a", "b"]),  # type: ignore[arg-type]
        lambda: client.delete(["a", "b"]),  # type: ignore[arg-type]
    ]
    for number, call in enumerate(calls):
        with pytest.raises(TypeError):
            pytest.fail(f"call {number} returned {call()!r}")
    assert [node.requests for node in cluster.nodes] == [[], [], []]


def test_keys_may_come_from_any_iterable(client: Client) -> None:
    client.mset({"a": 1, b"b": "2", 3: b"3"})
    assert client.mget(key for key in ("a", "b", "x")) == [b"1", b"2", None]
    assert client.mget({"a": 0, "b": 0}) == [b"1", b"2"]
    assert client.mget((3,)) == [b"3"]
    assert client.transact(iter([["get", ("a",)]])).results == (b"1",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.incr("n", True),
        lambda client: client.incr("n", 1.5),
        lambda client: client.incr("n", "1"),
        lambda client: client.cas("n", "1", "v"),
        lambda client: client.key_page(limit="10"),
        lambda client: client.request_log(first="1"),
        lambda client: client.request_log(limit=None),
        lambda client: client.execute(5),
        lambda client: client.set("k", "v", ttl="60"),
        lambda client: client.set("k", "v", ttl=True),
        lambda client: client.expire("k", "60"),
        lambda client: client.get("k", timeout_ms="500"),
        lambda client: Client(5),  # type: ignore[call-overload]
        lambda client: Client([5.5]),  # type: ignore[list-item]
        lambda client: Client(client.addresses, timeout_ms="1"),  # type: ignore[call-overload]
        lambda client: Client.from_url(5),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_be_meant_is_a_type_error(client: Client, call: Callable[[Client], object]) -> None:
    with pytest.raises(TypeError):
        call(client)


def test_text_that_is_none_is_refused(client: Client) -> None:
    with pytest.raises(RequestRefused, match="cannot be sent"):
        client.set("k", "\ud800")


def test_of_nothing_comes_nothing_without_a_node() -> None:
    client = Client("127.0.0.1:9", timeout_ms=100, unreachable_timeout_ms=0)
    assert client.mget([]) == []
    assert client.mset({}) is None  # type: ignore[func-returns-value]
    assert client.exists() == 0
    assert client.delete() == 0
    with client.transaction() as transaction:
        assert transaction.mget([]) == []
        transaction.mset({})
        assert (transaction.exists(), transaction.delete()) == (0, 0)


async def test_of_nothing_comes_nothing_on_a_loop() -> None:
    async with AsyncClient("127.0.0.1:9", timeout_ms=100, unreachable_timeout_ms=0) as client:
        assert await client.mget([]) == []
        await client.mset({})
        assert (await client.exists(), await client.delete()) == (0, 0)


def test_delete_counts_and_pop_answers(cluster: FakeCluster, client: Client) -> None:
    client.mset({"a": "1", "b": "", "c": "3"})
    assert client.delete("b") == 1
    assert client.delete("b") == 0
    index = cluster.state.index
    assert client.delete("a", "x", b"a", "c") == 2
    assert cluster.state.index == index + 1, "all at one moment"
    client.set("k", "")
    assert (client.pop("k"), client.pop("k")) == (b"", None)
    client.mset({"a": "1", "b": "2"})
    with client.transaction() as transaction:
        assert transaction.delete("a", "x", "a") == 1
        assert transaction.pop("b") == b"2"
    assert client.exists("a", "b") == 0


@pytest.mark.parametrize(
    ("lifetime", "ms", "s"),
    [
        (60, 60_000, 60),
        (0.25, 250, 1),
        (0.0001, 1, 1),
        (timedelta(minutes=2), 120_000, 120),
        (timedelta(microseconds=1), 1, 1),
        (timedelta(milliseconds=1500), 1_500, 2),
        (-1, -1_000, -1),
        (timedelta(seconds=-1), -1_000, -1),
        (0, 0, 0),
    ],
)
def test_lifetimes_are_seconds_or_a_timedelta_and_never_end_early(lifetime: Any, ms: int, s: int) -> None:
    assert (milliseconds(lifetime), seconds(lifetime)) == (ms, s)


@pytest.mark.parametrize("wait", [-1, -0.001, timedelta(seconds=-2)])
def test_a_wait_is_not_below_0(wait: float | timedelta) -> None:
    assert wait_milliseconds(0) == 0
    with pytest.raises(RequestRefused, match="0 or more seconds"):
        wait_milliseconds(wait)


def test_lifetimes(cluster: FakeCluster, client: Client) -> None:
    client.set("a", "1", ttl=2.5)
    client.set("b", "1", ttl=timedelta(hours=1))
    assert (client.ttl("a"), client.ttl("b")) == (3, 3600)
    assert client.expire("b", timedelta(minutes=1))
    assert client.ttl("b") == 60
    assert client.expire("b", 1.5)
    assert client.ttl("b") == 2
    for never in (float("inf"), float("nan")):
        with pytest.raises(RequestRefused, match="lifetime"):
            client.set("a", "1", ttl=never)


@given(st.binary())
def test_decoded_text_goes_back_as_what_it_was(content: bytes) -> None:
    assert to_bytes(as_text(content)) == content


def test_results_are_decoded_if_asked_for(cluster: FakeCluster) -> None:
    with Client(cluster.addresses, decode=True) as client:
        client.mset({"a": "kopi ☕", "b": b"\xff", "n": 1})
        assert client.get("a") == "kopi ☕"
        assert client.get("none") is None
        assert client.mget(["b", "x"]) == ["\udcff", None]
        broken = client.get("b")
        assert broken is not None
        client.set("c", broken)
        assert cluster.values[b"c"] == b"\xff"
        assert client.get_with_revision("n")[0] == "1"
        assert client.execute("mget", ["a", "x"]).value == ["kopi ☕", None]
        assert client.transact([("get", ["a"]), ("incr", ["n"])]).results == ("kopi ☕", 2)
        assert list(client.keys(page=1)) == ["a", "b", "c", "n"]
        assert next(client.scan("n")) == KeyValue("n", "2", cluster.state.index)
        assert client.getset("n", "3") == "2"
        assert client.pop("n") == "3"
        with client.transaction() as transaction:
            assert transaction.get("a") == "kopi ☕"
            assert transaction.mget(["a", "x"]) == ["kopi ☕", None]
            assert transaction.execute("get", ["a"]) == "kopi ☕"
            assert transaction.pop("a") == "kopi ☕"


async def test_results_are_decoded_on_a_loop(cluster: FakeCluster) -> None:
    async with AsyncClient.from_url(f"raftdb://{cluster.addresses}/", decode=True) as client:
        await client.set("a", "satu")
        assert await client.get("a") == "satu"
        assert [key async for key in client.keys("a")] == ["a"]
        async with client.transaction() as transaction:
            assert await transaction.pop("a") == "satu"


def test_a_client_from_a_url() -> None:
    client = Client.from_url(
        "raftdb://n1:8001,[::1]:8002/?timeout_ms=500&unreachable_timeout_ms=0&sessions=false"
    )
    assert client.addresses == ("n1:8001", "[::1]:8002")
    assert (client._timeout_ms, client._unreachable_timeout_ms, client._has_sessions) == (500, 0, False)
    for url in ("n1:8001", "http://n1:8001", "http://n1:8001/", "RAFTDB://n1:8001", "raftdb://n1:8001/?"):
        assert Client.from_url(url).addresses == ("n1:8001",)
    assert Client.from_url("http://n1:1,http://n2:2/").addresses == ("n1:1", "n2:2")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "raftdb://",
        "redis://n1:6379",
        "ftp://n1:8001",
        "raftdb://n1",
        "raftdb://user:secret@n1:8001",
        "raftdb://n1:8001/0",
        "raftdb://n1:8001?timeout=5",
        "raftdb://n1:8001?timeout_ms=soon",
        "raftdb://n1:8001?timeout_ms=-1",
        "raftdb://n1:8001?sessions=maybe",
    ],
)
def test_a_url_that_says_something_else_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(RequestRefused):
            kind.from_url(url)


@pytest.mark.parametrize(
    "address", ["", "n1", "::1:8001", "a..b:1", "n1:0", "n1:99999", "n1:x", "ü" * 99 + ":1"]
)
def test_a_bad_address_is_refused_and_nothing_raw_is_raised(address: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(RequestRefused):
            kind(address)
    with pytest.raises(RequestRefused):
        Client([address])
    with pytest.raises(RequestRefused):
        Client("127.0.0.1:1").status(address or "::")


def test_a_call_may_have_a_deadline_of_its_own(cluster: FakeCluster) -> None:
    cluster.leader = None
    with Client(cluster.addresses, timeout_ms=60_000) as client:
        for call in (
            lambda: client.get("k", timeout_ms=50),
            lambda: client.set("k", "v", timeout_ms=50),
            lambda: client.snapshot(timeout_ms=50),
            lambda: list(client.scan(timeout_ms=50)),
            lambda: client.membership(timeout_ms=50),
            lambda: client.transaction(timeout_ms=50).get("k"),
        ):
            with pytest.raises(Unavailable, match=r"0\.05 s"):
                call()
    with Client(cluster.addresses, timeout_ms=0) as client:
        cluster.leader = 1
        with pytest.raises(Unavailable):
            client.get("k")
        assert client.get("k", timeout_ms=20_000) is None
        with pytest.raises(RequestRefused, match="timeout_ms"):
            client.get("k", timeout_ms=-1)


def test_a_deadline_of_its_own_holds_for_what_takes_the_leader_long(
    cluster: FakeCluster, client: Client
) -> None:
    client.get("k")
    released = threading.Event()
    cluster.nodes[0].script.append(Canned(body={"index": 1}, wait=released))
    with pytest.raises(Unavailable, match="did not finish"):
        client.snapshot(timeout_ms=100)
    released.set()


def named_in_returns(method: Any) -> set[str]:
    """The types of ours that a public method says it returns."""
    annotation = getattr(method, "__annotations__", {}).get("return")
    if getattr(method, "__name__", "_").startswith("_") or annotation is None:
        return set()
    words = re.findall(r"raftdb\.[\w.]*\.(\w+)", str(annotation))
    return {word for word in words if word[0].isupper()} - {"V", "P", "T"}


def test_what_is_returned_and_raised_can_be_imported(cluster: FakeCluster, client: Client) -> None:
    assert isinstance(client.execute("ping"), Answer)
    assert isinstance(client.transact([]), TransactionAnswer)
    assert isinstance(client.key_page(), KeyPage)
    assert isinstance(client.membership(), Membership)
    returned = {annotation for name in dir(Client) for annotation in named_in_returns(getattr(Client, name))}
    assert {"Answer", "KeyPage", "NodeStatus", "LogPage", "Transaction"} <= returned <= set(raftdb.__all__)
    kinds = [kind for kind in vars(raftdb.errors).values() if isinstance(kind, type)]
    raised = [kind for kind in kinds if issubclass(kind, RaftdbError) and not issubclass(kind, Fatal)]
    exported = {getattr(raftdb, name) for name in raftdb.__all__}
    assert {kind for kind in raised if kind is not ProtocolError} <= exported
    assert set(raftdb._MODULES) == set(raftdb.__all__)


def test_clients_and_transactions_say_what_they_are(cluster: FakeCluster, client: Client) -> None:
    assert repr(client) == f"<Client {cluster.addresses}>"
    assert repr(AsyncClient("n1:1")) == "<AsyncClient n1:1>"
    transaction = client.transaction()
    transaction.get("k")
    transaction.set("k", "secret")
    assert repr(transaction) == "<Transaction open: 1 keys read, 1 writes>"
    transaction.rollback()
    assert repr(transaction) == "<Transaction rolled back: 1 keys read, 1 writes>"
