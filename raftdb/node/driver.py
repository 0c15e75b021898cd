"""The one place where a replica meets the world: event loop, disk, network, clock.

Everything that arrives in one turn of the event loop is gathered and handed to the replica at once: one append,
one fsync and one message per peer for all of it. Under load the batches grow by themselves; a lone request waits
for nothing. The loop never touches the disk for writing: a writer thread does, and reports back as an input.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from raftdb.commands.model import Command
from raftdb.commands.row import Access
from raftdb.commands.spec import ACCESS
from raftdb.core.messages import Message
from raftdb.core.model import NodeId, Role
from raftdb.errors import Fatal, LeaderHint, RaftdbError, RequestRefused, Unavailable
from raftdb.node.pending import LogPage, Query, ReadRequest, WriteRequest
from raftdb.node.replica import Answer, Effects, Inputs, Replica
from raftdb.wire import commands as wire_commands
from storage.contract import LogBatch

logger = logging.getLogger("raftdb.node")

REQUESTS_PENDING_MAX = 20_000
"""Requests that may wait at once; beyond that a node says `busy` instead of queueing without end."""
LOG_PAGE_ENTRIES_MAX = 10_000
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


class DurableLog(Protocol):
    """The writer thread of the log, as the driver uses it."""

    last_sync_ms: float

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Write soon, in order; the driver is told by `Driver.persisted`."""


class PeerLinks(Protocol):
    """The network, as the driver uses it."""

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Send, or drop what cannot be sent: Raft repairs it. Never blocks."""


class Driver:
    """Owns the replica. All methods but `persisted` and `storage_failed` are called on the event loop."""

    def __init__(self, replica: Replica, *, tick_ms: float, on_fatal: Callable[[Fatal], None]) -> None:
        self.replica = replica
        self._tick_seconds = tick_ms / 1000
        self._on_fatal = on_fatal
        self._inputs = Inputs()
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._last_request_id = 0
        self._turn_is_due = False
        self._failed = False
        self._closing = False
        self._ticker: asyncio.TimerHandle | None = None
        self.last_contact: dict[NodeId, float] = {}

    def start(self, log: DurableLog, links: PeerLinks) -> None:
        """Begin to tick. `log` and `links` carry out what the replica wants."""
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._links = links
        self._schedule_tick()

    async def execute(self, command: Command, *, consistency: str = "linearizable") -> Answer:
        """Run one command; returns its result once it is durable on a majority (a write), or known to be the
        newest (a read; with `stale`: as this node has it).

        Raises Unavailable (see its codes), ReplyError (it ran and failed) or RequestRefused.
        """
        if ACCESS[type(command)] is Access.WRITE:
            if consistency == "stale":
                raise RequestRefused("bad_request", "a write cannot be stale", hint="leave consistency out")
            payload = wire_commands.encode(command)
            future = self._admit()
            self._inputs.writes.append(WriteRequest(self._last_request_id, payload))
            return await future
        return await self._read(command, stale=consistency == "stale")

    async def read_log(self, first: int | None, limit: int) -> Answer:
        """A page of the leader's log: the answer's value is its entries, its index the commit index."""
        return await self._read(LogPage(first, min(limit, LOG_PAGE_ENTRIES_MAX)), stale=False)

    def receive(self, messages: Sequence[Message]) -> None:
        """Messages from one peer, in the order they were sent."""
        if messages:
            self.last_contact[messages[0].source] = time.monotonic()
        self._inputs.messages.extend(messages)
        self._schedule_turn()

    def persisted(self, sequence: int) -> None:
        """Called by the writer thread: everything up to `sequence` is on disk."""
        self._loop.call_soon_threadsafe(self._persisted, sequence)

    def storage_failed(self, error: BaseException) -> None:
        """Called by the writer thread: a write or fsync failed. The node stops; nothing is retried."""
        cause = Fatal(f"writing the log failed: {error}", hint="check the disk, then start the node again")
        self._loop.call_soon_threadsafe(self._fail, cause)

    def peer_up(self, peer: NodeId) -> None:
        """The peer has accepted our connection: messages can reach it."""
        self.replica.links.add(peer)

    def peer_down(self, peer: NodeId) -> None:
        """Messages to the peer go nowhere for now."""
        self.replica.links.discard(peer)

    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        return self.replica.raft.state.role is Role.LEADER

    def leader_hint(self) -> LeaderHint | None:
        """Where the leader is, if this node knows."""
        state = self.replica.raft.state
        member = state.configurations.latest.find(state.leader_id) if state.leader_id else None
        return None if member is None else LeaderHint(member.id, member.http, member.redis)

    def refusal(self) -> Unavailable:
        """Why this node would not execute a command now."""
        return self.replica.refusal()

    async def close(self, *, grace_seconds: float) -> None:
        """Take no more requests; give those in flight `grace_seconds` to finish, then answer them as unknown."""
        self._closing = True
        waiting = [future for future in self._futures.values() if not future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_seconds)
        if self._ticker is not None:
            self._ticker.cancel()
        self._failed = True
        self._abandon_requests()

    async def _read(self, query: Query, *, stale: bool) -> Answer:
        future = self._admit()
        self._inputs.reads.append(ReadRequest(self._last_request_id, query, stale))
        return await future

    def _admit(self) -> "asyncio.Future[Answer]":
        """Number a request and make room for its answer, or refuse it."""
        if self._closing or self._failed:
            raise Unavailable("no_leader", "this node is stopping", hint="ask another node")
        if len(self._futures) >= REQUESTS_PENDING_MAX:
            raise Unavailable("busy", f"{REQUESTS_PENDING_MAX} requests are waiting", hint="send more slowly")
        self._last_request_id += 1
        future = self._futures[self._last_request_id] = self._loop.create_future()
        self._schedule_turn()
        return future

    def _schedule_tick(self) -> None:
        """One tick per period, and no catching up: after a pause the node hears its messages first."""
        self._ticker = self._loop.call_later(self._tick_seconds, self._on_tick)

    def _on_tick(self) -> None:
        self._inputs.ticks = 1
        self._schedule_turn()
        self._schedule_tick()

    def _persisted(self, sequence: int) -> None:
        self._inputs.persisted_sequence = sequence
        if self._log.last_sync_ms > SLOW_SYNC_MS:
            logger.warning("slow fsync", extra={"fields": {"milliseconds": round(self._log.last_sync_ms, 1)}})
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
        try:
            self._carry_out(self.replica.turn(inputs))
        except Exception as error:
            logger.exception("internal error, the node stops")
            self._fail(error if isinstance(error, Fatal) else Fatal(f"{type(error).__name__}: {error}"))

    def _carry_out(self, effects: Effects) -> None:
        for sequence, batch in effects.persist:
            self._log.submit(sequence, batch)
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
        if effects.more:
            self._schedule_turn()

    def _send(self, messages: Sequence[Message]) -> None:
        """Hand each peer its messages in one piece, in order."""
        by_target: dict[NodeId, list[Message]] = {}
        for message in messages:
            by_target.setdefault(message.target, []).append(message)
        for target, batch in by_target.items():
            self._links.send(target, batch)

    def _fail(self, error: Fatal) -> None:
        """Stop for good: nothing is sent, answered or written any more."""
        if self._failed:
            return
        self._failed = True
        if self._ticker is not None:
            self._ticker.cancel()
        self._abandon_requests()
        self._on_fatal(error)

    def _abandon_requests(self) -> None:
        """Nobody here will learn what became of these requests."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(
                    Unavailable("outcome_unknown", "the node stopped before the outcome was known")
                )
        self._futures.clear()
