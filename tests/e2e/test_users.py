"""A cluster with users: the first one, rights, tokens, and what is left of them after kills, removals and restores."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis

from raftdb.machine.session_records import shown_session
from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.credentials import ADMIN, ADMIN_PASSWORD, WITH_ADMIN, basic, bearer
from tests.e2e.raw_http import NotSent, Response
from tests.e2e.users import PASSWORD, is_user, make_user, run, told, with_users
from tests.e2e.waiting import wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_users(tmp_path_factory.mktemp("users")) as cluster:
        yield cluster


def has_applied(node: Node, index: int) -> bool:
    """Whether a node has an entry in its state."""
    return int(told(node, "GET", "/v1/status").json["applied_index"]) >= index


def test_rights_hold_on_all_nodes_and_over_the_death_of_the_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    ana = make_user(leader, "ana", "write keys ana/", "write queues ana-")
    for node in cluster:
        wait_for(partial(is_user, node, ana), "the user everywhere")
        assert told(node, "GET", "/v1/whoami", by={}).status == 401
        assert told(node, "GET", "/v1/whoami", by=basic("ana", PASSWORD)).json == {"user": "ana"}
        assert told(node, "GET", "/v1/keys?consistency=stale&prefix=budi", by=ana).status == 403
        assert told(node, "GET", "/v1/keys?consistency=stale&prefix=ana/", by=ana).status == 200
    leader.kill9()
    leader = cluster.leader(cluster.running)
    assert run(leader, "set", "ana/k", "v", by=ana) == 200
    assert run(leader, "enqueue", "ana-jobs", "v", by=ana) == 200
    assert run(leader, "set", "k", "v", by=ana) == 403
    assert run(leader, "enqueue", "jobs", "v", by=ana) == 403
    assert run(leader, "set", "ana/k", "v", by={}) == 401
    cluster.start()


def test_lists_have_what_their_reader_may_read_through_every_door(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    dina = make_user(leader, "dina", "write keys dina/", "read keys shared/")
    words = [word for key in ("a", "dina/1", "dina/2", "other", "shared/x", "z") for word in (key, "v")]
    assert run(leader, "mset", *words, by=ADMIN) == 200
    mine = ["dina/1", "dina/2", "shared/x"]
    position = told(leader, "GET", "/v1/status").json["commit_index"]
    for node in cluster:
        wait_for(partial(is_user, node, dina), "the user everywhere")
        wait_for(partial(has_applied, node, position), "the keys everywhere")
        for level in ("linearizable", "stale"):
            page = told(node, "GET", f"/v1/keys?consistency={level}", by=dina)
            while page.status == 307:
                page = told(cluster.wait_agreed(), "GET", f"/v1/keys?consistency={level}", by=dina)
            assert [record["key"] for record in page.json["keys"]] == mine, page
        host, _, port = node.environment["RAFTDB_REDIS"].rpartition(":")
        with redis.Redis(
            host, int(port), username="dina", password=PASSWORD, decode_responses=True
        ) as client:
            assert client.keys() == mine
            assert client.keys("*x") == ["shared/x"]
            assert list(client.scan_iter(count=1)) == mine
            assert list(client.scan_iter("dina*")) == mine[:2]
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.keys("other*")


def test_metrics_name_the_queues_that_their_reader_may_read(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    fajar = make_user(leader, "fajar", "read queues open-")
    for queue in ("open-jobs", "hidden-jobs"):
        assert run(leader, "enqueue", queue, "v", by=ADMIN) == 200
    wait_for(lambda: b'queue="hidden-jobs"' in told(leader, "GET", "/metrics").body, "both in a walk")
    seen = told(leader, "GET", "/metrics", by=fajar).body
    assert b'queue="open-jobs"' in seen
    assert b"hidden" not in seen


def test_nobody_is_told_what_gives_power_over_a_session(cluster: Cluster) -> None:
    """Not by changes, their history, the log, or a lock that has no other owner."""
    leader = cluster.wait_agreed()
    gita = make_user(leader, "gita", "read keys ", "read locks ", "read queues ")
    name = "5e" * 16
    assert told(leader, "POST", "/v1/sessions", {"id": name}).status == 200
    for seq, (command, *words) in enumerate((["set", "held/k", "v", "SESSION"], ["lock", "held-lock"]), 1):
        body = {"command": command, "args": words, "session": {"id": name, "seq": seq}}
        assert told(leader, "POST", "/v1/execute", body).status == 200
    for path in (
        "/v1/watch?prefix=held&after=0&wait=0",
        "/v1/history?prefix=held&revision=1",
        "/v1/locks/held-lock",
        "/v1/request_log?limit=1000",
    ):
        seen = told(leader, "GET", path, by=gita)
        assert seen.status == 200, seen
        assert name.encode() not in seen.body
    assert (
        shown_session(bytes.fromhex(name)).encode()
        in told(leader, "GET", "/v1/locks/held-lock", by=gita).body
    )


def test_who_waits_for_a_lock_in_vain_is_told_so_and_leaves_the_line(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    hana = make_user(leader, "hana", "write locks hana-")
    secret = hana["Authorization"].removeprefix("Bearer ")
    path = "/v1/locks/hana-gate"
    assert told(leader, "POST", path, {"owner": "first"}, by=hana).json["acquired"] is True
    answer = told(leader, "POST", path, {"owner": "second", "wait_ms": 50}, by=hana)
    assert (answer.status, answer.json["acquired"]) == (200, False)
    for node in cluster:
        wait_for(partial(is_user, node, hana), "the user everywhere")
        host, _, port = node.environment["RAFTDB_REDIS"].rpartition(":")
        with redis.Redis(host, int(port), password=secret) as client:
            assert client.execute_command("LOCK", "hana-gate", "OWNER", "third", "WAIT", "0.05") is None
    assert told(leader, "GET", path, by=hana).json["line"] == []


def test_who_was_removed_gets_no_lock_for_which_it_waits(cluster: Cluster) -> None:
    """The next one in line has the lock, and nobody waits out a lease."""
    leader = cluster.wait_agreed()
    wira = make_user(leader, "wira", "write locks office-")
    name = "office-door"
    taken = told(leader, "POST", f"/v1/locks/{name}", {"owner": "hadi", "ttl_ms": 600_000})
    assert taken.status == 200, taken

    def wait_as(owner: str, by: dict[str, str]) -> Response:
        body = {"owner": owner, "ttl_ms": 600_000, "wait_ms": 50_000}
        return told(cluster.wait_agreed(), "POST", f"/v1/locks/{name}", body, by=by)

    def in_line() -> list[str]:
        return [one["owner"] for one in told(leader, "GET", f"/v1/locks/{name}").json["line"]]

    with ThreadPoolExecutor(2) as pool:
        removed = pool.submit(wait_as, "first", wira)
        wait_for(lambda: in_line() == ["first"], "the user in line")
        other = pool.submit(wait_as, "second", ADMIN)
        wait_for(lambda: in_line() == ["first", "second"], "the other behind it")
        assert told(leader, "DELETE", "/v1/users/wira").status == 200
        assert told(leader, "DELETE", f"/v1/locks/{name}?token={taken.json['token']}").status == 200
        assert other.result().json["acquired"] is True
        refused = removed.result()
    assert refused.status == 404, refused
    assert refused.json["error"]["code"] == "not_found"
    released = told(leader, "DELETE", f"/v1/locks/{name}?token={other.result().json['token']}")
    assert released.json["released"] is True


def test_the_audit_trail_tells_who_did_what_where(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    eko = make_user(leader, "eko", "read keys eko/")
    follower = cluster.others(leader)[0]
    wait_for(partial(is_user, follower, eko), "the user everywhere")
    assert told(follower, "GET", "/v1/whoami", by=basic("eko", "wrong-password")).status == 401
    assert run(leader, "set", "other", "v", by=eko) == 403
    assert told(follower, "GET", "/v1/audit", by=eko).status == 403
    login = {"RAFTDB_USER": "admin", "RAFTDB_PASSWORD": ADMIN_PASSWORD}
    done = run_cli("--connect", leader.address, "-o", "json", "audit", "--limit", "1000", extra=login)
    assert done.returncode == 0, done
    events = json.loads(done.stdout)["events"]
    seen = [(one["node"], one["what"], one["details"]) for one in events]
    here = {"from": "127.0.0.1"}
    for wanted in (
        (leader.name, "asked for", {"by": "admin", "what": "PUT /v1/users/eko", **here}),
        (leader.name, "refused", {"by": "eko", "what": "set"}),
        (follower.name, "login refused", {"user": "eko", "what": "password", **here}),
        (follower.name, "refused", {"by": "eko", "what": "GET /v1/audit", **here}),
    ):
        assert wanted in seen
    assert [one["time_ms"] for one in events] == sorted(one["time_ms"] for one in events)
    words = ("wrong-password", PASSWORD, ADMIN_PASSWORD, eko["Authorization"].removeprefix("Bearer "))
    assert not [word for word in words if word in done.stdout]
    shown = run_cli("--connect", leader.address, "-o", "table", "audit", extra=login)
    assert "login refused" in shown.stdout


def test_what_is_taken_away_is_gone_everywhere_at_once(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    budi = make_user(leader, "budi", "write keys ")
    assert run(leader, "set", "k", "v", by=budi) == 200
    assert told(leader, "PUT", "/v1/roles/budi", {"grants": ["read keys "]}).status == 200
    assert run(leader, "set", "k", "v", by=budi) == 403
    assert run(leader, "get", "k", by=budi) == 200
    assert told(leader, "DELETE", "/v1/users/budi").status == 200
    assert run(leader, "get", "k", by=budi) == 401
    for follower in cluster.others(leader):
        wait_for(partial(is_stranger, follower, budi), "the follower to know it")


def test_redis_clients_log_in_at_any_node(cluster: Cluster) -> None:
    leader = cluster.wait_agreed()
    secret = make_user(leader, "citra", "write keys citra/")["Authorization"].removeprefix("Bearer ")
    for node in cluster:
        wait_for(partial(is_user, node, bearer(secret)), "the user everywhere")
        host, _, port = node.environment["RAFTDB_REDIS"].rpartition(":")
        for user, password in (("citra", PASSWORD), (None, secret)):
            with redis.Redis(host, int(port), username=user, password=password) as client:
                assert client.acl_whoami() == "citra"
                assert client.set("citra/k", node.name)
                assert client.get("citra/k") == node.name.encode()
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.set("k", "v")
        with redis.Redis(host, int(port)) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()


def test_the_settings_mean_nothing_once_there_are_users(cluster: Cluster) -> None:
    node = cluster.others(cluster.wait_agreed())[0]
    node.stop()
    node.start(extra={"RAFTDB_ADMIN_PASSWORD": "another-password"})
    leader = cluster.wait_agreed()
    assert told(leader, "GET", "/v1/whoami", by=basic("admin", "another-password")).status == 401
    assert told(node, "GET", "/v1/whoami").json == {"user": "admin"}


def test_a_node_that_has_seen_users_serves_nobody_before_it_has_them_again(tmp_path: Path) -> None:
    """Without a leader its log is not applied, and the users are in the log alone."""
    cluster = Cluster(tmp_path, ["n1", "n2", "n3"])
    try:
        leader = cluster.start().leader()
        first = {"roles": ["admin"], "password": PASSWORD}
        assert told(leader, "PUT", "/v1/users/root", first, by={}).status == 200
        alone = cluster.others(leader)[0]
        wait_for(partial(is_user, alone, basic("root", PASSWORD)), "the user")
        wait_for(lambda: knows_users(alone), "the fact to be written down")
        for node in cluster:
            node.kill9()
        alone.start()
        wait_for(partial(is_alive, alone), "it")
        assert told(alone, "GET", "/v1/status", by={}).status == 503
        assert told(alone, "GET", "/v1/keys?consistency=stale", by={}).status == 503
        assert told(alone, "GET", "/v1/watch?wait=0", by={}).status == 503
    finally:
        cluster.close()


def test_who_has_the_nodes_gets_in_again(cluster: Cluster) -> None:
    """The password of `admin` is given anew by whichever node leads, if all are started so."""
    for node in cluster:
        node.stop()
    again = basic("admin", "another-password")
    for node in cluster:
        node.headers = again
        node.start(extra={"RAFTDB_ADMIN_PASSWORD": "another-password", "RAFTDB_ADMIN_RESET": "true"})
    # Who tries the new password before it is one has to wait for each attempt.
    wait_for(lambda: any("admin_reset: the user has" in node.log_text() for node in cluster), "the reset")
    for node in cluster:
        wait_for(partial(gets_in, node, again), "the new password")
    assert told(cluster.wait_agreed(), "GET", "/v1/whoami", by=ADMIN).status == 401


def test_a_cluster_that_has_no_majority_yet_serves_nobody(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, ["n1", "n2", "n3"])
    try:
        alone = cluster["n1"]
        alone.environment = dict(WITH_ADMIN)
        alone.start()
        wait_for(partial(is_alive, alone), "it")
        for by in ({}, ADMIN):
            assert told(alone, "GET", "/v1/status", by=by).status == 503
            assert run(alone, "get", "k", by=by) == 503
    finally:
        cluster.close()


def knows_users(node: Node) -> bool:
    """Whether the folder of a node says that there are users."""
    return b"users" in b"".join(
        path.read_bytes() for path in (node.data / "log").rglob("*") if path.is_file()
    )


def gets_in(node: Node, by: dict[str, str]) -> bool:
    return is_alive(node) and is_user(node, by)


def is_stranger(node: Node, by: dict[str, str]) -> bool:
    return told(node, "GET", "/v1/keys/k?consistency=stale", by=by).status == 401


def is_alive(node: Node) -> bool:
    try:
        return told(node, "GET", "/livez", by={}).status == 200
    except NotSent:
        return False
