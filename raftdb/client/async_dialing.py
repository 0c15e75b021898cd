"""As `dialing`, on an event loop: names are resolved on threads that nobody waits for, addresses tried side by side."""

import asyncio
import socket
from contextlib import suppress

from raftdb.client.dialing import attempt_ms, new_socket, reason_of
from raftdb.client.http1 import NotSent
from raftdb.client.resolving import Resolution, Target, targets_of
from raftdb.endpoint import parse_endpoint


async def dial(address: str, by_ms: float) -> socket.socket:
    """A socket connected to `address` (HOST:PORT), not blocking. Raises `NotSent`.

    Not after `by_ms` of `now_ms` is the caller's to see to; what is told here spreads the attempts over that time.
    """
    endpoint = parse_endpoint(address)
    targets = targets_of(endpoint.host, endpoint.port)
    if isinstance(targets, Resolution):
        await _done(targets)
        targets = targets.targets()
    return await _first_connected(targets, attempt_ms(targets, by_ms))


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
