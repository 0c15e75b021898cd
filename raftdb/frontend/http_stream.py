"""Answers that go on: a stream of events (`text/event-stream`, as WHATWG HTML defines it in "server-sent events").

A stream is written straight to its socket by whoever has something to tell, without a change of tasks: the handler's
task sleeps until the stream is over. The blocks of an event that many streams get are the same bytes. The stream ends
with its connection, so that no part of it has to be framed.

Everything is bounded. A stream counts as neither busy nor idle (`raftdb.frontend.http_connection`), and there is a
limit on their number. What a client has not read yet is in the account of the node's memory, and a stream with more
than `UNSENT_BYTES_MAX` of it takes no further block (`EventStream.is_behind`): who writes decides whether that ends it.
Every `HEARTBEAT_S` a block shows the client that the node is alive, and the node whether the client is.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, cast

from aiohttp import web

from raftdb.errors import RequestRefused, Unavailable
from raftdb.frontend.http_browser import CORS_HEADERS
from raftdb.frontend.http_login import STILL_PROVED
from raftdb.frontend.http_memory import COUNTED_BYTES_MIN, held_for
from raftdb.frontend.http_reply import Reply, drain

logger = logging.getLogger("raftdb.http")

EVENT_STREAM = b"text/event-stream"

STREAMS_MAX = 12_000
"""Most streams of one node, which is half of its connections."""
UNSENT_BYTES_MAX = 256 * 1024
"""A stream takes no further block while its client has more than this to read. A block may be longer."""
HEARTBEAT_S = 10.0
"""How often each stream gets a block even if nothing happens."""
STREAMS_PER_TURN = 256
"""Streams that are written to for that in one turn of the loop."""

CLOSE_S = 3.0
"""How long the node waits, when it stops, until the connections of streams have ended. Thousands of them may end, each
in its turn, and a client that does not read is cut off by the listener afterwards."""
CLOSE_LOOK_S = 0.02

COMMENT = b":\n\n"
"""A block that says nothing."""


def event_block(data: bytes, *, event: str | None = None, id: str | None = None) -> bytes:
    """Return one event. `data` is in one line, as JSON is here; `event` is its type, and `id` what a client that comes
    back says that it has got (`Last-Event-ID`)."""
    kind = b"" if event is None else b"event: %b\n" % event.encode()
    place = b"" if id is None else b"id: %b\n" % id.encode()
    return b"%b%bdata: %b\n\n" % (kind, place, data)


class _Connection(Protocol):
    """A connection of `raftdb.frontend.http_connection`."""

    def held(self, leave: Callable[[], None], give_up: Callable[[], None]) -> AbstractContextManager[None]:
        """A context for the time in which its request is neither busy nor idle. If the client goes `leave` is called at
        once, and `give_up` when it is its turn."""
        ...


class EventStream(Reply):
    """One stream. It is open until `end`, or until the client has gone; then nothing more is written."""

    __slots__ = ("_over", "_request", "_transport", "checks", "heartbeat")

    def __init__(self, request: web.BaseRequest, heartbeat: Callable[[], bytes]) -> None:
        # The head is written before the listener could add what pages of other members need.
        headers = [(b"Cache-Control", b"no-store"), *request.get(CORS_HEADERS, ())]
        super().__init__(None, content_type=EVENT_STREAM, headers=headers, close=True)
        self.heartbeat = heartbeat
        """Makes the block that is written if nothing happens."""
        self.checks: list[Callable[[], None]] = [request.get(STILL_PROVED, lambda: None)]
        """Each raises `RequestRefused` once its client may not follow any more; asked now and then."""
        self._request = request
        self._transport = request.transport
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """True if blocks may be written, as far as is known."""
        return not self._over.done()

    @property
    def is_gone(self) -> bool:
        """True once nothing of it is left, its connection included."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_behind(self) -> bool:
        """True if the client has so much to read that it gets no further block for now."""
        return self._unsent_bytes() > UNSENT_BYTES_MAX

    def send(self, block: bytes) -> bool:
        """Write a whole block, or nothing if the client is behind, the memory for requests is in use, or the stream is
        over. Returns whether it was written."""
        transport, unsent = self._transport, self._unsent_bytes()
        if transport is None or self._over.done() or unsent > UNSENT_BYTES_MAX:
            return False
        held = held_for(self._request)
        if unsent or held.bytes or len(block) > COUNTED_BYTES_MIN:
            try:
                held.resize(unsent + len(block))
            except Unavailable:
                return False
        transport.write(block)
        if held.bytes:
            held.set(transport.get_write_buffer_size())
        return True

    async def room(self) -> bool:
        """Wait until the client has read what it was sent but for the last 64 KiB or so. Returns whether the stream is
        open; it is not if that took too long."""
        if self._transport is not None:
            with suppress(ConnectionError):
                await drain(self._request.writer, self._transport)
                return self.is_open
        self.end()
        return False

    def end(self, last: bytes = b"") -> None:
        """End the stream after a last block, however much the client has to read. It may have ended."""
        if not self._over.done():
            if last and self._transport is not None and not self._transport.is_closing():
                self._transport.write(last)
            self._over.set_result(None)

    async def run(self, work: Coroutine[Any, Any, None] | None = None) -> None:
        """Write the head, and be open until the stream ends. `work` writes to it meanwhile; if it ends, the stream goes
        on, if it fails, it ends the stream, and if the stream ends it is cancelled."""
        connection = cast(_Connection, self._request.protocol)
        try:
            await super().prepare(self._request)
            with connection.held(self.end, lambda: None):
                await self._stay_open(work)
        except ConnectionError:
            # The client has gone before it began; nothing more can be said behind the head.
            self.end()
        finally:
            if work is not None:
                work.close()

    async def _stay_open(self, work: Coroutine[Any, Any, None] | None) -> None:
        task = None if work is None else asyncio.ensure_future(work)
        try:
            if task is not None:
                await asyncio.wait((task, self._over), return_when=asyncio.FIRST_COMPLETED)
                if task.done() and (error := task.exception()) is not None:
                    logger.error("a stream failed", exc_info=error)
                    return
            await self._over
        finally:
            self.end()
            if task is not None and not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: `run` has written the head. Called by aiohttp."""

    async def write_eof(self) -> None:
        """Wait until the client has nearly all, in bounded time; then aiohttp closes the connection."""
        if self._transport is not None and not self._transport.is_closing():
            await drain(self._request.writer, self._transport)

    def _unsent_bytes(self) -> int:
        transport = self._transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()


class EventStreams:
    """All streams of one node."""

    def __init__(self, *, streams_max: int = STREAMS_MAX, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._open: dict[EventStream, None] = {}
        self._streams_max = streams_max
        self._heartbeat_s = heartbeat_s
        self._closing = False

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def admit(self) -> None:
        """Raise Unavailable if no further stream may be opened: `busy`, or the node stops."""
        if self._closing:
            raise Unavailable("no_leader", "this node is stopping", hint="ask another node")
        if len(self._open) >= self._streams_max:
            raise Unavailable("busy", f"{self._streams_max} streams are open", hint="ask another node")

    async def run(self, stream: EventStream, work: Coroutine[Any, Any, None] | None = None) -> EventStream:
        """Keep a new stream open until it ends, as `EventStream.run`; returns it, as the reply of a handler."""
        try:
            self.admit()
        except Unavailable:
            if work is not None:
                work.close()
            raise
        self._open[stream] = None
        try:
            await stream.run(work)
        finally:
            del self._open[stream]
        return stream

    async def close(self) -> None:
        """End all streams, because the node stops, and give their connections a moment to end in order; none is opened
        any more."""
        self._closing = True
        ending = list(self._open)
        for stream in ending:
            stream.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while ending:
                    # The listener lets a part of them through in each turn.
                    await asyncio.sleep(CLOSE_LOOK_S)
                    ending = [stream for stream in ending if not stream.is_gone]

    async def beat(self) -> None:
        """Write to each stream now and then, a bounded number in one turn; for ever, as a task of the node."""
        while True:
            await asyncio.sleep(self._heartbeat_s)
            for place, stream in enumerate(list(self._open), 1):
                if stream.is_open:
                    _check(stream)
                    stream.send(stream.heartbeat())
                if place % STREAMS_PER_TURN == 0:
                    await asyncio.sleep(0)


def _check(stream: EventStream) -> None:
    """End a stream whose client may not follow any more. A node that cannot say so now does it later."""
    with suppress(Unavailable):
        try:
            for check in stream.checks:
                check()
        except RequestRefused:
            stream.end()
