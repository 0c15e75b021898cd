"""The sending end of a snapshot: brings one file to one peer, piece by piece, and goes on after interruptions."""

import asyncio
import logging
import random
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from raftdb.errors import RemoteProtocolError
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.snapshot_protocol import (
    CHECKSUM_HEADER,
    CONTENT_TYPE,
    MESSAGE_BYTES_MAX,
    OFFSET_HEADER,
    RETRY_CODES,
    SNAPSHOT_FINISH_PATH,
    SNAPSHOT_PATH,
    TOKEN_HEADER,
    Accepted,
    Answer,
    Complete,
    Declined,
    Misplaced,
    Offer,
    Progress,
    SnapshotSource,
    TransferLimits,
    Verifying,
    decode_message,
    encode_message,
)
from raftdb.wire.peer import Hello

logger = logging.getLogger("raftdb.transport")

WRITE_BYTES = 256 * 1024
"""How much of a piece is handed to the socket at once: about what the kernel takes, so little is copied to wait."""

SessionFactory: TypeAlias = Callable[[], aiohttp.ClientSession]
Uniform: TypeAlias = Callable[[float, float], float]
"""A random number between two bounds: the jitter of the pauses."""

Expected = TypeVar("Expected")


class DeliveryFailed(Exception):
    """The peer does not hold the snapshot, as far as this side knows. `code` is the peer's refusal, or one of
    `delivering` (one to this peer is under way), `timeout`, `lost` (no progress in many attempts), `source`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Interrupted(Exception):
    """This attempt is over; another one may get further."""

    def __init__(self, reason: str, *, code: str = "lost") -> None:
        super().__init__(reason)
        self.code = code


class _Piece(NamedTuple):
    """A part of the source in memory."""

    offset: int
    data: bytes
    crc32: int


class _PiecePayload(aiohttp.Payload):
    """A request's body, written in parts. It can be written again: the HTTP library may repeat a PUT by itself."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, content_type="application/octet-stream")
        self._size = len(data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Demanded by the base; a piece is not text."""
        raise TypeError("a piece of a snapshot is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it, waiting for the socket between the parts."""
        view = memoryview(self._value)
        for start in range(0, len(view), WRITE_BYTES):
            await writer.write(view[start : start + WRITE_BYTES])


class SnapshotClient:
    """Delivers snapshots to peers, at most one to each at a time. Everything is called on the event loop's thread.

    `check_peer` judges who answers, as for the links. Memory: two pieces per delivery, for one is read while the
    other travels. To stop a delivery cancel it.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        limits: TransferLimits | None = None,
        new_session: SessionFactory | None = None,
        uniform: Uniform = random.uniform,
    ) -> None:
        self.identity = identity
        self.check_peer = check_peer
        self.limits = limits or TransferLimits()
        self.uniform = uniform
        self._new_session = new_session or self._default_session
        self._delivering: set[str] = set()
        # Peers that a piece was too slow for, and what to try next (hazard B33: never the same again for ever).
        self._piece_bytes: dict[str, int] = {}

    async def deliver(self, target: str, address: str, source: SnapshotSource, *, leader_term: int) -> None:
        """Bring `source` to the node `target` at `address` (HOST:PORT); returns when it is whole and verified there.

        `leader_term` is the term that this node leads in: a newer leader's delivery replaces an older one's. Raises
        DeliveryFailed; the next delivery of the same snapshot goes on where this one ended. When this returns or
        raises, cancelled or not, no read of `source` is running. Nothing limits the time of the whole, only of steps.
        """
        if target in self._delivering:
            raise DeliveryFailed("delivering", f"a delivery to {target} is under way")
        self._delivering.add(target)
        piece_bytes = self._piece_bytes.get(target, self.limits.piece_bytes)
        fields = {"peer": target, "address": address, "index": source.index, "size_bytes": source.size_bytes}
        try:
            async with self._new_session() as session:
                await _Delivery(self, session, target, address, source, leader_term, piece_bytes).run()
        except DeliveryFailed as failure:
            if failure.code == "timeout":
                self._piece_bytes[target] = max(piece_bytes // 2, self.limits.piece_bytes_min)
            details = {"code": failure.code, "reason": failure.reason}
            logger.warning("snapshot not delivered", extra={"fields": fields | details})
            raise
        finally:
            self._delivering.discard(target)
        self._piece_bytes.pop(target, None)
        logger.info("snapshot delivered", extra={"fields": fields})

    def _default_session(self) -> aiohttp.ClientSession:
        """A session for one delivery: one connection, no cookies, no cached addresses, no proxy."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.dial_timeout_s),
            auto_decompress=False,
        )


class _Delivery:
    """One snapshot on its way to one peer."""

    def __init__(
        self,
        client: SnapshotClient,
        session: aiohttp.ClientSession,
        target: str,
        address: str,
        source: SnapshotSource,
        leader_term: int,
        piece_bytes: int,
    ) -> None:
        self._client = client
        self._limits = client.limits
        self._session = session
        self._target = target
        self._url = f"http://{address}"
        self._source = source
        self._leader_term = leader_term
        self._piece_bytes = piece_bytes
        self._furthest_offset = -1
        self._attempts = 0
        self._send_time = 0.0

    async def run(self) -> None:
        """Attempt until done, refused, timed out, or without progress for too often."""
        pause_s = self._limits.backoff_min_s
        while True:
            try:
                return await self._attempt()
            except _Interrupted as interruption:
                if self._attempts == 0:
                    pause_s = self._limits.backoff_min_s
                self._attempts += 1
                if self._attempts >= self._limits.attempts_max:
                    reason = f"no progress in {self._attempts} attempts, the last: {interruption}"
                    raise DeliveryFailed(interruption.code, reason) from interruption
                logger.info(
                    "snapshot delivery interrupted",
                    extra={"fields": {"peer": self._target, "reason": str(interruption)}},
                )
            await asyncio.sleep(self._client.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, self._limits.backoff_max_s)

    async def _attempt(self) -> None:
        """Offer, send what is missing, have it verified."""
        accepted = await self._offer()
        await self._send_pieces(accepted.token, accepted.offset)
        while True:
            answer = await self._request(
                "POST",
                SNAPSHOT_FINISH_PATH,
                timeout_s=self._limits.finish_timeout_s,
                headers={TOKEN_HEADER: accepted.token},
            )
            if isinstance(answer, Complete):
                return
            _expect(answer, Verifying)

    async def _offer(self) -> Accepted:
        """Introduce this node and the snapshot; check who answers."""
        source, client = self._source, self._client
        offer = Offer(
            client.identity.introduce(Hello, self._target),
            self._leader_term,
            source.index,
            source.term,
            source.size_bytes,
            source.sha256,
        )
        answer = await self._request(
            "POST", SNAPSHOT_PATH, timeout_s=self._limits.offer_timeout_s, data=encode_message(offer)
        )
        accepted = _expect(answer, Accepted)
        welcome = accepted.welcome
        if welcome.source != self._target:
            raise DeliveryFailed("wrong_source", f"{welcome.source} answered in place of {self._target}")
        refused = await check_introduction(welcome, client.identity, client.check_peer)
        if refused is not None:
            raise DeliveryFailed(refused.code, refused.reason)
        return accepted

    async def _send_pieces(self, token: str, offset: int) -> None:
        """Send everything from `offset` on; the next piece is read while one travels."""
        reading = self._read(offset)
        try:
            while offset < self._source.size_bytes:
                piece = await asyncio.shield(reading)
                next_offset = offset + len(piece.data)
                reading = self._read(next_offset)
                await self._keep_to_rate(len(piece.data))
                answer = await self._send_piece(token, piece)
                if _expect(answer, Progress).offset != next_offset:
                    raise _Interrupted(f"{self._target} goes on from another offset")
                offset = next_offset
                if offset > self._furthest_offset:
                    self._furthest_offset = offset
                    self._attempts = 0
        except OSError as error:
            raise DeliveryFailed("source", f"the snapshot cannot be read: {error}") from error
        finally:
            await _wait_out(reading)

    def _read(self, offset: int) -> "asyncio.Future[_Piece]":
        """Read the piece at `offset` on a thread, and its checksum with it."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(None, _read_piece, self._source, offset, self._piece_bytes)

    async def _send_piece(self, token: str, piece: _Piece) -> Answer:
        headers = {
            TOKEN_HEADER: token,
            OFFSET_HEADER: str(piece.offset),
            CHECKSUM_HEADER: str(piece.crc32),
        }
        timeout_s = self._limits.piece_timeout_s
        payload = _PiecePayload(piece.data)
        return await self._request("PUT", SNAPSHOT_PATH, timeout_s=timeout_s, headers=headers, data=payload)

    async def _keep_to_rate(self, size_bytes: int) -> None:
        """Wait until `size_bytes` more may leave. What was not used is not saved up."""
        if not self._limits.bytes_per_second_max:
            return
        now = asyncio.get_running_loop().time()
        if self._send_time > now:
            await asyncio.sleep(self._send_time - now)
        self._send_time = max(now, self._send_time) + size_bytes / self._limits.bytes_per_second_max

    async def _request(self, method: str, path: str, *, timeout_s: float, **options: Any) -> Answer:
        """One request and its answer. Raises _Interrupted for what may pass, else DeliveryFailed."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(method, self._url + path, allow_redirects=False, **options) as response,
            ):
                if response.content_type != CONTENT_TYPE:
                    if response.status in (408, 503):
                        raise _Interrupted(f"HTTP status {response.status}")
                    raise DeliveryFailed(
                        "refused", f"{self._target} answered with HTTP status {response.status}"
                    )
                message = decode_message(await _read_answer(response))
        except (aiohttp.ClientError, RemoteProtocolError) as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error
        except TimeoutError:
            reason = f"{self._target} did not answer to {method} {path} within {timeout_s:g} seconds"
            raise DeliveryFailed("timeout", reason) from None
        except OSError as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error
        if isinstance(message, Offer):
            raise _Interrupted(f"{self._target} answered with an offer")
        return message


def _expect(answer: Answer, type_: type[Expected]) -> Expected:
    """`answer`, if it is the one wanted; a refusal that may pass, and any other answer, end the attempt."""
    if isinstance(answer, type_):
        return answer
    if isinstance(answer, Declined):
        if answer.code in RETRY_CODES:
            raise _Interrupted(answer.reason, code=answer.code)
        raise DeliveryFailed(answer.code, answer.reason)
    if isinstance(answer, Misplaced):
        raise _Interrupted(f"offset {answer.offset} is wanted")
    raise _Interrupted(f"{type(answer).__name__} is no answer to this")


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer, at most a little more than any of ours has."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MESSAGE_BYTES_MAX:
            raise RemoteProtocolError("the answer is too long")
    return bytes(body)


def _read_piece(source: SnapshotSource, offset: int, bytes_max: int) -> _Piece:
    """On a thread: one piece of at most `bytes_max` bytes, empty at the end only."""
    size = min(bytes_max, source.size_bytes - offset)
    data = source.read(offset, size) if size > 0 else b""
    if size > 0 and not 0 < len(data) <= size:
        raise OSError(f"{len(data)} bytes at offset {offset} of {source.size_bytes}")
    return _Piece(offset, data, zlib.crc32(data))


async def _wait_out(reading: "asyncio.Future[_Piece]") -> None:
    """Wait for the end of a read, whatever becomes of it: its source may be closed after this."""
    cancelled = False
    while not reading.done():
        try:
            await asyncio.wait({reading})
        except asyncio.CancelledError:
            # Reads end by themselves, soon.
            cancelled = True
    if not reading.cancelled():
        reading.exception()
    if cancelled:
        raise asyncio.CancelledError
