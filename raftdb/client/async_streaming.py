"""A long body on its way from an event loop into a sink that may block: on other threads, in order, within bounds.

Pieces that have arrived wait here until the sink has taken those before them. If many bytes wait, the connection is not
read from, so that the node waits, too.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from raftdb.client.connection import STREAM_IDLE_MS
from raftdb.client.http1 import Response, Sink

HELD_BYTES_MAX = 1024 * 1024
"""Above so many bytes that wait for the sink nothing more is read."""


class Relay:
    """The sink of a connection's parser, which hands on to the sink of the caller.

    `limit` is the deadline of the exchange. Once the head is there, it is always `STREAM_IDLE_MS` from the last piece,
    and none while the sink is what is waited for.
    """

    def __init__(self, sink: Sink, limit: asyncio.Timeout, read: Callable[[bool], None]) -> None:
        """`read` says whether the connection is to be read from."""
        self._sink = sink
        self._limit = limit
        self._read = read
        self._calls: asyncio.Queue[tuple[Callable[[], None], int] | None] = asyncio.Queue()
        self._held_bytes = 0
        self._stopped = False
        self._pump = asyncio.create_task(self._hand_on())

    def begin(self, head: Response) -> None:
        """See `raftdb.client.http1.Sink`."""
        self._take(partial(self._sink.begin, head), 0)

    def write(self, piece: bytes) -> None:
        """See `raftdb.client.http1.Sink`."""
        self._take(partial(self._sink.write, piece), len(piece))

    async def during(self, exchange: "asyncio.Future[Response]") -> Response:
        """The answer of `exchange`, once the sink has all of it. Raises what either raises."""
        try:
            under_way: set[asyncio.Future[Any]] = {exchange, self._pump}
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            if self._pump.done():
                await self._pump  # the sink has raised something
            response = await exchange
            self._limit.reschedule(None)
            self._calls.put_nowait(None)
            await self._pump
            return response
        finally:
            exchange.cancel()
            await self._stop()

    async def _stop(self) -> None:
        """Make no more calls, and wait for the one that is being made: the next attempt uses the same sink."""
        self._stopped = True
        self._calls.put_nowait(None)
        with suppress(Exception):
            await asyncio.shield(self._pump)

    def _take(self, call: Callable[[], None], size: int) -> None:
        self._held_bytes += size
        self._calls.put_nowait((call, size))
        if self._held_bytes > HELD_BYTES_MAX:
            self._read(False)
            self._limit.reschedule(None)
        else:
            self._go_on()

    async def _hand_on(self) -> None:
        while (item := await self._calls.get()) is not None and not self._stopped:
            call, size = item
            await asyncio.to_thread(call)
            was_full = self._held_bytes > HELD_BYTES_MAX
            self._held_bytes -= size
            if was_full and self._held_bytes <= HELD_BYTES_MAX and not self._stopped:
                self._read(True)
                self._go_on()

    def _go_on(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time() + STREAM_IDLE_MS / 1000.0)
