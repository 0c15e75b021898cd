"""The one place where a replica meets the world: event loop, disk, network, clock.

Everything that arrives in one turn of the event loop is gathered and handed to the replica at once: one append,
one fsync and one message per peer for all of it. Under load the batches grow by themselves; a lone request waits for no
other. A writer thread writes to the disk, and reports back as an input; see `storage.writer` for when the loop does.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import ceil
from typing import cast

from raftdb.background import Background, fatal_of
from raftdb.budgets import KEYS_ON_LOOP_MAX, LOG_PAGE_ENTRIES_MAX
from raftdb.commands.transactions import grows, is_read
from raftdb.core.events import Change, PeerMet, Received, RemovalTold, TripMeasured
from raftdb.core.messages import Message
from raftdb.core.model import NodeId
from raftdb.core.timing import silence_ticks_borne
from raftdb.errors import Fatal, LeaderHint, RaftdbError, RequestRefused, Unavailable
from raftdb.machine.entries import encode
from raftdb.machine.operations import Operation, Submission, asked_of
from raftdb.machine.service import Query as RecordQuery
from raftdb.machine.services import keys_named
from raftdb.node import pending
from raftdb.node.aside import Aside
from raftdb.node.chronicle import Chronicle
from raftdb.node.contacts import Contacts
from raftdb.node.disk_reports import DiskReports, tell_if_slow
from raftdb.node.effect_handler import NodeEffectHandler
from raftdb.node.effects import EffectRunner, OnAnswer, stopped
from raftdb.node.held import HeldRequests
from raftdb.node.membership import ChangeRequest, TransferRequest, check_change
from raftdb.node.pending import LogPage, MakeCheckpoint, Query, ReadRequest, WriteRequest
from raftdb.node.replica import Replica
from raftdb.node.space import WRITE_BYTES, SpaceBudget
from raftdb.node.turn import Answer, Disk, PeerLinks, Snapshots
from raftdb.node.view import NodeView
from raftdb.node.watchdog import Watchdog

logger = logging.getLogger("raftdb.node")

REQUESTS_PENDING_MAX = 20_000
"""Requests that may wait at once; beyond that a node says `busy` instead of queueing without end."""


class Driver:
    """Owns the replica. All methods but `persisted` and `storage_failed` are called on the event loop."""

    def __init__(
        self,
        replica: Replica,
        view: NodeView,
        *,
        tick_ms: float,
        heartbeat_ms: float,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        """`view` is that of `replica`, for all who only read."""
        self.replica = replica
        self.view = view
        self._tick_seconds = tick_ms / 1000
        self._on_fatal = on_fatal
        self._runner = EffectRunner(self._schedule_turn)
        self.held = HeldRequests(self._runner, self._take_room, self._admit, self._schedule_turn)
        self._turn_is_due = self._failed = self._closing = False
        self._takes_writes = self._leads = False
        """Whether writes may be taken until the next turn, and whether it is as the leader."""
        self._shortage: str | None = None
        """Why those that grow the data are refused until then."""
        self._ticker: asyncio.TimerHandle | None = None
        self._background = Background(self._fail)
        self._nobody_waits = asyncio.Event()
        self.contacts = Contacts(heartbeat_s=heartbeat_ms / 1000)
        self.space = SpaceBudget()
        self.aside = Aside()
        self.chronicle = Chronicle()
        timeout_ticks = replica.raft.state.settings.election_timeout_ticks
        self.watchdog = Watchdog(election_timeout_seconds=timeout_ticks * self._tick_seconds)

    def start(self, disk: Disk, links: PeerLinks, snapshots: Snapshots) -> None:
        """Begin to tick. `disk`, `links` and `snapshots` carry out what the replica wants."""
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._reports = DiskReports(self._loop, self._persisted)
        self.replica.endpoint_of = links.endpoint_of
        self._handler = NodeEffectHandler(
            *(self._runner, self._background, self.space, self.replica.counts),
            chronicle=self.chronicle,
            leads=self.is_leader,
            on_durable=self._persisted,
            disk=disk,
            links=links,
            snapshots=snapshots,
        )
        self._schedule_tick()
        self.watchdog.start()

    async def execute(self, operation: Submission, *, consistency: str = "linearizable") -> Answer:
        """The same as `submit` for callers that wait: returns the answer, or raises the error."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self.submit(operation, partial(settle, future), stale=consistency == "stale")
        return await future

    def submit(
        self,
        operation: Submission,
        on_answer: OnAnswer,
        *,
        stale: bool = False,
        payload: bytes | None = None,
    ) -> None:
        """Run one operation. `on_answer` is called once, after this returns: for a write in the turn in which its
        entry, by then durable on a majority, is applied; for a read when its result is known to be the newest (with
        `stale`: as this node has it).

        It gets the answer, which for an operation that its session has done before has the index and term of that time;
        or Unavailable, OutcomeUnknown, ReplyError (it ran and failed; Conflict and SessionExpired are such) or
        RequestRefused; or None if the node stops before it knows. It must be quick, and must not raise. An operation
        that is refused at once raises here, and `on_answer` is not called. A read sees all writes that were answered
        before it was submitted, and need not see writes that are under way; an operation so large that it is encoded on
        a thread may be overtaken by others. `payload` is the encoded operation, if a caller has it already.
        """
        if is_read(operation) or isinstance(asked_of(operation), RecordQuery):
            reads = self._runner.inputs.reads
            reads.append(ReadRequest(self._admit(on_answer), operation, stale))  # type: ignore[arg-type]  # a command
            return
        if stale:
            raise RequestRefused("bad_request", "a write cannot be stale", hint="leave consistency out")
        if not self._takes_writes:
            self._check_writes()
        write = cast(Operation, operation)
        if payload is None and keys_named(write) > KEYS_ON_LOOP_MAX:
            request_id = self._admit(on_answer)
            self._background.start(self._encode_aside(request_id, write), name="encoding")
            return
        if payload is None:
            payload = encode(write)
        self._take_room(write, payload)
        self._runner.inputs.writes.append(WriteRequest(self._admit(on_answer), payload))

    async def read_log(self, first: int | None, limit: int) -> Answer:
        """A page of the leader's log: the answer's value is its entries, its index the commit index."""
        return await self._read(LogPage(first, min(limit, LOG_PAGE_ENTRIES_MAX)), stale=False)

    async def change_members(self, change: Change, *, force: bool = False) -> Answer:
        """Change the members; the answer's value is a `MembersChanged`, its index that of the new configuration.

        A node that is added is a voter then, or still catching up: see `raftdb.node.membership`. Raises Unavailable,
        OutcomeUnknown, or RequestRefused (`conflict`, `not_found`, `bad_request`: nothing changed).
        """
        check_change(change)
        changes = self._runner.inputs.changes
        return await self._answer_to(
            lambda request_id: changes.append(ChangeRequest(request_id, change, force))
        )

    async def transfer(self, target: NodeId | None = None) -> Answer:
        """Hand the leadership to `target` (None: the voter that is furthest); the answer's value is the new leader's
        hint.

        Raises Unavailable (this node leads on), OutcomeUnknown, or RequestRefused if `target` cannot lead.
        """
        transfers = self._runner.inputs.transfers
        return await self._answer_to(lambda request_id: transfers.append(TransferRequest(request_id, target)))

    async def checkpoint(self, *, stale: bool = False, keeps_tail: bool = False) -> int:
        """Make the state durable and compact the log; returns the index that the state is durable up to.

        It covers all that was answered anywhere before the call; with `stale`, all that this node has applied.
        With `keeps_tail` the log is compacted no further than after a checkpoint that nobody asked for. Raises
        Unavailable, also if the disk has no room for it, or OutcomeUnknown.
        """
        self._refuse_on_full_disk(self.space.checkpoint_bytes)
        return (await self._read(MakeCheckpoint(keeps_tail), stale=stale)).index

    def receive(self, messages: Sequence[Message], start: str) -> None:
        """Messages from one start of one peer, in the order they were sent."""
        if messages:
            self.contacts.heard(messages[0].source)
        self._runner.inputs.messages.extend(
            Received(message, start) for message in messages if self.space.hears(message)
        )
        self._schedule_turn()

    def persisted(self, sequence: int) -> None:
        """Called by the writer thread: everything up to `sequence` is on disk."""
        self._reports.reached(sequence)

    def storage_failed(self, error: BaseException) -> None:
        """Called by the writer thread: a write or fsync failed. The node stops; nothing is retried."""
        hint = getattr(error, "hint", None) or "check the disk, then start the node again"
        cause = Fatal(f"writing the log failed: {getattr(error, 'message', error)}", hint=hint)
        self._loop.call_soon_threadsafe(self._fail, cause)

    def peer_met(self, event: PeerMet) -> None:
        """Take in what a handshake has shown of a peer, or of this node itself."""
        self._runner.inputs.handshakes.append(event)
        self._schedule_turn()

    def told_removed(self, by: Sequence[NodeId]) -> None:
        """The peers `by` refuse this node as removed, and are enough to be certain of it; with none, it is not."""
        if by and not self.replica.is_removed:
            details = {"says": ", ".join(by)}
            logger.warning("this node was removed from the cluster", extra={"fields": details})
        self._runner.inputs.handshakes.append(RemovalTold(bool(by)))
        self._schedule_turn()

    def trip_measured(self, peer: NodeId, seconds: float) -> None:
        """A small message takes `seconds` to `peer` and back."""
        self._runner.inputs.handshakes.append(TripMeasured(peer, ceil(seconds * 1000)))
        self._schedule_turn()

    def peer_up(self, peer: NodeId) -> None:
        """The peer has accepted our connection: messages can reach it."""
        self.replica.links.add(peer)

    def peer_down(self, peer: NodeId) -> None:
        """Messages to the peer go nowhere for now."""
        self.replica.links.discard(peer)

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        return self.view.is_leader

    def leader_hint(self) -> LeaderHint | None:
        """Where the leader is, if this node knows."""
        return self.view.leader

    async def close(self, *, grace_seconds: float) -> None:
        """Take no more requests, and hand back those that are held; give those in flight `grace_seconds` to finish,
        then answer them as unknown."""
        self._closing = True
        self.held.hand_back()
        if self._runner.pending_count:
            self._nobody_waits.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._nobody_waits.wait()
        if self._ticker is not None:
            self._ticker.cancel()
        self._failed = True
        self._handler.finish_telling()
        self.watchdog.close()
        await self._background.close()
        self._abandon_requests()

    async def _read(self, query: Query, *, stale: bool) -> Answer:
        reads = self._runner.inputs.reads
        return await self._answer_to(lambda request_id: reads.append(ReadRequest(request_id, query, stale)))

    async def _encode_aside(self, request_id: int, operation: Operation) -> None:
        """Go on with a write that is too large to be encoded on the loop."""
        try:
            payload = await self.aside.run(encode, operation)
            self._take_room(operation, payload)
        except RaftdbError as error:
            if not self._failed:
                self._runner.answer(request_id, error)
        else:
            self._runner.inputs.writes.append(WriteRequest(request_id, payload))
            self._schedule_turn()

    def _take_room(self, operation: Operation, payload: bytes) -> None:
        """Refuse a write that cannot be taken now, or for which this node, or too many others, have no space."""
        if not self._takes_writes:
            self._check_writes()
        if self._leads and grows(operation):
            self._take_space(len(payload))

    def _check_writes(self) -> None:
        """Refuse writes while a leader can take none; if it can, that holds until the next turn."""
        self._refuse_if_stopping()
        self._leads = self.is_leader()
        if self._leads:
            if not self.replica.takes_writes:
                why = Unavailable("busy", "too many changes wait for the disk", hint="send more slowly")
                raise self.replica.counts.noted(why)
            self._refuse_on_full_disk(WRITE_BYTES)
            self._shortage = self.no_space
        self._takes_writes = True

    @property
    def no_space(self) -> str | None:
        """Why this node, or a leader that hears from it, refuses commands that grow the data; None if it does not."""
        return self.space.shortage or self.space.shortage_of_members(
            self.replica.raft.state, self.replica.links
        )

    def _take_space(self, payload_bytes: int) -> None:
        """Refuse growth while this node or too many of the others are short of space (hazard B84)."""
        reason = self._shortage or self.space.shortage
        if reason is not None:
            core, is_own = self.replica.raft.state, self.space.shortage is not None
            raise self.replica.counts.noted(pending.no_space(core, reason, is_own=is_own))
        self.space.take(payload_bytes)

    def _refuse_on_full_disk(self, needed_bytes: int) -> None:
        """Refuse a write that may find no space on the disk: it would end the node, which can still read and vote."""
        reason = self.space.refusal(needed_bytes)
        if reason is not None:
            refusal = pending.no_space(self.replica.raft.state, reason, is_own=True, is_full=True)
            raise self.replica.counts.noted(refusal)

    async def _answer_to(self, request: Callable[[int], None]) -> Answer:
        """Put a request among the inputs, under the number that it gets, and wait for its answer."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        request(self._admit(partial(settle, future)))
        return await future

    def _admit(self, on_answer: OnAnswer) -> int:
        """Number a request, or refuse it."""
        if self._closing or self._failed:
            self._refuse_if_stopping()
        if self._runner.pending_count - self.held.count >= REQUESTS_PENDING_MAX:
            raise Unavailable("busy", f"{REQUESTS_PENDING_MAX} requests are waiting", hint="send more slowly")
        return self._runner.admit(on_answer)

    def _refuse_if_stopping(self) -> None:
        """Refuse a request while the node is stopping; the error names the leader, if another node leads."""
        if not self._closing and not self._failed:
            return
        leader = None if self.is_leader() else self.leader_hint()
        if leader is not None:
            raise Unavailable("not_leader", f"{leader.id} leads, and this node is stopping", leader=leader)
        raise pending.stopping()

    def _schedule_tick(self) -> None:
        """Schedule one tick per period. Ticks that a pause has swallowed are not made up for: messages come first."""
        self._ticker = self._background.after(self._tick_seconds, self._on_tick)

    def _on_tick(self) -> None:
        self._runner.inputs.ticks = 1
        self._handler.finish_telling()
        core = self.replica.raft.state
        patience_s = silence_ticks_borne(core) * self._tick_seconds
        self.contacts.look(core, is_removed=self.replica.is_removed, patience_s=patience_s)
        self._schedule_turn()
        self._schedule_tick()

    def _persisted(self, sequence: int) -> None:
        tell_if_slow(self._disk.last_sync_ms)
        self._runner.persisted(sequence)

    def _schedule_turn(self) -> None:
        """Run a turn once all inputs that are ready now have been taken in."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """One turn of the replica, and its effects. Any exception here stops the node (error kind Fatal)."""
        self._reports.take()
        self._turn_is_due = self._takes_writes = False
        if self._failed:
            return
        inputs = self._runner.take_inputs()
        inputs.now_ms = time.monotonic() * 1000
        if self.held.count:
            self.held.enter(inputs, disk_is_full=self.space.refusal(WRITE_BYTES) is not None)
        try:
            self._runner.carry_out(self.replica.turn(inputs), self._handler)
            self._reports.wait(self.replica.awaits_disk)
            if not self._runner.pending_count:
                self._nobody_waits.set()
        except Exception as error:
            logger.exception("internal error, the node stops")
            self._fail(fatal_of(error))

    def _fail(self, error: Fatal) -> None:
        """Stop for good: nothing is sent, answered or written any more. Later failures are reported, too."""
        if not self._failed:
            self._failed = True
            self._handler.finish_telling()
            if self._ticker is not None:
                self._ticker.cancel()
            self._abandon_requests()
        self._on_fatal(error)

    def _abandon_requests(self) -> None:
        """Answer all waiting requests as unknown: this node will not learn their outcome."""
        self._runner.abandon()
        self._nobody_waits.set()


def settle(future: "asyncio.Future[Answer]", answer: Answer | RaftdbError | None) -> None:
    """Give the waiting caller its answer, unless the caller has gone."""
    if future.done():
        return
    if answer is None:
        answer = stopped()
    if isinstance(answer, RaftdbError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
