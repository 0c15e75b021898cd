"""What is kept of queues agrees with itself: counts, line, groups, events, bodies."""

from raftdb.machine.keyspace import (
    BODY_PREFIX,
    DEDUP_PREFIX,
    EVENT_PREFIX,
    GROUP_HEAD_PREFIX,
    GROUP_MEMBER_PREFIX,
    LINE_PREFIX,
    MESSAGE_PREFIX,
    QUEUE_PREFIX,
    UNIQUE_FIRST_PREFIX,
    UNIQUE_MEMBER_PREFIX,
    pack_number,
)
from raftdb.machine.layer import Layer
from raftdb.machine.queues.ends import ALARM, ENDS
from raftdb.machine.queues.messages import event_of
from raftdb.machine.queues.records import ID_BYTES, Message, Queue, State, decode_message, load_queue

EVERYTHING = 1 << 30


def under(layer: Layer, prefix: bytes, number: int | None = None) -> dict[bytes, bytes]:
    """All keys with this prefix, and with this number of a queue, without these."""
    first = prefix + (b"" if number is None else pack_number(number))
    end = bytes((prefix[0] + 1,)) if number is None else prefix + pack_number(number + 1)
    return {key[len(first) :]: value for key, value in layer.scan(first, end, limit=EVERYTHING)}


def check_queues(layer: Layer) -> None:
    """What is kept beside the messages of all queues agrees with them, exactly."""
    alarms = {
        name[1:]: time_ms
        for time_ms, name in ENDS.due(layer, (1 << 64) - 1, limit=EVERYTHING)
        if name[:1] == ALARM
    }
    names = list(under(layer, QUEUE_PREFIX))
    for name in names:
        queue = load_queue(layer, name)
        assert queue is not None
        check_queue(layer, queue, alarms)
    assert set(alarms) <= set(names)


def check_queue(layer: Layer, queue: Queue, alarms: dict[bytes, int]) -> None:
    alive = [decode_message(*pair) for pair in under(layer, MESSAGE_PREFIX, queue.filling).items()]
    dead = [decode_message(*pair) for pair in under(layer, MESSAGE_PREFIX, queue.grave).items()]
    counts = [sum(message.state is state for message in alive + dead) for state in State]
    assert counts == [queue.visible, queue.delayed, queue.in_flight, queue.dead]
    assert all((message.state is State.DEAD) == (message in dead) for message in alive + dead)
    for number, messages in ((queue.filling, alive), (queue.grave, dead)):
        bodies = under(layer, BODY_PREFIX, number)
        assert {key: len(body) for key, body in bodies.items()} == {
            message.id: message.body_bytes for message in messages
        }
    assert queue.bytes == sum(message.body_bytes for message in alive)
    heads: dict[bytes, bytes] = {}
    members = []
    for message in sorted(alive, key=lambda message: message.id):
        if message.group:
            heads.setdefault(message.group, message.id)
            members.append(bytes((len(message.group),)) + message.group + message.id)
    assert under(layer, GROUP_HEAD_PREFIX, queue.filling) == heads
    assert sorted(under(layer, GROUP_MEMBER_PREFIX, queue.filling)) == sorted(members)
    check_line(layer, queue, [message for message in alive if heads.get(message.group) in (None, message.id)])
    events = {event_of(message).to_bytes(8) + message.id for message in alive if event_of(message)}
    assert set(under(layer, EVENT_PREFIX, queue.filling)) == events
    if events:
        assert 0 < queue.next_event_ms <= int.from_bytes(min(events)[:8])
    assert alarms.get(queue.name, 0) == queue.alarm_ms
    assert queue.alarm_ms or not events
    waiting = [message for message in alive if message.unique and message.state is not State.IN_FLIGHT]
    waiting.sort(key=lambda message: message.id, reverse=True)
    assert under(layer, UNIQUE_FIRST_PREFIX, queue.filling) == {
        message.unique: message.id for message in waiting
    }
    assert sorted(under(layer, UNIQUE_MEMBER_PREFIX, queue.filling)) == sorted(
        bytes((len(message.unique),)) + message.unique + message.id for message in waiting
    )
    assert queue.dedup_ids == len(under(layer, DEDUP_PREFIX, queue.number))


def check_line(layer: Layer, queue: Queue, heads: list[Message]) -> None:
    standing = [message for message in heads if message.state is State.VISIBLE]
    places = {
        bytes((9 - message.priority,)) + message.since_ms.to_bytes(8) + message.id for message in standing
    }
    assert set(under(layer, LINE_PREFIX, queue.filling)) == places
    for lane in queue.lanes:
        theirs = [int.from_bytes(place[-8 - ID_BYTES :]) for place in places if place[0] == 9 - lane.priority]
        assert lane.count == len(theirs)
        assert all(lane.front <= place for place in theirs)
        assert lane.late == sum(place < lane.gap_end for place in theirs)
    assert {message.priority for message in standing} <= {lane.priority for lane in queue.lanes}
