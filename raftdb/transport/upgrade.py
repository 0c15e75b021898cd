"""Changing a connection of HTTP to one of frames, by `Upgrade: raftdb`, so that a node needs only one address."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias, cast

from aiohttp import web

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused
from raftdb.memory import Hold
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.proof import NONCE_HEADER, PeerProof
from raftdb.transport.reasons import DialRefused
from raftdb.transport.stream import FrameStream
from raftdb.wire.sealing import Seal

PROTOCOL = "raftdb"
"""Name of the new protocol in `Upgrade` headers."""
HEAD_BYTES_MAX = 16 * 1024
"""Longest head of an answer to a dial, up to the empty line."""

_SWITCHING = ("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {PROTOCOL}")
_NONCE_LINE = re.compile(rb"\r\n" + NONCE_HEADER.encode() + rb": ([0-9a-f]{1,128})\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")


MakeStream: TypeAlias = Callable[[Seal], FrameStream]
"""Makes the stream of a new connection."""


class PeerConnection(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    memory: Hold
    peer_seal: Seal | None
    """The seal of the requests on this connection, if a node has begun to prove itself (`sealed_requests`)."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over."""


class Switched(web.Response):
    """The response of a handler whose connection was taken over: it sends nothing."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head was written already."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


def refuse_browsers(request: web.BaseRequest) -> None:
    """Raise RequestRefused if a page in a browser may have sent the request."""
    if "Origin" in request.headers:
        raise RequestRefused("forbidden", "peers are not browsers")


def require_upgrade(request: web.BaseRequest) -> None:
    """Raise RequestRefused unless the caller is no browser and asks to change to frames."""
    refuse_browsers(request)
    wants = request.headers.get("Upgrade", "").lower() == PROTOCOL
    if not wants or "upgrade" not in request.headers.get("Connection", "").lower():
        reason = f"this path is for the peers of the cluster, with Upgrade: {PROTOCOL}"
        raise RequestRefused("bad_request", reason)


@contextmanager
def accepted(
    request: web.BaseRequest, proof: PeerProof, make: MakeStream = FrameStream
) -> Iterator[tuple[FrameStream, Hold]]:
    """Answer the upgrade; within the context the caller's connection is a stream that `make` has made. Yields it with
    the connection's hold on the node's memory. Raises ConnectionError if the caller has gone, and RequestRefused if it
    does not offer the proof that this node wants."""
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the caller has gone")
    connection = cast(PeerConnection, request.protocol)
    try:
        certified = proof.certified(transport)
        seal, nonce = proof.answer(request.path, request.headers.get(NONCE_HEADER), certified)
    except RequestRefused:
        proof.refused(request.remote)
        raise

    def lost(error: Exception | None) -> None:
        """Give the connection's memory back, and tell the listener, which counts its connections."""
        connection.memory.release()
        connection.connection_lost(error)

    stream = make(seal)
    stream.on_lost = lost
    stream.certified = certified
    proof.note(stream)
    transport.write(_head(*_SWITCHING, *_nonce_line(nonce)))
    transport.set_protocol(stream)
    stream.connection_made(transport)
    try:
        yield stream, connection.memory
    finally:
        if not stream.ended.done():
            stream.abort()


def _nonce_line(nonce: str | None) -> tuple[str, ...]:
    return () if nonce is None else (f"{NONCE_HEADER}: {nonce}",)


def _head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("ascii")


class _Answer(asyncio.Protocol):
    """Collects the answer to a dial, up to the empty line."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.status: asyncio.Future[int] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._head = bytearray()

    @property
    def nonce(self) -> str | None:
        """What the other end adds to the keys of the connection; None if it seals nothing."""
        match = _NONCE_LINE.search(self._head.partition(b"\r\n\r\n")[0] + b"\r\n")
        return None if match is None else match[1].decode("ascii")

    @property
    def tail(self) -> bytes:
        """The bytes after the head: the first frames, if the other end is quick."""
        return bytes(self._head.partition(b"\r\n\r\n")[2])

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer. What was looked at before is not looked at again."""
        begin = max(0, len(self._head) - len(_HEAD_END) + 1)
        self._head += data
        if self.status.done():
            return
        is_long = len(self._head) > HEAD_BYTES_MAX
        if is_long or self._head.find(_HEAD_END, begin) >= 0:
            match = None if is_long else _STATUS_LINE.match(self._head)
            self.status.set_result(0 if match is None else int(match[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that no more will come."""
        self.over.set_result(None)
        if not self.status.done():
            self.status.set_exception(exc or ConnectionResetError("closed by the peer"))


async def dial(
    endpoint: Endpoint,
    proof: PeerProof,
    *,
    connect_timeout_s: float,
    path: str = PEER_PATH,
    make: MakeStream = FrameStream,
) -> FrameStream:
    """Connect and change protocols at `path`, to a stream that `make` has made. The timeout is for the connection
    alone. Raises DialRefused, RemoteProtocolError, TimeoutError, OSError."""
    loop, tls = asyncio.get_running_loop(), proof.tls_to(endpoint)
    context, name = (None, None) if tls is None else (tls.context(), tls.server_name(endpoint.host))
    async with asyncio.timeout(connect_timeout_s):
        transport, answer = await loop.create_connection(
            _Answer, endpoint.host, endpoint.port, ssl=context, server_hostname=name
        )
    try:
        certified = tls.ids(transport) if tls is not None and tls.is_mutual else None
        offer = proof.offer(path, is_certified=bool(certified))
        lines = (f"Host: {endpoint.authority}", "Connection: Upgrade", f"Upgrade: {PROTOCOL}")
        transport.write(_head(f"GET {path} HTTP/1.1", *lines, *_nonce_line(offer.nonce)))
        status = await answer.status
        if status != 101:
            raise DialRefused(status)
        if answer.over.done():
            raise ConnectionResetError("closed by the peer")
        seal = offer.sealed(answer.nonce)
    except BaseException:
        transport.abort()
        await asyncio.wait({answer.over})
        raise
    stream = make(seal)
    stream.certified = certified
    proof.note(stream)
    transport.set_protocol(stream)
    stream.connection_made(transport)
    if answer.tail:
        stream.data_received(answer.tail)
    return stream
