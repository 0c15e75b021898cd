"""What became of every message, followed entry by entry through the state of the machine.

The model says what each command must answer (`queue_model`). This is a second look, which knows little of how queues
work, and looks at the state itself: after each entry of the committed log

* a message that is gone must have been acknowledged by a delivery that was not over, dequeued, removed, purged, or past
  its own end; or have been moved, and then the same value is put in the same entry; so at the end each message that was
  ever put is in exactly one state, or left in exactly one of these ways;
* a message that is handed out was not in flight, or its delivery was over;
* of a group one message at most is in flight, and it is the first of those that are not dead;
* a message never comes into being but by an `enqueue`, or as the copy of one that was moved.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken
from raftdb.machine import entries
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import BODY_PREFIX, MESSAGE_PREFIX, QUEUE_PREFIX, pack_number
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Machine
from raftdb.machine.operations import Operation, SessionOperation, TransactionOperation, WaitingOperation
from raftdb.machine.queues.deliveries import Ack
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.records import (
    ID_BYTES,
    Message,
    State,
    decode_message,
    load_queue,
    shown_id,
    shown_receipt,
)
from raftdb.machine.queues.taking import Dequeue
from raftdb.machine.service import Command
from storage import MemoryStateStore

Key = tuple[bytes, bytes]
"""A number of a queue, and the id of a message."""


@dataclass(slots=True)
class _Entry:
    """What an entry has done to messages, and the commands that explain it."""

    where: str
    clock_ms: int
    acked: set[bytes] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)
    emptied: set[bytes] = field(default_factory=set)
    enqueued: Counter[bytes] = field(default_factory=Counter)
    dequeues: Counter[bytes] = field(default_factory=Counter)
    new: list[tuple[Key, Message]] = field(default_factory=list)
    gone: list[tuple[Key, Message]] = field(default_factory=list)
    changed: list[tuple[Message, Message]] = field(default_factory=list)

    def wrong(self, text: str) -> InvariantBroken:
        """The error for something that this entry must not do."""
        return InvariantBroken(f"{text}, at {self.where}")

    def is_live(self, message: Message) -> bool:
        """True if the message is in flight, and its delivery is not over."""
        return message.state is State.IN_FLIGHT and message.until_ms >= self.clock_ms


class Ledger:
    """See the module. `fates` counts how messages left, or where they are; `ids` are those of all that were put."""

    def __init__(self) -> None:
        self.fates: Counter[str] = Counter()
        self.ids: set[bytes] = set()
        self._put = 0
        self._state = MemoryStateStore()
        self._machine = Machine()
        self._messages: dict[Key, Message] = {}
        self._values: dict[Key, bytes] = {}
        self._numbers: dict[bytes, tuple[bytes, ...]] = {}
        """The numbers of each queue: of what waits or is in flight, and of what is dead."""

    def follow(self, log: Sequence[Entry]) -> None:
        """Go through the whole committed log. Raises `InvariantBroken` at the first entry that cannot be explained."""
        for entry in log:
            if entry.kind is EntryKind.COMMAND:
                self._apply(entry)
        for message in self._messages.values():
            self.fates[message.state.name.lower()] += 1
        if sum(self.fates.values()) != self._put:
            raise InvariantBroken(f"{self._put} messages were put, and became of them: {dict(self.fates)}")

    def _apply(self, entry: Entry) -> None:
        operation = entries.decode(entry.data)[1]
        layer = Layer(self._state)
        self._machine.apply(entry.index, entry.term, entry.data, layer)
        if any(key[:1] in (QUEUE_PREFIX, MESSAGE_PREFIX) for key in layer.changes):
            done = _Entry(f"entry {entry.index}, {operation}", read_clock(layer))
            for command in _commands(operation):
                _explain(done, command)
            self._take_over(done, layer)
            self._let_numbers_go(done, layer)
            self._check(done)
        self._state.write(layer.changes, index=entry.index, term=entry.term)

    def _take_over(self, done: _Entry, layer: Layer) -> None:
        """Note what has changed, and let the messages here be those after the entry."""
        for key, record in layer.changes.items():
            place = (key[1:-ID_BYTES], key[-ID_BYTES:])
            if key[:1] == BODY_PREFIX and record is not None:
                self._values[place] = record
            elif key[:1] == MESSAGE_PREFIX:
                before = self._messages.pop(place, None)
                if record is None:
                    if before is not None:
                        done.gone.append((place, before))
                    continue
                message = self._messages[place] = decode_message(place[1], record)
                if before is None:
                    done.new.append((place, message))
                else:
                    done.changed.append((before, message))

    def _let_numbers_go(self, done: _Entry, layer: Layer) -> None:
        """A queue that was emptied has other numbers, or is gone: with that its messages are. Dead messages that are to
        be visible again stay under the old number until they are moved."""
        for key in [key for key in layer.changes if key[:1] == QUEUE_PREFIX]:
            name = key[1:]
            queue = load_queue(layer, name)
            present = () if queue is None else (pack_number(queue.filling), pack_number(queue.grave))
            for position, number in enumerate(self._numbers.get(name, ())):
                is_redriven = position == 1 and queue is not None
                if number in present or is_redriven:
                    continue
                if name not in done.emptied:
                    raise done.wrong(f"queue {name!r} was emptied, and nobody asked for it")
                for place in [place for place in self._messages if place[0] == number]:
                    del self._messages[place]
                    self.fates["purged"] += 1
            self._numbers[name] = present

    def _check(self, done: _Entry) -> None:
        copies = Counter(
            self._values[place]
            for place, message in done.new
            if message.state is not State.DEAD and not _took(done.enqueued, self._values[place])
        )
        buried = {place[1] for place, message in done.new if message.state is State.DEAD}
        self._put += len(done.new) - len(buried)
        self.ids.update(place[1] for place, _ in done.new)
        names = {numbers[0]: name for name, numbers in self._numbers.items() if numbers}
        for place, message in done.gone:
            if message.id not in buried:
                name = names.get(place[0], b"")
                self.fates[self._fate(done, message, name, self._values[place], copies)] += 1
        if copies.total():
            raise done.wrong(f"messages that nobody put: {dict(copies)}")
        for before, message in done.changed:
            if message.deliveries != before.deliveries and done.is_live(before):
                raise done.wrong(f"message {shown_id(message.id)!r} is in flight, and was handed out")
        self._check_groups(done)

    def _fate(
        self, done: _Entry, message: Message, queue: bytes, value: bytes, copies: Counter[bytes]
    ) -> str:
        """How a message has left, that is there no more."""
        if done.is_live(message) and shown_receipt(message) in done.acked:
            return "acked"
        if shown_id(message.id) in done.removed:
            return "removed"
        if _took(copies, value):
            return "moved"
        if 0 < message.ends_ms < done.clock_ms and not done.is_live(message):
            return "expired"
        if not done.is_live(message) and _took(done.dequeues, queue):
            return "dequeued"
        if not queue and message.state is State.DEAD:
            # It was on its way to a queue that was emptied meanwhile.
            return "purged"
        raise done.wrong(f"message {shown_id(message.id)!r} is lost: it was {message}")

    def _check_groups(self, done: _Entry) -> None:
        """Of each group one message at most is in flight, and that is its first."""
        touched = {message.group for _, message in (*done.new, *done.gone, *done.changed)} - {b""}
        for group in touched:
            alive: dict[bytes, list[Message]] = {}
            for place, message in self._messages.items():
                if message.group == group and message.state is not State.DEAD:
                    alive.setdefault(place[0], []).append(message)
            for several in alive.values():
                first = min(several, key=lambda message: message.id)
                if any(message.state is State.IN_FLIGHT and message is not first for message in several):
                    raise done.wrong(f"of group {group!r} not the first is in flight: {several}")


def _commands(operation: Operation) -> Iterator[Command]:
    """The commands in an operation."""
    if isinstance(operation, WaitingOperation | SessionOperation):
        yield from _commands(operation.operation)
    elif isinstance(operation, TransactionOperation):
        yield from operation.commands
    elif isinstance(operation, Command):
        yield operation


def _explain(done: _Entry, command: Command) -> None:
    """Note what the command may do."""
    match command:
        case Enqueue():
            done.enqueued[command.value] += 1
        case Ack():
            done.acked.update(command.receipts)
        case Dequeue():
            done.dequeues[command.queue] += 1
        case QueueRemove():
            done.removed.update(command.ids)
        case Purge() | QueueDelete():
            done.emptied.add(command.queue)


def _took(counter: Counter[bytes], name: bytes) -> bool:
    """Take one from those of this name, if there is one."""
    is_there = counter[name] > 0
    counter[name] -= is_there
    return is_there
