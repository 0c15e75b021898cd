"""Messages that are put once though they are sent several times.

A DEDUP id is remembered for the window of its queue, whatever becomes of the message. A UNIQUE id is taken only while
a message of it waits: once that was received another may be put, because the first may have been too early to see why.
If that one fails then, two wait.
"""

from struct import Struct

from raftdb.errors import ReplyError
from raftdb.limits import DEDUP_IDS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import DEDUP_PREFIX, pack_number
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues.ends import DEDUP, ENDS
from raftdb.machine.queues.members import UNIQUES
from raftdb.machine.queues.records import Queue, load_queue, store_queue

_SEEN = Struct(">Q12s")
_NUMBER_BYTES = 8


def put_before(view: KeyValueView, queue: Queue, dedup: bytes, unique: bytes) -> bytes | None:
    """Return the id of the message because of which another of these ids is not put, None if there is none."""
    if dedup:
        record = view.get(_key(queue, dedup))
        if record is not None:
            end_ms, message_id = _SEEN.unpack_from(record)
            if end_ms >= read_clock(view):
                found: bytes = message_id
                return found
    return UNIQUES.first(view, queue.filling, unique) if unique else None


def check_room(queue: Queue, dedup: bytes) -> None:
    """Raise `ReplyError` (`busy`) if no further DEDUP id can be remembered."""
    if dedup and queue.settings.dedup_window_ms and queue.dedup_ids >= DEDUP_IDS_MAX:
        raise ReplyError(
            "too many DEDUP ids are remembered",
            hint=f"a queue remembers {DEDUP_IDS_MAX}: wait, or make its dedup_window shorter",
            code="busy",
        )


def remember(layer: Layer, queue: Queue, dedup: bytes, message_id: bytes) -> None:
    """Remember a DEDUP id, if there is one, for the window of the queue."""
    window_ms = queue.settings.dedup_window_ms
    if not dedup or not window_ms:
        return
    key = _key(queue, dedup)
    before = layer.get(key)
    if before is None:
        queue.dedup_ids += 1
    else:
        ENDS.lift(layer, _SEEN.unpack_from(before)[0], DEDUP + key[1:])
    end_ms = read_clock(layer) + window_ms
    layer.put(key, _SEEN.pack(end_ms, message_id) + queue.name)
    ENDS.set(layer, end_ms, DEDUP + key[1:])


def forget(layer: Layer, time_ms: int, name: bytes) -> int:
    """The window of a DEDUP id is over. Returns how many keys that has changed."""
    ENDS.lift(layer, time_ms, DEDUP + name)
    key = DEDUP_PREFIX + name
    record = layer.get(key)
    if record is None or _SEEN.unpack_from(record)[0] != time_ms:
        return 1
    layer.delete(key)
    queue = load_queue(layer, record[_SEEN.size :])
    if queue is not None and pack_number(queue.number) == name[:_NUMBER_BYTES]:
        queue.dedup_ids -= 1
        store_queue(layer, queue)
    return 3


def _key(queue: Queue, dedup: bytes) -> bytes:
    return DEDUP_PREFIX + pack_number(queue.number) + dedup
