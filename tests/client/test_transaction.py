"""Interactive transactions of the blocking client, on fake nodes."""

from collections.abc import Iterator

import pytest

from raftdb import Client, CommandFailed, Conflict, RequestRefused
from raftdb.errors import LocalProtocolError
from tests.client.fake_node import FakeCluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=3_000) as client:
        yield client


def test_what_was_read_and_written_is_committed_as_one_entry(cluster: FakeCluster, client: Client) -> None:
    client.mset({"a": "1", "b": "5"})
    before = cluster.state.index
    with client.transaction() as transaction:
        assert transaction.get("a") == b"1"
        transaction.set("a", "2")
        assert transaction.get("a") == b"2"
        transaction.append("log", "a is 2;")
        assert transaction.incr("b", -3) == 2
        assert client.get("a") == b"1"
        assert cluster.state.index == before
    assert cluster.state.index == before + 1
    assert client.mget(["a", "b", "log"]) == [b"2", b"2", b"a is 2;"]


def test_a_key_that_changed_after_it_was_read_is_named(client: Client) -> None:
    client.set("a", "1")
    transaction = client.transaction()
    assert (transaction.get("a"), transaction.get("none")) == (b"1", None)
    transaction.set("b", "1")
    client.set("a", "1")
    with pytest.raises(Conflict) as caught:
        transaction.commit()
    assert caught.value.keys == (b"a",)
    assert client.get("b") is None
    with pytest.raises(LocalProtocolError, match="ended by Conflict"):
        transaction.commit()


def test_a_transaction_that_only_reads_is_checked_too(client: Client) -> None:
    """Else it might have seen two moments."""
    transaction = client.transaction()
    assert transaction.get("none") is None
    client.set("none", "1")
    with pytest.raises(Conflict):
        transaction.commit()


def test_an_exception_forgets_all_of_it(cluster: FakeCluster, client: Client) -> None:
    transaction = client.transaction()

    def fail() -> None:
        with transaction:
            transaction.set("a", "1")
            raise KeyError("a")

    before = cluster.state.index
    with pytest.raises(KeyError):
        fail()
    assert cluster.state.index == before
    assert not transaction.is_open


def test_nested_and_ended_transactions_are_refused(client: Client) -> None:
    with client.transaction() as outer:
        with pytest.raises(LocalProtocolError, match="do not nest"), client.transaction():
            pass
        with pytest.raises(LocalProtocolError, match="do not nest"), outer:
            pass
        outer.rollback()
        with pytest.raises(LocalProtocolError, match="rolled back"):
            outer.get("a")
        with client.transaction() as another:
            another.set("a", "1")
    with pytest.raises(LocalProtocolError, match="committed"):
        another.set("a", "2")
    with pytest.raises(LocalProtocolError, match="committed"):
        another.commit()
    assert client.get("a") == b"1"


def test_any_command_by_name(client: Client) -> None:
    client.set("a", "1")
    transaction = client.transaction()
    assert transaction.execute("INCR", ["a"]) == "QUEUED"
    assert transaction.watched == {}
    assert transaction.execute("get", ["a"]) == b"2"
    assert transaction.execute("exists", ["a", "b"]) == 1
    assert transaction.execute("mget", ["a", "b"]) == [b"2", None]
    assert transaction.execute("strlen", ["b"]) == 0
    assert sorted(transaction.watched) == [b"a", b"b"]
    assert transaction.commands == (("incr", (b"a",)),)
    with pytest.raises(RequestRefused, match="wrong number"):
        transaction.execute("set", ["a"])
    with pytest.raises(RequestRefused, match="unknown"):
        transaction.execute("sett", ["a", "b"])
    index = transaction.commit()
    assert client.get_with_revision("a") == (b"2", index)
    assert client.transaction().commit() == 0


def test_a_write_that_would_fail_is_refused_at_once(client: Client) -> None:
    client.set("a", "text")
    with client.transaction() as transaction:
        with pytest.raises(CommandFailed, match="not an integer"):
            transaction.incr("a")
        transaction.set("b", "1")
    assert client.get("b") == b"1"
    transaction = client.transaction()
    transaction.execute("incr", ["a"])
    transaction.set("b", "2")
    with pytest.raises(CommandFailed, match=r"command 1 \(incr\): value is not an integer") as caught:
        transaction.commit()
    assert caught.value.failed_command == 0
    assert client.get("b") == b"1"


def test_the_other_methods_mean_what_those_of_the_client_mean(cluster: FakeCluster, client: Client) -> None:
    client.mset({"a": "1", "b": "22"})
    with client.transaction() as transaction:
        assert transaction.getset("a", "3") == b"1"
        assert transaction.pop("b") == b"22"
        assert transaction.pop("b") is None
        assert transaction.delete("b") == 0
        assert not transaction.set("a", "4", only_if="missing")
        assert transaction.set("c", "5", only_if="missing", ttl=1)
        transaction.mset({"d": "66", "e": "7"})
        transaction.expire("d", 1)
        transaction.persist("a")
        transaction.expire("e", 0)
        assert transaction.mget(["a", "b", "c", "d", "e"]) == [b"3", None, b"5", b"66", None]
        assert (transaction.exists("a", "b", "c"), transaction.strlen("d")) == (2, 2)
        for name, arguments in (("scan", []), ("ttl", ["a"]), ("cas", ["a", "1", "2"])):
            with pytest.raises(RequestRefused, match="inside a transaction"):
                transaction.execute(name, arguments)
    assert sorted(client.keys()) == [b"a", b"c", b"d"]
    cluster.state.advance(1_000)
    assert list(client.keys()) == [b"a"]


def test_a_check_tells_early_what_the_commit_would(client: Client) -> None:
    transaction = client.transaction()
    transaction.get("a")
    transaction.check()
    client.set("a", "1")
    for ask in (transaction.check, transaction.commit):
        with pytest.raises(Conflict) as caught:
            ask()
        assert caught.value.keys == (b"a",)
