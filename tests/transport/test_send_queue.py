"""The queue of a link: bounded, in order, a frame at a time (hazards B23, B92)."""

from raftdb.core.messages import AppendEntries
from raftdb.core.model import Entry, EntryKind
from raftdb.transport.limits import LinkLimits
from raftdb.transport.send_queue import SendQueue
from raftdb.wire.peer import message_bytes_max
from tests.blocks import blocks
from tests.transport.support import append, heartbeat

ONE = message_bytes_max(append(b"x" * 1000))


def test_messages_leave_in_order_in_frames_of_the_wanted_size() -> None:
    queue = SendQueue(LinkLimits(frame_bytes_target=3 * ONE))
    messages = [append(b"%01000d" % i) for i in range(7)]
    assert all(queue.put(message) for message in messages)
    frames = []
    while queue:
        frames.append(queue.take_frame())
    assert [len(frame) for frame in frames] == [3, 3, 1]
    assert [message for frame in frames for message in frame] == messages
    assert queue.bytes == 0


def test_above_the_limit_new_messages_are_dropped_and_counted() -> None:
    queue = SendQueue(LinkLimits(queue_bytes_max=3 * ONE))
    messages = [append(b"%01000d" % i) for i in range(5)]
    assert [queue.put(message) for message in messages] == [True] * 3 + [False] * 2
    assert (queue.dropped, queue.bytes) == (2, 3 * ONE)
    assert queue.take_frame() == messages[:3]
    assert queue.put(messages[4])


def test_a_message_larger_than_every_limit_still_gets_through_alone() -> None:
    queue = SendQueue(LinkLimits(queue_bytes_max=10, frame_bytes_target=10))
    assert queue.put(append(b"x" * 1000))
    assert not queue.put(heartbeat(1))
    assert len(queue.take_frame()) == 1


def test_a_frame_has_a_limit_on_messages_and_on_entries() -> None:
    queue = SendQueue(LinkLimits(frame_messages_max=2, frame_entries_max=3))
    two = AppendEntries("n1", "n2", 1, 0, 0, 0, blocks(Entry(i, 1, EntryKind.NOOP, b"") for i in (1, 2)))
    for message in (two, two, heartbeat(1), heartbeat(2), heartbeat(3)):
        queue.put(message)
    assert queue.take_frame() == [two]
    assert queue.take_frame() == [two, heartbeat(1)]
    assert queue.take_frame() == [heartbeat(2), heartbeat(3)]


def test_what_is_cleared_counts_as_dropped() -> None:
    queue = SendQueue(LinkLimits())
    queue.put(heartbeat(1))
    queue.put(heartbeat(2))
    queue.clear()
    assert (len(queue), queue.bytes, queue.dropped) == (0, 0, 2)
