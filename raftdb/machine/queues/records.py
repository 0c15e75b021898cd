"""What is stored of a queue and of a message: their records, and the keys under which they stand.

A queue has three numbers, which no other queue ever has. `number` stays while the queue lives, and names its DEDUP ids.
`filling` names what waits and is in flight; `purge` gives it a new one, and all that stands under the old one is gone
at once, though its keys are removed little by little (`machine.sweeping`). `grave` names what is dead, and changes when
all of that is to be visible again.

A message has an id of 12 bytes, its entry (8) and its place in the entry (4), which people see as `INDEX-PLACE`. Its
value is written once, and apart from the rest, which is small and changes with its state.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from operator import attrgetter
from struct import Struct

from raftdb.machine.keyspace import (
    BODY_PREFIX,
    MESSAGE_PREFIX,
    QUEUE_NUMBER_KEY,
    QUEUE_PREFIX,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer

ID_BYTES = 12
NEVER = 0
"""Instead of a time: not at all. No time that is set is 0, because all are in the future."""


class State(IntEnum):
    """Where a message is. The numbers are in the state: never reuse one."""

    VISIBLE = 1
    DELAYED = 2
    IN_FLIGHT = 3
    DEAD = 4


STATE_NAMES = {
    State.VISIBLE: b"visible",
    State.DELAYED: b"delayed",
    State.IN_FLIGHT: b"in_flight",
    State.DEAD: b"dead",
}


@dataclass(slots=True)
class Settings:
    """How a queue behaves (`qset`). 0 of a maximum: no end; of a window: nothing is remembered."""

    visibility_ms: int = 30_000
    max_failures: int = 20
    max_length: int = 0
    max_bytes: int = 0
    dedup_window_ms: int = 300_000
    paused: int = 0
    dead_letter: bytes = b""


@dataclass(slots=True)
class Lane:
    """The line of one priority. Nothing stands in it before `front`, and from there to before `gap_end` just `late`
    messages; `count` in all. Places are as in `line`."""

    priority: int
    front: int = 0
    gap_end: int = 0
    late: int = 0
    count: int = 0


@dataclass(slots=True)
class Queue:
    """A queue. `next_event_ms`: no event of a message is before it (NEVER: there is none); `alarm_ms`: when the sweeper
    comes to look. `coming` counts dead messages that are visible again, and are on their way (`redriving`). `bytes` are
    those of values that are not dead. The last four count since the queue began."""

    name: bytes
    number: int
    filling: int
    grave: int
    next_event_ms: int = NEVER
    alarm_ms: int = NEVER
    visible: int = 0
    delayed: int = 0
    in_flight: int = 0
    dead: int = 0
    coming: int = 0
    bytes: int = 0
    dedup_ids: int = 0
    put: int = 0
    taken: int = 0
    redelivered: int = 0
    expired: int = 0
    settings: Settings = field(default_factory=Settings)
    lanes: list[Lane] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many messages wait or are in flight."""
        return self.visible + self.delayed + self.in_flight + self.coming


@dataclass(slots=True)
class Message:
    """A message without its value. `since_ms`: when it came into its state; `until_ms`: when that ends, if it is
    delayed or in flight; `ends_ms`: when it expires if it waits then (`NEVER`: not)."""

    id: bytes
    state: State
    priority: int
    since_ms: int
    until_ms: int
    put_ms: int
    ends_ms: int
    deliveries: int
    failures: int
    body_bytes: int
    group: bytes = b""
    unique: bytes = b""
    worker: bytes = b""
    error: bytes = b""


_NUMBERS = tuple(one.name for one in fields(Queue))[1:-2]
_numbers_of = attrgetter(*_NUMBERS)
_QUEUE = Struct(f">{len(_NUMBERS)}Q")
_SETTINGS = Struct(">5QBB")
_LANE = Struct(">B20s20sQQ")
_MESSAGE = Struct(">BBQQQQIIIBBBH")
_PLACE_BYTES = 20


def load_queue(view: KeyValueView, name: bytes) -> Queue | None:
    """Return the queue of this name, None if there is none."""
    record = view.get(QUEUE_PREFIX + name)
    if record is None:
        return None
    queue = Queue(name, *_QUEUE.unpack_from(record))
    *settings, dead_letter_bytes = _SETTINGS.unpack_from(record, _QUEUE.size)
    begin = _QUEUE.size + _SETTINGS.size
    end = begin + dead_letter_bytes
    settings.append(record[begin:end])
    queue.settings = Settings(*settings)
    for priority, front, gap_end, late, count in _LANE.iter_unpack(record[end:]):
        lane = Lane(priority, int.from_bytes(front), int.from_bytes(gap_end), late, count)
        queue.lanes.append(lane)
    return queue


def store_queue(layer: Layer, queue: Queue) -> None:
    """Write the queue down as it is now."""
    settings = queue.settings
    pieces = [
        _QUEUE.pack(*_numbers_of(queue)),
        _SETTINGS.pack(
            settings.visibility_ms,
            settings.max_failures,
            settings.max_length,
            settings.max_bytes,
            settings.dedup_window_ms,
            settings.paused,
            len(settings.dead_letter),
        ),
        settings.dead_letter,
    ]
    for lane in queue.lanes:
        front, gap_end = lane.front.to_bytes(_PLACE_BYTES), lane.gap_end.to_bytes(_PLACE_BYTES)
        pieces.append(_LANE.pack(lane.priority, front, gap_end, lane.late, lane.count))
    layer.put(QUEUE_PREFIX + queue.name, b"".join(pieces))


def new_number(layer: Layer) -> int:
    """Return a number that no queue has or had."""
    number = read_number(layer.get(QUEUE_NUMBER_KEY)) + 1
    layer.put(QUEUE_NUMBER_KEY, pack_number(number))
    return number


def body_key(number: int, message_id: bytes) -> bytes:
    """Return where the value of a message stands."""
    return BODY_PREFIX + pack_number(number) + message_id


def message_key(number: int, message_id: bytes) -> bytes:
    """Return where the rest of it stands."""
    return MESSAGE_PREFIX + pack_number(number) + message_id


def decode_message(message_id: bytes, record: bytes) -> Message:
    """Return the message of a record."""
    *numbers, groups, uniques, workers, errors = _MESSAGE.unpack_from(record)
    begin, texts = _MESSAGE.size, []
    for length in (groups, uniques, workers, errors):
        texts.append(record[begin : begin + length])
        begin += length
    state, *rest = numbers
    return Message(message_id, State(state), *rest, *texts)


def load_message(view: KeyValueView, number: int, message_id: bytes) -> Message | None:
    """Return the message of this id under a number of a queue, None if there is none."""
    record = view.get(message_key(number, message_id))
    return None if record is None else decode_message(message_id, record)


def store_message(layer: Layer, number: int, message: Message) -> None:
    """Write the message down as it is now."""
    texts = (message.group, message.unique, message.worker, message.error)
    head = _MESSAGE.pack(
        message.state,
        message.priority,
        message.since_ms,
        message.until_ms,
        message.put_ms,
        message.ends_ms,
        message.deliveries,
        message.failures,
        message.body_bytes,
        *map(len, texts),
    )
    layer.put(message_key(number, message.id), head + b"".join(texts))


def pack_id(index: int, place: int) -> bytes:
    """Return the id of what is made at this place of the entry at `index`."""
    return index.to_bytes(8) + place.to_bytes(4)


def shown_id(message_id: bytes) -> bytes:
    """Return an id as people see it: `INDEX-PLACE`."""
    return b"%d-%d" % (int.from_bytes(message_id[:8]), int.from_bytes(message_id[8:]))


def read_id(text: bytes) -> bytes | None:
    """Return the id that `text` shows, None if it shows none."""
    index, separator, place = text.partition(b"-")
    index_number, place_number = _decimal(index), _decimal(place)
    if not separator or index_number is None or place_number is None or place_number >= 1 << 32:
        return None
    return pack_id(index_number, place_number)


def shown_receipt(message: Message) -> bytes:
    """Return the receipt of the present delivery of a message: its id, and which delivery it is."""
    return b"%b-%d" % (shown_id(message.id), message.deliveries)


def read_receipt(text: bytes) -> tuple[bytes, int] | None:
    """Return the id and the delivery that a receipt names, None if it is none."""
    shown, _, delivery = text.rpartition(b"-")
    message_id, number = read_id(shown), _decimal(delivery)
    return None if message_id is None or number is None else (message_id, number)


def _decimal(text: bytes) -> int | None:
    """A number from 0 to below 2^63 in its one spelling, else None."""
    if not text.isdigit() or len(text) > 19 or (text[0] == 0x30 and len(text) > 1):
        return None
    number = int(text)
    return number if number < 1 << 63 else None
