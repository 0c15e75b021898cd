"""The one place where a replica meets the world: event loop, disk, network, clock.

Everything that arrives in one turn of the event loop is gathered and handed to the replica at once: one append,
one fsync and one message per peer for all of it. Under load the batches grow by themselves; a lone request waits
for nothing. The loop never touches the disk for writing: a writer thread does, and reports back as an input.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from math import ceil

from raftdb.background import Background, fatal_of
from raftdb.budgets import KEYS_ON_LOOP_MAX, LOG_PAGE_ENTRIES_MAX
from raftdb.commands.transactions import grows, is_read
from raftdb.core.events import Change, PeerMet, Received, RemovalTold, SnapshotFetched, TripMeasured
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.timing import silence_ticks_borne
from raftdb.errors import Fatal, LeaderHint, OutcomeUnknown, RaftdbError, RequestRefused, Unavailable
from raftdb.machine.entries import encode
from raftdb.machine.operations import ClientOperation
from raftdb.machine.service import Query as RecordQuery
from raftdb.machine.services import keys_named
from raftdb.node import refusals
from raftdb.node.aside import Aside
from raftdb.node.contacts import Contacts
from raftdb.node.membership import ChangeRequest, TransferRequest, check_change
from raftdb.node.pending import LogPage, MakeCheckpoint, Query, ReadRequest, WriteRequest
from raftdb.node.ports import Disk, PeerLinks, Snapshots
from raftdb.node.replica import Replica
from raftdb.node.space import WRITE_BYTES, SpaceBudget
from raftdb.node.turn import Answer, Effects, Inputs, PersistJob
from raftdb.node.view import NodeView
from raftdb.node.watchdog import Watchdog
from storage.contract import FrozenChanges

logger = logging.getLogger("raftdb.node")

REQUESTS_PENDING_MAX = 20_000
"""Requests that may wait at once; beyond that a node says `busy` instead of queueing without end."""
SLOW_SYNC_MS = 200.0
"""An fsync slower than this is worth a line in the log: it delays every write."""

LEVELS = {
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "warning": logging.WARNING,
    "heartbeat": logging.DEBUG,
}
HEARTBEAT_LOGGER = logging.getLogger("raftdb.node.heartbeat")
"""Heartbeats have a logger of their own, so that they can be shown without everything else."""


class Driver:
    """Owns the replica. All methods but `persisted` and `storage_failed` are called on the event loop."""

    def __init__(
        self, replica: Replica, *, tick_ms: float, heartbeat_ms: float, on_fatal: Callable[[Fatal], None]
    ) -> None:
        self.replica = replica
        self.view = NodeView(replica)
        self._tick_seconds = tick_ms / 1000
        self._on_fatal = on_fatal
        self._inputs = Inputs()
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._last_request_id = 0
        self._turn_is_due = False
        self._failed = False
        self._closing = False
        self._ticker: asyncio.TimerHandle | None = None
        self._background = Background(self._fail)
        self._held_jobs: list[PersistJob] | None = None
        self.contacts = Contacts(heartbeat_s=heartbeat_ms / 1000)
        self.space = SpaceBudget()
        self.aside = Aside()
        timeout_ticks = replica.raft.state.settings.election_timeout_ticks
        self.watchdog = Watchdog(election_timeout_seconds=timeout_ticks * self._tick_seconds)

    def start(self, disk: Disk, links: PeerLinks, snapshots: Snapshots) -> None:
        """Begin to tick. `disk`, `links` and `snapshots` carry out what the replica wants."""
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._links = links
        self.replica.address_of = links.address_of
        self._snapshots = snapshots
        self._schedule_tick()
        self.watchdog.start()

    async def execute(
        self, operation: ClientOperation | RecordQuery, *, consistency: str = "linearizable"
    ) -> Answer:
        """Run one operation; returns its result once it is durable on a majority, or for what only reads, known to be
        the newest (with `stale`: as this node has it).

        Of what a session has done before, the answer has the index and term of then. Raises Unavailable,
        OutcomeUnknown, ReplyError (it ran and failed; Conflict and SessionExpired are such) or RequestRefused.
        """
        if isinstance(operation, RecordQuery) or is_read(operation):
            return await self._read(operation, stale=consistency == "stale")  # type: ignore[arg-type]  # a command
        if consistency == "stale":
            raise RequestRefused("bad_request", "a write cannot be stale", hint="leave consistency out")
        if self.is_leader() and not self.replica.takes_writes:
            raise Unavailable("busy", "too many changes wait for the disk", hint="send more slowly")
        if keys_named(operation) <= KEYS_ON_LOOP_MAX:
            payload = encode(operation)
        else:
            payload = await self.aside.run(encode, operation)
        if self.is_leader():
            self._refuse_on_full_disk(WRITE_BYTES)
            if grows(operation):
                self._take_space(len(payload))
        future = self._admit()
        self._inputs.writes.append(WriteRequest(self._last_request_id, payload))
        return await future

    async def read_log(self, first: int | None, limit: int) -> Answer:
        """A page of the leader's log: the answer's value is its entries, its index the commit index."""
        return await self._read(LogPage(first, min(limit, LOG_PAGE_ENTRIES_MAX)), stale=False)

    async def change_members(self, change: Change, *, force: bool = False) -> Answer:
        """Change the members; the answer's value is a `MembersChanged`, its index that of the new configuration.

        A node that is added is a voter then, or still catching up: see `raftdb.node.membership`. Raises Unavailable,
        OutcomeUnknown, or RequestRefused (`conflict`, `not_found`, `bad_request`: nothing changed).
        """
        check_change(change)
        future = self._admit()
        self._inputs.changes.append(ChangeRequest(self._last_request_id, change, force))
        return await future

    async def transfer(self, target: NodeId | None = None) -> Answer:
        """Hand the leadership to `target` (None: whoever is furthest); the answer's value is the new leader's hint.

        Raises Unavailable (this node leads on), OutcomeUnknown, or RequestRefused if `target` cannot lead.
        """
        future = self._admit()
        self._inputs.transfers.append(TransferRequest(self._last_request_id, target))
        return await future

    async def checkpoint(self, *, stale: bool = False, keeps_tail: bool = False) -> int:
        """Make the state durable and compact the log; returns the index that the state is durable up to.

        It covers all that was answered anywhere before the call; with `stale`, all that this node has applied.
        `keeps_tail`: the log is compacted no further than by itself. Raises Unavailable, also if the disk has no room
        for it, or OutcomeUnknown.
        """
        self._refuse_on_full_disk(self.space.checkpoint_bytes)
        return (await self._read(MakeCheckpoint(keeps_tail), stale=stale)).index

    def receive(self, messages: Sequence[Message], start: str) -> None:
        """Messages from one start of one peer, in the order they were sent."""
        if messages:
            self.contacts.heard(messages[0].source)
        self._inputs.messages.extend(
            Received(message, start) for message in messages if self.space.hears(message)
        )
        self._schedule_turn()

    def persisted(self, sequence: int) -> None:
        """Called by the writer thread: everything up to `sequence` is on disk."""
        self._loop.call_soon_threadsafe(self._persisted, sequence)

    def storage_failed(self, error: BaseException) -> None:
        """Called by the writer thread: a write or fsync failed. The node stops; nothing is retried."""
        hint = getattr(error, "hint", None) or "check the disk, then start the node again"
        cause = Fatal(f"writing the log failed: {getattr(error, 'message', error)}", hint=hint)
        self._loop.call_soon_threadsafe(self._fail, cause)

    def peer_met(self, event: PeerMet) -> None:
        """What a handshake has shown of a peer. Also to be told of this node itself."""
        self._inputs.handshakes.append(event)
        self._schedule_turn()

    def told_removed(self, by: Collection[NodeId]) -> None:
        """Peers refuse this node as one that was removed from the cluster, which is certain then. Nobody: it is not."""
        if by and not self.replica.is_removed:
            details = {"says": ", ".join(sorted(by))}
            logger.warning("this node was removed from the cluster", extra={"fields": details})
        self._inputs.handshakes.append(RemovalTold(bool(by)))
        self._schedule_turn()

    def trip_measured(self, peer: NodeId, seconds: float) -> None:
        """The way to `peer` and back takes so long."""
        self._inputs.handshakes.append(TripMeasured(peer, ceil(seconds * 1000)))
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
        """Take no more requests; give those in flight `grace_seconds` to finish, then answer them as unknown."""
        self._closing = True
        waiting = [future for future in self._futures.values() if not future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_seconds)
        if self._ticker is not None:
            self._ticker.cancel()
        self._failed = True
        self.watchdog.close()
        await self._background.close()
        self._abandon_requests()

    async def _read(self, query: Query, *, stale: bool) -> Answer:
        future = self._admit()
        self._inputs.reads.append(ReadRequest(self._last_request_id, query, stale))
        return await future

    @property
    def no_space(self) -> str | None:
        """Why commands that grow the data are refused, here or by a leader that hears of it; None: they are not."""
        return self.space.shortage or self.space.shortage_of_members(
            self.replica.raft.state, self.replica.links
        )

    def _take_space(self, payload_bytes: int) -> None:
        """Refuse growth while space is short, here or with too many of the others (hazard B84)."""
        reason = self.no_space
        if reason is not None:
            is_own = self.space.shortage is not None
            raise refusals.no_space(self.replica.raft.state, reason, is_own=is_own)
        self.space.take(payload_bytes)

    def _refuse_on_full_disk(self, needed_bytes: int) -> None:
        """Refuse what may find no space when it is written: that would end the node, which can still read and vote."""
        reason = self.space.refusal(needed_bytes)
        if reason is not None:
            raise refusals.no_space(self.replica.raft.state, reason, is_own=True, is_full=True)

    def _admit(self) -> "asyncio.Future[Answer]":
        """Number a request and make room for its answer, or refuse it."""
        self._refuse_if_stopping()
        if len(self._futures) >= REQUESTS_PENDING_MAX:
            raise Unavailable("busy", f"{REQUESTS_PENDING_MAX} requests are waiting", hint="send more slowly")
        self._last_request_id += 1
        future = self._futures[self._last_request_id] = self._loop.create_future()
        self._schedule_turn()
        return future

    def _refuse_if_stopping(self) -> None:
        """Send on to the leader whom a node can no longer serve, if there is another."""
        if not self._closing and not self._failed:
            return
        leader = None if self.is_leader() else self.leader_hint()
        if leader is not None:
            raise Unavailable("not_leader", f"{leader.id} leads, and this node is stopping", leader=leader)
        raise Unavailable("no_leader", "this node is stopping", hint="ask another node")

    def _schedule_tick(self) -> None:
        """One tick per period, and no catching up: after a pause the node hears its messages first."""
        self._ticker = self._background.after(self._tick_seconds, self._on_tick)

    def _on_tick(self) -> None:
        self._inputs.ticks = 1
        core = self.replica.raft.state
        patience_s = silence_ticks_borne(core) * self._tick_seconds
        self.contacts.look(core, is_removed=self.replica.is_removed, patience_s=patience_s)
        self._schedule_turn()
        self._schedule_tick()

    def _persisted(self, sequence: int) -> None:
        self._inputs.persisted_sequence = sequence
        if self._disk.last_sync_ms > SLOW_SYNC_MS:
            logger.warning(
                "slow fsync", extra={"fields": {"milliseconds": round(self._disk.last_sync_ms, 1)}}
            )
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        """Run a turn once all that is ready now has been taken in."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """One turn of the replica, and its effects. Whatever is raised here stops the node (error kind Fatal)."""
        self._turn_is_due = False
        if self._failed:
            return
        inputs, self._inputs = self._inputs, Inputs()
        inputs.now_ms = time.monotonic() * 1000
        try:
            self._carry_out(self.replica.turn(inputs))
        except Exception as error:
            logger.exception("internal error, the node stops")
            self._fail(fatal_of(error))

    def _carry_out(self, effects: Effects) -> None:
        for job in effects.persist:
            self._persist(job)
        if effects.peers is not None:
            self._links.update_peers(effects.peers)
        if effects.messages:
            self._send(effects.messages)
        for request_id, answer in effects.answers:
            future = self._futures.pop(request_id)
            if future.done():
                continue
            if isinstance(answer, RaftdbError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        for trace in effects.traces:
            target = HEARTBEAT_LOGGER if trace.level == "heartbeat" else logger
            if target.isEnabledFor(LEVELS[trace.level]):
                target.log(LEVELS[trace.level], trace.event, extra={"fields": dict(trace.details)})
        if effects.flush is not None:
            self._background.start(self._flush(effects.flush), name="flush")
        if effects.trim is not None:
            self._background.start(self._trim(effects.trim), name="trim")
        for follower in effects.snapshots_wanted:
            self._background.start(self._make_snapshot(follower), name="snapshot made")
        if effects.snapshot_offered is not None:
            self._background.start(self._fetch_snapshot(effects.snapshot_offered), name="snapshot fetched")
        if effects.more:
            self._schedule_turn()

    def _persist(self, job: PersistJob) -> None:
        """Hand a job to the log's writer; behind an installation all jobs wait until the log has begun anew."""
        if self._held_jobs is not None:
            self._held_jobs.append(job)
        elif job.install is None:
            self._disk.submit(job.sequence, job.batch)
        else:
            self._held_jobs = []
            self._background.start(self._install(job, job.install), name="install")

    async def _install(self, job: PersistJob, end: EntryId) -> None:
        """Put a received snapshot in place, then go on with the jobs that waited."""
        self._inputs.installed_state = await self._disk.install(end, job.batch.hard_state)
        held, self._held_jobs = self._held_jobs or [], None
        self._persisted(job.sequence)
        for later in held:
            self._persist(later)

    async def _flush(self, frozen: FrozenChanges) -> None:
        started = time.monotonic()
        await self._disk.flush(frozen)
        details = {"index": frozen.index, "keys": len(frozen.changes), "bytes": frozen.change_bytes}
        self._log_duration("checkpoint written", started, details)
        self._inputs.flushed = frozen
        self._schedule_turn()

    async def _trim(self, base: EntryId) -> None:
        started = time.monotonic()
        await self._disk.trim(base)
        self._log_duration("log trimmed", started, {"first_index": base.index + 1})

    def _log_duration(self, message: str, started: float, details: dict[str, int]) -> None:
        """One line about work beside the turns that began at `started` and is done."""
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        logger.info(message, extra={"fields": {**details, "milliseconds": milliseconds}})

    async def _make_snapshot(self, target: NodeId) -> None:
        made = await self._snapshots.make(target)
        self._inputs.snapshots.append(made)
        self._schedule_turn()

    async def _fetch_snapshot(self, offer: InstallSnapshot) -> None:
        if await self._snapshots.fetch(offer):
            self._inputs.snapshots.append(SnapshotFetched(offer))
            self._schedule_turn()

    def _send(self, messages: Sequence[Message]) -> None:
        """Hand each peer its messages in one piece, in order."""
        by_target: dict[NodeId, list[Message]] = {}
        for message in self.space.says(messages):
            by_target.setdefault(message.target, []).append(message)
        for target, batch in by_target.items():
            self._links.send(target, batch)

    def _fail(self, error: Fatal) -> None:
        """Stop for good: nothing is sent, answered or written any more. What fails after that is told, too."""
        if not self._failed:
            self._failed = True
            if self._ticker is not None:
                self._ticker.cancel()
            self._abandon_requests()
        self._on_fatal(error)

    def _abandon_requests(self) -> None:
        """Nobody here will learn what became of these requests."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(OutcomeUnknown("the node stopped before the outcome was known"))
        self._futures.clear()
