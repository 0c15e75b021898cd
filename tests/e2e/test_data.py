"""Transactions, sessions and expiry on real processes: what a leader's end, a restart and a restore must not change."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, run_cli
from tests.e2e.conftest import NewCluster
from tests.e2e.raw_http import NOT_EXECUTED, Client, NotSent, Response
from tests.e2e.waiting import wait_for

ID = "00112233445566778899aabbccddeeff"
TTL_S = 2


def ask(client: Client, method: str, target: str, body: object = None) -> Response:
    """The answer of the leader, as soon as there is one. What was asked may be sent more than once."""
    data = None if body is None else json.dumps(body).encode()

    def attempt() -> Response | None:
        try:
            response = client.ask_once(method, target, data)
        except (NotSent, OSError, http.client.HTTPException):
            return None
        unsettled = response.status == 504 or (
            response.status in (307, 503) and response.error_code in NOT_EXECUTED
        )
        return None if unsettled else response

    return wait_for(attempt, f"an answer to {method} {target}")


def once(client: Client, seq: int, command: str, *arguments: str) -> Any:
    """A command in the session, sent until it is answered."""
    body = {"command": command, "args": arguments, "session": {"id": ID, "seq": seq}}
    response = ask(client, "POST", "/v1/execute", body)
    assert response.status == 200, response
    return response.json


def transact(client: Client, seq: int, watch: dict[str, int], *commands: tuple[str, ...]) -> Response:
    """A transaction in the session, sent until it is answered."""
    parts = [{"command": name, "args": arguments} for name, *arguments in commands]
    body = {"commands": parts, "watch": watch, "session": {"id": ID, "seq": seq}}
    return ask(client, "POST", "/v1/transaction", body)


def register(client: Client) -> None:
    assert ask(client, "POST", "/v1/sessions", {"id": ID}).json["session"] == {"id": ID}


def kill_leader(cluster: Cluster) -> None:
    cluster.leader().kill9()


def test_what_a_session_has_done_is_known_to_the_next_leader_and_after_a_restart_of_all(
    new_cluster: NewCluster,
) -> None:
    """Hazards B53, B56: commit, lose the reply, checkpoint, restart all, ask again."""
    cluster = new_cluster(3).start()
    client = cluster.client()
    register(client)
    first = once(client, 1, "incr", "n")
    assert first["result"] == 1
    kill_leader(cluster)
    assert once(client, 1, "incr", "n") == first
    second = once(client, 2, "incr", "n")
    assert second["result"] == 2
    assert ask(client, "POST", "/v1/snapshot").status == 200
    for node in cluster.running:
        node.kill9()
    cluster.start()
    assert once(client, 2, "incr", "n") == second
    forgotten = {"command": "incr", "args": ["n"], "session": {"id": ID, "seq": 1}}
    assert ask(client, "POST", "/v1/execute", forgotten).error_code == "session_expired"
    assert once(client, 3, "incr", "n")["result"] == 3


def test_a_transaction_begun_before_a_leader_died_commits_once_or_is_told_what_changed(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(3).start()
    client = cluster.client()
    register(client)
    client.result("set", "a", "1")
    seen = ask(client, "GET", "/v1/keys/a").json
    assert seen["value"] == "1"
    kill_leader(cluster)
    watch = {"a": seen["revision"]}
    done = transact(client, 1, watch, ("set", "a", "2"), ("incr", "n"))
    assert (done.status, done.json["results"]) == (200, ["OK", 1])
    again = transact(client, 1, watch, ("set", "a", "2"), ("incr", "n"))
    assert again.json == done.json, "the same answer, though the revision has changed by it"
    late = transact(client, 2, watch, ("set", "a", "3"), ("incr", "n"))
    assert (late.status, late.json["conflict"], late.json["results"]) == (409, ["a"], None)
    assert ask(client, "GET", "/v1/keys/a").json["value"] == "2"
    assert client.result("get", "n") == "1"


def test_a_key_outlives_its_leader_and_ends_by_the_clock_of_the_next_but_never_early(
    new_cluster: NewCluster,
) -> None:
    """Hazard B71."""
    cluster = new_cluster(3).start()
    client = cluster.client()
    client.result("set", "stays", "1")
    began = time.monotonic()
    client.result("set", "k", "v", "EX", str(TTL_S))
    kill_leader(cluster)

    def is_gone() -> bool:
        response = ask(client, "GET", "/v1/keys/k")
        if response.status == 404:
            return True
        assert response.json["ttl_ms"] <= 1000 * TTL_S
        return False

    wait_for(is_gone, "the end of the key")
    assert time.monotonic() - began >= TTL_S
    assert client.result("dbsize") == 1
    assert client.result("keys", "") == ["stays"]
    entries = ask(client, "GET", "/v1/request_log?limit=20").json["entries"]
    assert "expire_due" in [entry.get("command") for entry in entries]


def test_sessions_clock_and_expiries_are_in_a_backup(new_cluster: NewCluster, tmp_path: Path) -> None:
    """Hazard B32: a restored cluster goes on with them."""
    old = new_cluster(1, "old").start()
    client = old.client()
    register(client)
    first = once(client, 1, "incr", "n")
    client.result("set", "k", "v", "EX", "1000")
    expires_at = ask(client, "GET", "/v1/keys/k").json["expires_at"]
    path = tmp_path / "backup"
    assert run_cli("backup", str(path), "--connect", old["n1"].address).returncode == 0
    assert old["n1"].stop() == 0
    new = new_cluster(1, "new")
    node = new["n1"]
    restored = run_cli(
        "restore", str(path), "--data", str(node.data), "--id", "n1", "--peers", node.peers or ""
    )
    assert restored.returncode == 0, restored
    new.start()
    client = new.client()
    assert once(client, 1, "incr", "n") == first
    again = ask(client, "GET", "/v1/keys/k").json
    assert again["expires_at"] == expires_at
    assert 0 < again["ttl_ms"] <= 1_000_000
    status = node.status()
    assert status["sessions"] == 1
    assert status["clock_ms"] > 0
