"""Incoming links: the WebSocket route on which peers dial this node, shake hands and send frames."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import WSCloseCode, WSMsgType, web

from raftdb.core.messages import Message
from raftdb.core.model import NO_START, StartId
from raftdb.errors import RemoteProtocolError, RequestRefused, Unavailable
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.limits import (
    ADMITTED,
    FIRST_SEQUENCE,
    WEBSOCKET_MESSAGE_BYTES_MAX,
    Admission,
    LinkLimits,
)
from raftdb.transport.reasons import short_reason
from raftdb.transport.trips import Trips
from raftdb.wire.peer import Hello, Refused, Welcome, decode_frame, decode_handshake, encode_handshake

logger = logging.getLogger("raftdb.transport")

CLOSE_REASON_BYTES_MAX = 120
"""A WebSocket close frame holds 123 bytes of reason."""

FRAME_HEAD_BYTES_MAX = 14
"""What WebSocket puts in front of a message."""

REFUSALS_KEPT = 64
"""Refusals that are remembered, so that each is logged once: more than a cluster has members."""

OnMessages: TypeAlias = Callable[[Sequence[Message], str], None]
"""Takes the messages of one frame, in order, and the nonce of the start that sent them; called on the event loop, must
not block."""


@dataclass(eq=False, slots=True)
class _Incoming:
    """One connection that a peer dialled. `source` is set once the handshake is done."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    remote: str
    source: str = ""
    start: StartId = NO_START
    is_judged: bool = False
    """True while its hello is looked at."""
    admission: Admission = field(default_factory=lambda: Admission(is_member=False))
    sequence: int = FIRST_SEQUENCE
    trips: Trips = field(default_factory=Trips)
    heard_s: float = 0.0
    """When something came last, by the loop's clock."""
    watch: asyncio.TimerHandle | None = None


class PeerServer:
    """All incoming links of one node. `handle` is the handler of GET /v1/peer; `close` ends every link."""

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        on_messages: OnMessages,
        events: PeerEvents | None = None,
        limits: LinkLimits | None = None,
        is_member: Callable[[str], bool] = lambda peer: False,
    ) -> None:
        """`is_member`: of whom there are few enough, and who are never locked out by others."""
        self._is_member = is_member
        self._identity = identity
        self._check_peer = check_peer
        self._on_messages = on_messages
        self._events = events or PeerEvents()
        self._limits = limits or LinkLimits()
        self._links: dict[str, _Incoming] = {}
        # The oldest first.
        self._open: dict[_Incoming, None] = {}
        # What was said to whom, and from where it had dialled: the latest refusals, the oldest first.
        self._refusals: dict[str, tuple[str, str]] = {}
        self._closed = False
        # Who is no member waits for the others of its kind.
        self._strangers = asyncio.Lock()

    def connected(self) -> frozenset[str]:
        """The peers that have a link to this node."""
        return frozenset(self._links)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """GET /v1/peer: one link, from handshake to end. Raises RequestRefused or Unavailable before it begins."""
        limits = self._limits
        socket = web.WebSocketResponse(
            timeout=limits.close_timeout_s,
            autoping=False,
            compress=False,
            max_msg_size=WEBSOCKET_MESSAGE_BYTES_MAX,
        )
        if "Origin" in request.headers:
            raise RequestRefused("forbidden", "peers are not browsers")
        if not _is_upgrade(socket, request):
            raise RequestRefused("bad_request", "this path is for the peers of the cluster, over WebSocket")
        if self._closed or not self._has_room():
            raise Unavailable("busy", "too many handshakes at once, or the node is stopping")
        await socket.prepare(request)
        incoming = _Incoming(socket, request.transport, request.remote or "")
        self._open[incoming] = None
        try:
            await self._serve(incoming, request)
        except OSError as error:
            # The caller has gone in the middle of it, which is what networks do.
            fields = {"address": incoming.remote, "reason": short_reason(error)}
            logger.info("link cut off", extra={"fields": fields})
        except Exception:
            # The answer is a WebSocket by now: an error of ours can only close it.
            logger.exception("link failed", extra={"fields": {"address": incoming.remote}})
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)
        finally:
            self._open.pop(incoming, None)
            self._forget(incoming, "connection lost")
        return socket

    def _has_room(self) -> bool:
        """True if another handshake may begin. Who has said nothing yet, or is on its way out, makes room, the oldest
        first: a few silent connections would keep all members out."""
        pending = [incoming for incoming in self._open if self._links.get(incoming.source) is not incoming]
        if len(pending) < self._limits.handshakes_pending_max:
            return True
        idle = next((incoming for incoming in pending if not incoming.is_judged), None)
        if idle is None:
            return False
        self._open.pop(idle)
        if idle.transport is not None:
            idle.transport.abort()
        return True

    def cut(self, peers: Iterable[str], reason: str) -> None:
        """Cut the links of these peers, for this reason; who dials again is judged anew."""
        for peer in sorted(self._links.keys() & set(peers)):
            incoming = self._links[peer]
            self._forget(incoming, reason)
            if incoming.transport is not None:
                incoming.transport.abort()

    async def close(self) -> None:
        """End every link and refuse new ones. Bounded by the limits' `close_timeout_s`."""
        self._closed = True
        links = sorted(self._open, key=lambda incoming: incoming.source)
        for incoming in links:
            self._forget(incoming, "this node is stopping")
        await asyncio.gather(
            *(
                incoming.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the node is stopping")
                for incoming in links
            ),
            return_exceptions=True,
        )

    async def _serve(self, incoming: _Incoming, request: web.BaseRequest) -> None:
        """Handshake, then frames, until either side closes."""
        clock = asyncio.get_running_loop().time
        accepted_s = clock()
        try:
            async with asyncio.timeout(self._limits.hello_timeout_s):
                welcome = await self._shake_hands(incoming)
            # The answer to the upgrade went there, and the hello came back.
            incoming.trips.note(clock() - accepted_s)
        except TimeoutError:
            await self._close(incoming, "no handshake in time")
            return
        except RemoteProtocolError as error:
            await self._close(incoming, error.message)
            return
        if welcome is None or self._closed:
            return
        incoming.admission.is_member = self._is_member(incoming.source)
        request[ADMITTED] = incoming.admission
        self._replace(incoming)
        await incoming.socket.send_bytes(encode_handshake(welcome))
        self._watch(incoming)
        try:
            while (await self._receive_frame(incoming)) and self._links.get(incoming.source) is incoming:
                pass
        except RemoteProtocolError as error:
            self._forget(incoming, error.message)
            await self._close(incoming, error.message)

    async def _shake_hands(self, incoming: _Incoming) -> Welcome | None:
        """Read and judge the hello. `None` if it was refused, and the connection closed."""
        message = await incoming.socket.receive()
        if message.type is not WSMsgType.BINARY:
            raise RemoteProtocolError("a link begins with a handshake")
        hello = decode_handshake(message.data)
        if not isinstance(hello, Hello):
            raise RemoteProtocolError("a link begins with a hello")
        refused = self._too_many_strangers(hello.source)
        if refused is None:
            incoming.is_judged = True
            try:
                refused = await check_introduction(hello, self._identity, self._check_peer)
            finally:
                incoming.is_judged = False
        if refused is not None:
            await self._refuse(incoming, hello, refused)
            return None
        self._refusals.pop(hello.source, None)
        incoming.source, incoming.start = hello.source, hello.start
        return self._identity.introduce(Welcome, hello.source)

    def _too_many_strangers(self, source: str) -> Refused | None:
        """Every link is dialled back and remembered: those who are no members have only so many, whatever they are
        called."""
        if self._is_member(source) or source in self._links:
            return None
        strangers = sum(not self._is_member(peer) for peer in self._links)
        if strangers < self._limits.strangers_max:
            return None
        return Refused("too_many_strangers", f"{strangers} nodes that are no members have a link already")

    async def _refuse(self, incoming: _Incoming, hello: Hello, refused: Refused) -> None:
        fields = {
            "peer": hello.source,
            "address": incoming.remote,
            "code": refused.code,
            "reason": refused.reason,
        }
        # Who is refused dials again and again: only what is new is worth a line.
        said = (refused.code, incoming.remote)
        is_known = self._refusals.pop(hello.source, None) == said
        self._refusals[hello.source] = said
        if len(self._refusals) > REFUSALS_KEPT:
            del self._refusals[next(iter(self._refusals))]
        logger.log(logging.DEBUG if is_known else logging.WARNING, "peer refused", extra={"fields": fields})
        self._events.on_refused(hello.source, refused.code, refused.reason)
        await incoming.socket.send_bytes(encode_handshake(refused))
        await incoming.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=_reason(refused.reason))

    def _watch(self, incoming: _Incoming) -> None:
        """Cut a link whose dialler, who pings, has been silent for too long: it is gone without a word (hazard B93)."""
        loop, limits = asyncio.get_running_loop(), self._limits
        incoming.heard_s = loop.time()

        def look() -> None:
            wait_s = incoming.trips.wait_s(least_s=limits.answer_min_s, most_s=limits.answer_max_s)
            ends_s = incoming.heard_s + limits.ping_s + wait_s
            if loop.time() < ends_s:
                incoming.watch = loop.call_at(ends_s, look)
            elif incoming.transport is not None:
                self._forget(incoming, "nothing was heard of it for too long")
                incoming.transport.abort()

        look()

    async def _receive_frame(self, incoming: _Incoming) -> bool:
        """Deliver the next frame; False at the end of the connection. Raises RemoteProtocolError: close the link."""
        message = await incoming.socket.receive()
        incoming.heard_s = asyncio.get_running_loop().time()
        if message.type is WSMsgType.PING:
            await incoming.socket.pong(message.data)
            return True
        if message.type is not WSMsgType.BINARY:
            if message.type is WSMsgType.TEXT:
                raise RemoteProtocolError("a frame is not binary")
            return False
        admission = incoming.admission
        admission.unread_bytes = max(0, admission.unread_bytes - len(message.data) - FRAME_HEAD_BYTES_MAX)
        admission.is_member = self._is_member(incoming.source)
        if admission.is_member:
            is_link = self._take_frame(incoming, message.data)
            # More frames may be here already, which come without a wait: heartbeats and votes get their turn.
            await asyncio.sleep(0)
            return is_link
        return await self._take_slowly(incoming, message.data)

    async def _take_slowly(self, incoming: _Incoming, data: bytes) -> bool:
        """Take the frame of a stranger: anybody may be one, and a frame that leads to nothing costs as much as any. All
        of them together have a share of the loop's time."""
        clock = asyncio.get_running_loop().time
        async with self._strangers:
            began_s = clock()
            try:
                return self._take_frame(incoming, data)
            finally:
                took_s = clock() - began_s
                await asyncio.sleep(took_s / self._limits.strangers_share - took_s)
                incoming.heard_s = clock()

    def _take_frame(self, incoming: _Incoming, data: bytes) -> bool:
        """Deliver what a frame holds; False if the link is none any more. Raises RemoteProtocolError."""
        if self._links.get(incoming.source) is not incoming:
            # Replaced, or stopping: what is still in the buffer is from before.
            return False
        sequence, messages = decode_frame(data)
        if sequence != incoming.sequence:
            raise RemoteProtocolError(f"frame {sequence} came in place of {incoming.sequence}")
        for inner in messages:
            if inner.source != incoming.source or inner.target != self._identity.node_id:
                raise RemoteProtocolError(
                    f"a message from {inner.source} to {inner.target} came on this link"
                )
        incoming.sequence += 1
        self._on_messages(messages, incoming.start.nonce)
        return True

    def _replace(self, incoming: _Incoming) -> None:
        """Make `incoming` the link of its peer. An older one is cut: its dialler is gone, or has given it up."""
        older = self._links.get(incoming.source)
        if older is not None:
            self._forget(older, "replaced by a newer connection")
            if older.transport is not None:
                older.transport.abort()
        self._links[incoming.source] = incoming
        fields = {"peer": incoming.source, "address": incoming.remote, "direction": "incoming"}
        logger.info("peer up", extra={"fields": fields})
        self._events.on_peer_up(incoming.source)

    def _forget(self, incoming: _Incoming, reason: str) -> None:
        """End the use of a link, once; later calls do nothing."""
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

    async def _close(self, incoming: _Incoming, reason: str) -> None:
        """Close for a breach of the protocol, and say which."""
        fields = {"peer": incoming.source, "address": incoming.remote, "reason": reason}
        logger.warning("link closed", extra={"fields": fields})
        await incoming.socket.close(code=WSCloseCode.PROTOCOL_ERROR, message=_reason(reason))


def _is_upgrade(socket: web.WebSocketResponse, request: web.BaseRequest) -> bool:
    """True if the request asks for a WebSocket. A key that is not ASCII is an error of the caller, too."""
    try:
        return bool(socket.can_prepare(request))
    except ValueError:
        return False


def _reason(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:CLOSE_REASON_BYTES_MAX]
