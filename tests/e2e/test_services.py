"""Queues and locks over real processes: a replicated message queue, and a synchronisation service."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Node, free_ports
from tests.e2e.conftest import NewCluster
from tests.e2e.raw_http import Client, Response
from tests.e2e.waiting import LIMIT_S, wait_for


def post(client: Client, path: str, **fields: Any) -> Response:
    """One request, redirects followed."""
    return client.ask_once("POST", path, json.dumps(fields).encode())


def told(response: Response) -> dict[str, Any]:
    """The fields of a success."""
    assert response.status == 200, response
    fields: dict[str, Any] = response.json
    return fields


def held_at(node: Node) -> int:
    """How many requests wait at a node."""
    return int(node.status()["waiting"])


@contextmanager
def meanwhile() -> Iterator[ThreadPoolExecutor]:
    """Threads for what waits."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        yield pool


def test_a_message_queue_of_six_nodes(new_cluster: NewCluster) -> None:
    cluster = new_cluster(6).start()
    leader = cluster.leader()
    followers = cluster.others(leader)
    for number, value in enumerate(("1", "2", "3", "s", "i", "s")):
        asked = followers[number % len(followers)]
        assert asked.ask("POST", "/queue/mail/enqueue", b'{"value": "x"}').status == 307
        told(post(cluster.client(asked), "/queue/mail/enqueue", value=value))
    leader.kill9()
    gone = followers[0]
    gone.kill9()

    second = cluster.leader(cluster.running)
    client = cluster.client(second)
    assert [client.result("dequeue", "mail") for _ in range(3)] == ["1", "2", "3"]
    for value in ("t", "e", "r"):
        client.result("enqueue", "mail", value)

    for node in (leader, gone):
        node.start()
    third = cluster.wait_agreed()
    back = gone if third is not gone else leader
    for value in ("U", "w", "U"):
        cluster.client(back).result("enqueue", "mail", value)
    log = json.loads(cluster.client(third).ask_once("GET", "/v1/request_log?limit=1000").body)
    shown = [(entry["command"], entry["args"]) for entry in log["entries"] if entry["kind"] == "command"]
    values = ["1", "2", "3", "s", "i", "s", "t", "e", "r", "U", "w", "U"]
    assert [args[:2] for command, args in shown if command == "enqueue"] == [
        ["mail", each] for each in values
    ]
    assert [args for command, args in shown if command == "dequeue"] == [["mail"]] * 3
    rest = iter(lambda: cluster.client(back).result("dequeue", "mail"), None)
    assert list(rest) == ["s", "i", "s", "t", "e", "r", "U", "w", "U"]


@pytest.fixture(scope="module")
def service(shared_cluster: Cluster) -> Cluster:
    """Three nodes that all stories here share."""
    return shared_cluster


def test_every_node_tells_who_leads(service: Cluster) -> None:
    leader = service.leader()
    for node in service:
        health = node.ask("GET", "/health").json
        assert health == {
            "is_leader": node is leader,
            "term": leader.status()["term"],
            "leader": leader.name,
        }


def test_shared_locks_stand_beside_each_other_and_an_exclusive_one_waits_for_them(service: Cluster) -> None:
    leader = service.leader()
    shared = [
        told(post(service.client(), "/locks/table", lock_type="shared", timeout=0, owner=owner))
        for owner in ("ana", "budi")
    ]
    assert all(lock["acquired"] for lock in shared)
    refused = told(post(service.client(), "/locks/table", lock_type="exclusive", timeout=0, owner="cici"))
    assert (refused["acquired"], refused["token"]) == (False, None)
    follower = service.others(leader)[0]
    with meanwhile() as pool:
        waiting = pool.submit(
            post,
            service.client(follower),
            "/locks/table",
            lock_type="exclusive",
            timeout=30_000,
            owner="cici",
        )
        wait_for(lambda: held_at(leader) == 1, "the request to be held")
        for lock in shared:
            released = service.client().ask_once("DELETE", f"/locks/table?token={lock['token']}")
            assert told(released)["released"]
        granted = told(waiting.result(LIMIT_S))
    assert granted["acquired"]
    assert granted["token"] > max(lock["token"] for lock in shared)
    assert told(service.client().ask_once("DELETE", "/locks/table?owner=cici"))["released"]


def test_who_would_wait_for_ever_is_told_at_once_with_the_cycle(service: Cluster) -> None:
    leader = service.leader()
    for name, owner in (("a", "ana"), ("b", "budi")):
        told(post(service.client(), f"/locks/{name}", lock_type="exclusive", owner=owner))
    with meanwhile() as pool:
        first = pool.submit(
            post, service.client(), "/locks/b", lock_type="exclusive", timeout=30_000, owner="ana"
        )
        wait_for(lambda: held_at(leader) == 1, "the request to be held")
        second = post(service.client(), "/locks/a", lock_type="exclusive", timeout=30_000, owner="budi")
        assert (second.status, second.error_code) == (409, "deadlock")
        assert {"ana", "budi"} <= set(str(second.json).replace("'", " ").replace('"', " ").split())
        assert told(service.client().ask_once("DELETE", "/locks/b?owner=budi"))["released"]
        assert told(first.result(LIMIT_S))["acquired"], "nobody else is touched"
    for name in ("a", "b"):
        service.client().ask_once("DELETE", f"/locks/{name}?owner=ana")


def test_a_message_whose_consumer_dies_twice_ends_in_the_dead_letter_queue(service: Cluster) -> None:
    client = service.client()
    settings = json.dumps({"visibility_ms": 1, "max_failures": 2, "dead_letter": "dead"}).encode()
    told(client.ask_once("PATCH", "/v1/queues/jobs", settings))
    told(post(client, "/v1/queues/jobs/messages", value="poison"))
    received: dict[str, Any] = {}
    for deliveries in (1, 2):
        received = told(post(client, "/v1/queues/jobs/receive", wait_ms=30_000, visibility_ms=1))
        assert [each["deliveries"] for each in received["messages"]] == [deliveries]
    buried = told(post(client, "/v1/queues/dead/receive", wait_ms=30_000))
    assert [each["value"] for each in buried["messages"]] == ["poison"]
    over = told(post(client, "/v1/queues/jobs/ack", receipts=[received["messages"][0]["receipt"]]))
    assert (over["acked"], len(over["over"])) == (0, 1)


def test_who_goes_away_while_it_waits_loses_nothing_that_others_then_get(service: Cluster) -> None:
    leader = service.leader()
    host, _, port = leader.address.rpartition(":")
    body = b'{"wait_ms": 50000}'
    head = f"POST /v1/queues/mail/dequeue HTTP/1.1\r\nHost: {leader.address}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as gone:
        gone.sendall(head.encode() + body)
        wait_for(lambda: held_at(leader) == 1, "the first request to be held")
        with meanwhile() as pool:
            stays: list[Future[Response]] = [
                pool.submit(post, service.client(), "/v1/queues/mail/dequeue", wait_ms=50_000)
                for _ in range(2)
            ]
            wait_for(lambda: held_at(leader) == 3, "all requests to be held")
            gone.close()
            wait_for(lambda: held_at(leader) == 2, "the first to give up its turn")
            for value in ("a", "b"):
                told(post(service.client(), "/v1/queues/mail/messages", value=value))
            assert sorted(told(each.result(LIMIT_S))["value"] for each in stays) == ["a", "b"]


def test_who_waits_is_served_by_the_next_leader(new_cluster: NewCluster) -> None:
    """The leader is killed while clients wait: at another node's Redis port, over HTTP, and in the shell's client."""
    cluster = new_cluster(3)
    for node, free in zip(cluster, free_ports(3), strict=True):
        node.environment["RAFTDB_REDIS"] = f"127.0.0.1:{free}"
    cluster.start()
    leader = cluster.leader()
    follower = cluster.others(leader)[0]
    host, _, port = follower.environment["RAFTDB_REDIS"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as redis:
        redis.sendall(b"DEQUEUE mail WAIT 50\r\nLOCK report WAIT 50 OWNER ana\r\n")
        wait_for(lambda: held_at(leader) == 1, "the request to be held")
        leader.kill9()
        second = cluster.leader(cluster.running)
        wait_for(lambda: held_at(second) == 1, "the request to be held by the next leader")
        cluster.client(second).result("enqueue", "mail", "hello")
        stream = redis.makefile("rb")
        assert [stream.readline() for _ in range(2)] == [b"$5\r\n", b"hello\r\n"]
        assert stream.readline() == b"*3\r\n"
