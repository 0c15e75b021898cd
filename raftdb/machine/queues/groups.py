"""Groups: of the messages of one group only the first, its head, stands in the line. So no two are ever in flight, and
they are handed out strictly in the order of their ids.

A message is of its group from when it is put until it is gone or dead. A head that is delayed or in flight holds the
others back. The head is noted, because those before it are gone: a scan from the beginning would step over them.
"""

from raftdb.machine.keyspace import GROUP_HEAD_PREFIX, GROUP_MEMBER_PREFIX, pack_number
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues.records import ID_BYTES, Message, Queue

_LAST_ID = b"\xff" * ID_BYTES


def join(layer: Layer, queue: Queue, message: Message) -> None:
    """Let a message that has a higher id than all others be the last of its group."""
    if not message.group:
        return
    head_key = _head_key(queue, message.group)
    if layer.get(head_key) is None:
        layer.put(head_key, message.id)
    layer.put(_member_key(queue, message.group, message.id), b"")


def is_head(view: KeyValueView, queue: Queue, message: Message) -> bool:
    """Return whether the message is the first of its group, or of none."""
    return not message.group or view.get(_head_key(queue, message.group)) == message.id


def part(layer: Layer, queue: Queue, message: Message) -> bytes | None:
    """Let a message be of its group no more. Returns the id of the one that becomes head by that, if one does."""
    if not message.group:
        return None
    layer.delete(_member_key(queue, message.group, message.id))
    head_key = _head_key(queue, message.group)
    if layer.get(head_key) != message.id:
        return None
    behind = _member_key(queue, message.group, message.id) + b"\0"
    found = layer.scan(behind, _member_key(queue, message.group, _LAST_ID), limit=1)
    if not found:
        layer.delete(head_key)
        return None
    head = found[0][0][-ID_BYTES:]
    layer.put(head_key, head)
    return head


def _head_key(queue: Queue, group: bytes) -> bytes:
    return GROUP_HEAD_PREFIX + pack_number(queue.filling) + group


def _member_key(queue: Queue, group: bytes, message_id: bytes) -> bytes:
    length = bytes((len(group),))
    return GROUP_MEMBER_PREFIX + pack_number(queue.filling) + length + group + message_id
