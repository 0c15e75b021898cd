"""A connection of frames, which both ends of a link use. No task reads or writes for it.

A frame is written at once. While more than `ROOM_BYTES` are unsent, `has_room` is false: the owner keeps its messages
then, and is told when there is room again. Frames that arrive are handed over one in each turn of the event loop, so
that a burst on one link does not hold up the others.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from raftdb.errors import RemoteProtocolError
from raftdb.transport.reasons import short_reason
from raftdb.wire.sealing import UNSEALED, Seal
from raftdb.wire.stream import BODY_BYTES_MAX, FrameReader, Kind, head_of

ROOM_BYTES = 256 * 1024
"""There is no room while more than this is unsent."""
READ_AHEAD_BYTES = 256 * 1024
"""Reading pauses while more than this is read and not yet handed over, except for the rest of a frame."""
JOINED_BYTES_MAX = 16 * 1024
"""A body of up to this length is sent with its head in one system call; copying a longer one would cost more."""
LINGER_S = 1.0
"""How long the other end, after it has closed, may take to read what was sent before."""

OnFrame = Callable[[Kind, bytes], None]
"""Takes a frame. It is called on the event loop and must not block. If it raises, the stream is broken."""


def _ignore() -> None:
    """The default: does nothing."""


def _ignore_loss(_error: Exception | None) -> None:
    """The default: does nothing."""


class FrameStream(asyncio.Protocol):
    """One end of a connection of frames, which `seal` seals. `ended` is done when the connection is over, with the
    reason in words.

    `on_room`: there is room again. `on_data`: bytes have arrived, or a frame was handed over. `on_broken(error)`: the
    other end broke the protocol, or the owner failed on a frame; no further frame is handed over. `on_lost`: the
    connection is over.
    """

    def __init__(self, seal: Seal = UNSEALED) -> None:
        self.seal = seal
        self.certified: frozenset[str] | None = None
        """The members that the other end's certificate names; None if certificates prove nothing here."""
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.on_room: Callable[[], None] = _ignore
        self.on_data: Callable[[], None] = _ignore
        self.on_broken: Callable[[Exception], None] = self._raise_later
        self.on_lost: Callable[[Exception | None], None] = _ignore_loss
        self.has_room = True
        self.heard_s = self._loop.time()
        """When bytes arrived last, by the loop's clock."""
        self._reader = FrameReader(seal)
        self._transport: asyncio.Transport | None = None
        self._written_bytes = 0
        self._on_frame: OnFrame | None = None
        self._is_due = False
        self._is_closing = False
        self._reason = ""
        self._abort_timer: asyncio.TimerHandle | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use `transport` from now on."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=ROOM_BYTES)
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take bytes that have arrived."""
        self.heard_s = self._loop.time()
        if self._is_closing:
            return
        self._reader.feed(data)
        self.on_data()
        self._go_on()

    def eof_received(self) -> None:
        """The other end sends no more. Returning None closes the connection."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._is_closing = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self.has_room = False
        if not self.ended.done():
            lost = "closed by the peer" if exc is None else f"connection lost: {short_reason(exc)}"
            self.ended.set_result(self._reason or lost)
        self.on_lost(exc)

    def pause_writing(self) -> None:
        """More is unsent than there is room for."""
        self.has_room = False

    def resume_writing(self) -> None:
        """There is room again."""
        if not self._is_closing:
            self.has_room = True
            self.on_room()

    # What the owner calls

    @property
    def buffered_bytes(self) -> int:
        """Bytes that have arrived and were not handed over."""
        return self._reader.buffered_bytes

    @property
    def taken_bytes(self) -> int:
        """How many of the bytes sent the socket has taken: while that grows, the other end reads."""
        transport = self._transport
        return self._written_bytes - (transport.get_write_buffer_size() if transport is not None else 0)

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection below, for settings of its socket."""
        return self._transport

    def meet(self, peer: str) -> None:
        """Note who is at the other end, as far as it says so. This stream does not care."""

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Write a frame now, whether there is room or not. On a connection that is over it is dropped."""
        if self._transport is None or self._is_closing:
            return
        head = head_of(kind, len(body))
        tag = self.seal.tag(head, body)
        self._written_bytes += len(head) + len(body) + len(tag)
        # Not `writelines`: asyncio's does not pause its protocol in Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1.
        if len(body) <= JOINED_BYTES_MAX:
            self._transport.write(head + body + tag)
        else:
            self._transport.write(head)
            self._transport.write(body)
            if tag:
                self._transport.write(tag)

    def hand_over(self, on_frame: OnFrame | None) -> None:
        """Give frames to `on_frame` from now on; with None they are kept, and reading stops at `READ_AHEAD_BYTES`."""
        self._on_frame = on_frame
        self._go_on()

    async def receive(self) -> tuple[Kind, bytes]:
        """The next frame. Raises RemoteProtocolError, and ConnectionError when the connection ends."""
        received: asyncio.Future[tuple[Kind, bytes]] = self._loop.create_future()

        def take(kind: Kind, body: bytes) -> None:
            self.hand_over(None)
            if not received.done():
                received.set_result((kind, body))

        def fail(error: Exception) -> None:
            if not received.done():
                received.set_exception(error)

        before, self.on_broken = self.on_broken, fail
        self.hand_over(take)
        try:
            over: set[asyncio.Future[Any]] = {received, self.ended}
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            if not received.done():
                raise ConnectionResetError(self.ended.result())
            return received.result()
        finally:
            self.on_broken = before
            self.hand_over(None)

    def close(self, reason: str, *, timeout_s: float) -> None:
        """Send `reason`, and close when the other end has closed, or after `timeout_s`. `ended` gets the same
        reason."""
        if self._transport is None or self._is_closing:
            return
        body = reason.encode("utf-8", "replace")[: BODY_BYTES_MAX[Kind.CLOSE]]
        self.send(Kind.CLOSE, body)
        self._is_closing, self._reason = True, reason
        self._on_frame = None
        # What still arrives is read and dropped: a close with unread bytes would reset the connection, and the reason
        # could be lost.
        self._abort_timer = self._loop.call_later(timeout_s, self.abort)
        if not self._transport.is_closing():
            self._transport.resume_reading()
            # TLS has no end of one direction: the other end closes when it has the reason.
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def abort(self, reason: str = "") -> None:
        """End the connection without telling the other end why. `reason` is for `ended`, unless it has one."""
        self._is_closing = True
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    # Handing over

    def _go_on(self) -> None:
        """Hand the next frame over in a turn of its own, and pause or resume reading."""
        transport = self._transport
        if transport is None or self._is_closing or transport.is_closing():
            return
        has_frame = self._reader.has_frame
        if self._on_frame is not None and has_frame and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._hand_over_next)
        waits = has_frame or self._on_frame is None
        is_full = waits and self._reader.buffered_bytes > READ_AHEAD_BYTES
        if is_full == transport.is_reading():
            transport.pause_reading() if is_full else transport.resume_reading()

    def _hand_over_next(self) -> None:
        self._is_due = False
        on_frame = self._on_frame
        if on_frame is None or self._is_closing:
            return
        try:
            frame = self._reader.next_frame()
            if frame is None:
                return
            kind, body = frame
            if kind is Kind.CLOSE:
                self._closed_by_peer(body)
                return
            on_frame(kind, body)
        except Exception as error:  # noqa: BLE001 - `on_broken` handles it
            self._on_frame = None
            self.on_broken(error)
            return
        self.on_data()
        self._go_on()

    def _closed_by_peer(self, body: bytes) -> None:
        words = body.decode("utf-8", "replace")
        self._reason = f"closed by the peer: {words}" if words else "closed by the peer"
        self._is_closing = True
        if self._transport is not None:
            self._abort_timer = self._loop.call_later(LINGER_S, self.abort)
            self._transport.close()

    def _raise_later(self, error: Exception) -> None:
        """The default of `on_broken`: the stream ends."""
        self.abort(error.message if isinstance(error, RemoteProtocolError) else "internal error")
