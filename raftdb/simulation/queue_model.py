"""The queues of the model: lists of messages, and the effect of each command on them.

As in the rest of the model (`model`) nothing is fast, and each rule is written a second time: the line is a list that
is sorted whenever somebody asks for it, and what is due is found by looking at every message.

One thing is as in the machine, because ids depend on it: when the dead of a queue go to another. That is at the next
command on their queue, or when the sweeper comes, who comes when the queue has told him to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from raftdb.machine.operations import TransactionOperation
from raftdb.machine.queues.deliveries import Ack, Extend, Nack
from raftdb.machine.queues.taking import Receive
from raftdb.machine.service import Command
from raftdb.simulation.modelled import Failure

Id = tuple[int, int]
VISIBLE, DELAYED, IN_FLIGHT, DEAD = "visible", "delayed", "in_flight", "dead"


@dataclass(slots=True)
class Message:
    """A message, wherever it is."""

    id: Id
    value: bytes
    put_ms: int
    since_ms: int
    until_ms: int | None = None
    ends_ms: int | None = None
    state: str = VISIBLE
    group: bytes = b""
    unique: bytes = b""
    priority: int = 0
    deliveries: int = 0
    failures: int = 0
    worker: bytes = b""
    error: bytes = b""

    @property
    def event_ms(self) -> int | None:
        """When something happens to it by itself."""
        times = {
            VISIBLE: [self.ends_ms],
            DELAYED: [self.until_ms, self.ends_ms],
            IN_FLIGHT: [self.until_ms],
        }.get(self.state, [])
        return min((time for time in times if time is not None), default=None)


def _settings() -> dict[bytes, Any]:
    return {
        b"visibility": 30_000,
        b"max_failures": 20,
        b"dead_letter": b"",
        b"max_length": 0,
        b"max_bytes": 0,
        b"dedup_window": 300_000,
        b"paused": 0,
    }


@dataclass(slots=True)
class Queue:
    """A queue: its messages, the dead among them; DEDUP ids with the end of their window and their message. It is
    filled anew after each purge, and has another grave when very many of its dead go."""

    filling: int = 0
    burial: int = 0
    messages: list[Message] = field(default_factory=list)
    seen: dict[bytes, tuple[int, Id]] = field(default_factory=dict)
    settings: dict[bytes, Any] = field(default_factory=_settings)
    alarm_ms: int | None = None
    put: int = 0
    taken: int = 0
    redelivered: int = 0
    expired: int = 0

    def of(self, *states: str) -> list[Message]:
        """The messages in these states."""
        return [message for message in self.messages if message.state in states]

    def waiting_under(self, unique: bytes) -> Id | None:
        """The first message of a UNIQUE id that waits."""
        waiting = [message.id for message in self.of(VISIBLE, DELAYED) if message.unique == unique]
        return min(waiting, default=None)

    def alive(self) -> list[Message]:
        """Those that wait or are in flight."""
        return self.of(VISIBLE, DELAYED, IN_FLIGHT)

    def line(self) -> list[Message]:
        """What may be handed out, in order: of each group only the first that is alive."""
        heads: dict[bytes, Id] = {}
        for message in sorted(self.alive(), key=lambda message: message.id):
            heads.setdefault(message.group, message.id)
        standing = [
            message for message in self.of(VISIBLE) if not message.group or heads[message.group] == message.id
        ]
        return sorted(standing, key=lambda message: (-message.priority, message.since_ms, message.id))


class Moving(NamedTuple):
    """All dead messages of a queue on their way: since when, and which burial they are of; to which filling of which
    queue."""

    since_ms: int
    burial: int
    target: bytes
    filling: int
    messages: list[Message]


class QueueModel:
    """All queues. `begin` tells of each entry."""

    def __init__(self) -> None:
        self.queues: dict[bytes, Queue] = {}
        self.moving: list[Moving] = []
        self.clock_ms = 0
        self._numbers = 0
        self._entry = 0
        self.place = 0

    def begin(self, index: int, clock_ms: int) -> None:
        """What follows is of this entry."""
        self.clock_ms, self._entry, self.place = clock_ms, index, 0

    def recalled(self, operation: Command | TransactionOperation, told: Any) -> Any:
        """An answer as it is given again: without the values of messages that are gone meanwhile."""
        if isinstance(told, Failure):
            return told
        if isinstance(operation, TransactionOperation):
            return [self.recalled(*pair) for pair in zip(operation.commands, told, strict=True)]
        if not isinstance(operation, Receive):
            return told
        there = {text_of(message.id) for message in self.queues.get(operation.queue, Queue()).alive()}
        return [[*one[:3], one[3] if one[0] in there else None] for one in told]

    def refuses(self, command: Command) -> bool:
        """True if the command names a delivery that is over, as a transaction must not."""
        match command:
            case Ack(name, receipts) | Extend(name, _, receipts):
                return any(self.held(name, receipt) is None for receipt in receipts)
            case Nack(name, receipt):
                return self.held(name, receipt) is None
        return False

    def expire(self) -> None:
        """The sweeper comes."""
        due: list[tuple[int, int, Any, Callable[[], None]]] = []
        for name, queue in self.queues.items():
            if queue.alarm_ms is not None and queue.alarm_ms < self.clock_ms:
                due.append((queue.alarm_ms, 0, name, partial(self._ring, name)))
        for moving in [moving for moving in self.moving if moving.since_ms < self.clock_ms]:
            self.moving.remove(moving)
            due.append((moving.since_ms, 1, moving.burial, partial(self._arrive, moving)))
        for _, _, _, happens in sorted(due, key=lambda one: one[:3]):
            happens()

    def _ring(self, name: bytes) -> None:
        queue = self.queues[name]
        self.look_after(name)
        queue.alarm_ms = None
        for message in queue.messages:
            self.warn(queue, message)

    def _arrive(self, moving: Moving) -> None:
        target = self.queues.get(moving.target)
        if target is not None and target.filling == moving.filling:
            for message in moving.messages:
                self.put(target, self.copy(message))

    def coming(self, name: bytes) -> int:
        """How many messages are on their way to a queue."""
        queue = self.queues.get(name, Queue())
        return sum(
            len(moving.messages)
            for moving in self.moving
            if (moving.target, moving.filling) == (name, queue.filling)
        )

    def number(self) -> int:
        """A number that nothing else has."""
        self._numbers += 1
        return self._numbers

    def is_due(self, message: Message) -> bool:
        """True if something must have happened to it by now."""
        return message.event_ms is not None and message.event_ms < self.clock_ms

    def look_after(self, name: bytes) -> None:
        """Let everything happen to the messages of a queue that is due."""
        queue = self.queues[name]
        while True:
            due = [(message.event_ms or 0, message.id) for message in queue.messages if self.is_due(message)]
            if not due:
                return
            for at_ms, message_id in sorted(due):
                (message,) = [message for message in queue.messages if message.id == message_id]
                if message.state == IN_FLIGHT:
                    message.error = b"it was not acknowledged in time"
                    self.fail(queue, message, since_ms=at_ms, until_ms=None)
                elif at_ms == message.ends_ms:
                    self.forget(queue, message)
                    queue.expired += 1
                else:
                    self.wait(queue, message, since_ms=at_ms, until_ms=None)

    def warn(self, queue: Queue, message: Message) -> None:
        """Let the sweeper come for the message in time."""
        if message.event_ms is not None:
            at_ms = max(message.event_ms, self.clock_ms)
            queue.alarm_ms = at_ms if queue.alarm_ms is None else min(queue.alarm_ms, at_ms)

    def queue_of(self, name: bytes) -> Queue:
        """The queue of this name, which comes into being if need be."""
        if name not in self.queues:
            self.queues[name] = Queue(self.number(), self.number())
        return self.queues[name]

    def put(self, queue: Queue, message: Message) -> None:
        """Let a new message wait."""
        queue.put += 1
        queue.messages.append(message)
        self.wait(queue, message, since_ms=self.clock_ms, until_ms=message.until_ms)

    def new_id(self) -> Id:
        """The id of the next thing that the entry makes."""
        self.place += 1
        return (self._entry, self.place - 1)

    def wait(self, queue: Queue, message: Message, *, since_ms: int, until_ms: int | None) -> None:
        """Let a message be visible since a time, or delayed until another."""
        message.state = VISIBLE if until_ms is None else DELAYED
        message.since_ms, message.until_ms, message.worker = since_ms, until_ms, b""
        self.warn(queue, message)

    def forget(self, queue: Queue, message: Message) -> None:
        """The message is in this queue no more."""
        queue.messages.remove(message)

    def fail(self, queue: Queue, message: Message, *, since_ms: int, until_ms: int | None) -> None:
        """A delivery has failed."""
        message.failures += 1
        if 0 < queue.settings[b"max_failures"] <= message.failures:
            self.bury(queue, message)
        else:
            self.wait(queue, message, since_ms=since_ms, until_ms=until_ms)

    def bury(self, queue: Queue, message: Message) -> None:
        """Let a message be dead, here or where the dead go."""
        if queue.settings[b"dead_letter"]:
            queue.messages.remove(message)
            moved = self.copy(message)
            moved.error = message.error
            self.put(self.queue_of(queue.settings[b"dead_letter"]), moved)
        else:
            message.state, message.since_ms, message.until_ms = DEAD, self.clock_ms, None

    def copy(self, message: Message) -> Message:
        """The same as a message that is put now."""
        return Message(
            self.new_id(),
            message.value,
            self.clock_ms,
            self.clock_ms,
            group=message.group,
            priority=message.priority,
        )

    def held(self, name: bytes, receipt: bytes) -> Message | None:
        """The message of a delivery that is not over."""
        for message in self.queues.get(name, Queue()).of(IN_FLIGHT):
            if receipt_of(message) == receipt and (message.until_ms or 0) >= self.clock_ms:
                return message
        return None


def text_of(message_id: Id) -> bytes:
    """An id as people see it."""
    return b"%d-%d" % message_id


def receipt_of(message: Message) -> bytes:
    """The receipt of the present delivery."""
    return b"%b-%d" % (text_of(message.id), message.deliveries)
