"""The outgoing link to one peer, which is dialled again whenever it ends."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from raftdb.background import StartTask
from raftdb.core.messages import Message
from raftdb.endpoint import Endpoint
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.transport.events import PeerEvents
from raftdb.transport.greeting import GreetingRefused, check_answer, exchange
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.kernel_retries import fit_kernel_retries
from raftdb.transport.limits import FIRST_SEQUENCE, LinkLimits
from raftdb.transport.medium import Medium
from raftdb.transport.pinging import Pinger
from raftdb.transport.reasons import DialRefused, short_reason
from raftdb.transport.send_queue import SendQueue
from raftdb.transport.stream import FrameStream
from raftdb.transport.trips import Trips
from raftdb.wire.handshake import Hello, Refused
from raftdb.wire.peer import encode_frame
from raftdb.wire.stream import Kind

logger = logging.getLogger("raftdb.transport")

Uniform = Callable[[float, float], float]
"""Draws a random number between two bounds: the jitter of the pauses between dials."""


class LinkStatistics(NamedTuple):
    """Counters of one outgoing link since it was made. `dropped_messages` includes those given while it was down."""

    up: bool
    sent_frames: int
    sent_messages: int
    sent_bytes: int
    dropped_messages: int
    queued_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkContext:
    """What all links of a node have in common."""

    identity: LocalIdentity
    check_peer: CheckPeer
    events: PeerEvents
    limits: LinkLimits
    uniform: Uniform
    start: StartTask
    medium: Medium


class PeerLink:
    """The link to one peer, which is dialled at its addresses in turn until that peer answers.

    It begins to dial when it is made. `PeerLinks` ends it by cancelling `task`, and does not use it after that.
    """

    def __init__(self, context: LinkContext, peer: str, addresses: tuple[Endpoint, ...]) -> None:
        self.peer = peer
        self.addresses = addresses
        self.address = addresses[0]
        self.up = False
        self.queue = SendQueue(context.limits)
        self.sent_frames = 0
        self.sent_messages = 0
        self.sent_bytes = 0
        self._context = context
        self._limits = context.limits
        self._stream: FrameStream | None = None
        self._sequence = FIRST_SEQUENCE
        self._stalled: asyncio.TimerHandle | None = None
        self._nudged = asyncio.Event()
        self._trips = Trips()
        self._pinger = Pinger(self._trips, context.limits, on_trip=partial(context.events.on_trip, peer))
        self._last_failure = ""
        self.send = context.medium.carry(peer, self._send)
        """Takes messages for the peer; drops and counts them while the link is down."""
        self.task = context.start(self._run(), name=f"link to {peer}")

    def _send(self, messages: Sequence[Message]) -> None:
        """Send `messages` now, or queue them while the connection has no room; drop and count them if the link is down
        or its queue full."""
        if not self.up:
            self.queue.dropped += len(messages)
            return
        for message in messages:
            self.queue.put(message)
        self._send_queued()

    def nudge(self, address: Endpoint | None = None) -> None:
        """Dial at once if the link is waiting to dial again, at `address` if that is one of the peer's."""
        if address in self.addresses and not self.up:
            self.address = address
        self._nudged.set()

    def go_down(self, reason: str) -> None:
        """Drop what is queued and report the link down, if it is up: to be called before another link to the peer is
        up."""
        self._context.medium.interrupted(self.peer)
        if self.up:
            self.up = False
            self.queue.clear()
            if self._stalled is not None:
                self._stalled.cancel()
            self._log(logging.INFO, "peer down", reason=reason)
            self._context.events.on_peer_down(self.peer, reason)

    @property
    def failure(self) -> str | None:
        """Why the last dial failed; None if it succeeded, or none has ended yet."""
        return self._last_failure or None

    def statistics(self) -> LinkStatistics:
        """The present counters."""
        queue = self.queue
        return LinkStatistics(
            self.up, self.sent_frames, self.sent_messages, self.sent_bytes, queue.dropped, queue.bytes
        )

    async def _run(self) -> None:
        """Dial, serve, pause, for ever."""
        loop = asyncio.get_running_loop()
        pause_s = self._limits.backoff_min_s
        while True:
            self._nudged.clear()
            started = loop.time()
            served = await self._dial_and_serve()
            if not served:
                self._turn_to_next_address()
            if loop.time() - started > self._limits.backoff_max_s and not self._last_failure:
                pause_s = self._limits.backoff_min_s
            try:
                async with asyncio.timeout(self._context.uniform(pause_s / 2, pause_s)):
                    await self._nudged.wait()
            except TimeoutError:
                pause_s = min(2 * pause_s, self._limits.backoff_max_s)

    def _turn_to_next_address(self) -> None:
        """Dial another address of the peer next, if it has one, because it was not found at this one."""
        known = self.addresses
        position = known.index(self.address) if self.address in known else -1
        self.address = known[(position + 1) % len(known)]

    async def _dial_and_serve(self) -> bool:
        """One connection, from dial to close. Returns True if the handshake succeeded, whatever ended the link
        later."""
        try:
            limits = self._limits
            wait_s = self._trips.wait_s(least_s=limits.dial_min_s, most_s=limits.dial_max_s)
            async with asyncio.timeout(wait_s):
                stream = await self._dial()
        except GreetingRefused as refusal:
            self._sight(refusal.source)
            self._report_refusal(refusal.refused)
        except (DialRefused, RemoteProtocolError, TimeoutError, OSError) as error:
            if isinstance(error, TimeoutError):
                self._trips.forget()
            self._report_failure(short_reason(error))
        except Exception as error:
            # A link must survive a bug in what it calls: without it the node is cut off from its peer for good.
            logger.exception(
                "dial failed", extra={"fields": {"peer": self.peer, "address": str(self.address)}}
            )
            self._report_failure(type(error).__name__)
        else:
            await self._serve(stream)
            return True
        return False

    async def _dial(self) -> FrameStream:
        """Connect and shake hands. Raises GreetingRefused, RemoteProtocolError, or what `dial` raises."""
        limits, context, clock = self._limits, self._context, asyncio.get_running_loop().time
        dialled_s = clock()
        stream = await context.medium.dial(
            self.peer,
            self.address,
            context.identity.proof,
            connect_timeout_s=limits.connect_timeout_s,
        )
        try:
            upgraded_s = clock()
            answer = await exchange(stream, context.identity.introduce(Hello, self.peer))
            # The connection, the change of protocols and the answer to the hello take a trip each.
            self._pinger.measured(min((upgraded_s - dialled_s) / 2, clock() - upgraded_s))
            fit_kernel_retries(stream, self._trips, limits)
            await check_answer(stream, answer, self.peer, context.identity, context.check_peer)
        except BaseException:
            await self._hang_up(stream)
            raise
        return stream

    async def _serve(self, stream: FrameStream) -> None:
        """Use the link until the connection ends; unsent messages are dropped then."""
        self._stream, self._sequence = stream, FIRST_SEQUENCE
        stream.on_room = self._has_room_again
        stream.on_broken = self._broken
        self.up, self._last_failure = True, ""
        self._log(logging.INFO, "peer up")
        self._context.events.on_peer_up(self.peer)
        stream.hand_over(self._hear)
        loop = asyncio.get_running_loop()
        pinger = loop.create_task(self._pinger.run(stream), name=f"pinger of {self.peer}")
        reason = "stopped"
        try:
            await asyncio.wait({pinger, stream.ended}, return_when=asyncio.FIRST_COMPLETED)
            reason = stream.ended.result() if stream.ended.done() else pinger.result()
        except Exception:
            reason = "internal error"
            logger.exception("link failed", extra={"fields": {"peer": self.peer}})
        finally:
            self.go_down(reason)
            pinger.cancel()
            await self._hang_up(stream, "" if reason == "stopped" else reason)

    async def _hang_up(self, stream: FrameStream, reason: str = "") -> None:
        """Close in bounded time, whether the peer reads or not."""
        stream.close(reason, timeout_s=self._limits.close_timeout_s)
        await asyncio.wait({stream.ended})

    def _hear(self, kind: Kind, _body: bytes) -> None:
        """Take a frame: only answers to pings are expected. Raises RemoteProtocolError for messages."""
        if kind is Kind.PONG:
            self._pinger.answered()
        elif kind is Kind.MESSAGES:
            raise RemoteProtocolError("the peer sent data on a link of ours")

    def _broken(self, error: Exception) -> None:
        if self._stream is not None:
            self._stream.abort(short_reason(error))

    def _send_queued(self) -> None:
        """Send what is queued, a frame at a time, for as long as the connection has room."""
        stream = self._stream
        while stream is not None and self.up and self.queue and stream.has_room:
            messages = self.queue.take_frame()
            try:
                frame = encode_frame(self._sequence, messages)
            except LocalProtocolError as error:
                # A message above a limit of the wire is a bug of this node; only its frame is lost.
                self.queue.dropped += len(messages)
                self._log(logging.ERROR, "frame not sent", reason=error.message)
                continue
            except Exception:
                # The caller must not fail for a bug in the encoding, so only the link is dropped, and dialled again.
                logger.exception("link failed", extra={"fields": {"peer": self.peer}})
                stream.abort("internal error")
                return
            stream.send(Kind.MESSAGES, frame)
            self._sequence += 1
            self.sent_frames += 1
            self.sent_messages += len(messages)
            self.sent_bytes += len(frame)
        if stream is not None and self.up and not stream.has_room and self._stalled is None:
            wait_s = self._send_wait_s
            self._stalled = asyncio.get_running_loop().call_later(wait_s, self._stuck, wait_s)

    def _has_room_again(self) -> None:
        """The connection has taken what was sent, and there is room for more."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._send_queued()

    def _stuck(self, wait_s: float) -> None:
        """The connection has had no room for `wait_s`: cut it."""
        self._stalled = None
        if self._stream is not None:
            self._stream.abort(f"a frame was not taken within {wait_s:g} seconds")

    def _sight(self, node: str) -> None:
        """Report that `node` claims to be at this address; dialling it there will show whether that is true."""
        if node:
            self._context.events.on_sighted(node, self.address)

    @property
    def _send_wait_s(self) -> float:
        return self._trips.wait_s(least_s=self._limits.send_min_s, most_s=self._limits.send_max_s)

    def _report_refusal(self, refused: Refused) -> None:
        self._context.events.on_refused(self.peer, refused.code, refused.reason)
        level = logging.DEBUG if self._last_failure == refused.reason else logging.WARNING
        self._last_failure = refused.reason
        self._log(level, "peer refused", code=refused.code, reason=refused.reason)

    def _report_failure(self, reason: str) -> None:
        # A peer that is away is dialled many times, so only a new reason is logged above DEBUG.
        level = logging.DEBUG if self._last_failure == reason else logging.INFO
        self._last_failure = reason
        self._log(level, "dial failed", reason=reason)

    def _log(self, level: int, message: str, **fields: str) -> None:
        logger.log(
            level, message, extra={"fields": {"peer": self.peer, "address": str(self.address), **fields}}
        )
