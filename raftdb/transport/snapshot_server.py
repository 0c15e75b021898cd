"""The receiving end of a snapshot: takes offers, pieces and the word that all is there. One transfer at a time."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from aiohttp import web

from raftdb.errors import RemoteProtocolError, RequestRefused
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.snapshot_protocol import (
    BUSY,
    CHECKSUM_HEADER,
    CONTENT_TYPE,
    MESSAGE_BYTES_MAX,
    OFFSET_HEADER,
    PIECE_BYTES_MAX,
    PIECE_DAMAGED,
    SNAPSHOT_FINISH_PATH,
    SNAPSHOT_PATH,
    TOKEN_HEADER,
    UNKNOWN_TRANSFER,
    Accepted,
    Answer,
    Complete,
    Declined,
    Misplaced,
    Offer,
    PieceDamaged,
    PieceMisplaced,
    Progress,
    Receiver,
    SnapshotRefused,
    Transfer,
    TransferLimits,
    Verifying,
    decode_message,
    encode_message,
)
from raftdb.transport.waiting import awaiting_client, read_chunks
from raftdb.wire.fields import NUMBER_LIMIT
from raftdb.wire.peer import Welcome

logger = logging.getLogger("raftdb.transport")

TOKEN_BYTES = 16
NUMBER_DIGITS_MAX = len(str(NUMBER_LIMIT))

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
OnReceived: TypeAlias = Callable[[int, int], None]
"""Takes index and term of a snapshot that is whole, verified and kept; called on the event loop, before the sender is
told, and again whenever a sender is told again. Must not block or raise."""

Result = TypeVar("Result")

STATUSES: dict[type[Answer], int] = {Verifying: 202, Misplaced: 409, Declined: 409}
"""HTTP status by kind of answer, where it is not 200."""
DECLINED_STATUSES = {BUSY: 503, UNKNOWN_TRANSFER: 404, PIECE_DAMAGED: 422}
"""HTTP status by code of a refusal, where it is not 409."""

UNKNOWN = Declined(UNKNOWN_TRANSFER, "this is not the transfer under way: begin again")
INSTALLING = Declined(BUSY, "the node is installing or stopping")
FAILED = Declined("receiver_failed", "the receiver failed; its log says why")


@dataclass(eq=False, slots=True)
class _Incoming:
    """The present transfer. `connection` is the one that a piece is being read from or was, until it is written."""

    source: str
    transfer: Transfer
    token: str
    offset: int
    connection: asyncio.Transport | None = None
    finishing: asyncio.Future[Answer] | None = None

    @property
    def is_verifying(self) -> bool:
        """True while the receiver works on the whole: it can begin nothing else."""
        return self.finishing is not None and not self.finishing.done()


class SnapshotServer:
    """Routes of one node for snapshots from its leader. Everything is called on the event loop's thread.

    The receiver is called on a thread of this object's own, so neither disk nor checksums hold up the event loop. At
    most one piece is in memory, and only if it bears the token of the present transfer. `may_begin` is asked right
    before the receiver begins, which may throw away what it holds: False if that is in use. `may_offer(source, term)`:
    may that node lead that term, as far as this one knows? Neither must block or raise.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        receiver: Receiver,
        on_received: OnReceived,
        may_begin: Callable[[], bool] = lambda: True,
        may_offer: Callable[[str, int], bool] = lambda source, term: True,
        limits: TransferLimits | None = None,
    ) -> None:
        self._identity = identity
        self._check_peer = check_peer
        self._receiver = receiver
        self._on_received = on_received
        self._may_begin = may_begin
        self._may_offer = may_offer
        self._limits = limits or TransferLimits()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot receiver")
        self._incoming: _Incoming | None = None
        self._beginning = asyncio.Lock()
        self._offers_pending = 0
        self._pauses = 0
        # The newest leader seen so far: what is older is not believed (hazard B95).
        self._leader: tuple[int, str] = (0, "")

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Path -> method -> handler."""
        return {
            SNAPSHOT_PATH: {"POST": self.handle_offer, "PUT": self.handle_piece},
            SNAPSHOT_FINISH_PATH: {"POST": self.handle_finish},
        }

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """While this is held the receiver is not called, and senders are told to wait.

        For whoever moves the received files into place. Waits for the call that is running. What was under way begins
        again with an offer.
        """
        self._pauses += 1
        try:
            self._drop(None)
            async with self._beginning:
                # The one thread takes calls in order: when it gets here, all earlier ones are over.
                await self._run(_nothing)
                yield
        finally:
            self._pauses -= 1

    async def close(self) -> None:
        """Refuse everything from now on. Waits for the call of the receiver that is running: its folder is in use."""
        self._pauses += 1
        self._drop(None)
        async with self._beginning:
            await self._run(_nothing)
        self._executor.shutdown(wait=False)

    async def handle_offer(self, request: web.BaseRequest) -> web.StreamResponse:
        """POST of an `Offer`: who is there, and which snapshot; answers where to go on. Raises RequestRefused."""
        _refuse_browsers(request)
        with awaiting_client(request):
            chunks = await read_chunks(
                request, bytes_max=MESSAGE_BYTES_MAX, timeout_s=self._limits.offer_timeout_s
            )
        if chunks is None:
            return _no_answer()
        # Who drips its offer in keeps nobody out: what counts is what is judged.
        if self._pauses or self._offers_pending >= self._limits.offers_pending_max:
            return _respond(Declined(BUSY, "too many offers at once, or the node is installing or stopping"))
        self._offers_pending += 1
        try:
            offer = decode_message(b"".join(chunks))
            if not isinstance(offer, Offer):
                raise RemoteProtocolError("a transfer begins with an offer")
            refused = await check_introduction(offer.hello, self._identity, self._check_peer)
            if refused is not None:
                return self._refuse(offer, Declined(refused.code, refused.reason))
            async with self._beginning:
                answer = await self._begin(offer)
            return self._refuse(offer, answer) if isinstance(answer, Declined) else _respond(answer)
        finally:
            self._offers_pending -= 1

    async def handle_piece(self, request: web.BaseRequest) -> web.StreamResponse:
        """PUT of one piece. Its body is not read unless it is wanted. Raises RequestRefused."""
        _refuse_browsers(request)
        incoming = self._find(request)
        if incoming is None:
            return _respond(UNKNOWN)
        offset, crc32 = _number(request, OFFSET_HEADER), _number(request, CHECKSUM_HEADER)
        length = request.content_length or 0
        if not 0 < length <= PIECE_BYTES_MAX or offset + length > incoming.transfer.size_bytes:
            raise RequestRefused("bad_request", "a piece has a length, within the snapshot and the limit")
        if offset > incoming.offset or offset < incoming.offset < offset + length:
            return _respond(Misplaced(incoming.offset))
        if incoming.connection is not None or incoming.finishing is not None:
            return _respond(Declined(BUSY, "another piece is being received, or the whole verified"))
        if request.transport is None:
            return _no_answer()
        incoming.connection = request.transport
        try:
            chunks = await read_chunks(request, bytes_max=length, timeout_s=self._limits.piece_timeout_s)
            if chunks is None:
                return _no_answer()
            if self._incoming is not incoming:
                return _respond(UNKNOWN)
            answer = await self._write(incoming, offset, chunks, crc32)
        finally:
            incoming.connection = None
        return _respond(answer)

    async def handle_finish(self, request: web.BaseRequest) -> web.StreamResponse:
        """POST that says all pieces are there: verifies the whole, in the background if it takes long."""
        _refuse_browsers(request)
        incoming = self._find(request)
        if incoming is None:
            return _respond(UNKNOWN)
        if incoming.finishing is None:
            if incoming.offset != incoming.transfer.size_bytes or incoming.connection is not None:
                return _respond(Misplaced(incoming.offset))
            # Handed to the thread here and now, so that it is before whatever a pause waits for.
            loop = asyncio.get_running_loop()
            incoming.finishing = loop.run_in_executor(self._executor, self._verify, incoming)
        done, _ = await asyncio.wait({incoming.finishing}, timeout=self._limits.finish_wait_s)
        if not done:
            return _respond(Verifying())
        answer = incoming.finishing.result()
        if not isinstance(answer, Complete):
            self._drop_if(incoming)
        elif self._incoming is incoming:
            self._on_received(incoming.transfer.index, incoming.transfer.term)
        else:
            # Replaced, or being moved into place: who asks is not told what may no longer hold.
            return _respond(UNKNOWN)
        return _respond(answer)

    def _find(self, request: web.BaseRequest) -> _Incoming | None:
        """The present transfer, if the request bears its token."""
        incoming = self._incoming
        token = request.headers.get(TOKEN_HEADER, "").encode("utf-8", "surrogateescape")
        if incoming is None or not secrets.compare_digest(token, incoming.token.encode()):
            return None
        return incoming

    async def _begin(self, offer: Offer) -> Answer:
        """Make the offered transfer the present one, or say why not. Called under the lock."""
        source, transfer, present = offer.hello.source, offer.transfer, self._incoming
        refused = self._judge(offer)
        if refused is not None:
            return refused
        if not self._may_begin():
            return INSTALLING
        self._leader = (offer.leader_term, source)
        finishing = present.finishing if present is not None and present.transfer == transfer else None
        if finishing is not None and not finishing.done():
            # The receiver is at work on these very bytes: the new sender waits for the same outcome.
            offset = transfer.size_bytes
        else:
            self._drop(None)
            try:
                offset = await self._run(self._receiver.begin, transfer)
            except Exception as error:  # noqa: BLE001 - told below
                return _failed(error, transfer)
        if self._pauses:
            return INSTALLING
        if finishing is not None and finishing.done():
            was_complete = isinstance(finishing.result(), Complete) and offset == transfer.size_bytes
            finishing = finishing if was_complete else None
        incoming = _Incoming(source, transfer, secrets.token_hex(TOKEN_BYTES), offset, finishing=finishing)
        self._drop(incoming)
        fields = {
            "peer": source,
            "index": transfer.index,
            "size_bytes": transfer.size_bytes,
            "offset": offset,
            "leader_term": offer.leader_term,
        }
        logger.info("snapshot transfer begins", extra={"fields": fields})
        return Accepted(self._identity.introduce(Welcome, source), incoming.token, offset)

    def _judge(self, offer: Offer) -> Declined | None:
        """Why this sender cannot have the receiver now, from the order of leaders."""
        source, (newest_term, leader) = offer.hello.source, self._leader
        if not self._may_offer(source, offer.leader_term):
            return Declined("no_leader_here", f"{source} is no member here, and there is a leader")
        if leader and not self._may_offer(leader, newest_term):
            # It named its term while nobody led, and is no member.
            newest_term, leader = self._leader = (0, "")
        if offer.leader_term < newest_term:
            return Declined("stale_term", f"{leader} led in term {newest_term}, after {offer.leader_term}")
        if offer.leader_term == newest_term and leader not in ("", source):
            return Declined("other_leader", f"{leader} is the leader of term {newest_term}")
        present = self._incoming
        if self._pauses:
            return INSTALLING
        if present is not None and present.is_verifying and present.transfer != offer.transfer:
            return Declined(BUSY, "another snapshot is being verified")
        return None

    async def _write(self, incoming: _Incoming, offset: int, chunks: Sequence[bytes], crc32: int) -> Answer:
        """Hand one piece to the receiver."""
        try:
            incoming.offset = await self._run(self._write_chunks, offset, chunks, crc32)
        except PieceDamaged as error:
            return Declined(PIECE_DAMAGED, str(error))
        except PieceMisplaced as error:
            incoming.offset = error.offset
            return Misplaced(error.offset)
        except Exception as error:  # noqa: BLE001 - told below
            self._drop_if(incoming)
            return _failed(error, incoming.transfer)
        return Progress(incoming.offset)

    def _write_chunks(self, offset: int, chunks: Sequence[bytes], crc32: int) -> int:
        """On the receiver's thread: putting a piece together copies it, which is no work for the event loop either."""
        return self._receiver.write(offset, b"".join(chunks), crc32)

    def _verify(self, incoming: _Incoming) -> Answer:
        """On the receiver's thread: verify the whole. What fails is thrown away, or it would be resumed for ever."""
        try:
            self._receiver.finish()
            logger.info("snapshot received", extra={"fields": {"index": incoming.transfer.index}})
            return Complete()
        except Exception as error:  # noqa: BLE001 - told below
            answer = _failed(error, incoming.transfer)
        try:
            self._receiver.discard()
        except Exception as error:  # noqa: BLE001 - told below
            _failed(error, incoming.transfer)
        return answer

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Call `work` on the receiver's thread. It runs to its end even if nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    def _drop(self, successor: _Incoming | None) -> None:
        """End the present transfer: its token is void, and a piece on its way is cut off (memory, half-open links)."""
        present, self._incoming = self._incoming, successor
        if present is not None and present.connection is not None:
            present.connection.abort()

    def _drop_if(self, incoming: _Incoming) -> None:
        if self._incoming is incoming:
            self._incoming = None

    def _refuse(self, offer: Offer, declined: Declined) -> web.StreamResponse:
        fields = {"peer": offer.hello.source, "code": declined.code, "reason": declined.reason}
        logger.warning("snapshot offer refused", extra={"fields": fields})
        return _respond(declined)


def _nothing() -> None:
    """Work that is over at once."""


def _refuse_browsers(request: web.BaseRequest) -> None:
    if "Origin" in request.headers:
        raise RequestRefused("forbidden", "peers are not browsers")


def _number(request: web.BaseRequest, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX):
        raise RequestRefused("bad_request", f"the header {header} is not a number")
    return int(text)


def _respond(answer: Answer) -> web.Response:
    status = STATUSES.get(type(answer), 200)
    if isinstance(answer, Declined):
        status = DECLINED_STATUSES.get(answer.code, status)
    return web.Response(body=encode_message(answer), status=status, content_type=CONTENT_TYPE)


def _no_answer() -> web.Response:
    """The connection is of no more use: the sender has gone, or sends too slowly."""
    response = web.Response(status=408)
    response.force_close()
    return response


def _failed(error: Exception, transfer: Transfer) -> Answer:
    """The answer to an `error` of the receiver, which refuses or does not work; the log says why."""
    if isinstance(error, SnapshotRefused):
        fields = {"index": transfer.index, "reason": error.reason}
        logger.warning("snapshot refused", extra={"fields": fields})
        return Declined(error.code, error.reason)
    logger.error("snapshot receiver failed", exc_info=error, extra={"fields": {"index": transfer.index}})
    return FAILED
