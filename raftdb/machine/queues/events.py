"""What happens to messages by the clock alone: delays end, deliveries are over, messages reach their own end.

A delivery whose time is over is over, whether the sweeper was there or not. So every command on a queue first looks
after the events that are due, and the sweeper only sees to it that they happen if there are no commands. A command that
fails has changed nothing, and a read changes nothing: for these the events happen on a layer that is thrown away.

A number of events is looked after at once. If more are due, those behind them are late, and nothing worse: for a
receipt is compared with the clock itself.
"""

from collections.abc import Callable
from typing import Any

from raftdb.budgets import KEY_BYTES, QUEUE_EVENT_BYTES_MAX, QUEUE_EVENTS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import messages
from raftdb.machine.queues.ends import ALARM, ENDS, lift_alarm, set_alarm
from raftdb.machine.queues.names import checked_name
from raftdb.machine.queues.records import (
    ID_BYTES,
    NEVER,
    Message,
    Queue,
    State,
    load_message,
    load_queue,
    store_queue,
)
from raftdb.machine.reply import Result
from raftdb.machine.service import ReadHandler, WriteHandler

OUT_OF_TIME = b"it was not acknowledged in time"
"""The error of a message whose delivery was over."""

EVENT_KEYS = 6
"""Keys that the event of a message changes, about."""
_TIME_BYTES = 8


def write_handler(run: Callable[[Layer, Queue | None, Any, int], Result]) -> WriteHandler:
    """The handler of a command that changes a queue, from one that is given the queue, None if there is none."""

    def handler(layer: Layer, command: Any, index: int) -> Result:
        queue = load_queue(layer, checked_name(command.queue))
        if queue is None or not is_due(layer, queue):
            return run(layer, queue, command, index)
        upper = Layer(layer)
        try:
            look_after(upper, queue, index)
            store_queue(upper, queue)
            result = run(upper, queue, command, index)
        finally:
            layer.count(upper)
        layer.merge(upper)
        return result

    return handler


def read_handler(run: Callable[[KeyValueView, Queue | None, Any], Result]) -> ReadHandler:
    """The handler of a command that reads a queue, likewise."""

    def handler(view: KeyValueView, command: Any) -> Result:
        queue, view = at_present(view, command.queue)
        return run(view, queue, command)

    return handler


def at_present(view: KeyValueView, name: bytes) -> tuple[Queue | None, KeyValueView]:
    """Return the queue as it is by the clock, None if there is none, and the view in which its messages are so."""
    queue = load_queue(view, checked_name(name))
    if queue is None or not is_due(view, queue):
        return queue, view
    upper = Layer(view)
    look_after(upper, queue, 0)
    if isinstance(view, Layer):
        view.count(upper)
    return queue, upper


def is_due(view: KeyValueView, queue: Queue) -> bool:
    """Return whether the time of an event may be up."""
    return queue.next_event_ms != NEVER and queue.next_event_ms < read_clock(view)


def look_after(layer: Layer, queue: Queue, index: int) -> int:
    """Let the events happen that are due, up to a bound. Returns for how many changed keys that counts. Whoever calls
    stores the queue."""
    clock_ms = read_clock(layer)
    count = moved_bytes = 0
    while queue.next_event_ms != NEVER and queue.next_event_ms < clock_ms:
        begin, end = messages.event_key(queue, queue.next_event_ms), messages.event_key(queue, clock_ms)
        found = layer.scan(begin, end, limit=QUEUE_EVENTS_MAX - count)
        # The events of these messages that follow are noted below as they are set.
        queue.next_event_ms = clock_ms
        for key, _ in found:
            message = load_message(layer, queue.filling, key[-ID_BYTES:])
            if message is not None:
                moved_bytes += _happen(layer, queue, message, index)
            count += 1
            if moved_bytes > QUEUE_EVENT_BYTES_MAX or count >= QUEUE_EVENTS_MAX:
                queue.next_event_ms = min(queue.next_event_ms, _time_of(key))
                return keys_for(count, moved_bytes)
        if queue.next_event_ms >= clock_ms:
            queue.next_event_ms = _next_event(layer, queue, clock_ms)
    return keys_for(count, moved_bytes)


def keys_for(count: int, moved_bytes: int) -> int:
    """Return for how many changed keys it counts that so many messages changed, and so many bytes of values were moved
    to another place."""
    return EVENT_KEYS * count + moved_bytes // KEY_BYTES


def _happen(layer: Layer, queue: Queue, message: Message, index: int) -> int:
    """Let the event of this message happen. Returns the bytes of values that were moved."""
    at_ms = messages.event_of(message)
    if message.state is State.IN_FLIGHT:
        message.error = OUT_OF_TIME
        return messages.fail(layer, queue, message, index, since_ms=at_ms, delay_ms=0)
    if at_ms == message.ends_ms:
        messages.remove(layer, queue, message)
        queue.expired += 1
    else:
        messages.wait_again(layer, queue, message, since_ms=at_ms)
    return 0


def _next_event(layer: Layer, queue: Queue, clock_ms: int) -> int:
    """The time of the first event from now on, `NEVER` if there is none."""
    last = messages.event_key(queue, (1 << 64) - 1)
    found = layer.scan(messages.event_key(queue, clock_ms), last, limit=1)
    return _time_of(found[0][0]) if found else NEVER


def _time_of(key: bytes) -> int:
    return int.from_bytes(key[-ID_BYTES - _TIME_BYTES : -ID_BYTES])


def ring(layer: Layer, time_ms: int, name: bytes, index: int) -> int:
    """The alarm of the queue of this name rings. Returns for how many changed keys that counts."""
    ENDS.lift(layer, time_ms, ALARM + name)
    queue = load_queue(layer, name)
    if queue is None or queue.alarm_ms != time_ms:
        return 1
    queue.alarm_ms = NEVER
    keys = look_after(layer, queue, index)
    if queue.next_event_ms != NEVER:
        set_alarm(layer, queue, queue.next_event_ms)
    else:
        lift_alarm(layer, queue)
    store_queue(layer, queue)
    return 1 + keys
