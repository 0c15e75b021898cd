"""Dead messages that are to be visible again, at home or in another queue.

Some are moved at once, so that they can be received next. If all of very many are to be, the grave of the queue gets a
new number, so that nothing of it is dead any more; and an entry at a time moves some of what stands under the old
number. Until then they count as visible in the queue to which they go (`Queue.coming`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.budgets import QUEUE_EVENT_BYTES_MAX
from raftdb.errors import ReplyError
from raftdb.limits import QUEUE_NAME_BYTES_MAX, RECEIPTS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import MESSAGE_PREFIX, pack_number
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import messages
from raftdb.machine.queues.ends import ENDS, REDRIVE, remove_range
from raftdb.machine.queues.events import keys_for, write_handler
from raftdb.machine.queues.names import checked_name, ids_of, number_of, queue_name, steps_of
from raftdb.machine.queues.records import (
    ID_BYTES,
    Message,
    Queue,
    load_message,
    load_queue,
    new_number,
    read_id,
    store_queue,
)
from raftdb.machine.reply import Result
from raftdb.machine.scanning import behind
from raftdb.machine.service import (
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
)

SYNTAX = "redrive QUEUE [TO QUEUE] [COUNT NUMBER] [ID ...]"
STEP_MESSAGES = 200
"""Messages that an entry moves."""
AT_ONCE_MAX = 50
"""Messages that the command itself moves, if all are to be."""
_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Redrive(Command):
    """Let dead messages of a queue be visible again, under new ids, as if they had just been put: those of `ids`, or
    the first `count`, or all. `target`: the queue in which; empty: their own."""

    queue: bytes
    target: bytes = b""
    ids: tuple[bytes, ...] = ()
    count: NotNegative = 0


def redrive(layer: Layer, queue: Queue | None, command: Redrive, index: int) -> Result:
    """Let them be visible. Answers how many."""
    if max(len(command.ids), command.count) > RECEIPTS_MAX:
        raise ReplyError("too many messages", hint=f"name {RECEIPTS_MAX} at most, or none for all of them")
    target_name = command.target or command.queue
    target = queue if target_name == command.queue else load_queue(layer, checked_name(target_name))
    if queue is None or not queue.dead:
        return Result(0, None)
    moves_all = not command.ids and not command.count
    chosen = [] if moves_all else _chosen(layer, queue, command)
    if not chosen and not moves_all:
        return Result(0, None)
    if target is None:
        target = messages.new_queue(layer, target_name)
    if moves_all:
        count = _move_all(layer, queue, target, index)
    else:
        count = _move_some(layer, queue, target, chosen, index)
    store_queue(layer, target)
    store_queue(layer, queue)
    return Result(count, None)


def _chosen(view: KeyValueView, queue: Queue, command: Redrive) -> list[bytes]:
    """The ids of the dead messages that are meant, each once."""
    if command.ids:
        ids = [
            message_id for message_id in map(read_id, dict.fromkeys(command.ids)) if message_id is not None
        ]
        return [message_id for message_id in ids if load_message(view, queue.grave, message_id) is not None]
    return _ids(view, queue.grave, b"", command.count)


def _ids(view: KeyValueView, grave: int, after: bytes, limit: int) -> list[bytes]:
    """The ids of dead messages, in order."""
    prefix = MESSAGE_PREFIX + pack_number(grave)
    found = view.scan(prefix + after + b"\0" if after else prefix, behind(prefix), limit=limit, length=0)
    return [key[-ID_BYTES:] for key, _ in found]


def _move_some(layer: Layer, queue: Queue, target: Queue, ids: Sequence[bytes], index: int) -> int:
    count = moved_bytes = 0
    for message_id in ids:
        exhumed = messages.exhume(layer, queue.grave, message_id)
        if exhumed is None:
            continue
        _put(layer, target, exhumed, index)
        queue.dead -= 1
        count += 1
        moved_bytes += exhumed[0].body_bytes
        if moved_bytes > QUEUE_EVENT_BYTES_MAX:
            break
    return count


def _move_all(layer: Layer, queue: Queue, target: Queue, index: int) -> int:
    count = queue.dead
    first_ids = _ids(layer, queue.grave, b"", AT_ONCE_MAX)
    moved = _move_some(layer, queue, target, first_ids, index)
    if queue.dead:
        target.coming += queue.dead
        queue.dead = 0
        _go_on(layer, target, queue.grave, first_ids[moved - 1])
        queue.grave = new_number(layer)
    return count


def _go_on(layer: Layer, target: Queue, grave: int, after: bytes) -> None:
    """Let an entry move what stands in a grave behind an id."""
    after = after.ljust(ID_BYTES, b"\0")
    name = REDRIVE + pack_number(grave) + pack_number(target.filling) + after + target.name
    ENDS.set(layer, read_clock(layer), name)


def move_step(layer: Layer, time_ms: int, name: bytes, index: int) -> int:
    """Move some messages, as the `name` behind the kind of an end says. Returns for how many changed keys
    that counts."""
    ENDS.lift(layer, time_ms, REDRIVE + name)
    grave, filling = (
        int.from_bytes(name[:_NUMBER_BYTES]),
        int.from_bytes(name[_NUMBER_BYTES:][:_NUMBER_BYTES]),
    )
    after = name[2 * _NUMBER_BYTES :][:ID_BYTES]
    target = load_queue(layer, name[2 * _NUMBER_BYTES + ID_BYTES :])
    if target is None or target.filling != filling:
        # The queue to which they were to go was purged since, or is gone.
        remove_range(layer, grave)
        return 1
    ids = _ids(layer, grave, after, STEP_MESSAGES)
    moved_bytes = count = 0
    for message_id in ids:
        exhumed = messages.exhume(layer, grave, message_id)
        if exhumed is not None:
            _put(layer, target, exhumed, index)
            moved_bytes += exhumed[0].body_bytes
        target.coming -= 1
        count += 1
        after = message_id
        if moved_bytes > QUEUE_EVENT_BYTES_MAX:
            break
    if count < len(ids) or len(ids) == STEP_MESSAGES:
        _go_on(layer, target, grave, after)
    store_queue(layer, target)
    return 1 + keys_for(count, moved_bytes)


def _put(layer: Layer, target: Queue, exhumed: tuple[Message, bytes], index: int) -> None:
    before, body = exhumed
    message = messages.new_message(layer, index, body, priority=before.priority, group=before.group)
    messages.put(layer, target, message, body)


def _build(arguments: Sequence[bytes]) -> Command:
    rest = list(arguments[1:])
    target = b""
    if len(rest) >= 2 and rest[0].upper() == b"TO":
        target, rest = queue_name(rest[1]), rest[2:]
    if rest and rest[0].upper() == b"COUNT" and len(rest) == 2:
        return Redrive(queue_name(arguments[0]), target, (), number_of("COUNT", rest[1], 1, RECEIPTS_MAX))
    return Redrive(queue_name(arguments[0]), target, ids_of(rest))


def _arguments(command: Redrive) -> list[bytes]:
    words = [command.queue]
    words += [b"TO", command.target] if command.target else []
    words += command.ids
    return words + ([b"COUNT", b"%d" % command.count] if command.count else [])


REDRIVING = (
    CommandType(
        type=Redrive,
        number=43,
        write=write_handler(redrive),
        grows=True,
        keys_named=lambda command: steps_of(len(command.ids) or command.count or AT_ONCE_MAX),
        arguments=_arguments,
        names=(
            CommandSpec(
                name="redrive",
                syntax=SYNTAX,
                summary="Let dead messages be visible again, here or in another queue, under new ids: how many.",
                examples=(Example("redrive mail TO mail-retry COUNT 10", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, None),
                reply=ReplyKind.INTEGER,
                build=_build,
            ),
        ),
    ),
)
"""The command that lets dead messages live again."""
