"""What the asynchronous half of the client does by means of its own: sockets of an event loop, tasks, threads for what
would block the loop.

`sync_io` has the same names with the same meaning, for threads. All above these two is written once.

Considered and rejected: aiohttp's client. It repeats some requests by itself when a kept connection turns out closed,
which a client that tells "not sent" from "sent and not answered" cannot use; and it would be a second HTTP
implementation with limits of its own, where `http1` is there. Streams and protocols of asyncio: they read ahead. Here
nothing is read but what a call has asked for, so a slow sink slows the node, and bytes that arrive while no answer is
awaited are seen before the connection is used again (hazard B59).
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from raftdb.client.dialing import (
    RECEIVE_BYTES,
    ConnectedSocket,
    attempt_ms,
    left_s,
    new_socket,
    now_ms,
    reason_of,
)
from raftdb.client.flow import Limits
from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Resolution, Target, targets_of
from raftdb.endpoint import parse_endpoint
from raftdb.errors import LocalProtocolError, Unavailable

CONCURRENCY_MAX = 64
"""How many calls of one client are under way at a time, and so how many connections it has to one node."""

T = TypeVar("T")
P = ParamSpec("P")


class Stream(ConnectedSocket):
    """A connection to a node. Times are of `now_ms`; all raise `TimeoutError` and `OSError`."""

    async def send(self, content: bytes, by_ms: float) -> None:
        """Send all of it."""
        left = memoryview(content)
        # Nearly always there is room for all of it, and then there is nothing to wait for.
        with suppress(BlockingIOError):
            left = left[self.socket.send(left) :]
        if left:
            async with asyncio.timeout(left_s(by_ms)):
                await asyncio.get_running_loop().sock_sendall(self.socket, left)

    async def receive(self, by_ms: float) -> bytes:
        """What has arrived, up to `RECEIVE_BYTES`; nothing if the other side has closed the connection."""
        async with asyncio.timeout(left_s(by_ms)):
            return await asyncio.get_running_loop().sock_recv(self.socket, RECEIVE_BYTES)


async def connect(address: str, by_ms: float) -> Stream:
    """A connection to `address` (HOST:PORT) by `by_ms` of `now_ms`. Raises `NotSent`."""
    try:
        async with asyncio.timeout(left_s(by_ms)):
            endpoint = parse_endpoint(address)
            targets = targets_of(endpoint.host, endpoint.port)
            if isinstance(targets, Resolution):
                await _done(targets)
                targets = targets.targets()
            return Stream(await _first_connected(targets, attempt_ms(targets, by_ms)))
    except OSError as error:
        raise NotSent(reason_of(error)) from error


async def _done(resolution: Resolution) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def call_back() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(wake)

    resolution.on_done(call_back)
    await done


async def _first_connected(targets: list[Target], next_ms: float) -> socket.socket:
    waiting = list(reversed(targets))
    attempts: set[asyncio.Task[socket.socket]] = set()
    reason = "no address"
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connected(waiting.pop())))
            done, _ = await asyncio.wait(
                attempts,
                timeout=next_ms / 1000.0 if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                attempts.discard(attempt)
                failure = attempt.exception()
                if failure is None:
                    return attempt.result()
                reason = reason_of(failure)
        raise NotSent(reason)
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_dispose)


async def _connected(target: Target) -> socket.socket:
    family, address = target
    dialled = new_socket(family)
    try:
        await asyncio.get_running_loop().sock_connect(dialled, address)
    except BaseException:
        dialled.close()
        raise
    return dialled


def _dispose(attempt: "asyncio.Task[socket.socket]") -> None:
    """Close what was connected after all, and nobody needs."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def sleep(duration_ms: float) -> None:
    """Wait so long."""
    await asyncio.sleep(duration_ms / 1000.0)


async def off_loop(call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """The result of a call that may block, and is made on another thread. Whoever cancels this waits for its end, for
    nobody else may touch meanwhile what the call works on."""
    working = asyncio.ensure_future(asyncio.to_thread(partial(call, *arguments, **options)))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


class Waiter:
    """What one call waits on, once."""

    def __init__(self) -> None:
        self._woken = asyncio.get_running_loop().create_future()

    async def wait(self, until_ms: float) -> None:
        """Until `wake`, or until then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s(until_ms)):
                await self._woken

    def wake(self) -> None:
        """Once is enough; more do no harm."""
        if not self._woken.done():
            self._woken.set_result(None)


class Home:
    """Where calls belong to: the event loop that made the first of them, in this process."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_here(self) -> bool:
        """Whether the caller is at home. Raises `LocalProtocolError` if home is another event loop that is still
        there."""
        if self.process_id != os.getpid():
            return False
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop and not self._loop.is_closed():
            raise LocalProtocolError("this client is used on another event loop: make one for each")
        return self._loop is loop


class Turns:
    """Bounds how many calls are under way at a time. Threads need none: there are as many as somebody has started."""

    def __init__(self, concurrency_max: int) -> None:
        self._concurrency_max = concurrency_max
        self._places = asyncio.Semaphore(concurrency_max)

    async def take(self, limits: Limits) -> None:
        """Wait for a turn, which is part of the call's time. Raises `Unavailable`."""
        try:
            async with asyncio.timeout((limits.ends_ms - now_ms()) / 1000.0):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable(
                "busy",
                f"{self._concurrency_max} other calls of this client were not done in {limits.timeout_ms / 1000:g} s",
                hint="make fewer calls at a time, or raise concurrency_max",
            ) from None

    def give_back(self) -> None:
        """The call has ended."""
        self._places.release()
