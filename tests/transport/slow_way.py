"""A long way between two ends on one machine: what is sent through it arrives later, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.streams import stream_server


class SlowWay:
    """Listens at `address`; every byte arrives `delay_s` after it was sent, both ways, until it is stalled."""

    def __init__(self, target: str, delay_s: float) -> None:
        self.address = ""
        self._target = target
        self._delay_s = delay_s
        self._stalled = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    def stall(self) -> None:
        """Nothing arrives any more, and no end of a connection either."""
        self._stalled.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody has connected."""
        host, _, port = self._target.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        self._writers.append(there_writer)
        await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                loop.call_later(self._delay_s, self._arrive, sink, data)
        loop.call_later(self._delay_s, self._end, sink)

    def _arrive(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        if not self._stalled.is_set() and not sink.is_closing():
            sink.write(data)

    def _end(self, sink: asyncio.StreamWriter) -> None:
        if not self._stalled.is_set():
            sink.close()

    async def close(self) -> None:
        """Let go of every connection to the target."""
        for writer in self._writers:
            writer.transport.abort()
        # The descriptors are closed in later turns of the loop, which may be about to end.
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@asynccontextmanager
async def slow_way(target: str, *, delay_s: float) -> AsyncIterator[SlowWay]:
    """A way to `target` (HOST:PORT) that takes `delay_s` in each direction."""
    way = SlowWay(target, delay_s)
    try:
        async with stream_server(way.serve) as port:
            way.address = f"127.0.0.1:{port}"
            yield way
    finally:
        await way.close()
