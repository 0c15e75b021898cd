"""The part of the client that only its asynchronous half has: sockets on an event loop, tasks, and threads for calls
that would block the loop.

`sync_io` has the same names with the same meaning, for threads. All modules above these two are written once.

Considered and rejected: aiohttp's client, which repeats some requests by itself when a kept connection turns out to be
closed, so that "not sent" cannot be told from "sent and not answered"; it would also be a second implementation of HTTP
beside `http1`, with limits of its own. Streams and protocols of asyncio, which read ahead. Here bytes are read only
when a call asks for them, so a slow sink slows the node down, and bytes that arrive while no answer is awaited are
noticed before the connection is used again (hazard B59).
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from raftdb.client.dialing import (
    RECEIVE_BYTES,
    ConnectedSocket,
    attempt_ms,
    left_s,
    new_socket,
    now_ms,
    reason_of,
)
from raftdb.client.encryption import Encryption
from raftdb.client.flow import CallLimits
from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Resolution, Target, targets_of
from raftdb.endpoint import Endpoint
from raftdb.errors import LocalProtocolError, Unavailable

if TYPE_CHECKING:
    from ssl import SSLContext

CONCURRENCY_MAX = 64
"""Most calls of one client at a time by default, and so most connections to one node."""

T = TypeVar("T")
P = ParamSpec("P")


class Stream(ConnectedSocket):
    """A connection to a node. Times are those of `now_ms`. All methods raise `TimeoutError` and `OSError`."""

    async def send(self, content: bytes, by_ms: float) -> None:
        """Send all of `content`."""
        await self._send(content if self.tunnel is None else self.tunnel.encrypt(content), by_ms)

    async def _send(self, content: bytes, by_ms: float) -> None:
        left = memoryview(content)
        # Nearly always the socket has room for all of it at once.
        with suppress(BlockingIOError):
            left = left[self.socket.send(left) :]
        if left:
            async with asyncio.timeout(left_s(by_ms)):
                await asyncio.get_running_loop().sock_sendall(self.socket, left)

    async def receive(self, by_ms: float) -> bytes:
        """Bytes that have arrived, up to `RECEIVE_BYTES`; none if the other side has closed the connection."""
        if self.tunnel is None:
            return await self._receive(by_ms)
        while (content := self.tunnel.decrypt()) is None:
            self.tunnel.feed(await self._receive(by_ms))
        return content

    async def _receive(self, by_ms: float) -> bytes:
        async with asyncio.timeout(left_s(by_ms)):
            return await asyncio.get_running_loop().sock_recv(self.socket, RECEIVE_BYTES)

    async def begin_tls(self, context: "SSLContext", host: str, by_ms: float) -> None:
        """Go over to TLS with `host`. Raises `NotSent`."""
        from raftdb.client.tls import Tunnel

        tunnel = Tunnel(context, host)
        while True:
            content, is_done = tunnel.shake_hands()
            await self._send(content, by_ms)
            if is_done:
                break
            tunnel.feed(await self._receive(by_ms))
        self.tunnel = tunnel


async def connect(address: Endpoint, by_ms: float, encryption: Encryption) -> Stream:
    """A connection to `address` by `by_ms` of `now_ms`. Raises `NotSent`, and `RequestRefused` for certificates that
    cannot be used."""
    address = encryption.reached(address)
    stream = await _connect(address, by_ms)
    if address.is_tls:
        try:
            await stream.begin_tls(encryption.context(), address.host, by_ms)
        except OSError as error:
            stream.close()
            raise NotSent(reason_of(error)) from error
        except BaseException:
            stream.close()
            raise
    return stream


async def _connect(address: Endpoint, by_ms: float) -> Stream:
    try:
        async with asyncio.timeout(left_s(by_ms)):
            targets = targets_of(address.host, address.port)
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
    """Close a socket that was connected after another one was chosen."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def sleep(duration_ms: float) -> None:
    """Wait for this long."""
    await asyncio.sleep(duration_ms / 1000.0)


async def off_loop(call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """Make a call that may block on another thread; returns its result. A cancellation waits for the end of the call,
    which no other thread may disturb."""
    working = asyncio.ensure_future(asyncio.to_thread(partial(call, *arguments, **options)))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


class Waiter:
    """An event that one call waits for, once."""

    def __init__(self) -> None:
        self._woken = asyncio.get_running_loop().create_future()

    async def wait(self, until_ms: float) -> None:
        """Wait for `wake`, or until `until_ms`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s(until_ms)):
                await self._woken

    def wake(self) -> None:
        """End the wait. Further calls do nothing."""
        if not self._woken.done():
            self._woken.set_result(None)


class Home:
    """The process and the event loop that calls belong to: those of the first call."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_here(self) -> bool:
        """Whether the caller is in this process and on this event loop. Raises `LocalProtocolError` if it is on another
        event loop while this one is not closed."""
        if self.process_id != os.getpid():
            return False
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop and not self._loop.is_closed():
            raise LocalProtocolError("this client is used on another event loop: make one for each")
        return self._loop is loop


class Turns:
    """A limit on the number of calls at a time. The blocking half needs none, because it has one call on each
    thread."""

    def __init__(self, concurrency_max: int) -> None:
        self._concurrency_max = concurrency_max
        self._places = asyncio.Semaphore(concurrency_max)

    async def take(self, limits: CallLimits) -> None:
        """Wait for a turn, within the call's time. Raises `Unavailable`."""
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
        """Let another call begin."""
        self._places.release()
