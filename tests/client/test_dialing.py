"""Deadlines that hold whatever the resolver and the network do: nothing here answers, and every call ends."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from raftdb import AsyncClient, Client, Unavailable
from raftdb.client import resolving
from raftdb.client.async_connection import AsyncConnections
from raftdb.client.dialing import now_ms
from raftdb.client.flow import Exchange
from raftdb.client.http1 import NotSent
from raftdb.client.protocol import STATUS_REQUEST
from raftdb.client.routing import Attempt
from raftdb.client.sync_connection import Connections
from tests.addresses import at
from tests.client.fake_node import FakeCluster

ANSWER_MS = 20_000.0
NAME = "node.example"


class Resolver:
    """Answers for `NAME`, once it may; numbers are looked up as ever."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0
        self.addresses: list[tuple[str, int]] = []
        self._real = socket.getaddrinfo

    def look_up(self, host: str, port: int, **options: Any) -> list[Any]:
        if options.get("flags") == socket.AI_NUMERICHOST:
            return self._real(host, port, **options)
        assert host == NAME
        self.asked += 1
        self.may_answer.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.look_up)
    yield resolver
    resolver.may_answer.set()
    # The next test asks for the same name, and must not be given what this one is still told.
    for resolution in list(resolving._under_way.values()):
        resolution.wait(60)


@pytest.fixture
def silent() -> Iterator[list[tuple[str, int]]]:
    """Five addresses that let a connection wait for ever: their queues are full."""
    with ExitStack() as stack:
        found = []
        for number in range(2, 7):
            listener = stack.enter_context(socket.socket())
            listener.bind((f"127.0.0.{number}", 0))
            listener.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            found.append(listener.getsockname())
        yield found


def target(cluster: FakeCluster) -> tuple[str, int]:
    host, _, port = cluster.nodes[0].address.rpartition(":")
    return host, int(port)


def question(address: str) -> Exchange:
    by_ms = now_ms() + ANSWER_MS
    return Exchange(
        Attempt(at(address), False, connect_by_ms=by_ms, answer_by_ms=by_ms), STATUS_REQUEST, None
    )


def asked_for_status(address: str) -> int:
    return Connections().exchange(question(address)).status


async def asked_on_a_loop(address: str) -> int:
    connections = AsyncConnections()
    answer = await connections.exchange(question(address))
    connections.close()
    return answer.status


def test_a_name_that_is_not_resolved_ends_the_call_at_its_deadline(resolver: Resolver) -> None:
    with Client(f"{NAME}:8001", timeout_ms=100) as client:
        with pytest.raises(Unavailable, match="was not resolved in time"):
            client.get("k")
        with pytest.raises(Unavailable, match="was not resolved in time"):
            client.incr("k")
    assert resolver.asked == 1, "the question of the first call still stands"
    assert not resolver.may_answer.is_set()


async def test_a_name_that_is_not_resolved_ends_the_call_on_a_loop_too(resolver: Resolver) -> None:
    async with AsyncClient(f"{NAME}:8001", timeout_ms=100) as client:
        with pytest.raises(Unavailable, match="in time"):
            await client.get("k")
    assert resolver.asked == 1


LEFT_BEHIND = """
import asyncio, socket, threading
from raftdb import AsyncClient, Client, Unavailable

real = socket.getaddrinfo

def look_up(host, port, **options):
    if options.get("flags") == socket.AI_NUMERICHOST:
        return real(host, port, **options)
    threading.Event().wait()

socket.getaddrinfo = look_up

async def ask():
    async with AsyncClient("node.example:1", timeout_ms=50) as client:
        await client.get("k")

for call in (lambda: Client("node.example:1", timeout_ms=50).get("k"), lambda: asyncio.run(ask())):
    try:
        call()
    except Unavailable:
        print("ended")
"""


def test_neither_a_loop_nor_a_process_waits_for_a_resolver_that_never_answers() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr) == ("ended\nended\n", "")


def test_a_name_is_resolved_once_for_all_that_wait_for_it(resolver: Resolver, cluster: FakeCluster) -> None:
    resolver.addresses = [target(cluster)]
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(asked_for_status(f"{NAME}:1"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while not resolver.asked:
        pass
    resolver.may_answer.set()
    for thread in threads:
        thread.join()
    assert results == [200] * 4
    assert asked_for_status(f"{NAME}:1") == 200, "and anew for who comes later"
    assert not resolving._under_way


def test_resolvers_that_do_not_answer_are_not_left_behind_without_bound(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "RESOLUTIONS_MAX", 1)
    resolution = resolving.targets_of(NAME, 1)
    assert isinstance(resolution, resolving.Resolution)
    assert resolving.targets_of(NAME, 1) is resolution
    with pytest.raises(NotSent, match="does not answer"):
        resolving.targets_of(NAME, 2)


def test_a_silent_address_does_not_keep_from_the_next_one(
    resolver: Resolver, cluster: FakeCluster, silent: list[tuple[str, int]]
) -> None:
    resolver.may_answer.set()
    resolver.addresses = [*silent[:2], target(cluster)]
    assert asked_for_status(f"{NAME}:1") == 200
    with Client(f"{NAME}:1", timeout_ms=60_000) as client:
        assert client.incr("n") == 1, "within the time for one connection, too"


async def test_a_silent_address_does_not_keep_from_the_next_one_on_a_loop(
    resolver: Resolver, cluster: FakeCluster, silent: list[tuple[str, int]]
) -> None:
    resolver.may_answer.set()
    resolver.addresses = [*silent[:2], target(cluster)]
    assert await asked_on_a_loop(f"{NAME}:1") == 200


def test_a_name_of_silent_addresses_ends_at_the_deadline(
    resolver: Resolver, silent: list[tuple[str, int]]
) -> None:
    """Each of five was given all of the time."""
    resolver.may_answer.set()
    resolver.addresses = silent
    with (
        Client(f"{NAME}:1", timeout_ms=100) as client,
        pytest.raises(Unavailable, match="no answer in time"),
    ):
        client.get("k")

    with pytest.raises(Unavailable):
        asyncio.run(AsyncClient(f"{NAME}:1", timeout_ms=100).get("k"))


def test_an_address_that_refuses_is_passed_over_at_once(resolver: Resolver, cluster: FakeCluster) -> None:
    resolver.may_answer.set()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        resolver.addresses = [closed.getsockname(), target(cluster)]
        assert asked_for_status(f"{NAME}:1") == 200
        assert asyncio.run(asked_on_a_loop(f"{NAME}:1")) == 200
        resolver.addresses = [closed.getsockname()]
        with pytest.raises(NotSent, match="connection refused"):
            asked_for_status(f"{NAME}:1")
        with pytest.raises(NotSent, match="connection refused"):
            asyncio.run(asked_on_a_loop(f"{NAME}:1"))
