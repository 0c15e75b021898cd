"""Start and stop of a node, and what it says on its terminal."""

import base64
import json
import signal

import pytest

from tests.e2e.cluster import Node
from tests.e2e.conftest import NewCluster
from tests.e2e.load import load_on
from tests.e2e.raw_http import command_body
from tests.e2e.waiting import wait_for

pytestmark = pytest.mark.as_programs

START_LINES_MAX = 8
STOP_LIMIT_S = 10.0
GRACE_S = 5.0
"""Added to the time that a stop may take, for a slow machine."""
SECRET = "hunter2-is-nobodys-business"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: str(number.name))
def test_a_stop_under_load_is_clean_and_loses_nothing(
    new_cluster: NewCluster, number: signal.Signals
) -> None:
    """Each node in turn, the leader first (hazard B105): exit code 0 within ten seconds, writes go on."""
    cluster = new_cluster(3).start()
    with load_on(cluster, "t") as load:
        for victim in [cluster.leader(), *cluster]:
            if not victim.is_running:
                continue
            load.wait_for_acks(50)
            # As a service manager and whoever started the node do: within a moment that is one wish to stop.
            victim.send(number)
            victim.send(signal.SIGTERM)
            assert victim.wait_exit(STOP_LIMIT_S + GRACE_S) == 0, victim.log_tail()
            load.wait_for_acks(50)
            victim.start()
            cluster.wait_serving()
    said = "".join(node.log_text() for node in cluster)
    assert "Traceback" not in said
    assert "leadership handed over" in said
    cluster.wait_agreed()
    load.check(cluster.client())


def test_all_nodes_stopped_under_load_lose_nothing(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    with load_on(cluster, "a") as load:
        load.wait_for_acks(100)
        for node in cluster:
            node.send(signal.SIGTERM)
        assert [node.wait_exit(STOP_LIMIT_S + GRACE_S) for node in cluster] == [0, 0, 0]
    cluster.start()
    load.check(cluster.client())


def test_a_stop_with_a_write_that_nobody_confirms_ends_all_the_same(new_cluster: NewCluster) -> None:
    """What is in flight without a majority is given up as unknown in time, and the exit is still a clean one."""
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    for node in cluster.others(leader):
        node.sigstop()
    with load_on(cluster, "u"):
        leader.send(signal.SIGTERM)
        assert leader.wait_exit(STOP_LIMIT_S + GRACE_S) == 0, leader.log_tail()
        for node in cluster.others(leader):
            node.sigcont()
        cluster.leader()


def test_a_second_signal_after_a_moment_ends_the_node_at_once(new_cluster: NewCluster) -> None:
    """It does not wait for what is in flight; nothing acknowledged is lost by that."""
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    with load_on(cluster, "b") as load:
        load.wait_for_acks(50)
        for node in cluster.others(leader):
            node.sigstop()
        leader.send(signal.SIGTERM)
        wait_for(lambda: "stopping" in leader.log_text(), "the node to say that it is stopping")

        def is_sent_away() -> bool:
            if "stops at once" not in leader.log_text():
                leader.send(signal.SIGTERM)
                return False
            return True

        wait_for(is_sent_away, "a signal that is not of the first one's moment")
        code = leader.wait_exit()
        for node in cluster.others(leader):
            node.sigcont()
    assert code == 1, f"exit code {code}:\n{leader.log_tail()}"
    cluster.start()
    load.check(cluster.client())


def start_lines(node: Node, begin: int) -> list[str]:
    """The lines that the node wrote from position `begin` of its log up to `ready`."""

    def lines() -> list[str] | None:
        found = node.log_text()[begin:].splitlines()
        ready = [position for position, line in enumerate(found) if " ready" in line]
        return found[: ready[0] + 1] if ready else None

    return wait_for(lines, f"{node.name} to say that it is ready")


def test_the_first_lines_say_who_where_and_ready(new_cluster: NewCluster) -> None:
    """At most eight lines and then `ready`, at the first start and at a start that recovers."""
    cluster = new_cluster(3).start()
    assert cluster.client().result("set", "k", "v") == "OK"
    for node in cluster:
        first = start_lines(node, 0)
        assert node.stop() == 0
        begin = len(node.log_text())
        node.start()
        second = start_lines(node, begin)
        status = node.status()
        for lines in (first, second):
            said = "\n".join(lines)
            assert len(lines) <= START_LINES_MAX + 1, said
            for word in (status["version"], node.name, status["cluster_id"], node.address):
                assert word in said, said
        cluster.wait_agreed()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_tells_every_action_and_no_value(new_cluster: NewCluster, log_format: str) -> None:
    flags = ["--log-level", "debug", "--log-heartbeats", "--log-format", log_format]
    cluster = new_cluster(3).start(*flags)
    leader = cluster.leader()
    follower = cluster.others(leader)[0]
    client = cluster.client(follower)
    assert client.result("set", "password", SECRET) == "OK"
    assert client.result("append", "password", SECRET) == "OK"
    assert client.result("mset", "a", SECRET, "b", SECRET) == "OK"
    assert client.result("get", "password") == SECRET * 2
    assert client.result("del", "a") == SECRET
    for bad in (
        command_body("incr", ["b"]),
        command_body("set", ["password", SECRET, "x"]),
        command_body(SECRET, ["x"]),
        b'{"command": "set", "args": ["k", "%s"' % SECRET.encode(),
        json.dumps({"command": "set", "args": ["k", {"base64": SECRET}]}).encode(),
    ):
        assert 400 <= leader.ask("POST", "/v1/execute", bad).status < 500
    leader.kill9()
    cluster.leader()
    leader.start(*flags)
    cluster.wait_agreed()
    text = "".join(node.log_text() for node in cluster)
    for secret in (SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex()):
        assert secret not in text
    for word in ("heartbeat", "vote", "leader", "append", "commit", "applied", "redirect"):
        assert word in text, f"nothing is said of {word}"
    if log_format == "json":
        lines = [json.loads(line) for node in cluster for line in node.log_text().splitlines()]
        assert all({"time", "level", "node", "message"} <= set(line) for line in lines)
