"""A crowd that connects at once is let in within a few turns of the loop, by both loops."""

import asyncio
import errno
import socket
from typing import Any

import pytest
import uvloop

from raftdb.frontend import accepting
from raftdb.frontend.accepting import ACCEPTS_PER_TURN_MAX, Acceptor

CROWD = 100
TURNS_MAX = 50


class Seen(asyncio.Protocol):
    """Counts connections."""

    def __init__(self, transports: list[asyncio.BaseTransport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)


async def let_in(transports: list[asyncio.BaseTransport], count: int) -> int:
    """How many turns it takes until so many are in."""
    for number in range(TURNS_MAX):
        if len(transports) >= count:
            return number
        await asyncio.sleep(0)
    raise AssertionError(f"{len(transports)} of {count} in {TURNS_MAX} turns")


@pytest.mark.parametrize(
    "loop_of", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_crowd_is_let_in_within_a_few_turns(loop_of: Any) -> None:
    async def run() -> None:
        transports: list[asyncio.BaseTransport] = []
        acceptor = Acceptor(lambda: Seen(transports))
        address = await acceptor.start("127.0.0.1", 0)
        crowd = [socket.create_connection(address) for _ in range(CROWD)]
        assert await let_in(transports, CROWD) < CROWD // 2
        acceptor.close()
        await acceptor.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for transport, client in zip(transports, crowd, strict=True):
            transport.close()
            client.close()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_of) as runner:
        runner.run(run())


async def test_without_resources_it_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor(socket.socket):
        left = 1

        def accept(self) -> Any:
            if Poor.left:
                Poor.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(socket, "socket", Poor)
    monkeypatch.setattr(accepting, "PAUSE_S", 0.001)
    transports: list[asyncio.BaseTransport] = []
    acceptor = Acceptor(lambda: Seen(transports))
    address = await acceptor.start("127.0.0.1", 0)
    client = socket.create_connection(address)
    async with asyncio.timeout(20):
        while not transports:
            await asyncio.sleep(0.001)
    transports[0].close()
    acceptor.close()
    client.close()


async def test_a_port_in_use_is_an_error_of_the_start() -> None:
    first, second = Acceptor(asyncio.Protocol), Acceptor(asyncio.Protocol)
    _, port = await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", port)
    first.close()
    assert ACCEPTS_PER_TURN_MAX < CROWD
