"""The snapshot that this node was told of: fetched from who offered it, verified, kept until it is installed.

It is a download that resumes. What is here of the file is kept over lost connections, changes of leadership and
restarts; whoever offers a snapshot says so again until this node has it, so an attempt that fails just ends, and the
next goes on where it was.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from raftdb.core.messages import InstallSnapshot
from raftdb.core.model import Index, NodeId, Term
from raftdb.endpoint import Endpoint
from raftdb.transport import (
    PIECE_TIMEOUT_S,
    THE_NETWORK,
    CheckPeer,
    FetchFailed,
    LocalIdentity,
    Medium,
    SnapshotClient,
)
from storage import OutOfSpace, SnapshotDamaged, SnapshotForeign, SnapshotId, SystemFailure

logger = logging.getLogger("raftdb.server")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How a snapshot is fetched, in bytes and seconds. There is no limit on the time of the whole.

    `piece_bytes`: what is asked for and held at once; after a piece that did not arrive in time half of it, down to
    `piece_bytes_min`, so that the same is not tried for ever (hazard B33). `bytes_per_second_max`: 0 is no limit.
    `pause_min_s`: from the start of an attempt that brought nothing to the next one, doubled each time up to
    `pause_max_s`: a node that has no space for a snapshot finds out in a millisecond, and is offered it again.
    """

    piece_bytes: int = 2 * 1024 * 1024
    piece_bytes_min: int = 64 * 1024
    piece_timeout_s: float = PIECE_TIMEOUT_S
    bytes_per_second_max: int = 256 * 1024 * 1024
    pause_min_s: float = 0.25
    pause_max_s: float = 5.0


class Receiver(Protocol):
    """Keeps one snapshot at a time: see `storage.receive.SnapshotReceiver`. Used by one thread."""

    @property
    def received(self) -> int:
        """Bytes of it that are here: the offset to go on from."""
        ...

    def begin(self, snapshot: SnapshotId) -> int:
        """Receive this one from the returned offset on; another one's bytes are thrown away."""
        ...

    def append(self, piece: bytes) -> int:
        """Keep the next piece; returns the offset of the one after it."""
        ...

    def finish(self) -> object:
        """Verify the whole and keep it for installation."""

    def discard(self) -> None:
        """Throw away what is here."""


class Installer(Protocol):
    """What the replica is told: see `raftdb.node.replica.Replica`."""

    def give_up_received(self) -> bool:
        """What is here can no longer be installed; False if it is being installed."""
        ...

    def snapshot_received(self, index: Index, term: Term) -> None:
        """The snapshot that ends there is here, and may be installed."""


class Incoming:
    """Fetches one snapshot at a time. Everything is called on the event loop's thread; the receiver is called on a
    thread of this object's own, so neither disk nor checksums hold up the loop. Two pieces are in memory: one is
    written while the next arrives."""

    def __init__(
        self,
        installer: Installer,
        receiver: Receiver,
        local: LocalIdentity,
        *,
        check_peer: CheckPeer,
        endpoint_of: Callable[[NodeId], Endpoint | None],
        limits: FetchLimits | None = None,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._installer = installer
        self._receiver = receiver
        self._local = local
        self._check_peer = check_peer
        self._endpoint_of = endpoint_of
        self._limits = limits or FetchLimits()
        self._medium = medium
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot receiver")
        self._one_at_a_time = asyncio.Lock()
        self._present: tuple[Term, asyncio.Task[bool]] | None = None
        """The term in which the snapshot was offered that is being fetched, and what fetches it."""
        self._pauses = 0
        self._failures = 0
        self._rests_until = 0.0
        self._piece_bytes = self._limits.piece_bytes
        self._next_request_s = 0.0

    async def fetch(self, offer: InstallSnapshot) -> bool:
        """Fetch the offered snapshot; True once it is here, whole and verified.

        False if that failed, or if one that was offered in this term is being fetched: what is under way comes to its
        end. The offer of a newer leader takes its place.
        """
        if self._pauses or time.monotonic() < self._rests_until:
            return False
        if self._present is not None and offer.term <= self._present[0]:
            return False
        self._stop()
        task = asyncio.get_running_loop().create_task(self._fetch(offer), name="fetching a snapshot")
        self._present = present = offer.term, task
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            if self._present is present:
                self._present = None
        return not task.cancelled() and task.result()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """While this is held the receiver is not called, and nothing is fetched.

        For whoever moves the received files into place. Waits for the call that is running.
        """
        self._pauses += 1
        try:
            self._stop()
            async with self._one_at_a_time:
                # The one thread takes calls in order: when it gets here, all earlier ones are over.
                await self._run(_nothing)
                yield
        finally:
            self._pauses -= 1

    async def close(self) -> None:
        """Fetch nothing from now on. Waits for the call of the receiver that is running: its folder is in use."""
        self._pauses += 1
        self._stop()
        async with self._one_at_a_time:
            await self._run(_nothing)
        self._executor.shutdown(wait=False)

    def _stop(self) -> None:
        present, self._present = self._present, None
        if present is not None:
            present[1].cancel()

    async def _fetch(self, offer: InstallSnapshot) -> bool:
        """One attempt, and what becomes of it."""
        async with self._one_at_a_time:
            address = self._endpoint_of(offer.source)
            if self._pauses or address is None or not self._installer.give_up_received():
                return False
            began, fields = time.monotonic(), {"peer": offer.source, "index": offer.last_index}
            begin_offset = -1
            try:
                snapshot = SnapshotId(
                    cluster_id=self._local.cluster_id,
                    index=offer.last_index,
                    term=offer.last_term,
                    size_bytes=offer.size_bytes,
                    digest=offer.digest,
                )
                begin_offset = await self._run(self._receiver.begin, snapshot)
                details = {"size_bytes": offer.size_bytes, "offset": begin_offset}
                logger.info("fetching a snapshot", extra={"fields": fields | details})
                await self._fetch_rest(offer, address, begin_offset)
                await self._finish()
            except FetchFailed as failure:
                code, reason = failure.code, failure.reason
            except (SnapshotForeign, SnapshotDamaged, OutOfSpace, SystemFailure) as error:
                code, reason = "refused", error.message
            except Exception as error:
                logger.exception("snapshot receiver failed", extra={"fields": fields})
                code, reason = "receiver_failed", type(error).__name__
            else:
                self._failures, self._piece_bytes = 0, self._limits.piece_bytes
                self._installer.snapshot_received(offer.last_index, offer.last_term)
                logger.info("snapshot received", extra={"fields": fields})
                return True
            logger.warning(
                "snapshot not received", extra={"fields": fields | {"code": code, "reason": reason}}
            )
            self._rest(code, began, is_further=self._receiver.received > begin_offset >= 0)
            return False

    async def _fetch_rest(self, offer: InstallSnapshot, address: Endpoint, offset: int) -> None:
        """Fetch everything from `offset` on, and keep it. Raises FetchFailed, and what storage raises."""
        client = SnapshotClient(
            self._local,
            check_peer=self._check_peer,
            source=offer.source,
            address=address,
            digest=offer.digest,
            size_bytes=offer.size_bytes,
            piece_timeout_s=self._limits.piece_timeout_s,
            medium=self._medium,
        )
        async with client:
            piece = await self._piece(client, offset, offer.size_bytes)
            while piece:
                end = offset + len(piece)
                following = asyncio.ensure_future(self._piece(client, end, offer.size_bytes))
                try:
                    offset = await self._run(self._receiver.append, piece)
                    piece = await following
                finally:
                    following.cancel()
                    with suppress(asyncio.CancelledError, FetchFailed):
                        await following

    async def _piece(self, client: SnapshotClient, offset: int, size_bytes: int) -> bytes:
        """The piece at `offset`, empty at the end only. Raises FetchFailed."""
        length = min(self._piece_bytes, size_bytes - offset)
        if length <= 0:
            return b""
        rate = self._limits.bytes_per_second_max
        if rate:
            # What was not used of the rate is not saved up.
            now = time.monotonic()
            start = max(now, self._next_request_s)
            self._next_request_s = start + length / rate
            await asyncio.sleep(start - now)
        return await client.fetch(offset, length)

    async def _finish(self) -> None:
        """Verify the whole. What fails is thrown away, or it would be resumed for ever."""
        try:
            await self._run(self._receiver.finish)
        except Exception:
            with suppress(Exception):
                await self._run(self._receiver.discard)
            raise

    def _rest(self, code: str, began: float, *, is_further: bool) -> None:
        """After an attempt that brought nothing, pause; the longer, the more there were in a row."""
        limits = self._limits
        if code == "timeout":
            self._piece_bytes = max(self._piece_bytes // 2, limits.piece_bytes_min)
        self._failures = 0 if is_further else self._failures + 1
        if self._failures:
            doublings = min(self._failures - 1, 16)
            self._rests_until = began + min(limits.pause_max_s, limits.pause_min_s * 2.0**doublings)

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Call `work` on the receiver's thread. It runs to its end even if nobody waits for it any more."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


def _nothing() -> None:
    """Work that is over at once."""
