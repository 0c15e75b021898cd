"""The sending end of a snapshot: a member that was told of a snapshot fetches its file here, range by range.

    GET /v1/peer/snapshot
    Authorization: Raftdb HELLO       the node that asks, and the one it means: the handshake of a link, in base64
    If-Match: "DIGEST"                the snapshot, by its SHA-256 in hex
    Range: bytes=FIRST-LAST           the answer has at most `PIECE_BYTES_MAX` of it

    206 Partial Content
    Content-Range: bytes FIRST-LAST/SIZE
    Raftdb-Welcome: WELCOME           the node that answers
    Raftdb-Crc32: CHECKSUM            of this range, because TCP does not detect all damage (hazard B94)

The nodes prove themselves by seals on all of this (`sealed_requests`). A caller that may not have it gets 403 with an
encoded `Refused`; 412 says that this node does not have that snapshot, or no longer. The server keeps nothing of a
download between requests, so one that was interrupted goes on with the next range.
"""

import asyncio
import binascii
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from aiohttp import web

from raftdb.errors import RemoteProtocolError, RequestRefused, Unavailable
from raftdb.route import Permission, Route, Routes
from raftdb.transport.greeting import not_certified
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.reasons import CutOff
from raftdb.transport.sealed_requests import admit, frame_of, seal_headers
from raftdb.transport.upgrade import refuse_browsers
from raftdb.wire.fields import DIGEST_BYTES, NUMBER_LIMIT
from raftdb.wire.handshake import Hello, Refused, Welcome, decode_handshake, encode_handshake
from raftdb.wire.sealing import Seal

SNAPSHOT_PATH = PEER_PATH + "/snapshot"
AUTHORIZATION = "Raftdb"
"""Scheme of the `Authorization` header."""
WELCOME_HEADER = "Raftdb-Welcome"
CHECKSUM_HEADER = "Raftdb-Crc32"
REQUEST_HEADERS = ("Authorization", "If-Match", "Range")
ANSWER_HEADERS = ("Content-Range", WELCOME_HEADER, CHECKSUM_HEADER)
"""The headers that are read of a request and of an answer."""
REFUSED_TYPE = "application/cbor"

PIECE_BYTES_MAX = 4 * 1024 * 1024
"""Longest range that one request gets. It is in memory as a whole, at both ends."""
WRITE_BYTES = 256 * 1024
"""How much of a piece is written at once: about as much as the kernel takes, so that little is copied into a buffer."""
SEND_TIMEOUT_S = 30.0
"""How long a member may take to read one piece before its connection is cut (hazard B92)."""

_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{1,19})?", re.ASCII)
_DIGEST = re.compile(rf'"([0-9a-f]{{{2 * DIGEST_BYTES}}})"')

Kind = TypeVar("Kind", Hello, Welcome)


class SnapshotSource(Protocol):
    """A snapshot that may be fetched. Its bytes never change."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole snapshot."""
        ...

    def read(self, offset: int, bytes_max: int) -> bytes:
        """At most `bytes_max` bytes from `offset` on. May block. Raises OSError, also if the file is gone."""
        ...


FindSnapshot: TypeAlias = Callable[[str, bytes], SnapshotSource | None]
"""Returns the snapshot with this digest for this member; None if there is none, or none for it. Must not block or
raise."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range of a file: from byte `first` on, at most `length` bytes."""

    first: int
    length: int


def parse_range(text: str) -> Range:
    """The one range of a `Range` header, no longer than `PIECE_BYTES_MAX`. Raises RequestRefused."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise RequestRefused("bad_request", "a snapshot is fetched by one range: bytes=FIRST-LAST")
    first = int(match[1])
    last = int(match[2]) if match[2] is not None else NUMBER_LIMIT
    if last < first:
        raise RequestRefused("bad_request", "the range ends before it begins")
    return Range(first, min(last - first + 1, PIECE_BYTES_MAX))


def parse_hello(text: str) -> Hello:
    """The caller in an `Authorization` header. Raises RemoteProtocolError."""
    scheme, _, encoded = text.partition(" ")
    if scheme != AUTHORIZATION:
        raise RemoteProtocolError("a snapshot is for members, which introduce themselves")
    return _introduction(encoded, Hello)


def parse_welcome(text: str) -> Welcome:
    """The node that has answered, from its `Raftdb-Welcome` header. Raises RemoteProtocolError."""
    return _introduction(text, Welcome)


def write_introduction(introduction: Hello | Welcome) -> str:
    """An introduction as the text of a header: base64."""
    return b64encode(encode_handshake(introduction)).decode("ascii")


def _introduction(text: str, kind: type[Kind]) -> Kind:
    try:
        handshake = decode_handshake(b64decode(text.encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise RemoteProtocolError("an introduction is not base64") from error
    if not isinstance(handshake, kind):
        raise RemoteProtocolError(f"an introduction is no {kind.__name__}")
    return handshake


class SnapshotServer:
    """The route on which members fetch snapshots. Everything is called on the event loop's thread; files are read on
    other threads. At most one piece is in memory for each member."""

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        find: FindSnapshot,
        is_member: Callable[[str], bool],
        send_timeout_s: float = SEND_TIMEOUT_S,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._identity = identity
        self._check_peer = check_peer
        self._find = find
        self._is_member = is_member
        self._send_timeout_s = send_timeout_s
        self._medium = medium
        # The connection of each member that is getting a piece.
        self._sending: dict[str, asyncio.Transport] = {}
        self.sent_count = 0
        """Snapshots whose last piece a member has got."""

    @property
    def routes(self) -> Routes:
        """The route of snapshots."""
        return {SNAPSHOT_PATH: {"GET": Route(self.handle, Permission.PEER)}}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a GET of one range. Raises RequestRefused, RemoteProtocolError, Unavailable."""
        refuse_browsers(request)
        seal = admit(request, self._identity.proof, REQUEST_HEADERS)
        if isinstance(seal, web.Response):
            return seal
        answer = await self._answer(request, seal)
        if isinstance(answer, web.Response):
            body = answer.body if isinstance(answer.body, bytes) else b""
            answer.headers.update(_sealed(seal, answer.status, answer.headers, body))
        return answer

    async def _answer(self, request: web.BaseRequest, seal: Seal) -> web.StreamResponse:
        """A response without its seal, or one that is sent already, for a caller that has proved itself."""
        hello = parse_hello(request.headers.get("Authorization", ""))
        wanted = parse_range(request.headers.get("Range", ""))
        digest = _DIGEST.fullmatch(request.headers.get("If-Match", ""))
        if digest is None:
            raise RequestRefused("bad_request", "a snapshot is named by its digest in If-Match")
        refused = not_certified(self._identity.proof.certified(request.transport), hello.source)
        if refused is None:
            refused = await check_introduction(hello, self._identity, self._check_peer)
        if refused is None and not self._is_member(hello.source):
            refused = Refused("not_member", f"{hello.source} is no member of this cluster")
        if refused is not None:
            return web.Response(status=403, body=encode_handshake(refused), content_type=REFUSED_TYPE)
        source = self._find(hello.source, bytes.fromhex(digest[1]))
        if source is None:
            return web.Response(status=412)
        if wanted.first >= source.size_bytes:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{source.size_bytes}"})
        return await self._send(request, seal, hello.source, source, wanted)

    async def _send(
        self, request: web.BaseRequest, seal: Seal, peer: str, source: SnapshotSource, wanted: Range
    ) -> web.StreamResponse:
        """Send one piece. A member fetches one at a time, so an older request of it, whose answer no one awaits, is
        cut."""
        transport = request.transport
        if transport is None:
            raise Unavailable("busy", "the caller has gone")
        older = self._sending.pop(peer, None)
        if older is not None:
            older.abort()
        self._sending[peer] = transport
        try:
            loop = asyncio.get_running_loop()
            try:
                piece, checksum = await loop.run_in_executor(None, _read, source, wanted)
            except OSError:
                return web.Response(status=412)
            headers = {
                "Content-Range": f"bytes {wanted.first}-{wanted.first + len(piece) - 1}/{source.size_bytes}",
                WELCOME_HEADER: write_introduction(self._identity.introduce(Welcome, peer)),
                CHECKSUM_HEADER: str(checksum),
            }
            if seal.tag_bytes:
                headers |= await loop.run_in_executor(None, _sealed, seal, 206, headers, piece)
            response = await self._respond(request, peer, headers, piece)
            self.sent_count += wanted.first + len(piece) >= source.size_bytes
            return response
        except (TimeoutError, CutOff):
            transport.abort()
            raise ConnectionResetError("the member does not read its piece") from None
        finally:
            if self._sending.get(peer) is transport:
                del self._sending[peer]

    async def _respond(
        self, request: web.BaseRequest, peer: str, headers: Mapping[str, str], piece: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers=headers)
        response.content_type = "application/octet-stream"
        response.content_length = len(piece)
        async with asyncio.timeout(self._send_timeout_s):
            await self._medium.pass_bytes(peer, len(piece))
            await response.prepare(request)
            view = memoryview(piece)
            for start in range(0, len(view), WRITE_BYTES):
                await response.write(view[start : start + WRITE_BYTES])
            await response.write_eof()
        return response


def _sealed(seal: Seal, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The seal of an answer."""
    return seal_headers(seal, frame_of(str(status), headers, ANSWER_HEADERS, body))


def _read(source: SnapshotSource, wanted: Range) -> tuple[bytes, int]:
    """Read one piece, on a thread, and return it with its checksum. Raises OSError."""
    piece = source.read(wanted.first, min(wanted.length, source.size_bytes - wanted.first))
    if not piece:
        raise OSError(f"the snapshot ends before {wanted.first}")
    return piece, zlib.crc32(piece)
