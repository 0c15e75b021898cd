"""Handing messages out: for good, or as deliveries that have to be acknowledged (`deliveries`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.errors import ReplyError, required
from raftdb.limits import (
    QUEUE_NAME_BYTES_MAX,
    QUEUE_STEPS_MAX,
    RECEIVE_BYTES_MAX,
    RECEIVE_COUNT_MAX,
    TTL_MS_MAX,
)
from raftdb.machine.arguments import seconds_ms, shown_seconds
from raftdb.machine.clock import read_clock
from raftdb.machine.happenings import Happening
from raftdb.machine.keyspace import QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import line, messages
from raftdb.machine.queues.events import at_present, write_handler
from raftdb.machine.queues.names import checked_word, number_of, options_of, queue_name, steps_of, word_of
from raftdb.machine.queues.records import (
    Message,
    Queue,
    body_key,
    load_message,
    load_queue,
    read_id,
    shown_id,
    shown_receipt,
    store_queue,
)
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    Keeping,
    ReplyKind,
)
from raftdb.machine.waiting import TurnWaiting

SUPPLY_COUNTED_MAX = 1_000
"""How far the messages are counted that could be handed out."""
RECEIVE_SYNTAX = "receive QUEUE [COUNT NUMBER] [VISIBILITY SECONDS] [WORKER TEXT] [WAIT SECONDS]"


@dataclass(frozen=True, slots=True)
class Dequeue(Command):
    """Take the first visible message for good."""

    queue: bytes


def dequeue(layer: Layer, queue: Queue | None, command: Dequeue, index: int) -> Result:
    """Remove the first visible message. Answers its value, None if there is none."""
    found = _first(layer, queue, 1)
    if queue is None or not found:
        return Result(None, None)
    message = _message_of(layer, queue, found[0])
    line.take(layer, queue, found[0])
    body = layer.get(body_key(queue.filling, message.id))
    messages.remove(layer, queue, message, was_taken=True)
    queue.taken += 1
    layer.note_happened(Happening.DELIVERED, max(0, read_clock(layer) - message.since_ms))
    layer.note_happened(Happening.ACKED)
    store_queue(layer, queue)
    return Result(body, None)


@dataclass(frozen=True, slots=True)
class Receive(Command):
    """Hand out up to `count` messages, and hide them for `visibility_ms`, 0 for the queue's setting. `worker` is kept
    with them, for people to see."""

    queue: bytes
    count: int = 1
    visibility_ms: int = 0
    worker: bytes = b""


def receive(layer: Layer, queue: Queue | None, command: Receive, index: int) -> Result:
    """Hand out messages, in order. Answers a list of (id, receipt, deliveries, value), empty if there are none."""
    if not 1 <= command.count <= RECEIVE_COUNT_MAX:
        raise ReplyError(f"COUNT is from 1 to {RECEIVE_COUNT_MAX}")
    if not 0 <= command.visibility_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    worker = checked_word("WORKER", command.worker)
    if queue is None:
        return Result([], None)
    until_ms = read_clock(layer) + (command.visibility_ms or queue.settings.visibility_ms)
    handed_out: list[list[object]] = []
    body_bytes = 0
    for waiting in _first(layer, queue, command.count):
        message = _message_of(layer, queue, waiting)
        body_bytes += message.body_bytes
        if handed_out and body_bytes > RECEIVE_BYTES_MAX:
            break
        line.take(layer, queue, waiting)
        messages.deliver(layer, queue, message, until_ms=until_ms, worker=worker)
        body = layer.get(body_key(queue.filling, message.id))
        handed_out.append([shown_id(message.id), shown_receipt(message), message.deliveries, body])
    if handed_out:
        store_queue(layer, queue)
    return Result(handed_out, None)


def _without_values(result: Result) -> Result:
    """The result of a `receive` as a session keeps it: the values are in the queue anyway."""
    handed_out: list[list[object]] = result.value  # type: ignore[assignment]
    return Result([one[:-1] for one in handed_out], result.revision)


def _with_values(view: KeyValueView, command: Receive, kept: Result) -> Result:
    """The same again with the values of those messages that are still there; None for the others."""
    handed_out: list[list[bytes]] = kept.value  # type: ignore[assignment]
    queue = load_queue(view, command.queue)
    bodies = [
        None if queue is None else view.get(body_key(queue.filling, read_id(one[0]) or b""))
        for one in handed_out
    ]
    return Result([[*one, body] for one, body in zip(handed_out, bodies, strict=True)], kept.revision)


def _first(view: KeyValueView, queue: Queue | None, count: int) -> list[line.Waiting]:
    """The first messages that may be handed out: none while the queue is paused."""
    return [] if queue is None or queue.settings.paused else line.first(view, queue, count)


def _message_of(view: KeyValueView, queue: Queue, waiting: line.Waiting) -> Message:
    return required(load_message(view, queue.filling, waiting.id), "message in the line")


def _supply(view: KeyValueView, command: Dequeue | Receive) -> int:
    """How many messages could be handed out now."""
    queue, _ = at_present(view, command.queue)
    if queue is None or queue.settings.paused:
        return 0
    return min(SUPPLY_COUNTED_MAX, sum(lane.count for lane in queue.lanes))


def waited_for(queue: bytes) -> bytes:
    """Return the name of the change that those wait for who want a message of the queue that is named."""
    return QUEUE_PREFIX + queue


def _build_receive(arguments: Sequence[bytes]) -> Command:
    count, visibility_ms, worker = 1, 0, b""
    for option, text in options_of(RECEIVE_SYNTAX, arguments[1:], (b"COUNT", b"VISIBILITY", b"WORKER")):
        if option == b"COUNT":
            count = number_of("COUNT", text, 1, RECEIVE_COUNT_MAX)
        elif option == b"VISIBILITY":
            visibility_ms = seconds_ms("VISIBILITY", text, is_above_0=True)
        else:
            worker = word_of("WORKER", text)
    return Receive(queue_name(arguments[0]), count, visibility_ms, worker)


def _arguments_of_receive(command: Receive) -> list[bytes]:
    words = [command.queue]
    words += [b"COUNT", b"%d" % command.count] if command.count != 1 else []
    words += [b"VISIBILITY", shown_seconds(command.visibility_ms)] if command.visibility_ms else []
    return [*words, b"WORKER", command.worker] if command.worker else words


TAKING = (
    CommandType(
        type=Dequeue,
        number=31,
        write=write_handler(dequeue),
        keys_named=lambda command: QUEUE_STEPS_MAX,
        waiting=TurnWaiting(
            line=lambda command: waited_for(command.queue), supply=_supply, demand=lambda command: 1
        ),
        names=(
            CommandSpec(
                name="dequeue",
                syntax="dequeue QUEUE [WAIT SECONDS]",
                summary="Take the first message of a queue for good: its value, or nil if none is visible.",
                examples=(
                    Example("qset mail max_length 3", "OK"),
                    Example("dequeue mail", "(nil)"),
                ),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 1),
                reply=ReplyKind.STRING,
                build=lambda given: Dequeue(queue_name(given[0])),
                values=NO_ARGUMENTS,
            ),
        ),
    ),
    CommandType(
        type=Receive,
        number=32,
        write=write_handler(receive),
        keys_named=lambda command: steps_of(command.count, RECEIVE_COUNT_MAX),
        arguments=_arguments_of_receive,
        waiting=TurnWaiting(
            line=lambda command: waited_for(command.queue),
            supply=_supply,
            demand=lambda command: max(1, command.count),
            nothing=[],
        ),
        keeping=Keeping(shortened=_without_values, completed=_with_values),
        names=(
            CommandSpec(
                name="receive",
                syntax=RECEIVE_SYNTAX,
                summary="Hand out messages, and hide them for a while: id, receipt, deliveries and value of each.",
                examples=(Example("receive mail COUNT 10 VISIBILITY 60", "(empty list)"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 7),
                reply=ReplyKind.ARRAY,
                build=_build_receive,
            ),
        ),
    ),
)
"""The commands that hand out messages."""
