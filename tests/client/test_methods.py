"""What each method of the blocking client does, on fake nodes."""

from collections.abc import Iterator

import pytest

from raftdb import Client, CommandFailed, Conflict, RequestRefused
from raftdb.client.model import KeyValue
from tests.client.fake_node import FakeCluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=3_000) as client:
        yield client


def test_values(client: Client) -> None:
    assert client.get("kunci") is None
    assert client.set("kunci", "satu")
    client.append("kunci", b"dua")
    assert client.get(b"kunci") == b"satudua"
    assert client.strlen("kunci") == 7
    assert client.pop("kunci") == b"satudua"
    assert client.pop("kunci") is None
    client.set("kunci", "")
    assert client.get("kunci") == b""
    assert client.pop("kunci") == b""


def test_counters(client: Client) -> None:
    assert client.incr("n") == 1
    assert client.incr("n", 41) == 42
    assert client.incr("n", -50) == -8
    client.set("n", "text")
    with pytest.raises(CommandFailed, match="not an integer"):
        client.incr("n")


def test_several_keys(client: Client) -> None:
    client.mset({"a": "1", "b": b"\xff"})
    assert client.mget(["a", "x", "b"]) == [b"1", None, b"\xff"]
    assert client.exists("a", "b", "x", "a") == 3
    assert client.dbsize() == 2


def test_conditions_of_set(client: Client) -> None:
    assert not client.set("k", "1", only_if="present")
    assert client.set("k", "1", only_if="missing")
    assert not client.set("k", "2", only_if="missing")
    assert client.set("k", "3", only_if="present")
    assert client.get("k") == b"3"
    with pytest.raises(RequestRefused, match="only_if"):
        client.set("k", "4", only_if="new")  # type: ignore[arg-type]


def test_expiry(cluster: FakeCluster, client: Client) -> None:
    client.set("k", "1", ttl=2.5)
    client.set("stays", "1")
    assert (client.ttl("k"), client.ttl("stays"), client.ttl("x")) == (3, -1, -2)
    client.set("k", "2", keep_ttl=True)
    cluster.state.advance(2_499)
    assert client.get("k") == b"2"
    cluster.state.advance(1)
    assert client.get("k") is None
    assert client.expire("stays", 10)
    assert not client.expire("x", 10)
    assert client.ttl("stays") == 10
    assert client.persist("stays")
    assert not client.persist("stays")
    assert client.expire("stays", 0)
    assert client.exists("stays") == 0
    with pytest.raises(RequestRefused, match="exclude"):
        client.set("k", "1", ttl=1, keep_ttl=True)


def test_compare_and_set(client: Client) -> None:
    first = client.cas("k", 0, "1")
    assert client.get_with_revision("k") == (b"1", first)
    second = client.cas("k", first, "2")
    assert second > first
    with pytest.raises(Conflict) as caught:
        client.cas("k", first, "3")
    assert caught.value.keys == (b"k",)
    assert client.get_with_revision("x") == (None, 0)
    assert client.get_with_revision("k") == (b"2", second)


def test_setrange_tells_the_length_also_within_a_transaction(client: Client) -> None:
    assert client.setrange("k", 2, "xy") == 4
    assert client.get("k") == b"\0\0xy"
    with client.transaction() as transaction:
        assert transaction.setrange("k", 0, "ab") == 4
        assert transaction.get("k") == b"abxy"
        assert transaction.setrange("new", 1, "") == 0
    assert (client.get("k"), client.exists("new")) == (b"abxy", 0)
    with pytest.raises(RequestRefused):
        client.setrange("k", -1, "x")


def test_getset_tells_a_missing_value_from_an_empty_one(client: Client) -> None:
    assert client.getset("k", "") is None
    assert client.getset("k", "2") == b""
    assert client.getset("k", "3") == b"2"


def test_a_scan_goes_over_all_pages_in_order(cluster: FakeCluster, client: Client) -> None:
    client.mset(
        {b"k%02d" % number: str(number) for number in range(25)} | {b"\xff\x00?&=%": "odd", b"a": "x"}
    )
    found = list(client.scan("k", page=10))
    assert [entry.key for entry in found] == [b"k%02d" % number for number in range(25)]
    assert found[7] == KeyValue(b"k07", b"7", cluster.state.index)
    assert list(client.keys(b"\xff\x00?&=", page=1)) == [b"\xff\x00?&=%"]
    assert list(client.scan("none")) == []
    page = client.key_page(after="k23", limit=1)
    assert ([entry.key for entry in page.keys], page.next_after) == ([b"k24"], b"k24")


def test_commands_as_one(cluster: FakeCluster, client: Client) -> None:
    answer = client.transact([("set", ["a", "1"]), ("incr", ["a"]), ("get", ["a"])])
    assert answer.results == ("OK", 2, b"2")
    assert answer.index == cluster.state.index
    _, revision = client.get_with_revision("a")
    assert revision == answer.index
    client.transact([("append", ["a", "0"])], watch={"a": revision, "b": 0})
    with pytest.raises(Conflict) as caught:
        client.transact([("del", ["a"])], watch={"b": 0, "a": revision})
    assert caught.value.keys == (b"a",)
    assert client.get("a") == b"20"


def test_a_command_that_fails_undoes_all_or_only_itself(client: Client) -> None:
    commands = [("set", ["a", "x"]), ("incr", ["a"]), ("set", ["b", "1"])]
    with pytest.raises(CommandFailed, match="command 2") as caught:
        client.transact(commands)
    assert caught.value.failed_command == 1
    assert client.exists("a", "b") == 0
    answer = client.transact(commands, mode="redis")
    assert (answer.results[0], answer.results[2]) == ("OK", "OK")
    error = answer.results[1]
    assert isinstance(error, CommandFailed)
    assert "not an integer" in error.message
    with pytest.raises(RequestRefused, match="mode"):
        client.transact([], mode="both")  # type: ignore[arg-type]
