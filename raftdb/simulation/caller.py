"""The requests of one simulated client: one at a time, sent to any node, until the outcome is certain or the client
gives up.

If a node refuses the request without having executed it, the client asks the leader that the node named, or another
node. The outcome of a write whose connection broke or whose time ran out is *unknown*. Without a session such a write
is never repeated; with one it is repeated under the same number until an answer comes: it may reach several nodes, and
the log several times, and takes effect once (hazards B53, B54, B56).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from raftdb.commands.answers import shown
from raftdb.core.model import EntryKind, Index, NodeId
from raftdb.errors import (
    InvariantBroken,
    OutcomeUnknown,
    RaftdbError,
    ReplyError,
    SessionExpired,
    Unavailable,
)
from raftdb.machine import entries, services
from raftdb.machine.operations import (
    GuardedOperation,
    Operation,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
    Work,
)
from raftdb.machine.session_records import SESSION_NAME_BYTES
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Get
from raftdb.node.pending import ReadRequest
from raftdb.node.turn import Answer
from raftdb.simulation.holding import Holding
from raftdb.simulation.host import Host
from raftdb.simulation.host import World as HostWorld
from raftdb.simulation.modelled import comparable
from raftdb.simulation.scheduler import MILLISECOND

RETRY_US = 20 * MILLISECOND
RESENDS = 4
"""A client with a session sends a request up to this often within its timeout if no answer comes."""

WRITES = (*services.WRITES, TransactionOperation, GuardedOperation, WaitingOperation, CloseSession)
"""The operations that go through the log."""

Asked = Work | WaitingOperation | CloseSession
"""What a client may ask for. Its session is closed under the name that it has then."""


class World(HostWorld, Protocol):
    """The parts of the simulation that clients use."""

    hosts: dict[NodeId, Host]


class Kind(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_SENT = "not sent"


class CallOutcome(NamedTuple):
    """The outcome of a request for its client. `value` is set for an answer, `error` for a failure; times are
    virtual."""

    kind: Kind
    began_us: int
    ended_us: int
    value: Any = None
    revision: int | None = None
    error: ReplyError | None = None
    index: Index = 0  # type: ignore[assignment]  # hides tuple.index
    """Of the state that a read has seen, or of the entry of a write."""


class AnswerToCheck(NamedTuple):
    """An answer that the model is to check: that of a write with the index of its entry, that of a read with the index
    of the state that was read, and a failure without an index (None)."""

    operation: Operation
    reply: Any
    index: Index | None  # type: ignore[assignment]  # hides tuple.index


class Caller:
    """The requests of one client. `told` collects the answers of all callers."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck], *, with_session: bool) -> None:
        self.name = name
        self.is_idle = True
        self._world = world
        self._told = told
        self._with_session = with_session
        self._session: bytes | None = None
        self._is_registered = False
        self._sequence = 0
        self._target: NodeId = world.chance.choose(tuple(world.hosts))
        self._number = 0
        self._operation: Asked = Get(b"?")
        self._holding = Holding(world)
        self._sent: Operation = self._operation
        self._done: Callable[[CallOutcome], None] = lambda ending: None
        self._began_us = 0
        self._committed = 0
        self._attempts = 0
        """How often the request itself was sent, without registrations of a session."""
        self._may_have_happened = False

    def call(
        self,
        operation: Asked,
        done: Callable[[CallOutcome], None],
        *,
        timeout_us: int,
        wait_ms: int | None = None,
    ) -> None:
        """Send this request; `done` gets its outcome. `wait_ms`: the leader may hold it for so long, and longer than
        `timeout_us` may then pass."""
        world = self._world
        self._number += 1
        self.is_idle = False
        self._operation, self._done = operation, done
        self._began_us, self._committed = world.scheduler.now_us, world.oracle.commit_index
        self._attempts, self._may_have_happened = 0, False
        self._sequence += 1
        self._holding.begin(wait_ms)
        timeout_us += self._holding.patience_us
        world.scheduler.after(timeout_us, self._out_of_time, self._number)
        if self._uses_session:
            for resend in range(1, RESENDS):
                world.scheduler.after(resend * timeout_us // RESENDS, self._send_again, self._number)
        self._attempt(self._number)

    @property
    def _is_write(self) -> bool:
        return isinstance(self._operation, WRITES)

    @property
    def _uses_session(self) -> bool:
        return self._with_session and self._is_write and not isinstance(self._operation, CloseSession)

    def close_session(self, done: Callable[[CallOutcome], None], *, timeout_us: int) -> None:
        """End the session, if there is one; the next request begins another."""
        name, self._session, self._is_registered = self._session, None, False
        if name is None:
            self._world.scheduler.after(0, done, CallOutcome(Kind.NOT_SENT, 0, 0))
        else:
            self.call(CloseSession(name), done, timeout_us=timeout_us)

    def _attempt(self, number: int) -> None:
        """Send the request, or the registration of a session if that has to come first."""
        if number != self._number:
            return
        world = self._world
        registers = self._uses_session and not self._is_registered
        self._sent = self._registration() if registers else self._wrapped()
        if not registers:
            self._attempts += 1
            self._may_have_happened = True
        is_lost, answer_is_lost = False, False
        if world.chance.happens(world.network.faults.client_loss):
            answer_is_lost = True
            is_lost = world.chance.happens(0.5)
        if not is_lost:
            # It may arrive when the client has given it up, and asks for something else.
            wait_ms = None if registers else self._holding.wait_ms
            arguments = (number, self._target, self._sent, answer_is_lost, wait_ms)
            world.scheduler.after(world.network.delay(), self._arrive, *arguments)

    def _registration(self) -> Operation:
        if self._session is None:
            chance = self._world.chance
            self._session = bytes(chance.below(256) for _ in range(SESSION_NAME_BYTES))
            self._sequence = 1
        return RegisterSession(self._session)

    def _wrapped(self) -> Operation:
        if not self._uses_session or self._session is None:
            return self._operation
        sequence, operation = self._sequence, self._operation
        work: Any = operation.operation if isinstance(operation, WaitingOperation) else operation
        wrapped = SessionOperation(self._session, sequence, sequence, work)
        return WaitingOperation(wrapped) if isinstance(operation, WaitingOperation) else wrapped

    def _send_again(self, number: int) -> None:
        """Perhaps send the request to another node, because no answer has come for long."""
        if number == self._number and self._world.chance.happens(0.5):
            self._target = self._world.chance.choose(tuple(self._world.hosts))
            self._attempt(number)

    def _arrive(
        self, number: int, target: NodeId, sent: Operation, answer_is_lost: bool, wait_ms: int | None
    ) -> None:
        """A request reaches a node; the client may have given it up meanwhile."""
        host = self._world.hosts[target]
        if not host.is_up:
            self._world.scheduler.after(self._world.network.delay(), self._refused, number, None)
            return

        def on_answer(answer: Answer | RaftdbError | None) -> None:
            if not answer_is_lost:
                delay_us = self._world.network.delay()
                self._world.scheduler.after(delay_us, self._answered, number, sent, answer)

        if wait_ms is not None:
            self._holding.wait(host, sent, on_answer, wait_ms)
        elif isinstance(sent, (*WRITES, SessionOperation, RegisterSession)):
            host.submit_write(entries.encode(sent), on_answer)
        else:
            command: Any = sent
            host.submit_read(lambda request_id: ReadRequest(request_id, command), on_answer)

    def _answered(self, number: int, sent: Operation, answer: Answer | RaftdbError | None) -> None:
        """The node's word arrives."""
        if number != self._number:
            return
        if isinstance(answer, Answer):
            if isinstance(sent, RegisterSession):
                self._is_registered = True
                self._attempt(number)
                return
            value = _logged(sent, shown(sent, answer))
            if self._holding.is_in_the_log(value):
                sent = self._holding.logged(sent)
                self._check(sent, answer)
                self._told.append(AnswerToCheck(sent, comparable(value), answer.index))
            self._end(Kind.ANSWERED, value=value, revision=answer.revision, index=answer.index)
        elif isinstance(answer, SessionExpired):
            self._told.append(AnswerToCheck(self._holding.logged(sent), comparable(answer), None))
            self._session_ended(number)
        elif isinstance(answer, ReplyError):
            if self._holding.is_in_the_log(answer):
                self._told.append(AnswerToCheck(self._holding.logged(sent), comparable(answer), None))
            self._end(Kind.FAILED, error=answer)
        elif answer is None or isinstance(answer, OutcomeUnknown):
            if self._uses_session or not self._is_write:
                self._refused(number, None)
            else:
                self._out_of_time(number)
        else:
            if self._attempts == 1 and not isinstance(sent, RegisterSession):
                self._may_have_happened = False  # it was sent once, and surely not executed
                self._attempts = 0
            leader = answer.leader if isinstance(answer, Unavailable) else None
            self._refused(number, None if leader is None else leader.id)

    def _session_ended(self, number: int) -> None:
        """The request was not executed this time; an earlier attempt may have been, when the session was there."""
        self._session, self._is_registered = None, False
        if self._attempts == 1:
            self._attempts, self._may_have_happened = 0, False
            self._attempt(number)
        else:
            self._end(Kind.UNKNOWN)

    def _refused(self, number: int, leader: NodeId | None) -> None:
        """Ask the leader, if it was named, or any node, a little later."""
        if number != self._number:
            return
        world = self._world
        self._target = leader or world.chance.choose(tuple(world.hosts))
        world.scheduler.after(world.chance.around(RETRY_US), self._attempt, number)

    def _out_of_time(self, number: int) -> None:
        """End the request without an answer. A write that was sent may or may not take effect."""
        if number == self._number and not self.is_idle:
            self._target = self._world.chance.choose(tuple(self._world.hosts))
            self._end(Kind.UNKNOWN if self._may_have_happened else Kind.NOT_SENT)

    def _end(
        self,
        kind: Kind,
        *,
        value: Any = None,
        revision: int | None = None,
        error: ReplyError | None = None,
        index: Index = 0,
    ) -> None:
        self._number += 1
        self.is_idle = True
        self._holding.end()
        now_us = self._world.scheduler.now_us
        self._done(CallOutcome(kind, self._began_us, now_us, value, revision, error, index))

    def _check(self, sent: Operation, answer: Answer) -> None:
        """Check an answer at once: a write is at its index in the committed log, and a read sees at least everything
        that was committed before it was sent."""
        oracle = self._world.oracle
        if self._is_write:
            found = oracle.entry(answer.index) if answer.index <= oracle.commit_index else None
            if (
                found is None
                or found[:2] != (answer.term, EntryKind.COMMAND)
                or entries.decode(found[2])[1] != sent
            ):
                raise InvariantBroken(
                    f"{self.name}: an acknowledged write is not at {answer.index}@{answer.term}"
                )
            if answer.index <= self._committed:
                raise InvariantBroken(f"{self.name}: a write at {answer.index} answers a later question")
        elif answer.index < self._committed:
            raise InvariantBroken(
                f"{self.name}: a read at {answer.index}, though {self._committed} was committed before it was asked"
            )


def _logged(sent: Operation, value: Any) -> Any:
    """An answer without what the leader adds to it, which no log explains, and without that a session is closed."""
    if isinstance(sent, CloseSession):
        return None
    beside = services.BESIDE.get(type(sent))  # type: ignore[arg-type]  # other operations have none
    return value if beside is None else beside(sent, value, lambda name: None)  # type: ignore[arg-type,return-value]
