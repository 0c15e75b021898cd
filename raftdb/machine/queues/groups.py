"""Groups: of the messages of one group only the first, its head, stands in the line. So no two are ever in flight, and
they are handed out strictly in the order of their ids.

A message is of its group from when it is put until it is gone or dead. A head that is delayed or in flight holds the
others back.
"""

from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues.members import GROUPS
from raftdb.machine.queues.records import Message, Queue


def join(layer: Layer, queue: Queue, message: Message) -> None:
    """Let a message be of its group."""
    if message.group:
        GROUPS.add(layer, queue.filling, message.group, message.id)


def is_head(view: KeyValueView, queue: Queue, message: Message) -> bool:
    """Return whether the message is the first of its group, or of none."""
    return not message.group or GROUPS.first(view, queue.filling, message.group) == message.id


def part(layer: Layer, queue: Queue, message: Message) -> bytes | None:
    """Let a message be of its group no more. Returns the id of the one that becomes head by that, if one does."""
    return GROUPS.remove(layer, queue.filling, message.group, message.id) if message.group else None
