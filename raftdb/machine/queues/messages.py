"""Messages change their state here, and nowhere else: so that the counts of their queue, the line, the groups and the
index of events always agree with them.

Nothing is dropped. A message leaves by being taken, acknowledged, removed or purged, or by its own end while it waits.
One that has failed too often is *dead*, which is a state as well; or it goes to the queue that its own names for that.

A message has one event at most: what happens to it next if nobody does anything.
"""

from raftdb.machine.clock import read_clock
from raftdb.machine.happenings import Happening
from raftdb.machine.keyspace import EVENT_PREFIX, QUEUE_PREFIX, pack_number
from raftdb.machine.layer import Layer
from raftdb.machine.queues import groups, line
from raftdb.machine.queues.ends import set_alarm
from raftdb.machine.queues.members import UNIQUES
from raftdb.machine.queues.records import (
    NEVER,
    Message,
    Queue,
    State,
    body_key,
    load_message,
    load_queue,
    message_key,
    new_number,
    pack_id,
    store_message,
    store_queue,
)


def new_queue(layer: Layer, name: bytes) -> Queue:
    """Return a queue of this name, which there was not. Whoever makes it stores it."""
    return Queue(name, new_number(layer), new_number(layer), new_number(layer))


def put(layer: Layer, queue: Queue, message: Message, body: bytes) -> None:
    """Let a new message wait: visible, or delayed if it has a time until then. Its id is above all others."""
    queue.put += 1
    layer.note_happened(Happening.ENQUEUED)
    queue.bytes += message.body_bytes
    layer.put(body_key(queue.filling, message.id), body)
    groups.join(layer, queue, message)
    _enter(layer, queue, message)


def new_message(
    layer: Layer, index: int, body: bytes, *, delay_ms: int = 0, priority: int = 0, group: bytes = b""
) -> Message:
    """Return a message that is put now, with an id of its own; it is not put yet."""
    clock_ms = read_clock(layer)
    message_id = pack_id(index, layer.next_place(index))
    state = State.DELAYED if delay_ms else State.VISIBLE
    until_ms = clock_ms + delay_ms if delay_ms else NEVER
    return Message(
        message_id, state, priority, clock_ms, until_ms, clock_ms, NEVER, 0, 0, len(body), group=group
    )


def deliver(layer: Layer, queue: Queue, message: Message, *, until_ms: int, worker: bytes) -> None:
    """Hand out a message that was taken from the line (`line.take`)."""
    _lift_event(layer, queue, message)
    _forget_unique(layer, queue, message)
    queue.visible -= 1
    clock_ms = read_clock(layer)
    layer.note_happened(Happening.DELIVERED, max(0, clock_ms - message.since_ms))
    if message.deliveries > 0:
        queue.redelivered += 1
        layer.note_happened(Happening.REDELIVERED)
    message.state, message.since_ms, message.until_ms = State.IN_FLIGHT, clock_ms, until_ms
    message.deliveries += 1
    message.worker = worker
    _enter(layer, queue, message)


def wait_again(layer: Layer, queue: Queue, message: Message, *, since_ms: int, until_ms: int = NEVER) -> None:
    """Let a message that is delayed or in flight be visible since a time, or delayed until another."""
    _leave(layer, queue, message)
    message.state = State.VISIBLE if until_ms == NEVER else State.DELAYED
    message.since_ms, message.until_ms, message.worker = since_ms, until_ms, b""
    _enter(layer, queue, message)


def hold_until(layer: Layer, queue: Queue, message: Message, until_ms: int) -> None:
    """Let a delivery end at another time."""
    _lift_event(layer, queue, message)
    message.until_ms = until_ms
    _set_event(layer, queue, message)
    store_message(layer, queue.filling, message)


def remove(layer: Layer, queue: Queue, message: Message, *, was_taken: bool = False) -> None:
    """Remove a message that waits or is in flight. `was_taken`: the line has let it go already."""
    if was_taken:
        _lift_event(layer, queue, message)
        queue.visible -= 1
    else:
        _leave(layer, queue, message)
    _forget_unique(layer, queue, message)
    queue.bytes -= message.body_bytes
    layer.delete(body_key(queue.filling, message.id))
    layer.delete(message_key(queue.filling, message.id))
    head = groups.part(layer, queue, message)
    if head is not None:
        next_one = load_message(layer, queue.filling, head)
        if next_one is not None and next_one.state is State.VISIBLE:
            line.stand_in(layer, queue, next_one)
            layer.note_change(QUEUE_PREFIX + queue.name)


def bury(layer: Layer, queue: Queue, message: Message, index: int) -> int:
    """Let a message that is in flight be dead, here or where the dead of its queue go. Returns the bytes of its value,
    which is moved."""
    body = layer.get(body_key(queue.filling, message.id)) or b""
    remove(layer, queue, message)
    layer.note_happened(Happening.DIED)
    elsewhere = queue.settings.dead_letter
    if elsewhere:
        target = load_queue(layer, elsewhere) or new_queue(layer, elsewhere)
        moved = new_message(layer, index, body, priority=message.priority, group=message.group)
        moved.error = message.error
        put(layer, target, moved, body)
        store_queue(layer, target)
    else:
        queue.dead += 1
        message.state, message.since_ms, message.until_ms = State.DEAD, read_clock(layer), NEVER
        layer.put(body_key(queue.grave, message.id), body)
        store_message(layer, queue.grave, message)
    return len(body)


def exhume(layer: Layer, number: int, message_id: bytes) -> tuple[Message, bytes] | None:
    """Take a dead message out, with its value, from under the number of a grave; None if there is none. Whoever calls
    counts."""
    message = load_message(layer, number, message_id)
    if message is None:
        return None
    body = layer.get(body_key(number, message_id)) or b""
    layer.delete(body_key(number, message_id))
    layer.delete(message_key(number, message_id))
    return message, body


def fail(layer: Layer, queue: Queue, message: Message, index: int, *, since_ms: int, delay_ms: int) -> int:
    """A delivery has failed: the message waits again, visible since a time or after a delay from now, or is dead.
    Returns the bytes of values that were moved."""
    message.failures += 1
    if 0 < queue.settings.max_failures <= message.failures:
        return bury(layer, queue, message, index)
    until_ms = read_clock(layer) + delay_ms if delay_ms else NEVER
    wait_again(layer, queue, message, since_ms=since_ms, until_ms=until_ms)
    return 0


def event_of(message: Message) -> int:
    """Return the time at which something happens to the message, `NEVER` if nothing does."""
    if message.state is State.IN_FLIGHT or message.ends_ms == NEVER:
        return message.until_ms
    return message.ends_ms if message.state is State.VISIBLE else min(message.until_ms, message.ends_ms)


def event_key(queue: Queue, time_ms: int, message_id: bytes = b"") -> bytes:
    """Return where the event of a message stands."""
    return EVENT_PREFIX + pack_number(queue.filling) + pack_number(time_ms) + message_id


def _enter(layer: Layer, queue: Queue, message: Message) -> None:
    """Count and note a message in its new state, and write it down."""
    match message.state:
        case State.VISIBLE:
            queue.visible += 1
            if groups.is_head(layer, queue, message):
                line.stand_in(layer, queue, message)
                layer.note_change(QUEUE_PREFIX + queue.name)
        case State.DELAYED:
            queue.delayed += 1
        case State.IN_FLIGHT:
            queue.in_flight += 1
    if message.unique and message.state is not State.IN_FLIGHT:
        UNIQUES.add(layer, queue.filling, message.unique, message.id)
    _set_event(layer, queue, message)
    store_message(layer, queue.filling, message)


def _leave(layer: Layer, queue: Queue, message: Message) -> None:
    """Undo that for the state that it was in."""
    _lift_event(layer, queue, message)
    match message.state:
        case State.VISIBLE:
            queue.visible -= 1
            if groups.is_head(layer, queue, message):
                line.leave(layer, queue, message)
        case State.DELAYED:
            queue.delayed -= 1
        case State.IN_FLIGHT:
            queue.in_flight -= 1


def _set_event(layer: Layer, queue: Queue, message: Message) -> None:
    time_ms = event_of(message)
    if time_ms == NEVER:
        return
    layer.put(event_key(queue, time_ms, message.id), b"")
    if queue.next_event_ms == NEVER or time_ms < queue.next_event_ms:
        queue.next_event_ms = time_ms
    set_alarm(layer, queue, time_ms)


def _lift_event(layer: Layer, queue: Queue, message: Message) -> None:
    time_ms = event_of(message)
    if time_ms != NEVER:
        layer.delete(event_key(queue, time_ms, message.id))


def _forget_unique(layer: Layer, queue: Queue, message: Message) -> None:
    """The message waits no more: let another of its UNIQUE id be put, if no other waits."""
    if message.unique and message.state is not State.IN_FLIGHT:
        UNIQUES.remove(layer, queue.filling, message.unique, message.id)
