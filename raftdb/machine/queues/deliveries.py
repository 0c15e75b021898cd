"""What becomes of a delivery.

It ends by being acknowledged, by being given back, or because its time is over, which counts as a failure. Its receipt
says which delivery of which message it is: that of an older delivery does nothing to a newer one (hazard B75).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

from raftdb.errors import Fenced, ReplyError, RequestRefused
from raftdb.limits import (
    MESSAGE_ERROR_BYTES_MAX,
    QUEUE_NAME_BYTES_MAX,
    QUEUE_STEPS_MAX,
    RECEIPTS_MAX,
    TTL_MS_MAX,
)
from raftdb.machine.arguments import seconds_ms, shown_seconds
from raftdb.machine.clock import read_clock
from raftdb.machine.happenings import Happening
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.queues import messages
from raftdb.machine.queues.events import write_handler
from raftdb.machine.queues.names import checked_name, options_of, queue_name, receipts_of, steps_of
from raftdb.machine.queues.records import (
    Message,
    Queue,
    State,
    load_message,
    load_queue,
    read_receipt,
    store_queue,
)
from raftdb.machine.reply import Result, Told, shown_key
from raftdb.machine.service import (
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    as_flag,
)

BACK_OFF_FIRST_MS = 1_000
BACK_OFF_LAST_MS = 300_000
NACK_SYNTAX = "nack QUEUE RECEIPT [DELAY SECONDS] [ERROR TEXT] [FREE | DEAD]"


@dataclass(frozen=True, slots=True)
class Ack(Command):
    """The messages of these deliveries are done: they are gone."""

    queue: bytes
    receipts: tuple[bytes, ...]


def ack(layer: Layer, queue: Queue | None, command: Ack, index: int) -> Result:
    """Remove the messages. Answers how many, and the list of the receipts whose delivery was over."""
    over: list[bytes] = []
    _check_count(command.receipts)
    for receipt in command.receipts:
        message = _held(layer, queue, receipt)
        if queue is None or message is None:
            over.append(receipt)
            continue
        messages.remove(layer, queue, message)
        queue.taken += 1
        layer.note_happened(Happening.ACKED)
    count = len(command.receipts) - len(over)
    if queue is not None and count:
        store_queue(layer, queue)
    return Result([count, over], None)


def _shown_ack(result: Told) -> object:
    """How many there were."""
    return result.value[0] if isinstance(result.value, list) else result.value


@dataclass(frozen=True, slots=True)
class Extend(Command):
    """Let these deliveries end `time_ms` from now, and not when they would."""

    queue: bytes
    time_ms: int
    receipts: tuple[bytes, ...]


def extend(layer: Layer, queue: Queue | None, command: Extend, index: int) -> Result:
    """Let deliveries last longer, or shorter. Answers how many of them were not over."""
    if not 1 <= command.time_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    _check_count(command.receipts)
    until_ms = read_clock(layer) + command.time_ms
    count = 0
    for receipt in command.receipts:
        message = _held(layer, queue, receipt)
        if queue is not None and message is not None:
            messages.hold_until(layer, queue, message, until_ms)
            count += 1
    if queue is not None and count:
        store_queue(layer, queue)
    return Result(count, None)


class GiveBack(IntEnum):
    """What a message that is given back goes through. The numbers are in the log: never reuse one."""

    FAILED = 0
    """It has failed once more, and waits for a while."""
    FREE = 1
    """Nothing is counted, and it is visible at once."""
    DEAD = 2
    """It is dead at once."""


BACK_OFF = -1
"""Instead of a delay: what the number of its failures says."""


@dataclass(frozen=True, slots=True)
class Nack(Command):
    """Give the message of this delivery back. `error` is kept with it; `delay_ms`, if it has failed: how long it waits,
    or `BACK_OFF`."""

    queue: bytes
    receipt: bytes
    delay_ms: int = BACK_OFF
    error: bytes = b""
    how: GiveBack = GiveBack.FAILED


def nack(layer: Layer, queue: Queue | None, command: Nack, index: int) -> Result:
    """Give the message back. Answers whether the delivery was not over."""
    if not BACK_OFF <= command.delay_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time", hint=f"from 0 to {TTL_MS_MAX} milliseconds")
    message = _held(layer, queue, command.receipt)
    if queue is None or message is None:
        return Result(False, None)
    message.error = kept_of(command.error) or message.error
    clock_ms = read_clock(layer)
    if command.how is GiveBack.FREE:
        messages.wait_again(layer, queue, message, since_ms=clock_ms)
    elif command.how is GiveBack.DEAD:
        message.failures += 1
        messages.bury(layer, queue, message, index)
    else:
        is_short = command.delay_ms != BACK_OFF
        delay_ms = command.delay_ms if is_short else back_off_ms(message.failures, message.id)
        messages.fail(layer, queue, message, index, since_ms=clock_ms, delay_ms=delay_ms)
    store_queue(layer, queue)
    return Result(True, None)


def kept_of(error: bytes) -> bytes:
    """Return what is kept of the text of an error: no half of a character at its end, if it is UTF-8."""
    end = MESSAGE_ERROR_BYTES_MAX
    if len(error) <= end:
        return error
    while end > MESSAGE_ERROR_BYTES_MAX - 3 and error[end] & 0xC0 == 0x80:
        end -= 1
    return error[:end]


def back_off_ms(failures: int, message_id: bytes) -> int:
    """Return how long a message waits that has failed so often before: twice as long each time. Ids spread the time by
    a quarter up and down, so that what failed together is not tried together."""
    middle_ms = min(BACK_OFF_FIRST_MS << min(failures, 20), BACK_OFF_LAST_MS)
    return middle_ms * (768 + crc32(message_id) % 512) // 1024


def _held(view: KeyValueView, queue: Queue | None, receipt: bytes) -> Message | None:
    """The message of the delivery that a receipt names, None if that is over."""
    named = read_receipt(receipt)
    if queue is None or named is None:
        return None
    message = load_message(view, queue.filling, named[0])
    if message is None or message.state is not State.IN_FLIGHT or message.deliveries != named[1]:
        return None
    return message if message.until_ms >= read_clock(view) else None


def _check_held(view: KeyValueView, name: bytes, receipts: Sequence[bytes]) -> None:
    """Raise `Fenced` if one of these deliveries is over."""
    queue = load_queue(view, checked_name(name))
    for receipt in receipts:
        if _held(view, queue, receipt) is None:
            raise Fenced(
                f"the delivery {shown_key(receipt)} is over",
                hint="the message was handed out again, or will be: drop what was done for it",
            )


def _check_count(receipts: Sequence[bytes]) -> None:
    if len(receipts) > RECEIPTS_MAX:
        raise ReplyError("too many receipts", hint=f"the limit is {RECEIPTS_MAX}")


def _build_extend(arguments: Sequence[bytes]) -> Command:
    time_ms = seconds_ms("the time", arguments[1], is_above_0=True)
    return Extend(queue_name(arguments[0]), time_ms, receipts_of(arguments[2:]))


_HOW = {b"FREE": GiveBack.FREE, b"DEAD": GiveBack.DEAD}
_HOW_WORDS: dict[GiveBack, list[bytes]] = {
    GiveBack.FAILED: [],
    **{how: [word] for word, how in _HOW.items()},
}


def _build_nack(arguments: Sequence[bytes]) -> Command:
    delay_ms, error, how = BACK_OFF, b"", GiveBack.FAILED
    receipt = receipts_of(arguments[1:2])[0]
    for option, text in options_of(NACK_SYNTAX, arguments[2:], (b"DELAY", b"ERROR"), tuple(_HOW)):
        if option == b"DELAY":
            delay_ms = seconds_ms("DELAY", text)
        elif option == b"ERROR":
            error = kept_of(text)
        elif how is GiveBack.FAILED:
            how = _HOW[option]
        else:
            raise RequestRefused("bad_request", "a message is given back either FREE or DEAD")
    if how is not GiveBack.FAILED and delay_ms != BACK_OFF:
        raise RequestRefused("bad_request", "DELAY is for a message that has failed, not FREE or DEAD")
    return Nack(queue_name(arguments[0]), receipt, delay_ms, error, how)


def _arguments_of_nack(command: Nack) -> list[bytes]:
    words = [command.queue, command.receipt]
    words += [b"DELAY", shown_seconds(command.delay_ms)] if command.delay_ms != BACK_OFF else []
    words += [b"ERROR", command.error] if command.error else []
    return words + _HOW_WORDS[command.how]


DELIVERIES = (
    CommandType(
        type=Ack,
        number=33,
        write=write_handler(ack),
        keys_named=lambda command: steps_of(len(command.receipts)),
        guard=lambda view, command: _check_held(view, command.queue, command.receipts),
        shown=_shown_ack,
        names=(
            CommandSpec(
                name="ack",
                syntax="ack QUEUE RECEIPT [RECEIPT ...]",
                summary="The messages of these deliveries are done, and gone: how many of them were not over.",
                examples=(Example("ack mail 7-0-1", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(2, None),
                reply=ReplyKind.INTEGER,
                build=lambda given: Ack(queue_name(given[0]), receipts_of(given[1:])),
            ),
        ),
    ),
    CommandType(
        type=Nack,
        number=34,
        write=write_handler(nack),
        keys_named=lambda command: QUEUE_STEPS_MAX,
        guard=lambda view, command: _check_held(view, command.queue, (command.receipt,)),
        arguments=_arguments_of_nack,
        shown=as_flag,
        names=(
            CommandSpec(
                name="nack",
                syntax=NACK_SYNTAX,
                summary="Give a message back: 1, or 0 if the delivery was over. It has failed once, and waits;"
                " FREE counts nothing, DEAD buries it.",
                examples=(Example('nack mail 7-0-1 DELAY 5 ERROR "no route"', "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(2, 7),
                reply=ReplyKind.INTEGER,
                build=_build_nack,
            ),
        ),
    ),
    CommandType(
        type=Extend,
        number=35,
        write=write_handler(extend),
        keys_named=lambda command: steps_of(len(command.receipts)),
        guard=lambda view, command: _check_held(view, command.queue, command.receipts),
        arguments=lambda command: [command.queue, shown_seconds(command.time_ms), *command.receipts],
        names=(
            CommandSpec(
                name="extend",
                syntax="extend QUEUE SECONDS RECEIPT [RECEIPT ...]",
                summary="Let deliveries end so many seconds from now: how many of them were not over.",
                examples=(Example("extend mail 60 7-0-1", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(3, None),
                reply=ReplyKind.INTEGER,
                build=_build_extend,
            ),
        ),
    ),
)
"""The commands that end deliveries, or let them last."""
