"""The blocking client without sessions against fake nodes on real sockets: what it finds, sends and understands."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from raftdb.client.sync_client import Client
from raftdb.errors import (
    OutcomeUnknown,
    RaftdbError,
    RemoteProtocolError,
    ReplyError,
    RequestRefused,
    Unavailable,
)
from tests.addresses import at
from tests.client.fake_node import Canned, FakeCluster, error


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.addresses, timeout_ms=3_000, sessions=False) as client:
        yield client


def test_results_have_their_types(client: Client) -> None:
    assert client.execute("set", ["kunci", "satu"]).value == "OK"
    assert client.execute("APPEND", [b"kunci", b"dua"]).value == "OK"
    answer = client.execute("get", ["kunci"])
    assert (answer.value, answer.revision, answer.index, answer.term) == (b"satudua", 3, 3, 1)
    assert client.execute("strlen", ["kunci"]).value == 7
    assert client.execute("mget", ["kunci", "lain"]).value == [b"satudua", None]
    assert client.execute("get", ["lain"]).revision == 0
    assert client.execute("ping").value == "PONG"


def test_a_stored_ok_is_a_string_and_not_a_status(client: Client) -> None:
    client.execute("set", ["k", "OK"])
    assert client.execute("get", ["k"]).value == b"OK"


@pytest.mark.parametrize("value", [b"", b"\xff\x00", "kopi ☕".encode(), b'"', b"\xed\xa0\x80"])
def test_any_bytes_come_back(client: Client, value: bytes) -> None:
    client.execute("set", [b"\xfe", value])
    assert client.execute("get", [b"\xfe"]).value == value


@pytest.mark.parametrize("leader", [0, 1, 2])
def test_the_leader_is_found_and_remembered(cluster: FakeCluster, client: Client, leader: int) -> None:
    cluster.leader = leader
    for _ in range(3):
        client.execute("incr", ["n"])
    assert cluster.values[b"n"] == b"3"
    assert [node.executed for node in cluster.nodes] == [3 if n == leader else 0 for n in range(3)]


def test_a_new_leader_is_followed_to(cluster: FakeCluster, client: Client) -> None:
    client.execute("incr", ["n"])
    cluster.leader = 2
    assert client.execute("incr", ["n"]).value == 2
    cluster.nodes[2].stop()
    cluster.leader = 1
    assert client.execute("incr", ["n"]).value == 3


def test_connections_are_kept_and_renewed_when_the_server_closed_them(
    cluster: FakeCluster, client: Client
) -> None:
    for _ in range(5):
        client.execute("get", ["k"])
    assert cluster.nodes[0].connections == 1
    cluster.nodes[0].script.append(
        Canned(body={"result": "", "index": 1, "term": 1}, headers={"Connection": "close"})
    )
    client.execute("get", ["k"])
    client.execute("incr", ["n"])
    assert cluster.nodes[0].connections == 2


def test_a_kept_connection_that_died_meanwhile_costs_a_write_nothing(
    cluster: FakeCluster, client: Client
) -> None:
    client.execute("incr", ["n"])
    (kept,) = client._calls.connections._idle[at(cluster.nodes[0].address)]
    kept.stream.socket.shutdown(socket.SHUT_RD)  # what the close of a server looks like from here
    assert client.execute("incr", ["n"]).value == 2


def test_a_write_without_an_answer_is_unknown_and_was_sent_once(cluster: FakeCluster, client: Client) -> None:
    client.execute("incr", ["n"])
    cluster.nodes[0].script.append(Canned(cut=True))
    with pytest.raises(OutcomeUnknown):
        client.execute("incr", ["n"])
    assert cluster.nodes[0].executed == 2


def test_a_read_without_an_answer_is_asked_again(cluster: FakeCluster, client: Client) -> None:
    cluster.nodes[0].script += [Canned(cut=True), Canned(cut=True)]
    assert client.execute("strlen", ["k"]).value == 0


def test_a_write_without_an_answer_in_time_is_unknown(cluster: FakeCluster) -> None:
    released = threading.Event()
    with Client(cluster.addresses, timeout_ms=300, sessions=False) as client:
        client.execute("incr", ["n"])
        cluster.nodes[0].script.append(Canned(cut=True, wait=released))
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            client.execute("incr", ["n"])
        assert time.monotonic() - began > 0.25
        released.set()  # nobody has waited for the answer


def test_an_election_is_waited_for(cluster: FakeCluster, client: Client) -> None:
    cluster.leader = None
    timer = threading.Timer(0.3, lambda: setattr(cluster, "leader", 1))
    timer.start()
    assert client.execute("incr", ["n"]).value == 1
    timer.join()


def test_no_leader_ends_at_the_deadline(cluster: FakeCluster) -> None:
    cluster.leader = None
    with Client(cluster.addresses, timeout_ms=300, sessions=False) as client:
        for name in ("incr", "get"):
            with pytest.raises(Unavailable) as caught:
                client.execute(name, ["n"])
            assert caught.value.code == "no_leader"


def test_a_busy_leader_is_asked_again(cluster: FakeCluster, client: Client) -> None:
    client.execute("incr", ["n"])
    cluster.nodes[0].script.append(error(503, "busy"))
    assert client.execute("incr", ["n"]).value == 2


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with Client(address, timeout_ms=60_000, unreachable_timeout_ms=0, sessions=False) as client:
            with pytest.raises(Unavailable, match="connection refused") as caught:
                client.execute("set", ["a", "b"])
            assert caught.value.code == "unreachable"


def test_errors_are_typed(cluster: FakeCluster, client: Client) -> None:
    client.execute("set", ["k", "text"])
    with pytest.raises(ReplyError, match="not an integer"):
        client.execute("incr", ["k"])
    cluster.nodes[0].script.append(error(413, "too_large", "too large", hint="smaller"))
    with pytest.raises(RequestRefused) as caught:
        client.execute("set", ["k", "v"])
    assert (caught.value.code, caught.value.hint) == ("too_large", "smaller")
    cluster.nodes[0].script.append(error(410, "compacted", "gone"))
    with pytest.raises(RaftdbError, match="gone"):
        client.request_log(first=1)
    with pytest.raises(RequestRefused, match="consistency"):
        client.execute("get", ["k"], consistency="eventual")  # type: ignore[arg-type]


def test_what_is_not_raftdb_is_called_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"-ERR unknown command 'GET'\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(f"127.0.0.1:{server.getsockname()[1]}") as client, pytest.raises(RemoteProtocolError):
            client.status()
        thread.join()


def test_stale_reads_go_to_any_node_and_say_so(cluster: FakeCluster, client: Client) -> None:
    cluster.nodes[0].script.append(Canned(body={"result": "old", "index": 1, "term": 1, "revision": 1}))
    cluster.leader = None
    assert client.execute("get", ["k"], consistency="stale").value == b"old"
    assert cluster.nodes[0].bodies[-1]["consistency"] == "stale"


def test_status_of_each_node(cluster: FakeCluster, client: Client) -> None:
    status = client.status(cluster.nodes[1].address)
    assert (status.id, status.role, status.uptime_seconds) == ("n2", "follower", 61.5)
    assert status.leader is not None
    assert status.leader.http == cluster.nodes[0].address
    assert [member.id for member in status.members] == ["n1", "n2", "n3"]
    cluster.nodes[2].stop()
    with pytest.raises(Unavailable):
        client.status(cluster.nodes[2].address)
    assert client.status().id == "n1"


def test_members_and_log_come_from_the_leader(cluster: FakeCluster, client: Client) -> None:
    cluster.leader = 1
    client.execute("set", [b"\xff", "v"])
    assert [member.match_index for member in client.members()] == [1, 1, 1]
    page = client.request_log(first=2, limit=5)
    assert (page.first_index, page.last_index, page.commit_index) == (1, 2, 2)
    assert [(entry.index, entry.command, entry.arguments) for entry in page.entries] == [
        (2, "set", (b"\xff", b"v"))
    ]
    assert client.request_log().entries[0].command is None
