"""Settings of queues, and what is done with many messages at once.

`purge` and `qdel` are done at once for everybody, however much there is: the queue gets another number, or goes, and
the sweeper removes what stands under the old one (`machine.sweeping`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raftdb.errors import Conflict, ReplyError, RequestRefused
from raftdb.limits import (
    DEAD_LETTER_QUEUES_MAX,
    QUEUE_NAME_BYTES_MAX,
    QUEUE_STEPS_MAX,
    RECEIPTS_MAX,
)
from raftdb.machine.arguments import seconds_ms
from raftdb.machine.integers import parse_integer
from raftdb.machine.keyspace import QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import messages
from raftdb.machine.queues.ends import lift_alarm, remove_range
from raftdb.machine.queues.events import write_handler
from raftdb.machine.queues.names import ids_of, queue_name, steps_of
from raftdb.machine.queues.records import (
    NEVER,
    Queue,
    load_message,
    load_queue,
    new_number,
    read_id,
    store_queue,
)
from raftdb.machine.reply import Result, shown_key
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    as_done,
)

COUNT_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class QueueSet(Command):
    """Change settings of a queue: pairs of a name and a value. There need not be such a queue before."""

    queue: bytes
    settings: tuple[tuple[bytes, bytes], ...]


def queue_set(layer: Layer, queue: Queue | None, command: QueueSet, index: int) -> Result:
    """Change them, all or none."""
    if len(dict(command.settings)) < len(command.settings):
        raise ReplyError("a setting is named twice")
    changed: list[tuple[str, object]] = []
    for name, text in command.settings:
        read = _READ.get(name)
        if read is None:
            raise ReplyError(f"there is no setting {shown_key(name)}", hint=_SETTING_NAMES)
        changed.append((_FIELDS.get(name, name.decode("ascii")), _read(read, name, text)))
    for field, value in changed:
        if field == "dead_letter" and value:
            _check_no_cycle(layer, command.queue, value)  # type: ignore[arg-type]  # a name
    if queue is None:
        queue = messages.new_queue(layer, command.queue)
    was_paused = queue.settings.paused
    for field, value in changed:
        setattr(queue.settings, field, value)
    if was_paused and not queue.settings.paused:
        layer.note_change(QUEUE_PREFIX + queue.name)
    store_queue(layer, queue)
    return Result(True, None)


def _check_no_cycle(view: KeyValueView, start: bytes, name: bytes) -> None:
    """Raise `ReplyError` if the dead that go from `start` to `name` would come back, or go too far."""
    for _ in range(DEAD_LETTER_QUEUES_MAX):
        if name == start:
            raise Conflict("dead letters would go round in a circle")
        following = load_queue(view, name)
        if following is None or not following.settings.dead_letter:
            return
        name = following.settings.dead_letter
    raise ReplyError(f"dead letters would pass more than {DEAD_LETTER_QUEUES_MAX} queues")


def _count(text: bytes) -> int:
    value = parse_integer(text)
    if value is None or not 0 <= value <= COUNT_MAX:
        raise RequestRefused("bad_request", f"it is a whole number from 0 to {COUNT_MAX}")
    return value


def _bytes(text: bytes) -> int:
    value = parse_integer(text)
    if value is None or value < 0:
        raise RequestRefused("bad_request", "it is a whole number of bytes")
    return value


def _flag(text: bytes) -> int:
    if text not in (b"0", b"1"):
        raise RequestRefused("bad_request", "it is 1 or 0")
    return int(text)


_READ: dict[bytes, Callable[[bytes], object]] = {
    b"visibility": lambda text: seconds_ms("it", text, is_above_0=True),
    b"max_failures": _count,
    b"dead_letter": lambda text: queue_name(text) if text else b"",
    b"max_length": _count,
    b"max_bytes": _bytes,
    b"dedup_window": lambda text: seconds_ms("it", text),
    b"paused": _flag,
}
"""How the value of each setting is read. All raise `RequestRefused`."""
_FIELDS = {b"visibility": "visibility_ms", b"dedup_window": "dedup_window_ms"}
"""The names of settings whose fields are called otherwise."""
_SETTING_NAMES = "the settings are: " + ", ".join(name.decode("ascii") for name in _READ)


def _read(read: Callable[[bytes], object], name: bytes, text: bytes) -> object:
    """The value of a setting. The machine answers where a frontend refuses."""
    try:
        return read(text)
    except RequestRefused as refused:
        raise ReplyError(f"{name.decode('ascii')} is not possible: {refused.message}") from None


@dataclass(frozen=True, slots=True)
class QueueRemove(Command):
    """Take messages out of a queue, whatever their state."""

    queue: bytes
    ids: tuple[bytes, ...]


def queue_remove(layer: Layer, queue: Queue | None, command: QueueRemove, index: int) -> Result:
    """Remove them. Answers how many there were."""
    _check_ids(command.ids)
    count = 0
    for text in command.ids:
        message_id = read_id(text)
        if queue is None or message_id is None:
            continue
        message = load_message(layer, queue.filling, message_id)
        if message is not None:
            messages.remove(layer, queue, message)
            count += 1
        elif messages.exhume(layer, queue.grave, message_id) is not None:
            queue.dead -= 1
            count += 1
    if queue is not None and count:
        store_queue(layer, queue)
    return Result(count, None)


def _check_ids(ids: Sequence[bytes]) -> None:
    if len(ids) > RECEIPTS_MAX:
        raise ReplyError("too many messages", hint=f"the limit is {RECEIPTS_MAX}")


@dataclass(frozen=True, slots=True)
class Purge(Command):
    """Remove all messages of a queue that wait or are in flight, not those that are dead."""

    queue: bytes


def purge(layer: Layer, queue: Queue | None, command: Purge, index: int) -> Result:
    """Remove them. Answers how many there were."""
    if queue is None or not queue.length:
        return Result(0, None)
    count = queue.length
    _empty(layer, queue)
    queue.filling = new_number(layer)
    store_queue(layer, queue)
    return Result(count, None)


def _empty(layer: Layer, queue: Queue) -> None:
    """Let nothing wait or be in flight. The queue has no number for that any more."""
    remove_range(layer, queue.filling)
    lift_alarm(layer, queue)
    queue.next_event_ms = NEVER
    queue.visible = queue.delayed = queue.in_flight = queue.coming = queue.bytes = 0
    queue.lanes = []


@dataclass(frozen=True, slots=True)
class QueueDelete(Command):
    """Remove a queue and all its messages."""

    queue: bytes


def queue_delete(layer: Layer, queue: Queue | None, command: QueueDelete, index: int) -> Result:
    """Remove it. Answers how many messages it had, dead ones included."""
    if queue is None:
        return Result(0, None)
    count = queue.length + queue.dead
    _empty(layer, queue)
    remove_range(layer, queue.number)
    remove_range(layer, queue.grave)
    layer.delete(QUEUE_PREFIX + queue.name)
    return Result(count, None)


def _build_set(arguments: Sequence[bytes]) -> Command:
    names, texts = arguments[1::2], arguments[2::2]
    pairs: list[tuple[bytes, bytes]] = []
    for name, text in zip(names, texts, strict=True):
        read = _READ.get(name.lower())
        if read is None:
            raise RequestRefused("bad_request", "there is no such setting", hint=_SETTING_NAMES)
        try:
            read(text)
        except RequestRefused as refused:
            shown = name.lower().decode("ascii")
            raise RequestRefused(refused.code, f"{shown} is not possible: {refused.message}") from None
        pairs.append((name.lower(), text))
    if len(dict(pairs)) < len(pairs):
        raise RequestRefused("bad_request", "a setting is named twice")
    return QueueSet(queue_name(arguments[0]), tuple(pairs))


MANAGING = (
    CommandType(
        type=QueueSet,
        number=42,
        write=write_handler(queue_set),
        grows=True,
        keys_named=lambda command: QUEUE_STEPS_MAX,
        shown=as_done,
        names=(
            CommandSpec(
                name="qset",
                syntax="qset QUEUE SETTING VALUE [SETTING VALUE ...]",
                summary="Change settings of a queue: visibility, max_failures, dead_letter, max_length, max_bytes,"
                " dedup_window, paused.",
                examples=(
                    Example("qset mail max_failures 3 dead_letter mail-dead", "OK"),
                    Example("qset mail paused 1", "OK"),
                ),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(3, None, step=2),
                reply=ReplyKind.STATUS,
                build=_build_set,
            ),
        ),
    ),
    CommandType(
        type=QueueRemove,
        number=41,
        write=write_handler(queue_remove),
        keys_named=lambda command: steps_of(len(command.ids)),
        names=(
            CommandSpec(
                name="qremove",
                syntax="qremove QUEUE ID [ID ...]",
                summary="Take messages out of a queue, whatever their state: how many there were.",
                examples=(Example("qremove mail 7-0 7-1", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(2, None),
                reply=ReplyKind.INTEGER,
                build=lambda given: QueueRemove(queue_name(given[0]), ids_of(given[1:])),
            ),
        ),
    ),
    CommandType(
        type=Purge,
        number=44,
        write=write_handler(purge),
        keys_named=lambda command: QUEUE_STEPS_MAX,
        names=(
            CommandSpec(
                name="purge",
                syntax="purge QUEUE",
                summary="Remove all messages that wait or are in flight, not the dead: how many there were.",
                examples=(Example("purge mail", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 1),
                reply=ReplyKind.INTEGER,
                build=lambda given: Purge(queue_name(given[0])),
                values=NO_ARGUMENTS,
                dangerous=True,
            ),
        ),
    ),
    CommandType(
        type=QueueDelete,
        number=45,
        write=write_handler(queue_delete),
        keys_named=lambda command: QUEUE_STEPS_MAX,
        names=(
            CommandSpec(
                name="qdel",
                syntax="qdel QUEUE",
                summary="Remove a queue with its settings and all its messages: how many there were.",
                examples=(Example("qset mail visibility 60", "OK"), Example("qdel mail", "0")),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 1),
                reply=ReplyKind.INTEGER,
                build=lambda given: QueueDelete(queue_name(given[0])),
                values=NO_ARGUMENTS,
                dangerous=True,
            ),
        ),
    ),
)
"""The commands that change a queue as a whole, or remove messages of it."""
