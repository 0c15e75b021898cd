"""The leader's end of the connections over which nodes pass requests of their clients on."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from aiohttp import web

from raftdb.errors import RemoteProtocolError, Unavailable
from raftdb.memory import Hold
from raftdb.route import Permission, Route, Routes
from raftdb.transport.greeting import GreetingRefused, Reception
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.limits import FORWARD_PATH, LinkLimits
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.reasons import short_reason
from raftdb.transport.stream import FrameStream
from raftdb.transport.upgrade import Switched, accepted, require_upgrade
from raftdb.wire.handshake import Hello, Refused
from raftdb.wire.stream import Kind

logger = logging.getLogger("raftdb.transport")


class ForwardStream:
    """One such connection, for who executes the requests. `memory` is given back when it ends, and `on_end` called."""

    def __init__(self, stream: FrameStream, memory: Hold, limits: LinkLimits) -> None:
        self.memory = memory
        memory.is_of_many = True
        self.on_end: Callable[[], None] = lambda: None
        self._stream = stream
        self._limits = limits

    def send(self, body: bytes) -> None:
        """Send a frame of answers. Dropped if the connection is over."""
        self._stream.send(Kind.ANSWERS, body)

    def close(self, reason: str) -> None:
        """End the connection when what was sent has arrived; no further request is handed over."""
        self._stream.close(reason, timeout_s=self._limits.close_timeout_s)


OnRequests: TypeAlias = Callable[[bytes], None]
"""Takes a frame of requests. It must not block; RemoteProtocolError ends the connection."""
OpenForward: TypeAlias = Callable[[ForwardStream], OnRequests]
"""Takes a new connection."""


class ForwardServer:
    """All such connections to this node, at most one for each member; `close` ends every one.

    While a node does not read its answers no more of its requests are taken.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        is_member: Callable[[str], bool],
        on_opened: OpenForward,
        limits: LinkLimits | None = None,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._identity = identity
        self._is_member = is_member
        self._on_opened = on_opened
        self._limits = limits = limits or LinkLimits()
        self._medium = medium
        self._reception = Reception(identity, check_peer, limits)
        self._streams: dict[str, FrameStream] = {}
        self._open: set[FrameStream] = set()
        self._closed = False

    @property
    def routes(self) -> Routes:
        """The route that nodes dial."""
        return {FORWARD_PATH: {"GET": Route(self.handle, Permission.PEER)}}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """GET /v1/peer/forward: one connection, from handshake to end. Raises RequestRefused or Unavailable before it
        begins."""
        require_upgrade(request)
        if self._closed:
            raise Unavailable("busy", "the node is stopping")
        self._reception.make_room()
        with accepted(request, self._identity.proof, self._medium.accept) as (stream, memory):
            self._open.add(stream)
            try:
                await self._serve(stream, memory)
                await asyncio.wait({stream.ended})
            finally:
                self._open.discard(stream)
        return Switched()

    async def close(self) -> None:
        """End every connection and refuse new ones. Takes up to the limits' `close_timeout_s`."""
        self._closed = True
        streams = list(self._open)
        for stream in streams:
            stream.close("the node is stopping", timeout_s=self._limits.close_timeout_s)
        if streams:
            await asyncio.wait({stream.ended for stream in streams})

    async def _serve(self, stream: FrameStream, memory: Hold) -> None:
        """Shake hands, and begin to hand requests over."""
        try:
            hello = await self._reception.receive(stream, self._no_member)
        except GreetingRefused as refusal:
            self._reception.refuse(stream, refusal.refused)
            return
        except (RemoteProtocolError, TimeoutError, OSError) as error:
            self._end(stream, short_reason(error))
            return
        if self._closed:
            self._end(stream, "the node is stopping")
            return
        older = self._streams.get(hello.source)
        if older is not None:
            older.abort()
        self._streams[hello.source] = stream
        stream.ended.add_done_callback(lambda _: self._forget(hello.source, stream))
        self._reception.welcome(stream, hello)
        forward = ForwardStream(stream, memory, self._limits)
        stream.ended.add_done_callback(lambda _: forward.on_end())
        self._hand_over(stream, self._on_opened(forward))

    def _no_member(self, hello: Hello) -> Refused | None:
        return (
            None if self._is_member(hello.source) else Refused("not_member", f"{hello.source} is no member")
        )

    def _hand_over(self, stream: FrameStream, take: OnRequests) -> None:
        def take_frame(kind: Kind, body: bytes) -> None:
            if kind is not Kind.REQUESTS:
                raise RemoteProtocolError("this connection carries requests and answers")
            take(body)
            if not stream.has_room:
                stream.hand_over(None)

        def broken(error: Exception) -> None:
            if not isinstance(error, RemoteProtocolError):
                logger.error("passed on requests failed", exc_info=error)
            self._end(stream, short_reason(error))

        stream.on_room = lambda: stream.hand_over(take_frame)
        stream.on_broken = broken
        stream.hand_over(take_frame)

    def _end(self, stream: FrameStream, reason: str) -> None:
        stream.close(reason, timeout_s=self._limits.close_timeout_s)

    def _forget(self, source: str, stream: FrameStream) -> None:
        if self._streams.get(source) is stream:
            del self._streams[source]
