"""Leaders with one machine between them, and the ways to them, in memory."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint, OutcomeUnknown, RaftdbError, ReplyError, Unavailable
from raftdb.forwarding import (
    Channel,
    ChannelEvents,
    Forwarder,
    ForwardLimits,
    HereChannel,
    LinkChannel,
    execute_for,
)
from raftdb.machine.machine import Machine
from raftdb.machine.operations import ClientOperation, Submission, UserOperation, WaitingOperation, asked_of
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.service import Query
from raftdb.machine.services import QUERIES, READS
from raftdb.memory import Hold, MemoryAccount
from raftdb.node.aside import Aside
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer
from raftdb.transport import ForwardEvents, ForwardStream
from tests.holding import Holding
from tests.machine.database import Database

WAIT_S = 20.0

Outcome = Answer | RaftdbError | None


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


class Leader(Holding):
    """One node. It answers in the next turn of the loop; if it is `held`, when it is told to."""

    def __init__(self, name: str, cluster: "FakeCluster") -> None:
        super().__init__()
        self.name = name
        self.cluster = cluster
        self.is_held = False
        self.refusal: RaftdbError | None = None
        self.waiting: list[tuple[Submission, OnAnswer]] = []
        self.seen = 0
        self.most_waiting = 0

    def submit(self, operation: Submission, on_answer: OnAnswer, *, payload: bytes | None = None) -> None:
        """See `Driver.submit`."""
        self.seen += 1
        if self.refusal is not None:
            raise self.refusal
        self.waiting.append((operation, on_answer))
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        if len(self.waiting) == 1 and not self.is_held:
            asyncio.get_running_loop().call_soon(self.answer_all)

    def answer_all(self) -> None:
        """Execute and answer what waits; who does not lead refuses it."""
        waiting, self.waiting = self.waiting, []
        for operation, on_answer in waiting:
            on_answer(self.cluster.execute(operation) if self.is_leader() else self.not_leader())

    def lose(self, applied: int) -> None:
        """Lose the leadership: of the writes that wait the first `applied` are in the log of the next leader."""
        waiting, self.waiting = self.waiting, []
        for position, (operation, on_answer) in enumerate(waiting):
            if position < applied:
                self.cluster.execute(operation)
            on_answer(OutcomeUnknown("another node leads"))

    def is_leader(self) -> bool:
        """True while this node leads."""
        return self.cluster.leader is self

    def leader_hint(self) -> LeaderHint | None:
        """Who leads."""
        leader = self.cluster.leader
        return None if leader is None else LeaderHint(leader.name, Endpoint("127.0.0.1", 1))

    def not_leader(self) -> Unavailable:
        """What a node says that does not lead."""
        return Unavailable("not_leader", f"{self.name} does not lead")


class FakeCluster:
    """Three nodes: n1 takes the requests, and n2 leads."""

    def __init__(self) -> None:
        self.database = Database()
        self.nodes = {name: Leader(name, self) for name in ("n1", "n2", "n3")}
        self.own = self.nodes["n1"]
        self.leader: Leader | None = self.nodes["n2"]
        self.pipes: list[Pipe] = []
        self.memory = MemoryAccount()

    def execute(self, operation: Submission | WaitingOperation) -> Answer | RaftdbError:
        """The answer to an operation, now."""
        if type(asked_of(operation)) in (*READS, *QUERIES):
            reply: Any = Machine().read(cast(Query | UserOperation, operation), self.database.layer)
        else:
            reply = self.database.applied(cast(ClientOperation | WaitingOperation, operation)).reply
        if isinstance(reply, Repetition):
            reply = reply.reply
        if isinstance(reply, ReplyError):
            return reply
        assert isinstance(reply, Result)
        return Answer(reply.value, self.database.index, self.database.term, reply.revision)

    def elect(self, name: str | None) -> None:
        """Have that node lead, or none."""
        self.leader = None if name is None else self.nodes[name]

    def cut(self) -> None:
        """End all connections."""
        for pipe in self.pipes:
            pipe.cut("cut")
        self.pipes.clear()

    def forwarder(self, **limits: Any) -> Forwarder:
        """What passes the requests of n1 on."""
        return Forwarder(
            self.own,
            self._open,
            memory=self.memory,
            aside=Aside(),
            start=asyncio.create_task,
            limits=ForwardLimits(**{"patience_s": WAIT_S, "look_s": 0.001, "redial_s": 0.002, **limits}),
        )

    def _open(self, leader: LeaderHint | None, events: ChannelEvents) -> Channel:
        if leader is None:
            return HereChannel(self.own.submit, self.own, Hold(self.memory), events)
        return LinkChannel(partial(self._dial, self.nodes[leader.id]), events)

    def _dial(self, leader: Leader, events: ForwardEvents) -> "Pipe":
        pipe = Pipe(leader, events, self.memory)
        self.pipes.append(pipe)
        return pipe


class Pipe:
    """Both ends of a connection. Every frame arrives in a later turn of the loop."""

    def __init__(self, leader: Leader, events: ForwardEvents, memory: MemoryAccount) -> None:
        self.memory = Hold(memory)
        self.is_open = True
        self.has_room = False
        self._events = events
        self._end = _End(self)
        self._take = execute_for(cast(ForwardStream, self._end), leader.submit, leader)
        self._later(self._up)

    def send(self, body: bytes) -> None:
        """A frame of requests."""
        self._later(self._take, body)

    def answer(self, body: bytes) -> None:
        """A frame of answers."""
        self._later(self._events.on_answers, body)

    def close(self) -> None:
        """The taking end is done with it."""
        if self.is_open:
            self.is_open = False
            self.memory.release()
            self._end.on_end()

    def cut(self, reason: str) -> None:
        """The connection is lost, with all that is on its way."""
        if self.is_open:
            self.close()
            self._events.on_down(reason)

    def end(self, reason: str) -> None:
        """The executing end is done with it, after what it has sent."""
        self._later(self.cut, reason)

    def _up(self) -> None:
        self.has_room = True
        self._events.on_room()

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        def run() -> None:
            if self.is_open:
                call(*arguments)

        asyncio.get_running_loop().call_soon(run)


class _End:
    """The executing end, as `ForwardStream`."""

    def __init__(self, pipe: Pipe) -> None:
        self.memory = pipe.memory
        self.send = pipe.answer
        self.close = pipe.end
        self.on_end: Callable[[], None] = lambda: None
