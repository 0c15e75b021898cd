"""A medium that delays, loses and doubles what this node sends, as `raftdb.impairment` decides.

Messages of Raft go through the direction to their peer one by one, before their link numbers and seals them, so what
arrives is a link without gaps over which some messages never come. What else the connections carry is delayed in order:
handshakes and pings, so that the trips that nodes measure are those of such a network and elections fit it, and the
requests that are passed on. A request and its answer, as for snapshots, wait for as long as their bytes take.

A direction that is cut swallows messages and pings, so both ends find out as they would without a word from the system;
it is not dialled, and requests over it fail at once. What answers on a connection that the other end has dialled
(handshakes, pings) belongs to that one's direction and is only delayed, so that a cut may be of one direction alone.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from raftdb.core.messages import Message
from raftdb.endpoint import Endpoint
from raftdb.impairment import ImpairedNetwork, Lane
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.medium import Medium, Send
from raftdb.transport.proof import PeerProof
from raftdb.transport.reasons import CutOff
from raftdb.transport.stream import ROOM_BYTES, FrameStream
from raftdb.transport.upgrade import dial
from raftdb.wire.peer import message_bytes_max
from raftdb.wire.sealing import Seal
from raftdb.wire.stream import Kind

PACED_BYTES = 16 * 1024
"""Long requests and answers take turns with messages at a rate: after each so many bytes."""
HANDSHAKE_BYTES = 512
"""About as many bytes as a handshake has, at a rate."""
WAYS_OF_A_DIAL = 4
"""A connection and its change of protocols are two trips."""


class ImpairedMedium(Medium):
    """The network as `network` says it is for what this node sends."""

    def __init__(self, network: ImpairedNetwork) -> None:
        self._network = network
        self._carriers: dict[str, _Carrier] = {}

    async def dial(
        self,
        peer: str,
        endpoint: Endpoint,
        proof: PeerProof,
        *,
        connect_timeout_s: float,
        path: str = PEER_PATH,
    ) -> FrameStream:
        """See `Medium`. Raises `CutOff`, too."""
        for _ in range(WAYS_OF_A_DIAL):
            await self.pass_bytes(peer, HANDSHAKE_BYTES)
        stream = await dial(
            endpoint, proof, connect_timeout_s=connect_timeout_s, path=path, make=self._dialled
        )
        stream.meet(peer)
        return stream

    def accept(self, seal: Seal) -> FrameStream:
        """See `Medium`."""
        return ImpairedStream(self._network, seal, has_dialled=False)

    def carry(self, peer: str, send: Send) -> Send:
        """See `Medium`."""
        self.interrupted(peer)
        carrier = self._carriers[peer] = _Carrier(self._network.lane(peer), send)
        return carrier.send

    def interrupted(self, peer: str) -> None:
        """See `Medium`."""
        if peer in self._carriers:
            self._carriers[peer].clear()

    async def pass_bytes(self, peer: str, size_bytes: int) -> None:
        """See `Medium`."""
        lane, clock = self._network.lane(peer), asyncio.get_running_loop().time
        for first in range(0, size_bytes, PACED_BYTES):
            if lane.is_cut:
                raise CutOff(peer)
            part_bytes = min(size_bytes - first, PACED_BYTES)
            arrival_s = lane.arrival_s(part_bytes, clock()) if not first else lane.sent_s(part_bytes, clock())
            if arrival_s is None:
                raise TimeoutError
            await asyncio.sleep(arrival_s - clock())
        if lane.is_cut:
            raise CutOff(peer)

    def _dialled(self, seal: Seal) -> FrameStream:
        return ImpairedStream(self._network, seal, has_dialled=True)


class _Carrier:
    """Carries the messages of one link: gives them to `send` when they are due."""

    def __init__(self, lane: Lane[Message], send: Send) -> None:
        self._lane = lane
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, messages: Sequence[Message]) -> None:
        """Take messages, of which each arrives once, more often or never."""
        lane = self._lane
        if lane.is_open:
            lane.counts.passed += len(messages)
            self._send(messages)
            return
        now_s = self._loop.time()
        for message in messages:
            lane.put(message, message_bytes_max(message), now_s)
        self._release()

    def clear(self) -> None:
        """Drop what is under way."""
        self._lane.clear()
        self._cancel()

    def _release(self) -> None:
        self._cancel()
        due = self._lane.due(self._loop.time())
        if due:
            self._send(due)
        next_due_s = self._lane.next_due_s
        # Sending may have taken the link down, and with it what was held.
        if next_due_s is not None and self._timer is None:
            self._timer = self._loop.call_at(next_due_s, self._release)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ImpairedStream(FrameStream):
    """A connection of frames that are late, once it is known who is at the other end. Frames of messages are not
    delayed again."""

    def __init__(self, network: ImpairedNetwork, seal: Seal, *, has_dialled: bool) -> None:
        super().__init__(seal)
        self._network = network
        self._has_dialled = has_dialled
        self._lane: Lane[Any] | None = None
        self._late: deque[tuple[float, Kind, bytes]] = deque()
        self._late_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_full_below = False

    def meet(self, peer: str) -> None:
        """See `FrameStream`."""
        self._lane = self._network.lane(peer)

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """See `FrameStream`."""
        lane = self._lane
        if lane is None or kind in (Kind.MESSAGES, Kind.CLOSE) or self._is_closing:
            super().send(kind, body)
            return
        is_request = kind in (Kind.REQUESTS, Kind.ANSWERS)
        if lane.is_cut and is_request:
            # Nothing of a stream of requests may be missing.
            self.abort("the link is cut")
            return
        if lane.is_cut and self._has_dialled:
            return
        now_s = self._loop.time()
        arrival_s = lane.arrival_s(len(body), now_s)
        if arrival_s is None:
            if is_request:
                self.abort("connection lost: nothing comes through")
            return
        if arrival_s <= now_s and not self._late:
            super().send(kind, body)
            return
        self._late.append((max(arrival_s, self._late[-1][0] if self._late else 0.0), kind, body))
        self._late_bytes += len(body)
        self._note_room()
        self._set_timer()

    def close(self, reason: str, *, timeout_s: float) -> None:
        """See `FrameStream`; what is late is sent before, if that does not take longer than `timeout_s`."""
        if self._late and not self._is_closing:
            after_s = min(self._late[-1][0] - self._loop.time(), timeout_s)
            self._loop.call_later(max(after_s, 0.0), self._close_now, reason, timeout_s)
        else:
            super().close(reason, timeout_s=timeout_s)

    def abort(self, reason: str = "") -> None:
        """See `FrameStream`."""
        self._drop_late()
        super().abort(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `FrameStream`."""
        self._drop_late()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See `FrameStream`."""
        self._is_full_below = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """See `FrameStream`."""
        self._is_full_below = False
        self._note_room()

    def _close_now(self, reason: str, timeout_s: float) -> None:
        for _, kind, body in self._late:
            super().send(kind, body)
        self._drop_late()
        super().close(reason, timeout_s=timeout_s)

    def _drop_late(self) -> None:
        self._late.clear()
        self._late_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._late and self._timer is None:
            self._timer = self._loop.call_at(self._late[0][0], self._send_due)

    def _send_due(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        while self._late and self._late[0][0] <= now_s:
            _, kind, body = self._late.popleft()
            self._late_bytes -= len(body)
            super().send(kind, body)
        self._set_timer()
        self._note_room()

    def _note_room(self) -> None:
        """There is room while neither the connection nor what is late has too much."""
        has_room = not self._is_full_below and self._late_bytes <= ROOM_BYTES
        if has_room and not self.has_room:
            super().resume_writing()
        elif not has_room and self.has_room:
            super().pause_writing()
