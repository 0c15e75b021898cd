"""Redis clients of a node that passes their commands on to the leader."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raftdb.forwarding import Forwarder
from raftdb.frontend.redis.server import RedisServer
from raftdb.machine.operations import ClientOperation
from raftdb.machine.service import Command, Query
from raftdb.node.effects import OnAnswer
from tests.forwarding.support import FakeCluster, wait_until
from tests.frontend.redis_random import Talk
from tests.frontend.redis_support import Client, MachineNode, request
from tests.frontend.redis_support import serve as serve_here
from tests.frontend.test_redis_commands import STORIES, lines_of, told


class ForwardingNode:
    """See `RedisNode`."""

    def __init__(self, cluster: FakeCluster, **limits: Any) -> None:
        self.cluster = cluster
        self.forwarder: Forwarder = cluster.forwarder(**limits)
        self.leave = self.forwarder.leave
        self.end_wait = self.forwarder.end_wait

    def submit(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
    ) -> None:
        self.forwarder.submit(operation, on_answer)

    def wait(
        self, operation: Command, on_answer: OnAnswer, *, wait_ms: int, user: bytes | None = None
    ) -> int:
        return self.forwarder.wait(operation, on_answer, wait_ms=wait_ms)

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        self.submit(operation, on_answer)

    def status(self) -> Mapping[str, Any]:
        return MachineNode().status()

    def reaches(self, node_id: str) -> bool:
        return True

    def other_leader(self) -> None:
        return None


def serve(**limits: Any) -> tuple[FakeCluster, RedisServer, ForwardingNode]:
    cluster = FakeCluster()
    node = ForwardingNode(cluster, **limits)
    return cluster, RedisServer(node, memory=cluster.memory), node


async def replies_of(client: Client, expected: bytes) -> None:
    """Wait for exactly these replies."""
    await wait_until(lambda: len(client.transport.written) >= len(expected))
    assert client.take() == expected


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
async def test_each_story_goes_as_it_is_told_by_the_leader(story: Path) -> None:
    lines = lines_of(story)
    client = Client(serve()[1])
    assert told(lines, [await client.tell(line) for line, _ in lines]) == lines


async def test_random_commands_are_answered_as_the_leader_answers_them() -> None:
    here, there = Client(serve_here()[1]), Client(serve()[1])
    talk = Talk(7)
    for _ in range(600):
        words = talk.next()
        assert await there.ask(*words) == await here.ask(*words), words


@pytest.mark.parametrize("seed", range(5))
async def test_random_pipelines_are_answered_the_same_over_changes_of_leader(seed: int) -> None:
    cluster, server, _ = serve()
    here, there = Client(serve_here()[1]), Client(server)
    talk, chance = Talk(seed), random.Random(seed)
    for _ in range(30):
        commands = [request(*talk.next()) for _ in range(20)]
        here.send(*commands)
        there.send(*commands)
        expected = await here.receive(len(commands))
        while len(there.transport.written) < len(expected):
            await asyncio.sleep(0)
            if chance.random() < 0.2:
                leader = cluster.leader
                assert leader is not None
                cluster.elect(chance.choice(["n2", "n3"]))
                leader.lose(chance.randrange(20))
        assert there.take() == expected


async def test_a_pipeline_keeps_its_order_over_a_change_of_leader() -> None:
    cluster, server, _ = serve()
    client = Client(server)
    old = cluster.nodes["n2"]
    client.send(request("GET", "n") * 30)
    await replies_of(client, b"$-1\r\n" * 30)
    old.is_held = True
    for number in range(20):
        client.send(
            request("INCR", "n"), request("GET", "n"), request("SET", "k", number), request("GET", "k")
        )
    await wait_until(lambda: len(old.waiting) > 40)
    cluster.elect("n3")
    old.lose(33)
    await replies_of(
        client,
        b"".join(
            b":%d\r\n$%d\r\n%d\r\n+OK\r\n$%d\r\n%d\r\n"
            % (number + 1, len(str(number + 1)), number + 1, len(str(number)), number)
            for number in range(20)
        ),
    )


async def test_a_write_waits_for_the_reads_before_it() -> None:
    cluster, server, _ = serve()
    client = Client(server)
    leader = cluster.nodes["n2"]
    leader.is_held = True
    client.send(request("GET", "k"), request("SET", "k", "v"), request("GET", "k"))
    await wait_until(lambda: len(leader.waiting) == 1)
    leader.is_held = False
    leader.answer_all()
    await replies_of(client, b"$-1\r\n+OK\r\n$1\r\nv\r\n")


async def test_transactions_are_passed_on() -> None:
    cluster, server, _ = serve()
    client, other = Client(server), Client(server)
    client.send(request("SET", "k", "v"), request("WATCH", "k"))
    await replies_of(client, b"+OK\r\n+OK\r\n")
    client.send(request("MULTI"), request("INCR", "n"), request("INCR", "k"), request("GET", "n"))
    await replies_of(client, b"+OK\r\n" + 3 * b"+QUEUED\r\n")
    cluster.elect("n3")
    client.send(request("EXEC"))
    await replies_of(client, b"*3\r\n:1\r\n-ERR value is not an integer or out of range\r\n$1\r\n1\r\n")
    client.send(request("WATCH", "k"))
    await replies_of(client, b"+OK\r\n")
    other.send(request("SET", "k", "w"))
    await replies_of(other, b"+OK\r\n")
    client.send(request("MULTI"), request("INCR", "n"), request("EXEC"))
    await replies_of(client, b"+OK\r\n+QUEUED\r\n*-1\r\n")


async def test_without_a_leader_the_cluster_is_down() -> None:
    cluster, server, _ = serve(patience_s=0.02)
    cluster.elect(None)
    client = Client(server)
    client.send(request("SET", "k", "v"), request("GET", "k"))
    await wait_until(lambda: client.transport.written.count(b"\r\n") == 2)
    assert [line.split()[0] for line in client.take().splitlines()] == 2 * [b"-CLUSTERDOWN"]


async def test_what_a_client_that_has_gone_has_asked_for_is_done() -> None:
    cluster, server, node = serve()
    client, other = Client(server), Client(server)
    leader = cluster.nodes["n2"]
    leader.is_held = True
    client.send(request("SET", "k", "v"), request("GET", "k"))
    await wait_until(lambda: len(leader.waiting) > 2)
    client.protocol.connection_lost(None)
    leader.is_held = False
    leader.answer_all()
    await wait_until(lambda: node.forwarder.pending_count == 0)
    other.send(request("GET", "k"))
    await replies_of(other, b"$1\r\nv\r\n")
    assert server.in_flight == 0
    assert cluster.memory.request_bytes == 0
