"""The incoming links of a node: peers dial its route, change to frames, shake hands and send messages."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from aiohttp import web

from raftdb.background import StartTask
from raftdb.core.messages import Message
from raftdb.core.model import NO_START, StartId
from raftdb.errors import RemoteProtocolError, Unavailable
from raftdb.memory import Hold
from raftdb.route import Permission, Route, Routes
from raftdb.transport.events import PeerEvents
from raftdb.transport.greeting import GreetingRefused, Reception
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.kernel_retries import fit_kernel_retries
from raftdb.transport.limits import FIRST_SEQUENCE, PEER_PATH, LinkLimits
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.reasons import short_reason
from raftdb.transport.stream import FrameStream
from raftdb.transport.trips import Trips
from raftdb.transport.upgrade import Switched, accepted, require_upgrade
from raftdb.wire.handshake import Hello, Refused
from raftdb.wire.peer import decode_frame
from raftdb.wire.sealing import Unproved
from raftdb.wire.stream import Kind

logger = logging.getLogger("raftdb.transport")

REFUSALS_KEPT = 64
"""This many refusals are remembered, so that each is logged once: more than a cluster has members."""

OnMessages: TypeAlias = Callable[[Sequence[Message], str], None]
"""Takes the messages of one frame, in order, and the nonce of the start that sent them. It is called on the event loop
and must not block."""


@dataclass(eq=False, slots=True)
class _Incoming:
    """One connection that a peer dialled. `source` is set once the handshake is done."""

    stream: FrameStream
    memory: Hold
    """The memory that a stranger's unread frames take: megabytes, while any caller may be a stranger."""
    remote: str
    source: str = ""
    start: StartId = NO_START
    sequence: int = FIRST_SEQUENCE
    trips: Trips = field(default_factory=Trips)
    watch: asyncio.TimerHandle | None = None


class PeerServer:
    """All incoming links of one node, each a request of GET /v1/peer; `close` ends every one."""

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        on_messages: OnMessages,
        events: PeerEvents | None = None,
        limits: LinkLimits | None = None,
        medium: Medium = THE_NETWORK,
        is_member: Callable[[str], bool] = lambda peer: False,
        start: StartTask = asyncio.create_task,
    ) -> None:
        """`is_member` tells members, whose links are never limited for others, from strangers. `start` runs the tasks
        beside the links, and handles their failures."""
        self._start = start
        self._is_member = is_member
        self._identity = identity
        self._on_messages = on_messages
        self._events = events or PeerEvents()
        self._limits = limits = limits or LinkLimits()
        self._medium = medium
        self._reception = Reception(identity, check_peer, limits)
        self._links: dict[str, _Incoming] = {}
        self._open: set[_Incoming] = set()
        self.received_bytes: Counter[str] = Counter()
        """The bytes of messages that each member has sent."""
        # The code of the latest refusal of each peer and the address that it dialled from, the oldest first.
        self._refusals: dict[str, tuple[str, str]] = {}
        self._closed = False
        # Frames of strangers are taken one at a time.
        self._strangers = asyncio.Lock()

    @property
    def routes(self) -> Routes:
        """The route that peers dial."""
        return {PEER_PATH: {"GET": Route(self.handle, Permission.PEER)}}

    def connected(self) -> frozenset[str]:
        """The peers that have a link to this node."""
        return frozenset(self._links)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """GET /v1/peer: one link, from handshake to end. Raises RequestRefused or Unavailable before it begins."""
        require_upgrade(request)
        if self._closed:
            raise Unavailable("busy", "the node is stopping")
        self._reception.make_room()
        with accepted(request, self._identity.proof, self._medium.accept) as (stream, memory):
            incoming = _Incoming(stream, memory, request.remote or "")
            self._open.add(incoming)
            try:
                await self._serve(incoming)
            except OSError as error:
                # The caller has gone during the handshake, which is not unusual.
                fields = {"address": incoming.remote, "reason": short_reason(error)}
                logger.info("link cut off", extra={"fields": fields})
            except Exception as error:  # noqa: BLE001 - `_failed` handles it
                self._failed(incoming, error)
            try:
                await asyncio.wait({stream.ended})
            finally:
                self._open.discard(incoming)
                self._forget(incoming, "connection lost")
        return Switched()

    def cut(self, peers: Iterable[str], reason: str) -> None:
        """Cut the links of these peers, for this reason; a peer that dials again is judged anew."""
        for peer in sorted(self._links.keys() & set(peers)):
            incoming = self._links[peer]
            self._forget(incoming, reason)
            incoming.stream.abort()

    async def close(self) -> None:
        """End every link and refuse new ones. Takes up to the limits' `close_timeout_s`."""
        self._closed = True
        links = sorted(self._open, key=lambda incoming: incoming.source)
        for incoming in links:
            self._forget(incoming, "this node is stopping")
            incoming.stream.close("the node is stopping", timeout_s=self._limits.close_timeout_s)
        if links:
            await asyncio.wait({incoming.stream.ended for incoming in links})

    async def _serve(self, incoming: _Incoming) -> None:
        """Shake hands, and begin to hand frames over, which goes on until either side closes."""
        clock, stream = asyncio.get_running_loop().time, incoming.stream
        accepted_s = clock()
        try:
            hello = await self._reception.receive(stream, self._too_many_strangers)
        except TimeoutError:
            self._close(incoming, "no handshake in time")
            return
        except Unproved as error:
            self._identity.proof.refused(incoming.remote)
            stream.close(error.message, timeout_s=self._limits.close_timeout_s)
            return
        except RemoteProtocolError as error:
            self._close(incoming, error.message)
            return
        except GreetingRefused as refusal:
            self._refuse(incoming, refusal)
            return
        # The answer to the upgrade and the hello make one trip.
        incoming.trips.note(clock() - accepted_s)
        fit_kernel_retries(stream, incoming.trips, self._limits)
        if self._closed:
            return
        self._refusals.pop(hello.source, None)
        incoming.source, incoming.start = hello.source, hello.start
        self._replace(incoming)
        self._reception.welcome(stream, hello)
        self._watch(incoming)
        stream.on_data = partial(self._account, incoming)
        stream.on_broken = partial(self._broken, incoming)
        stream.hand_over(partial(self._take, incoming))

    def _too_many_strangers(self, hello: Hello) -> Refused | None:
        """The refusal of a new stranger while strangers have `strangers_max` links: this node dials every peer of a
        link back, and remembers it."""
        source = hello.source
        if self._is_member(source) or source in self._links:
            return None
        strangers = sum(not self._is_member(peer) for peer in self._links)
        if strangers < self._limits.strangers_max:
            return None
        return Refused("too_many_strangers", f"{strangers} nodes that are no members have a link already")

    def _refuse(self, incoming: _Incoming, refusal: GreetingRefused) -> None:
        refused, source = refusal.refused, refusal.source
        fields = {
            "peer": source,
            "address": incoming.remote,
            "code": refused.code,
            "reason": refused.reason,
        }
        # A peer that is refused dials again and again, so only a new refusal is logged above DEBUG.
        said = (refused.code, incoming.remote)
        is_known = self._refusals.pop(source, None) == said
        self._refusals[source] = said
        if len(self._refusals) > REFUSALS_KEPT:
            del self._refusals[next(iter(self._refusals))]
        logger.log(logging.DEBUG if is_known else logging.WARNING, "peer refused", extra={"fields": fields})
        self._events.on_refused(source, refused.code, refused.reason)
        self._reception.refuse(incoming.stream, refused)

    def _watch(self, incoming: _Incoming) -> None:
        """Cut the link once its dialler, which has to ping, has been silent for too long (hazard B93)."""
        loop, limits = asyncio.get_running_loop(), self._limits

        def look() -> None:
            wait_s = incoming.trips.wait_s(least_s=limits.answer_min_s, most_s=limits.answer_max_s)
            ends_s = incoming.stream.heard_s + limits.ping_s + wait_s
            if loop.time() < ends_s:
                incoming.watch = loop.call_at(ends_s, look)
            else:
                self._forget(incoming, "nothing was heard of it for too long")
                incoming.stream.abort()

        look()

    def _account(self, incoming: _Incoming) -> None:
        """Account for the unread frames of a stranger in the memory for requests, and cut it if there is none left.
        Members' frames are not accounted for."""
        is_member = self._is_member(incoming.source)
        try:
            incoming.memory.resize(0 if is_member else incoming.stream.buffered_bytes)
        except Unavailable:
            incoming.stream.abort()

    def _take(self, incoming: _Incoming, kind: Kind, body: bytes) -> None:
        """Take a frame. Raises RemoteProtocolError, by which the link is closed."""
        if kind is Kind.PING:
            # A peer that does not read its answers gets no more of them.
            if incoming.stream.has_room:
                incoming.stream.send(Kind.PONG)
        elif kind is not Kind.MESSAGES:
            raise RemoteProtocolError("a link carries messages and pings")
        elif self._is_member(incoming.source):
            self.received_bytes[incoming.source] += len(body)
            self._deliver(incoming, body)
        else:
            incoming.stream.hand_over(None)
            self._start(self._take_slowly(incoming, body), name=f"frame of {incoming.source}")

    async def _take_slowly(self, incoming: _Incoming, body: bytes) -> None:
        """Take the frame of a stranger. Any caller may be one, and a frame without use costs as much time as any, so
        all strangers together get `strangers_share` of the loop's time."""
        clock, stream = asyncio.get_running_loop().time, incoming.stream
        async with self._strangers:
            began_s = clock()
            try:
                self._deliver(incoming, body)
            except Exception as error:  # noqa: BLE001 - `_broken` handles it
                self._broken(incoming, error)
            took_s = clock() - began_s
            await asyncio.sleep(took_s / self._limits.strangers_share - took_s)
        stream.heard_s = clock()
        if self._links.get(incoming.source) is incoming:
            stream.hand_over(partial(self._take, incoming))

    def _deliver(self, incoming: _Incoming, body: bytes) -> None:
        """Give the messages of a frame to the owner. Raises RemoteProtocolError."""
        if self._links.get(incoming.source) is not incoming:
            # The link was replaced, or is stopping: the frame was in its buffer.
            return
        sequence, messages = decode_frame(body)
        if sequence != incoming.sequence:
            raise RemoteProtocolError(f"frame {sequence} came in place of {incoming.sequence}")
        for inner in messages:
            if inner.source != incoming.source or inner.target != self._identity.node_id:
                raise RemoteProtocolError(
                    f"a message from {inner.source} to {inner.target} came on this link"
                )
        incoming.sequence += 1
        self._on_messages(messages, incoming.start.nonce)

    def _broken(self, incoming: _Incoming, error: Exception) -> None:
        """End the link: the dialler breaks the protocol, or this node failed on a frame of it."""
        if isinstance(error, RemoteProtocolError):
            self._forget(incoming, error.message)
            self._close(incoming, error.message)
        else:
            self._failed(incoming, error)

    def _failed(self, incoming: _Incoming, error: Exception) -> None:
        """Close the link for an error of this node. An answer of HTTP is no longer possible on the stream."""
        fields = {"address": incoming.remote}
        logger.error("link failed", exc_info=error, extra={"fields": fields})
        self._forget(incoming, "internal error")
        incoming.stream.close("internal error", timeout_s=self._limits.close_timeout_s)

    def _replace(self, incoming: _Incoming) -> None:
        """Make `incoming` the link of its peer. An older one is cut, because its dialler is gone or has given it up."""
        older = self._links.get(incoming.source)
        if older is not None:
            self._forget(older, "replaced by a newer connection")
            older.stream.abort()
        self._links[incoming.source] = incoming
        fields = {"peer": incoming.source, "address": incoming.remote, "direction": "incoming"}
        logger.info("peer up", extra={"fields": fields})
        self._events.on_peer_up(incoming.source)

    def _forget(self, incoming: _Incoming, reason: str) -> None:
        """Stop using a link, and report it down; does nothing if it is not in use."""
        if self._links.get(incoming.source) is not incoming:
            return
        del self._links[incoming.source]
        if incoming.watch is not None:
            incoming.watch.cancel()
        fields = {
            "peer": incoming.source,
            "address": incoming.remote,
            "direction": "incoming",
            "reason": reason,
        }
        logger.info("peer down", extra={"fields": fields})
        self._events.on_peer_down(incoming.source, reason)

    def _close(self, incoming: _Incoming, reason: str) -> None:
        """Close the connection for a breach of the protocol, which is logged and told to the peer."""
        fields = {"peer": incoming.source, "address": incoming.remote, "reason": reason}
        logger.warning("link closed", extra={"fields": fields})
        incoming.stream.close(reason, timeout_s=self._limits.close_timeout_s)
