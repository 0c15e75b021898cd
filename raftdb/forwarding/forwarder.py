"""The requests that a node passes on: in order, again to a new leader, within bounds (see the package)."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from raftdb.background import StartTask
from raftdb.budgets import KEYS_ON_LOOP_MAX
from raftdb.commands.transactions import is_read
from raftdb.errors import (
    OutcomeUnknown,
    RaftdbError,
    SessionExpired,
    Unavailable,
    required,
)
from raftdb.forwarding.frames import Outcome, Request, encode_operation
from raftdb.forwarding.ports import Channel, ChannelEvents, OpenChannel, OwnNode
from raftdb.forwarding.sessions import NodeSession, NodeSessions
from raftdb.forwarding.waits import ForwardedWaits
from raftdb.limits import MIB
from raftdb.machine.operations import SessionOperation, Submission, asked_of, on_behalf_of
from raftdb.machine.service import Query
from raftdb.machine.services import keys_named
from raftdb.memory import Hold, MemoryAccount
from raftdb.node.aside import Aside
from raftdb.node.effects import OnAnswer
from raftdb.node.held import Waits
from raftdb.node.turn import Answer

logger = logging.getLogger("raftdb.forwarding")

HELD_FACTOR = 3
"""The memory of a request that is passed on, in multiples of its payload: the operation, its encoding, and a frame."""
WAITS_PER_TURN = 256
"""Requests that wait which are sent in one turn."""
HELD_BYTES = 1024
"""The memory of a request besides."""
REFUSED_CODES = frozenset({"not_leader", "no_leader"})
"""The codes of refusals by this node's own driver with which the leadership is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardLimits:
    """The limits of one node. `requests_max` and `bytes_max`: requests that wait or are under way, and their payloads;
    beyond them a node says `busy`. `out_max` and `out_bytes_max`: those under way at the leader. `patience_s`: how long
    a request may wait for a leader and its answer. `look_s`: how often is looked who leads while requests wait.
    `redial_s`: the shortest time between two connections. `idle_s`: a connection that was not used for so long is not
    used again: what is between the nodes may have forgotten it."""

    requests_max: int = 16_384
    bytes_max: int = 64 * MIB
    out_max: int = 4_096
    out_bytes_max: int = 16 * MIB
    patience_s: float = 5.0
    look_s: float = 0.025
    redial_s: float = 0.05
    idle_s: float = 30.0


@dataclass(slots=True, eq=False)
class _Forwarded:
    """One request. `payload` is None while it is encoded on a thread. `sends`: how often it was sent."""

    number: int
    operation: Submission
    on_answer: OnAnswer
    deadline_s: float
    session: NodeSession | None
    payload: bytes | None = None
    held_bytes: int = 0
    sends: int = 0


class Forwarder:
    """Executes operations wherever the leader is. Everything is called on the event loop."""

    def __init__(
        self,
        node: OwnNode,
        open_channel: OpenChannel,
        *,
        memory: MemoryAccount,
        aside: Aside,
        start: StartTask,
        limits: ForwardLimits | None = None,
    ) -> None:
        self._node = node
        self._open_channel = open_channel
        self._hold = Hold(memory, is_of_many=True)
        self._aside = aside
        self._start = start
        self._limits = limits or ForwardLimits()
        self._sessions = NodeSessions()
        self._numbers = count(1)
        self._payload_bytes = self._out_bytes = 0
        self._queue: deque[_Forwarded] = deque()
        """What is not sent on the present channel, by number."""
        self._sent: dict[int, _Forwarded] = {}
        """What is under way on the present channel, by number."""
        self._channel: Channel | None = None
        self._channel_to: str | None = None
        """The leader of the present channel, None for this node itself."""
        self._dialled_s = -self._limits.redial_s
        self._used_s = 0.0
        """When something was sent or answered last on the present channel."""
        self._is_due = False
        self._problem = ""
        """Why the last connection has ended."""
        self._ticker: asyncio.TimerHandle | None = None
        self._closed = False
        self._waits = ForwardedWaits(
            Hold(memory, is_of_many=True),
            next_number=partial(next, self._numbers),
            register=self._register,
            now_s=self._now_s,
            patience_s=self._limits.patience_s,
        )

    @property
    def pending_count(self) -> int:
        """Requests that wait or are under way."""
        return len(self._queue) + len(self._sent)

    def submit(self, operation: Submission, on_answer: OnAnswer) -> None:
        """Run one operation at the leader, linearizably; the same as `Driver.submit`, but the outcome of a write is
        known over changes of leader. Raises Unavailable if there is no room; `on_answer` is not called then."""
        if not self._queue and self._node.is_leader() and (not self._sent or self._is_here):
            # All that was submitted before is at the driver already, or has to go nowhere.
            self._node.submit(operation, partial(self._answered_here, operation, on_answer))
        else:
            self._put(operation, on_answer)

    def wait(self, operation: Waits, on_answer: OnAnswer, *, wait_ms: int) -> int:
        """Run one operation at the leader once it can be served; returns the number by which `leave` takes it back.
        Raises RequestRefused, or Unavailable."""
        if self._closed:
            raise Unavailable("no_leader", "this node is stopping", hint="ask another node")
        number = self._waits.add(operation, on_answer, wait_ms=wait_ms)
        self._expect_turn()
        return number

    def leave(self, request_id: int) -> None:
        """The client of a request that may be held has gone."""
        self._waits.leave(request_id)
        self._expect_turn()

    def end_wait(self, request_id: int) -> None:
        """A request that may be held is to wait no longer."""
        self._waits.end_wait(request_id)
        self._expect_turn()

    def close(self) -> None:
        """Pass nothing on any more, and answer what waits."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        self._drop_channel()
        queue, self._queue = self._queue, deque()
        for forwarded in queue:
            self._settle(forwarded, self._given_up(forwarded, "this node is stopping"))
        self._waits.close()

    @property
    def _is_here(self) -> bool:
        return self._channel is not None and self._channel_to is None

    def _answered_here(
        self, operation: Submission, on_answer: OnAnswer, outcome: Answer | RaftdbError | None
    ) -> None:
        """Take the driver's answer to what was not passed on: what it refused, because another node leads, is."""
        if isinstance(outcome, Unavailable) and outcome.code in REFUSED_CODES:
            try:
                return self._put(operation, on_answer)
            except RaftdbError as error:
                outcome = error
        on_answer(outcome)

    def _put(self, operation: Submission, on_answer: OnAnswer) -> None:
        """Queue an operation. Raises what the encoding raises, and Unavailable."""
        if self._closed:
            raise Unavailable("no_leader", "this node is stopping", hint="ask another node")
        if self.pending_count >= self._limits.requests_max or self._payload_bytes >= self._limits.bytes_max:
            raise Unavailable("busy", "too much is being passed on to the leader", hint="send more slowly")
        asked = asked_of(operation)
        if isinstance(asked, Query) or is_read(asked):
            forwarded = self._numbered(operation, on_answer, None)
            self._encode(forwarded)
        else:
            session = self._sessions.choose(self._now_s())
            if not session.is_known:
                self._register(session, _ignore)
                session.is_known = True
            numbered = session.wrap(asked)
            forwarded = self._numbered(on_behalf_of(operation, numbered), on_answer, session)
            try:
                self._encode(forwarded)
            except RaftdbError:
                session.answered(numbered.sequence)
                raise
        self._queue.append(forwarded)
        self._expect_turn()

    def _register(self, session: NodeSession, on_answer: OnAnswer) -> None:
        """Queue the registration of a session of this node. Raises Unavailable."""
        registration = self._numbered(session.registration, on_answer, None)
        self._encode(registration)
        self._queue.append(registration)
        self._expect_turn()

    def _numbered(
        self, operation: Submission, on_answer: OnAnswer, session: NodeSession | None
    ) -> _Forwarded:
        deadline_s = self._now_s() + self._limits.patience_s
        return _Forwarded(next(self._numbers), operation, on_answer, deadline_s, session)

    def _encode(self, forwarded: _Forwarded) -> None:
        """Encode a request, a large one on a thread: what follows waits for it then."""
        asked = asked_of(forwarded.operation)
        if isinstance(asked, SessionOperation) and keys_named(asked) > KEYS_ON_LOOP_MAX:
            self._start(self._encode_aside(forwarded), name="encoding")
        else:
            self._take_memory(forwarded, encode_operation(forwarded.operation))

    async def _encode_aside(self, forwarded: _Forwarded) -> None:
        try:
            payload = await self._aside.run(encode_operation, forwarded.operation)
            if forwarded in self._queue:
                self._take_memory(forwarded, payload)
        except RaftdbError as error:
            if forwarded in self._queue:
                self._queue.remove(forwarded)
                self._settle(forwarded, error)
        self._expect_turn()

    def _take_memory(self, forwarded: _Forwarded, payload: bytes) -> None:
        """Hold the memory of an encoded request. Raises Unavailable."""
        self._hold.grow(HELD_BYTES + HELD_FACTOR * len(payload))
        forwarded.held_bytes = HELD_BYTES + HELD_FACTOR * len(payload)
        self._payload_bytes += len(payload)
        forwarded.payload = payload

    def _expect_turn(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Find the leader, and send what may be sent."""
        self._is_due = False
        if self._closed:
            return
        self._give_up_what_is_late()
        if self._queue or self._sent or self._waits.has_unsent:
            self._find_channel()
            self._send()
        if self._ticker is None and (self.pending_count or self._waits.count):
            self._ticker = asyncio.get_running_loop().call_later(self._limits.look_s, self._look)

    def _look(self) -> None:
        self._ticker = None
        self._turn()

    def _find_channel(self) -> None:
        """Have a channel to the leader. While no leader is known the present one stays: it may still lead."""
        is_here = self._node.is_leader()
        leader = None if is_here else self._node.leader_hint()
        if not is_here and leader is None:
            return
        wanted = None if leader is None else leader.id
        is_unused = not self._sent and not self._waits.are_sent
        is_idle = is_unused and self._now_s() > self._used_s + self._limits.idle_s
        if self._channel is not None and (self._channel_to != wanted or is_idle):
            self._drop_channel()
            self._dialled_s = self._now_s() - self._limits.redial_s
        if self._channel is None and self._now_s() >= self._dialled_s + self._limits.redial_s:
            self._dialled_s = self._used_s = self._now_s()
            self._channel_to = wanted
            channel: list[Channel] = []
            events = ChannelEvents(
                on_room=self._expect_turn,
                on_answers=self._take_answers,
                on_down=lambda reason: self._channel_ended(channel[0], reason),
            )
            channel.append(self._open_channel(leader, events))
            self._channel = channel[0]

    def _send(self) -> None:
        """Send from the front of the queue, as far as the limits and the channel allow."""
        queue, limits, batch = self._queue, self._limits, list[Request]()
        if self._channel is None or not self._channel.has_room:
            return
        while queue and len(self._sent) < limits.out_max:
            first = queue[0]
            payload = first.payload
            if payload is None or (self._sent and self._out_bytes + len(payload) > limits.out_bytes_max):
                break
            queue.popleft()
            self._sent[first.number] = first
            self._out_bytes += len(payload)
            first.sends += 1
            batch.append(Request(first.number, first.operation, payload))
        batch += self._waits.to_send(WAITS_PER_TURN)
        if self._waits.has_unsent:
            self._expect_turn()
        if batch:
            self._used_s = self._now_s()
            self._channel.send(batch)

    def _take_answers(self, answers: Sequence[tuple[int, Outcome]]) -> None:
        """Settle what the leader has answered."""
        self._used_s = self._now_s()
        for number, outcome in answers:
            forwarded = self._sent.pop(number, None)
            if forwarded is not None:
                self._problem = ""
                self._out_bytes -= len(required(forwarded.payload, "payload"))
                self._settle(forwarded, self._believed(forwarded, outcome))
            else:
                self._waits.take(number, outcome)
        if self._waits.are_handed_back and self._channel is not None:
            self._channel_ended(self._channel, "its leader has lost the leadership")
        if self._queue:
            self._expect_turn()

    def _believed(self, forwarded: _Forwarded, outcome: Outcome) -> Outcome:
        """The outcome, as far as it can be believed."""
        if forwarded.session is None:
            return outcome
        is_expired = isinstance(outcome, SessionExpired)
        if is_expired:
            forwarded.session.is_lost = True
        if forwarded.sends > 1 and (is_expired or isinstance(outcome, Unavailable)):
            return _unknown("the leader has changed, and the new one does not know of it")
        if is_expired:
            return Unavailable("busy", "the cluster has ended a session of this node", hint="try again")
        return outcome

    def _channel_ended(self, channel: Channel, reason: str) -> None:
        """The connection is lost, or its other end does not lead any more."""
        if channel is self._channel:
            logger.debug("nothing is passed on", extra={"fields": {"to": self._channel_to, "reason": reason}})
            self._problem = reason
            self._drop_channel()
            self._expect_turn()

    def _drop_channel(self) -> None:
        """Queue what was under way, in its order, before all that follows."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            self._waits.channel_is_gone()
        if self._sent:
            # What the driver has refused here was numbered later than some of what was under way.
            self._queue = deque(sorted((*self._sent.values(), *self._queue), key=lambda each: each.number))
            self._sent.clear()
            self._out_bytes = 0

    def _give_up_what_is_late(self) -> None:
        """Answer what has waited for too long. All have the same patience, so the oldest come first."""
        now_s = self._now_s()
        oldest = next(iter(self._sent.values()), None)
        is_late = oldest is not None and oldest.deadline_s <= now_s
        if self._waits.are_overdue() or is_late:
            # The connection seems to be dead, and others wait behind this one.
            self._drop_channel()
        while self._queue and self._queue[0].deadline_s <= now_s:
            late = self._queue.popleft()
            why = f" ({self._problem})" if self._problem else ""
            self._settle(late, self._given_up(late, f"no leader has answered in time{why}"))

    def _given_up(self, forwarded: _Forwarded, why: str) -> RaftdbError:
        if forwarded.session is not None and forwarded.sends:
            return _unknown(why)
        return Unavailable("no_leader", why, hint="try again in a second")

    def _settle(self, forwarded: _Forwarded, outcome: Outcome) -> None:
        """Give the answer to who waits for it."""
        if forwarded.payload is not None:
            self._payload_bytes -= len(forwarded.payload)
        self._hold.set(self._hold.bytes - forwarded.held_bytes)
        asked = asked_of(forwarded.operation)
        if forwarded.session is not None and isinstance(asked, SessionOperation):
            forwarded.session.answered(asked.sequence)
        forwarded.on_answer(outcome)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def _unknown(why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"it was passed on, but {why}", hint="read before you try again")


def _ignore(outcome: Answer | RaftdbError | None) -> None:
    """Takes the answer to a registration: what it was for is told if it failed."""
