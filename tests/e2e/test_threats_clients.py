"""What clients, users and pages of others could try, each tried on a cluster of real processes with users: the lines of
the threat table (docs/security.md) about them."""

import http.client
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.cluster import Cluster, Node, free_ports, run_cli
from tests.e2e.credentials import ADMIN, ADMIN_PASSWORD, basic
from tests.e2e.users import PASSWORD, is_user, make_user, run, told, with_users
from tests.e2e.waiting import wait_for

SESSION = "5e" * 16
OPEN = {"/livez", "/readyz"}
ROUTES = (
    *("/v1/status", "/v1/members", "/v1/keys", "/v1/keys/a", "/v1/request_log", "/v1/backup", "/v1/events"),
    *(
        "/v1/watch",
        "/v1/history",
        "/v1/queues",
        "/v1/locks",
        "/v1/users",
        "/v1/roles",
        "/v1/audit",
        "/metrics",
    ),
    *("/v1/whoami", "/v1/network"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_users(tmp_path_factory.mktemp("threats")) as cluster:
        yield cluster


def door(address: str) -> socket.socket:
    """A connection to a port of a node."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30.0)


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the node ends the connection."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def as_redis(node: Node, user: str, password: str) -> redis.Redis:
    host, _, port = node.environment["RAFTDB_REDIS"].rpartition(":")
    return redis.Redis(host, int(port), username=user, password=password, decode_responses=True)


def test_a_node_listens_beyond_this_machine_only_where_it_is_told_to(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    refused = run_cli("serve", "--id", "n1", "--listen", f"0.0.0.0:{port}", "--data", str(tmp_path / "d"))
    assert refused.returncode == 2
    assert "insecure" in refused.stderr
    with pytest.raises(ConnectionRefusedError):
        door(f"127.0.0.1:{port}")


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret that is long enough for a node")
    secret.chmod(0o644)
    refused = run_cli(
        "serve", "--id", "n1", "--listen", f"127.0.0.1:{free_ports(1)[0]}", "--data", str(tmp_path / "d"),
        extra={"RAFTDB_CLUSTER_SECRET_FILE": str(secret)},
    )  # fmt: skip
    assert refused.returncode == 2
    assert "others may read" in refused.stderr
    assert "long enough" not in refused.stderr


def test_whatever_bytes_come_a_node_goes_on(cluster: Cluster) -> None:
    """Requests that are right but for some bytes, and bytes that are none, at each port."""
    node = cluster.wait_agreed()
    before = (node.pid, node.status()["term"])
    chance = random.Random(16)
    whole = (
        b"POST /v1/execute HTTP/1.1\r\nHost: %b\r\nContent-Length: 38\r\n\r\n" % node.address.encode()
        + b'{"command": "set", "args": ["k", "v"]}'
    )
    spoken = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n"
    peer = (
        b"GET /v1/peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: raftdb\r\n\r\n" + whole
    )
    for number in range(200):
        address = node.environment["RAFTDB_REDIS"] if number % 2 else node.address
        data = bytearray(spoken if number % 2 else (whole, peer)[number // 2 % 2])
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if number % 5 == 0:
            data = bytearray(chance.randbytes(chance.randrange(1, 5000)))
        with door(address) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            with suppress(TimeoutError):
                until_closed(connection)
    assert (node.pid, node.status()["term"]) == before
    assert run(node, "get", "k", by=ADMIN) == 200
    assert "Traceback" not in node.log_text()


def test_a_crowd_that_says_nothing_or_little_keeps_nobody_out(cluster: Cluster) -> None:
    node = cluster.wait_agreed()
    with ExitStack() as stack:
        for number in range(400):
            address = node.environment["RAFTDB_REDIS"] if number % 2 else node.address
            connection = stack.enter_context(door(address))
            connection.sendall((b"", b"GET / HT", b"*1\r\n$4")[number % 3])
        assert run(node, "set", "k", "v", by=ADMIN) == 200
        with as_redis(node, "admin", ADMIN_PASSWORD) as client:
            assert client.get("k") == "v"
        # Who speaks to the Redis port as nobody is not waited for.
        last = stack.enter_context(door(node.environment["RAFTDB_REDIS"]))
        last.settimeout(60.0)
        until_closed(last)


def test_who_is_no_user_is_told_nothing(cluster: Cluster) -> None:
    for node in cluster:
        for path in ROUTES:
            answer = told(node, "GET", path, by={})
            assert answer.status in (401, 403), (path, answer)
            assert cluster.leader().name.encode() not in answer.body, path
        for path, body in (("/v1/execute", {"command": "get", "args": ["k"]}), ("/v1/members", {"id": "x"})):
            assert told(node, "POST", path, body, by={}).status == 401
        for path in OPEN:
            assert told(node, "GET", path, by={}).status == 200
        with as_redis(node, "admin", "") as client, pytest.raises(redis.exceptions.RedisError):
            client.get("k")


def test_passwords_are_not_tried_one_after_the_other(cluster: Cluster) -> None:
    """From another address of this machine, so that nobody else has to wait."""
    node = cluster.leader()
    host, _, port = node.address.rpartition(":")

    def tried(password: str) -> int:
        connection = http.client.HTTPConnection(host, int(port), timeout=60, source_address=("127.0.0.77", 0))
        try:
            connection.request("GET", "/v1/whoami", headers=basic("admin", password))
            return connection.getresponse().status
        finally:
            connection.close()

    assert [tried(f"guess-{number}") for number in range(4)] == [401] * 4
    slowed = [tried(ADMIN_PASSWORD) for _ in range(3)]
    assert 200 not in slowed, "not even the right one is looked at now"
    assert told(node, "GET", "/v1/whoami").status == 200


def test_what_strangers_say_is_no_line_of_the_log(cluster: Cluster) -> None:
    node = cluster.leader()
    name = "ana\n2026-01-01 forged line\x1b[2J"
    assert told(node, "GET", "/v1/whoami", by=basic(name, "x")).status in (401, 503)
    wait_for(lambda: "forged line" in node.log_text(), "the attempt in the log")
    assert not any(line.startswith("2026-01-01 forged") for line in node.log_text().splitlines())
    assert "\x1b" not in node.log_text()


def test_sessions_and_owners_of_others_are_out_of_reach(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    vera = make_user(leader, "vera", "write keys app/", "write locks app-")
    mal = make_user(leader, "mal", "write keys mal/", "write locks mal-", "write locks app-shared")

    def lock(name: str, owner: str, by: dict[str, str], **more: Any) -> Any:
        answer = told(leader, "POST", f"/v1/locks/{name}", {"owner": owner, "ttl_ms": 60_000, **more}, by=by)
        assert answer.status == 200, answer
        return answer.json["acquired"]

    assert told(leader, "POST", "/v1/sessions", {"id": SESSION}, by=vera).status == 200
    for method, path, body in (
        ("PUT", f"/v1/sessions/{SESSION}", {"ttl_ms": 1_000}),
        (
            "POST",
            "/v1/execute",
            {"command": "set", "args": ["mal/k", "v"], "session": {"id": SESSION, "seq": 9}},
        ),
    ):
        assert told(leader, method, path, body, by=mal).error_code == "session_expired"
    assert told(leader, "DELETE", f"/v1/sessions/{SESSION}", by=mal).status == 200, "to mal it is not there"
    mine = {"command": "set", "args": ["app/k", "v"], "session": {"id": SESSION, "seq": 1}}
    assert told(leader, "POST", "/v1/execute", mine, by=vera).status == 200

    # mal lets its own owners wait for each other under vera's names: vera's wait closes no circle.
    assert lock("app-main", "one", vera)
    assert lock("mal-x", "two", mal)
    assert not lock("mal-x", "one", mal, wait_ms=1)
    assert not lock("app-main", "two", vera, wait_ms=1)
    assert lock("app-shared", "one", vera)
    assert told(leader, "DELETE", "/v1/locks/app-shared?owner=one", by=mal).json["released"] is False
    holders = told(leader, "GET", "/v1/locks/app-shared", by=vera).json["holders"]
    assert [holder["owner"] for holder in holders] == ["one"]

    # A circle through a lock that mal may not read is told to it without names.
    assert lock("hidden", "three", ADMIN)
    assert lock("app-shared-2", "four", mal)
    with ExitStack() as stack:
        waiting = http.client.HTTPConnection(leader.address, timeout=60)
        stack.callback(waiting.close)
        waiting.request(
            "POST", "/v1/locks/app-shared-2",
            body='{"owner": "three", "ttl_ms": 60000, "wait_ms": 50000}', headers=ADMIN,
        )  # fmt: skip
        line = partial(told, leader, "GET", "/v1/locks/app-shared-2")
        wait_for(lambda: line().json["line"], "the administrator's owner in line")
        grants = ["write locks mal-", "write locks app-shared", "write locks hid"]
        assert told(leader, "PUT", "/v1/roles/mal", {"grants": grants}).status == 200
        asked = {"owner": "four", "ttl_ms": 60_000, "wait_ms": 1_000}
        circle = told(leader, "POST", "/v1/locks/hidden", asked, by=mal)
    assert circle.error_code == "deadlock", circle


def test_a_token_that_is_taken_back_ends_what_goes_on_under_it(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    token = make_user(leader, "tom", "read keys tmp/")["Authorization"].removeprefix("Bearer ")
    with as_redis(leader, "", token) as client, door(leader.address) as stream:
        client.connection_pool.connection_kwargs.update(username=None)
        assert client.get("tmp/k") is None
        head = f"GET /v1/watch?prefix=tmp/ HTTP/1.1\r\nHost: {leader.address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        stream.sendall(head.encode())
        assert b"200 OK" in stream.recv(4096)
        assert told(leader, "DELETE", "/v1/users/tom/tokens/t").status == 200
        with pytest.raises(redis.exceptions.AuthenticationError):
            client.get("tmp/k")
        stream.settimeout(60.0)
        until_closed(stream)


def test_a_node_that_was_away_lets_nobody_do_what_was_taken_away(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    (other, *_) = cluster.others(leader)
    make_user(leader, "rina", "write keys shared/")
    wait_for(partial(is_user, other, basic("rina", PASSWORD)), "the user there")
    with as_redis(other, "rina", PASSWORD) as client:
        assert client.set("shared/k", "1")
        other.send(signal.SIGSTOP)
        try:
            assert told(leader, "PUT", "/v1/roles/rina", {"grants": ["read keys shared/"]}).status == 200
        finally:
            other.send(signal.SIGCONT)
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("shared/k", "2")
    assert told(leader, "GET", "/v1/keys/shared%2Fk").json["value"] == "1"


def test_pages_of_others_neither_read_nor_act(cluster: Cluster) -> None:
    node = cluster.leader()
    before = told(node, "GET", "/v1/status").json["commit_index"]
    by_name = told(node, "GET", "/v1/status", by={**ADMIN, "Host": "attacker.example:80"})
    assert by_name.status in (403, 421)
    assert b"commit_index" not in by_name.body
    body = {"command": "set", "args": ["from-a-page", "v"]}
    for origin in ("http://attacker.example", "null"):
        assert told(node, "POST", "/v1/execute", body, by={**ADMIN, "Origin": origin}).status == 403
    with door(node.environment["RAFTDB_REDIS"]) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nSET from-a-page v\r\n")
        until_closed(connection)
    assert told(node, "GET", "/v1/keys/from-a-page").status == 404
    assert told(node, "GET", "/v1/status").json["commit_index"] >= before
    for path in ("/", "/v1/status", "/keys"):
        assert "set-cookie" not in told(node, "GET", path).headers


def test_who_has_a_disk_or_a_backup_has_no_password_and_no_token(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    token = make_user(leader, "soraya", "read keys ")["Authorization"].removeprefix("Bearer ")
    assert told(leader, "POST", "/v1/snapshot").status in (200, 202)
    backup = told(leader, "GET", "/v1/backup")
    assert backup.status == 200
    everything = [backup.body, *(path.read_bytes() for path in leader.data.rglob("*") if path.is_file())]
    assert any(b"soraya" in data for data in everything), "what is searched is not packed"
    for secret in (ADMIN_PASSWORD, PASSWORD, token):
        assert not any(secret.encode() in data for data in everything)
