"""Strangers at the doors of a node: they send their requests drop by drop (slow-loris), or shake hands as nodes of the
cluster whose secret they do not know. Each is as those of `attackers`.
"""

import asyncio
import os
import time
from contextlib import suppress

from benchmarks.attackers import Attacker, Target, connect
from raftdb.wire.frames import seal
from raftdb.wire.stream import Kind, head_of

DROP_PAUSE_S = 0.25
"""Between two bytes: the whole takes longer than any time to be silent."""
NONCE = "0f" * 32
UPGRADE = (
    "GET /v1/peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: raftdb\r\n"
    f"Raftdb-Nonce: {NONCE}\r\n\r\n"
).encode()
HTTP_HEAD = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + b"X-Drop: drop\r\n" * 200
REDIS_REQUEST = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n" + b"x" * 100_000
HELLO = seal(os.urandom(400))
"""A frame that no node has sealed. What is in it does not matter, for it is never looked at."""


def in_drops(data: bytes, *, at_once: bytes = b"") -> Attacker:
    """Send the first part at once and wait for the answer; then the other byte by byte, until the node cuts the
    connection."""

    async def act(target: Target) -> None:
        loop = asyncio.get_running_loop()
        connection = await connect(target.address)
        target.told["connected"] += 1
        try:
            if at_once:
                await loop.sock_sendall(connection, at_once)
                await loop.sock_recv(connection, 4096)
            for position in range(len(data)):
                await loop.sock_sendall(connection, data[position : position + 1])
                await asyncio.sleep(DROP_PAUSE_S)
                with suppress(BlockingIOError):
                    while connection.recv(4096):
                        continue
                    target.told["cut off"] += 1
                    return
        finally:
            connection.close()

    return act


http_in_drops = in_drops(HTTP_HEAD)
redis_in_drops = in_drops(REDIS_REQUEST)
peer_in_drops = in_drops(head_of(Kind.HANDSHAKE, len(HELLO)) + HELLO, at_once=UPGRADE)


def bad_handshakes(per_second: float) -> Attacker:
    """Shake hands so often with a seal that is none, each time on a new connection, and read what comes."""

    async def act(target: Target) -> None:
        loop = asyncio.get_running_loop()
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + 1 / per_second, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            connection = await connect(target.address)
            try:
                frame = head_of(Kind.HANDSHAKE, len(HELLO)) + HELLO + os.urandom(16)
                await loop.sock_sendall(connection, UPGRADE)
                # What is sent before the protocols are changed belongs to HTTP.
                changed = await loop.sock_recv(connection, 4096)
                target.told[changed[9:12].decode()] += 1
                await loop.sock_sendall(connection, frame)
                target.told["asked"] += 1
                while await loop.sock_recv(connection, 4096):
                    continue
                target.told["cut off"] += 1
            except ConnectionError:
                target.told["cut off"] += 1
            finally:
                connection.close()

    return act
