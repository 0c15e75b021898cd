"""Simulated clients: they read and write through whichever node answers, and remember what they were told.

Each client does one thing at a time. Refused by a node that surely did not execute, it asks the next one, or the leader
if it was told who leads. A write whose connection broke or whose time ran out is *unknown*, and never repeated
(hazard B54). Values are unique, so that an answer tells which write it saw.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from raftdb.commands.model import (
    Append,
    Command,
    Delete,
    Exists,
    Get,
    IncrementBy,
    MultiGet,
    MultiSet,
    Set,
    Strlen,
)
from raftdb.core.invariants import InvariantBroken
from raftdb.core.model import EntryKind, Index, NodeId
from raftdb.errors import OutcomeUnknown, RaftdbError, ReplyError, Unavailable
from raftdb.node.pending import ReadRequest
from raftdb.node.turn import Answer
from raftdb.simulation.host import Host
from raftdb.simulation.host import World as HostWorld
from raftdb.simulation.linearizability import Failed, Operation
from raftdb.simulation.scheduler import MILLISECOND, SECOND
from raftdb.wire.operations import PREFIX_BYTES, encode

PATIENT_US = 5 * SECOND
"""How long a client waits when nothing should go wrong."""
RETRY_US = 20 * MILLISECOND
OPERATIONS_PER_KEY = 60
"""Before clients go over to new keys: long histories of one key take long to check."""

WRITES = (Set, Append, Delete, IncrementBy, MultiSet)


class World(HostWorld, Protocol):
    """What clients need of the simulation around them."""

    hosts: dict[NodeId, Host]


class History:
    """What all clients did and were told, in virtual time; and the choice of what to do next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.operations: list[Operation] = []
        self.begun = 0
        self.acknowledged_writes = 0
        self.reads = 0
        self.unknown = 0
        self.refused = 0

    def next_command(self, client: str) -> Command:
        """Something to do, with values never used before."""
        chance = self._world.chance
        self.begun += 1
        generation = self.begun // OPERATIONS_PER_KEY
        keys = [b"%s%d" % (name, generation) for name in (b"text", b"list", b"number")]
        text, listed, number = keys
        token = b"%s-%d." % (client.encode(), self.begun)
        key = chance.choose((text, text, listed))
        readers: tuple[Callable[[], Command], ...] = (
            lambda: Get(key),
            lambda: Get(chance.choose(keys)),
            lambda: Get(number),
            lambda: Strlen(listed),
            lambda: Exists((chance.choose(keys),)),
            lambda: MultiGet(tuple(keys)),
        )
        writers: tuple[Callable[[], Command], ...] = (
            lambda: Set(text, token),
            lambda: Set(key, token),
            lambda: Append(listed, token),
            lambda: Append(listed, token),
            lambda: IncrementBy(number, 1 + chance.below(9)),
            lambda: IncrementBy(chance.choose(keys), -1),
            lambda: Delete(chance.choose(keys)),
            lambda: MultiSet(((text, token), (listed, token))),
        )
        makers = readers if chance.happens(self._world.options.read_share) else writers
        maker: Callable[[], Command] = chance.choose(makers)
        return maker()


class _Request(NamedTuple):
    """One command under way; `committed` was the commit index of the cluster when the client began."""

    command: Command
    payload: bytes
    began_us: int
    committed: Index


class Client:
    """See the module."""

    def __init__(self, world: World, history: History, name: str) -> None:
        self.name = name
        self._world = world
        self._history = history
        self._target: NodeId = world.chance.choose(tuple(world.hosts))
        self._number = 0
        self._is_asked = False
        """True while some node may have the request."""
        self._in_doubt = False
        """True if what comes back for it will be lost."""
        self.is_stopping = False
        self.is_idle = True
        self._request = _Request(Get(b"?"), b"", 0, 0)

    def begin(self) -> None:
        """Send the next request, unless told to stop."""
        if self.is_stopping:
            self.is_idle = True
            return
        self.ask(self._history.next_command(self.name))

    def ask(self, command: Command, *, patient: bool = False) -> None:
        """Send this request; what becomes of it goes into the history."""
        world = self._world
        timeout_us = PATIENT_US if patient else world.options.client_timeout_us
        self._number += 1
        self.is_idle = self._is_asked = False
        payload = encode(command)
        self._request = _Request(command, payload, world.scheduler.now_us, world.oracle.commit_index)
        world.scheduler.after(timeout_us, self._out_of_time, self._number)
        self._attempt(self._number)

    def _attempt(self, number: int) -> None:
        if number != self._number:
            return
        world = self._world
        self._is_asked, self._in_doubt = True, False
        if world.chance.happens(world.network.faults.client_loss):
            self._in_doubt = True
            if world.chance.happens(0.5):
                return  # the request itself is lost
        world.scheduler.after(world.network.delay(), self._arrive, number, self._target)

    def _arrive(self, number: int, target: NodeId) -> None:
        """The request reaches a node."""
        host = self._world.hosts[target]
        if not host.is_up:
            self._world.scheduler.after(self._world.network.delay(), self._refused, number, None)
            return
        if number != self._number:
            return

        def on_answer(answer: Answer | RaftdbError | None) -> None:
            self._world.scheduler.after(self._world.network.delay(), self._answered, number, answer)

        command = self._request.command
        if isinstance(command, WRITES):
            host.submit_write(self._request.payload, on_answer)
        else:
            host.submit_read(lambda request_id: ReadRequest(request_id, command), on_answer)

    def _answered(self, number: int, answer: Answer | RaftdbError | None) -> None:
        """The node's word arrives."""
        if number != self._number or self._in_doubt:
            return
        if isinstance(answer, Answer):
            self._check(answer)
            self._close(self._world.scheduler.now_us, answer.value)
        elif isinstance(answer, ReplyError):
            self._close(self._world.scheduler.now_us, Failed(answer.message))
        elif answer is None or (isinstance(answer, OutcomeUnknown)):
            self._in_doubt = True
            self._out_of_time(number)
        else:
            leader = answer.leader if isinstance(answer, Unavailable) else None
            self._refused(number, None if leader is None else leader.id)

    def _refused(self, number: int, leader: NodeId | None) -> None:
        """Surely not executed: ask the leader, or just another node a little later."""
        if number != self._number:
            return
        world = self._world
        self._is_asked = False
        self._target = leader or world.chance.choose(tuple(world.hosts))
        world.scheduler.after(world.chance.around(RETRY_US), self._attempt, number)

    def _out_of_time(self, number: int) -> None:
        """No answer: an attempt may be under way or lost, so that a write may or may not take effect."""
        if number == self._number and not self.is_idle:
            self._target = self._world.chance.choose(tuple(self._world.hosts))
            self._close(None, None)

    def _close(self, returned: int | None, result: object) -> None:
        request, history = self._request, self._history
        self._number += 1
        if returned is not None or self._is_asked:
            history.operations.append(
                Operation(self.name, request.command, request.began_us, returned, result)
            )
        if returned is None:
            history.unknown += self._is_asked
            history.refused += not self._is_asked
        elif isinstance(request.command, WRITES):
            history.acknowledged_writes += 1
        else:
            history.reads += 1
        self._world.scheduler.after(self._world.chance.around(self._world.options.think_us), self.begin)

    def _check(self, answer: Answer) -> None:
        """What an answer promises, at once: a write is at its place in the committed log, and an answer is no older
        than what was committed before the question."""
        request, oracle = self._request, self._world.oracle
        if isinstance(request.command, WRITES):
            known = answer.index <= oracle.commit_index
            term, kind, data = oracle.entry(answer.index) if known else (0, EntryKind.NOOP, b"")
            if (term, kind, data[PREFIX_BYTES:]) != (answer.term, EntryKind.COMMAND, request.payload):
                raise InvariantBroken(
                    f"{self.name}: an acknowledged write is not at {answer.index}@{answer.term}"
                )
            if answer.index <= request.committed:
                raise InvariantBroken(f"{self.name}: a write at {answer.index} answers a later question")
        elif answer.index < request.committed:
            raise InvariantBroken(
                f"{self.name}: a read at {answer.index}, though {request.committed} was committed before it was asked"
            )
