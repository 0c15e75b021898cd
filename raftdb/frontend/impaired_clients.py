"""The connections of clients under fault injection: what they send is late, or does not arrive.

A listener's protocols are wrapped only where faults may be injected, so others have nothing of it. What a client sends
waits for the way there and the way back at once, so the answers need not wait. In a cut nothing that is sent arrives,
and after it the connections that missed something end, because nothing of a stream may be missing. What was asked
before is still answered. Members of the cluster, and who sets the network, are let through.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from raftdb.impairment import Lane

MakeProtocol: TypeAlias = Callable[[], asyncio.BaseProtocol]
Wrap: TypeAlias = Callable[[MakeProtocol], MakeProtocol]
"""Takes what makes the protocol of a new connection, and returns what is to make it."""

LATE_BYTES_MAX = 256 * 1024
"""Reading pauses while more than this of one connection is late."""
_LET_THROUGH = re.compile(rb"[A-Z]{3,7} /v1/(?:peer|network)[/? ]")


def as_it_is(make: MakeProtocol) -> MakeProtocol:
    """The default: connections are left alone."""
    return make


def through(lane: Lane[Any]) -> Wrap:
    """Connections that are what the direction to clients makes of them."""
    return lambda make: lambda: ImpairedConnection(cast(asyncio.Protocol, make()), lane)


class ImpairedConnection(asyncio.Protocol):
    """Between a connection and its protocol: gives it what arrives, late or not at all."""

    def __init__(self, inner: asyncio.Protocol, lane: Lane[Any]) -> None:
        self._inner = inner
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # When each is due, and the bytes; None is the end.
        self._late: deque[tuple[float, bytes | None]] = deque()
        self._late_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_missed = False
        self._has_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection over."""
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        lane = self._lane
        if _LET_THROUGH.match(data) and not self._late:
            self._inner.data_received(data)
            return
        if self._has_missed and not lane.is_cut:
            self._abort()
            return
        now_s = self._loop.time()
        there_s = None if lane.is_cut else lane.arrival_s(len(data), now_s)
        back_s = None if there_s is None else lane.arrival_s(0, there_s)
        if back_s is None:
            self._has_missed = True
            lane.counts.cut += 1
            return
        lane.counts.passed += 1
        if back_s <= now_s and not self._late:
            self._inner.data_received(data)
            return
        lane.counts.delayed += 1
        self._late_bytes += len(data)
        self._put(back_s, data)
        if self._late_bytes > LATE_BYTES_MAX and self._transport is not None:
            self._has_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """The client sends no more: that comes after what is late."""
        if not self._late:
            return self._inner.eof_received()
        self._put(0.0, None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """More is unsent than there is room for."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._inner.resume_writing()

    def _put(self, due_s: float, data: bytes | None) -> None:
        self._late.append((max(due_s, self._late[-1][0]) if self._late else due_s, data))
        if self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        transport = self._transport
        while self._late and self._late[0][0] <= self._loop.time():
            _, data = self._late.popleft()
            if transport is None or transport.is_closing():
                return
            if data is None:
                if not self._inner.eof_received():
                    transport.close()
                continue
            self._late_bytes -= len(data)
            self._inner.data_received(data)
            if self._has_paused and self._late_bytes <= LATE_BYTES_MAX and not transport.is_closing():
                self._has_paused = False
                transport.resume_reading()
        if self._late and self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._deliver)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
