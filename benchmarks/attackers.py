"""Clients that ask for too much, at both doors of a node. Each is a coroutine that goes on until it is cancelled, or
has done what it had to do, and counts what becomes of it.
"""

import asyncio
import json
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import hiredis

from benchmarks.honest_client import kind_of, redis_request

MIB = 1 << 20
LONG_VALUE_BYTES = MIB
BODY_BYTES = 4 * MIB
PIECE_BYTES = 64 * 1024
PIECE_PAUSE_S = 0.1
"""With these pauses a body of 4 MiB takes longer than is allowed, so that each writer holds as much memory as it
can."""
ASKED_AHEAD = 64
"""Requests that a Redis client which does not read sends at a time."""
ASKED_AHEAD_HTTP = 8
BULK_KEYS = 2_000
RETRY_PAUSE_S = 0.2
PART = 1_000
"""Commands that are put into the long pipeline at a time."""

Address = tuple[str, int]


@dataclass
class Target:
    """The address to attack, and what has become of the attempts."""

    address: Address
    told: Counter[str] = field(default_factory=Counter)


Attacker = Callable[[Target], Awaitable[None]]


async def for_ever(act: Attacker, target: Target) -> None:
    """Repeat `act`, also after errors."""
    while True:
        try:
            await act(target)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            target.told[type(error).__name__] += 1
            await asyncio.sleep(RETRY_PAUSE_S)


async def connect(address: Address, *, receives: int | None = None) -> socket.socket:
    """A connection; `receives` is the size of its socket's receive buffer."""
    connection = socket.socket()
    if receives is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def do_nothing(target: Target) -> None:
    """Connect, and say nothing until the node ends the connection."""
    connection = await connect(target.address)
    target.told["connected"] += 1
    try:
        await asyncio.get_running_loop().sock_recv(connection, 1)
        target.told["cut off"] += 1
    finally:
        connection.close()


# Redis


async def redis_read_nothing(target: Target) -> None:
    """Ask for long values for ever, and read no reply."""
    loop = asyncio.get_running_loop()
    connection = await connect(target.address, receives=4096)
    try:
        while True:
            await loop.sock_sendall(connection, redis_request(b"GET", b"long") * ASKED_AHEAD)
            target.told["asked"] += ASKED_AHEAD
    except OSError:
        target.told["cut off"] += 1
        await asyncio.sleep(RETRY_PAUSE_S)
    finally:
        connection.close()


class Flood(asyncio.Protocol):
    """Keeps so many SETs in flight on one connection."""

    def __init__(self, target: Target, depth: int, ended: asyncio.Future[None]) -> None:
        self._target = target
        self._depth = depth
        self._ended = ended
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first ones."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(self._depth)

    def data_received(self, data: bytes) -> None:
        """Count the replies, and send as many again."""
        self._reader.feed(data)
        count = 0
        while (reply := self._reader.gets()) is not False:
            self._target.told[kind_of(reply)] += 1
            count += 1
        self._send(count)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the next one begin."""
        self._target.told["cut off"] += 1
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self, count: int) -> None:
        if not self._transport.is_closing():
            key = b"key:%d" % random.getrandbits(20)
            self._transport.write(redis_request(b"SET", key, b"x" * 64) * count)


def redis_flood(depth: int) -> Attacker:
    """Set values for ever, so many at a time on one connection."""

    async def act(target: Target) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        transport, _ = await loop.create_connection(lambda: Flood(target, depth, ended), *target.address)
        try:
            await ended
        finally:
            transport.close()

    return act


def redis_pipeline(commands: int) -> Attacker:
    """Send so many SETs without waiting for replies, once. If the node ends the connection, because it has no memory
    for its requests, the rest is sent on another one."""

    async def act(target: Target) -> None:
        done = 0
        while done < commands:
            try:
                done += await _send_some(target, commands - done)
            except OSError as error:
                target.told[type(error).__name__] += 1
                await asyncio.sleep(RETRY_PAUSE_S)

    return act


async def _send_some(target: Target, commands: int) -> int:
    """Send SETs on one connection, and return how many were answered before it ended."""
    reader, writer = await asyncio.open_connection(*target.address)
    parser = hiredis.Reader()
    answered = 0

    async def send() -> None:
        for first in range(0, commands, PART):
            numbers = range(first, min(first + PART, commands))
            writer.write(b"".join(redis_request(b"SET", b"key:%d" % n, b"value") for n in numbers))
            await writer.drain()

    sending = asyncio.ensure_future(send())
    try:
        while answered < commands and (data := await reader.read(1 << 16)):
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                target.told[kind_of(reply)] += 1
                answered += 1
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    if answered < commands:
        target.told["cut off"] += 1
    return answered


# HTTP


def request_of(method: str, path: str, body: bytes | None = None, *, announced: int | None = None) -> bytes:
    """The bytes of a request; `announced` is a length of the body that is still to come."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body is not None or announced is not None:
        lines.append(f"Content-Length: {announced if announced is not None else len(body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def execute(name: str, *arguments: str) -> bytes:
    """A request to execute a command."""
    return request_of("POST", "/v1/execute", json.dumps({"command": name, "args": arguments}).encode())


async def answer_to(reader: asyncio.StreamReader) -> int:
    """Read one whole answer; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while length > 0:
        data = await reader.read(min(length, MIB))
        if not data:
            raise EOFError
        length -= len(data)
    return int(head.split(b" ", 2)[1])


async def ask(address: Address, data: bytes) -> int:
    """Send a request on a connection of its own, and read its whole answer; returns the status."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(data)
        return await answer_to(reader)
    finally:
        writer.close()


async def http_read_slowly(target: Target) -> None:
    """Ask for long answers, and read nearly nothing of them, until the node cuts the connection."""
    loop = asyncio.get_running_loop()
    connection = await connect(target.address, receives=4096)
    try:
        await loop.sock_sendall(connection, execute("get", "long") * ASKED_AHEAD_HTTP)
        target.told["asked"] += 1
        while True:
            # One byte now and then shows the end of the connection.
            await asyncio.sleep(1.0)
            if not await loop.sock_recv(connection, 1):
                break
        target.told["cut off"] += 1
    finally:
        connection.close()


async def http_write_slowly(target: Target) -> None:
    """Announce a long body, and send it slowly."""
    loop = asyncio.get_running_loop()
    connection = await connect(target.address)
    try:
        await loop.sock_sendall(connection, request_of("POST", "/v1/execute", announced=BODY_BYTES))
        sent = 0
        while sent < BODY_BYTES:
            await loop.sock_sendall(connection, bytes(PIECE_BYTES))
            sent += PIECE_BYTES
            await asyncio.sleep(PIECE_PAUSE_S)
            with suppress(BlockingIOError):
                answer = connection.recv(4096)
                target.told[answer.split(b" ", 2)[1].decode() if answer else "cut off"] += 1
                return
    finally:
        connection.close()


async def http_write_in_bulk(target: Target) -> None:
    """Store random keys, many at a time."""
    names = [f"{random.getrandbits(64):016x}" for _ in range(BULK_KEYS)]
    status = await ask(
        target.address, execute("mset", *(word for name in names for word in (name, name * 4)))
    )
    target.told[str(status)] += 1
    if status != 200:
        await asyncio.sleep(RETRY_PAUSE_S)


async def http_back_up(target: Target) -> None:
    """Take a backup, and drop it."""
    target.told[str(await ask(target.address, request_of("GET", "/v1/backup")))] += 1
    await asyncio.sleep(RETRY_PAUSE_S)


async def http_flood(target: Target) -> None:
    """Set values for ever, one after the other on one connection."""
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        while True:
            writer.write(execute("set", f"key:{random.getrandbits(20)}", "x" * 64))
            target.told[str(await answer_to(reader))] += 1
    finally:
        writer.close()
