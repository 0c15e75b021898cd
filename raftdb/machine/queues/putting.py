"""Putting messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.limits import QUEUE_NAME_BYTES_MAX, QUEUE_STEPS_MAX, TTL_MS_MAX
from raftdb.machine.arguments import seconds_ms, shown_seconds
from raftdb.machine.clock import read_clock
from raftdb.machine.layer import Layer
from raftdb.machine.queues import messages, repetitions
from raftdb.machine.queues.events import write_handler
from raftdb.machine.queues.line import PRIORITY_MAX
from raftdb.machine.queues.names import checked_word, number_of, options_of, queue_name, word_of
from raftdb.machine.queues.records import NEVER, Queue, shown_id, store_queue
from raftdb.machine.reply import Result, Told
from raftdb.machine.service import Arity, Command, CommandSpec, CommandType, Example, ReplyKind
from raftdb.machine.values import check_value

SYNTAX = "enqueue QUEUE VALUE [DELAY SECONDS] [GROUP TEXT] [PRIORITY NUMBER] [DEDUP TEXT] [UNIQUE TEXT] [TTL SECONDS]"


@dataclass(frozen=True, slots=True)
class Enqueue(Command):
    """Put a message into a queue, which comes into being with its first one.

    `delay_ms`: it waits for so long before it can be handed out. `ttl_ms`: it expires if it still waits then; 0: never.
    Of a `group` one after the other is handed out. `dedup`, `unique`: nothing is put if such a message was put within
    the queue's window, or waits. Empty words and zeros stand for options that were not given.
    """

    queue: bytes
    value: bytes
    delay_ms: int = 0
    group: bytes = b""
    priority: int = 0
    dedup: bytes = b""
    unique: bytes = b""
    ttl_ms: int = 0


def enqueue(layer: Layer, queue: Queue | None, command: Enqueue, index: int) -> Result:
    """Put the message. Answers its id and True; or the id of the one because of which it was not put, and False."""
    _check(command)
    if queue is None:
        queue = messages.new_queue(layer, command.queue)
    else:
        before = repetitions.put_before(layer, queue, command.dedup, command.unique)
        if before is not None:
            return Result([shown_id(before), False], None)
        _check_room(queue, len(command.value))
        repetitions.check_room(queue, command.dedup)
    message = messages.new_message(
        layer,
        index,
        command.value,
        delay_ms=command.delay_ms,
        priority=command.priority,
        group=command.group,
    )
    message.unique = command.unique
    message.ends_ms = read_clock(layer) + command.ttl_ms if command.ttl_ms else NEVER
    messages.put(layer, queue, message, command.value)
    repetitions.remember(layer, queue, command.dedup, message.id)
    store_queue(layer, queue)
    return Result([shown_id(message.id), True], None)


def _check(command: Enqueue) -> None:
    check_value(len(command.value))
    for what, word in (("GROUP", command.group), ("DEDUP", command.dedup), ("UNIQUE", command.unique)):
        checked_word(what, word)
    if not 0 <= command.priority <= PRIORITY_MAX:
        raise ReplyError(f"PRIORITY is from 0 to {PRIORITY_MAX}")
    if not (0 <= command.delay_ms <= TTL_MS_MAX and 0 <= command.ttl_ms <= TTL_MS_MAX):
        raise ReplyError("invalid time", hint=f"from 0 to {TTL_MS_MAX} milliseconds")


def _check_room(queue: Queue, value_bytes: int) -> None:
    settings = queue.settings
    is_full = 0 < settings.max_length <= queue.length
    if is_full or 0 < settings.max_bytes < queue.bytes + value_bytes:
        raise ReplyError(
            "the queue is full",
            hint=f"its limit is {settings.max_length} messages"
            if is_full
            else f"its limit is {settings.max_bytes} bytes",
            code="queue_full",
        )


def _shown(result: Told) -> object:
    """The id, and 1 or 0."""
    value = result.value
    return [value[0], int(value[1])] if isinstance(value, list) else value


def _build(arguments: Sequence[bytes]) -> Command:
    delay_ms = priority = ttl_ms = 0
    words = {b"GROUP": b"", b"DEDUP": b"", b"UNIQUE": b""}
    for option, text in options_of(SYNTAX, arguments[2:], (b"DELAY", b"PRIORITY", b"TTL", *words)):
        if option == b"DELAY":
            delay_ms = seconds_ms("DELAY", text)
        elif option == b"TTL":
            ttl_ms = seconds_ms("TTL", text, is_above_0=True)
        elif option == b"PRIORITY":
            priority = number_of("PRIORITY", text, 0, PRIORITY_MAX)
        else:
            words[option] = word_of(option.decode(), text)
    group, dedup, unique = words.values()
    return Enqueue(queue_name(arguments[0]), arguments[1], delay_ms, group, priority, dedup, unique, ttl_ms)


def _arguments(command: Enqueue) -> list[bytes]:
    words = [command.queue, command.value]
    for name, time_ms in ((b"DELAY", command.delay_ms), (b"TTL", command.ttl_ms)):
        words += [name, shown_seconds(time_ms)] if time_ms else []
    words += [b"PRIORITY", b"%d" % command.priority] if command.priority else []
    for name, word in ((b"GROUP", command.group), (b"DEDUP", command.dedup), (b"UNIQUE", command.unique)):
        words += [name, word] if word else []
    return words


PUTTING = (
    CommandType(
        type=Enqueue,
        number=30,
        write=write_handler(enqueue),
        grows=True,
        keys_named=lambda command: QUEUE_STEPS_MAX,
        arguments=_arguments,
        shown=_shown,
        names=(
            CommandSpec(
                name="enqueue",
                syntax=SYNTAX,
                summary="Put a message into a queue: its id, and 1; or 0 if DEDUP or UNIQUE knows it already.",
                examples=(
                    Example('enqueue mail "to Ana" DELAY 60 DEDUP m-1', '1) "1-0"\n2) 1'),
                    Example('enqueue mail "to Ana" DELAY 60 DEDUP m-1', '1) "1-0"\n2) 0'),
                    Example("enqueue mail hello PRIORITY 9", '1) "3-0"\n2) 1'),
                    Example("dequeue mail", '"hello"'),
                ),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(2, 14),
                reply=ReplyKind.ARRAY,
                build=_build,
            ),
        ),
    ),
)
"""The command that puts messages."""
