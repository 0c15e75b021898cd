"""The connection to the leader over which a node passes requests of its clients on.

It is not a link: messages of the core do not wait behind requests, and a connection that is lost takes no link with it.
It begins with the same change of protocols and the same handshake.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from raftdb.background import StartTask
from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError
from raftdb.transport.greeting import GreetingRefused, check_answer, exchange
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.limits import FORWARD_PATH, LinkLimits
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.reasons import DialRefused, short_reason
from raftdb.transport.stream import FrameStream
from raftdb.wire.handshake import Hello
from raftdb.wire.stream import Kind

logger = logging.getLogger("raftdb.transport")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardEvents:
    """Called on the event loop: `on_room` when requests may be sent, `on_answers` for each frame of answers, and
    `on_down` once, with the reason, when the connection has ended or could not be made."""

    on_room: Callable[[], None]
    on_answers: Callable[[bytes], None]
    on_down: Callable[[str], None]


class ForwardLink:
    """One connection to the node `peer` at `endpoint`, dialled when it is made. It is not dialled again."""

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        peer: str,
        endpoint: Endpoint,
        check_peer: CheckPeer,
        events: ForwardEvents,
        limits: LinkLimits | None = None,
        start: StartTask = asyncio.create_task,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._identity = identity
        self._peer = peer
        self._endpoint = endpoint
        self._check_peer = check_peer
        self._events = events
        self._limits = limits or LinkLimits()
        self._medium = medium
        self._stream: FrameStream | None = None
        self._is_closed = False
        self.task = start(self._run(), name=f"requests to {peer}")

    @property
    def has_room(self) -> bool:
        """True while the connection is up and takes more."""
        return self._stream is not None and self._stream.has_room

    def send(self, body: bytes) -> None:
        """Send a frame of requests. Dropped if the connection is not up."""
        if self._stream is not None:
            self._stream.send(Kind.REQUESTS, body)

    def close(self) -> None:
        """End the connection at once; nothing is called any more."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.abort("stopped")
        else:
            self.task.cancel()

    async def _run(self) -> None:
        reason = "internal error"
        try:
            async with asyncio.timeout(self._limits.dial_max_s):
                stream = await self._dial()
            self._stream = stream
            if self._is_closed:
                stream.abort("stopped")
            else:
                logger.debug("requests are passed on", extra={"fields": {"to": self._peer}})
                stream.on_room = self._events.on_room
                stream.hand_over(self._hear)
                self._events.on_room()
            reason = await stream.ended
        except GreetingRefused as refusal:
            reason = str(refusal)
        except (DialRefused, RemoteProtocolError, TimeoutError, OSError) as error:
            reason = short_reason(error)
        finally:
            self._stream = None
            if not self._is_closed:
                self._is_closed = True
                fields = {"to": self._peer, "reason": reason}
                logger.debug("requests are no longer passed on", extra={"fields": fields})
                self._events.on_down(reason)

    async def _dial(self) -> FrameStream:
        """Connect and shake hands. Raises GreetingRefused, RemoteProtocolError, or what `dial` raises."""
        limits, identity = self._limits, self._identity
        stream = await self._medium.dial(
            self._peer,
            self._endpoint,
            identity.proof,
            connect_timeout_s=limits.connect_timeout_s,
            path=FORWARD_PATH,
        )
        try:
            answer = await exchange(stream, identity.introduce(Hello, self._peer))
            await check_answer(stream, answer, self._peer, identity, self._check_peer)
        except BaseException:
            stream.abort()
            await asyncio.wait({stream.ended})
            raise
        return stream

    def _hear(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.ANSWERS:
            raise RemoteProtocolError("this connection carries requests and answers")
        if not self._is_closed:
            self._events.on_answers(body)
