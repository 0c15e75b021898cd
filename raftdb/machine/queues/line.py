"""The messages that may be handed out, in the order in which they are: by priority, by when they became visible, by id.

The line of one priority is a range of keys in which each *place* is a time (8 bytes) and an id (12), here one number.
Messages leave a line at its front, and until the next checkpoint a scan steps over what has left. So a lane remembers
where its front is. A message may come to stand before it all the same: it became visible before others that were handed
out since, but was not the head of its group. Then the front goes back, and the lane counts how many stand between the
new front and the old one: once they are gone it jumps over the gap.
"""

from typing import NamedTuple

from raftdb.machine.keyspace import LINE_PREFIX, pack_number
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues.records import ID_BYTES, Lane, Message, Queue

PRIORITY_MAX = 9
_PLACE_BYTES = 8 + ID_BYTES
_PLACE_END = 1 << 8 * _PLACE_BYTES


class Waiting(NamedTuple):
    """A message in the line: its lane and its place there."""

    lane: Lane
    place: int

    @property
    def id(self) -> bytes:
        """The id of the message."""
        return self.place.to_bytes(_PLACE_BYTES)[8:]

    @property
    def since_ms(self) -> int:
        """When it became visible."""
        return self.place >> 8 * ID_BYTES


def stand_in(layer: Layer, queue: Queue, message: Message) -> None:
    """Put a visible message into the line."""
    lane, place = _lane(queue, message.priority), _place(message)
    if place < lane.gap_end:
        lane.late += 1
        lane.front = min(lane.front, place)
    lane.count += 1
    layer.put(_key(queue, lane, place), b"")


def leave(layer: Layer, queue: Queue, message: Message) -> None:
    """Take a message out of the line, wherever it stands."""
    lane, place = _lane(queue, message.priority), _place(message)
    if place < lane.gap_end:
        lane.late -= 1
        if not lane.late:
            lane.front = lane.gap_end
    lane.count -= 1
    layer.delete(_key(queue, lane, place))


def first(view: KeyValueView, queue: Queue, count: int) -> list[Waiting]:
    """Return up to `count` messages from the front of the line, in order."""
    found: list[Waiting] = []
    for lane in sorted(queue.lanes, key=lambda lane: -lane.priority):
        found += _first_in(view, queue, lane, count - len(found))
    return found


def fronts(view: KeyValueView, queue: Queue) -> list[Waiting]:
    """Return the first message of each lane that has one."""
    return [waiting for lane in queue.lanes for waiting in _first_in(view, queue, lane, 1)]


def _first_in(view: KeyValueView, queue: Queue, lane: Lane, count: int) -> list[Waiting]:
    wanted = min(count, lane.count)
    late = min(wanted, lane.late)
    found = _scan(view, queue, lane, lane.front, lane.gap_end, late) if late else []
    if wanted > late:
        found += _scan(view, queue, lane, lane.gap_end, _PLACE_END - 1, wanted - late)
    return found


def take(layer: Layer, queue: Queue, waiting: Waiting) -> None:
    """Take the first of all that wait in its lane out of the line."""
    lane, place = waiting
    lane.count -= 1
    if place >= lane.gap_end:
        lane.front = lane.gap_end = place + 1
    else:
        lane.late -= 1
        lane.front = place + 1 if lane.late else lane.gap_end
    layer.delete(_key(queue, lane, place))


def _scan(view: KeyValueView, queue: Queue, lane: Lane, begin: int, end: int, limit: int) -> list[Waiting]:
    pairs = view.scan(_key(queue, lane, begin), _key(queue, lane, end), limit=limit)
    return [Waiting(lane, int.from_bytes(key[-_PLACE_BYTES:])) for key, _ in pairs]


def _lane(queue: Queue, priority: int) -> Lane:
    for lane in queue.lanes:
        if lane.priority == priority:
            return lane
    lane = Lane(priority)
    queue.lanes.append(lane)
    return lane


def _place(message: Message) -> int:
    return message.since_ms << 8 * ID_BYTES | int.from_bytes(message.id)


def _key(queue: Queue, lane: Lane, place: int) -> bytes:
    rank = bytes((PRIORITY_MAX - lane.priority,))
    return LINE_PREFIX + pack_number(queue.filling) + rank + place.to_bytes(_PLACE_BYTES)
