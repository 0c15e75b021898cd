"""The fetching end of a snapshot: it asks one member for ranges of one file, and checks them. See `snapshot_server`."""

import asyncio
import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from raftdb.endpoint import Endpoint
from raftdb.errors import RemoteProtocolError, required
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.reasons import short_reason
from raftdb.transport.sealed_requests import UNPROVED, Prover, frame_of, read_tag, seal_headers
from raftdb.transport.sessions import new_session, where
from raftdb.transport.snapshot_server import (
    ANSWER_HEADERS,
    AUTHORIZATION,
    CHECKSUM_HEADER,
    REFUSED_TYPE,
    REQUEST_HEADERS,
    SNAPSHOT_PATH,
    WELCOME_HEADER,
    parse_welcome,
    write_introduction,
)
from raftdb.wire.handshake import HANDSHAKE_BYTES_MAX, Hello, Refused, decode_handshake
from raftdb.wire.sealing import Unproved

DIAL_TIMEOUT_S = 10.0
PIECE_TIMEOUT_S = 30.0
"""The limit on the time from a request to the last byte of its answer."""
REQUEST_BYTES = 1024
"""About as many bytes as a request has."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


class _Answer(NamedTuple):
    """What was read of an answer."""

    status: int
    headers: Mapping[str, str]
    content_type: str
    body: bytes


class FetchFailed(Exception):
    """A piece did not arrive. `code` is that of a refused handshake, or `gone` (the member no longer has the snapshot),
    `timeout`, `damaged` (the checksum differs), `lost` (the connection failed), `refused` (the answer is not a
    piece)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class SnapshotClient:
    """A connection to one member for one snapshot, used as `async with` on the event loop's thread.

    `check_peer` judges the node that answers, as for links. `digest` is the snapshot's SHA-256. One piece is in memory.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        source: str,
        address: Endpoint,
        digest: bytes,
        size_bytes: int,
        piece_timeout_s: float = PIECE_TIMEOUT_S,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._identity = identity
        self._check_peer = check_peer
        self._source = source
        self._address = address
        self._digest = digest
        self._size_bytes = size_bytes
        self._timeout_s = piece_timeout_s
        self._medium = medium
        self._prover: Prover | None = None

    async def __aenter__(self) -> "SnapshotClient":
        self._session = new_session(connect_timeout_s=DIAL_TIMEOUT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, offset: int, length: int) -> bytes:
        """At least one and at most `length` bytes from `offset` on, with the checksum of the sender. Raises
        FetchFailed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._medium.pass_bytes(self._source, REQUEST_BYTES)
                answer = await self._ask(offset, length)
            await self._check_head(answer)
            self._check_length(answer, offset, length)
        except TimeoutError:
            reason = f"{self._source} did not send a piece within {self._timeout_s:g} seconds"
            raise FetchFailed("timeout", reason) from None
        except RemoteProtocolError as error:
            raise FetchFailed("refused", error.message) from error
        except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise FetchFailed("lost", short_reason(error)) from error
        # The checksum of 4 MiB takes a millisecond.
        if answer.headers.get(CHECKSUM_HEADER, "") != str(zlib.crc32(answer.body)):
            raise FetchFailed("damaged", f"the piece at {offset} does not match its checksum")
        return answer.body

    async def _ask(self, offset: int, length: int) -> "_Answer":
        """The answer to one request, which has proved itself. Raises what is no answer."""
        hello = self._identity.introduce(Hello, self._source)
        headers = {
            "Authorization": f"{AUTHORIZATION} {write_introduction(hello)}",
            "If-Match": f'"{self._digest.hex()}"',
            "Range": f"bytes={offset}-{offset + length - 1}",
        }
        # A connection that has ended meanwhile is made anew, and the ends prove themselves again.
        prover = self._prover = self._prover or Prover(self._identity.proof, SNAPSHOT_PATH, self._address)
        for _ in range(2):
            if prover.seal is None:
                begun = await self._get(prover.begin(), 0)
                prover.begun(begun.status, begun.headers)
            seal = required(prover.seal, "seal")
            sealed = seal_headers(seal, frame_of("GET", headers, REQUEST_HEADERS))
            answer = await self._get({**headers, **sealed}, length)
            if not seal.tag_bytes:
                return answer
            if answer.status != UNPROVED:
                frame = frame_of(str(answer.status), answer.headers, ANSWER_HEADERS, answer.body)
                await asyncio.to_thread(seal.check, b"", frame, read_tag(answer.headers))
                return answer
            prover.seal = None
        raise Unproved

    async def _get(self, headers: Mapping[str, str], length: int) -> "_Answer":
        """Ask, and read the body as far as it can be of use: a piece of at most `length` bytes, or a refusal."""
        tls = self._identity.proof.tls_to(self._address)
        url, options = where(self._address, SNAPSHOT_PATH, tls, peer=self._source)
        async with self._session.get(url, headers=headers, allow_redirects=False, **options) as response:
            count = 0
            if response.status == 206:
                match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
                said = int(match[2]) - int(match[1]) + 1 if match is not None else 0
                count = said if said <= length else 0
            elif response.status == 403 and response.content_type == REFUSED_TYPE:
                count = min(response.content_length or 0, HANDSHAKE_BYTES_MAX)
            body = await response.content.readexactly(max(count, 0))
            return _Answer(response.status, response.headers.copy(), response.content_type, body)

    async def _check_head(self, response: "_Answer") -> None:
        """Raise FetchFailed or RemoteProtocolError unless the answer is a piece, and comes from the member that was
        asked."""
        if response.status == 412:
            raise FetchFailed("gone", f"{self._source} does not have this snapshot any more")
        if response.status == 403 and response.content_type == REFUSED_TYPE:
            refused = decode_handshake(response.body)
            if isinstance(refused, Refused):
                raise FetchFailed(refused.code, refused.reason)
        if response.status != 206:
            raise FetchFailed("refused", f"{self._source} answered with HTTP status {response.status}")
        welcome = parse_welcome(response.headers.get(WELCOME_HEADER, ""))
        if welcome.source != self._source:
            raise FetchFailed("wrong_source", f"{welcome.source} answered in place of {self._source}")
        mismatch = await check_introduction(welcome, self._identity, self._check_peer)
        if mismatch is not None:
            raise FetchFailed(mismatch.code, mismatch.reason)

    def _check_length(self, response: "_Answer", offset: int, length: int) -> None:
        """Raise RemoteProtocolError unless the piece lies in the range that was asked for."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise RemoteProtocolError("an answer does not name its range")
        first, last, size_bytes = map(int, match.groups())
        count = last - first + 1
        if (first, size_bytes) != (offset, self._size_bytes) or not 0 < count <= length:
            raise RemoteProtocolError("an answer is of another range, or of another file")
