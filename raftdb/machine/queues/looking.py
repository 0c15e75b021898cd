"""Looking at queues and messages. Nothing is handed out, and nothing changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from raftdb.budgets import PEEK_PASSED_MAX
from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import (
    PAGE_BYTES_MAX,
    QUEUE_NAME_BYTES_MAX,
    RECEIVE_COUNT_MAX,
    SCAN_LIMIT_DEFAULT,
    SCAN_LIMIT_MAX,
)
from raftdb.machine.keyspace import MESSAGE_PREFIX, QUEUE_PREFIX, pack_number
from raftdb.machine.layer import KeyValueView
from raftdb.machine.queues.events import read_handler
from raftdb.machine.queues.info import INFO
from raftdb.machine.queues.names import id_of, number_of, options_of, queue_name, steps_of
from raftdb.machine.queues.records import (
    ID_BYTES,
    STATE_NAMES,
    Message,
    Queue,
    State,
    body_key,
    decode_message,
    load_message,
    read_id,
    shown_id,
)
from raftdb.machine.reply import Result
from raftdb.machine.scanning import behind
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
)

PEEK_SYNTAX = "peek QUEUE [STATE visible|delayed|in_flight|dead] [AFTER ID] [COUNT NUMBER]"
PEEK_COUNT_DEFAULT = 10


@dataclass(frozen=True, slots=True)
class QueueLength(Command):
    """Count the visible messages of a queue."""

    queue: bytes


def queue_length(view: KeyValueView, queue: Queue | None, command: QueueLength) -> Result:
    """Answer how many there are, 0 without a queue."""
    return Result(0 if queue is None else queue.visible + queue.coming, None)


@dataclass(frozen=True, slots=True)
class QueueNames(Command):
    """Read up to `limit` names of queues that begin with `prefix` and come after `after`, in order."""

    prefix: bytes = b""
    after: bytes = b""
    limit: int = SCAN_LIMIT_DEFAULT


def queue_names(view: KeyValueView, command: QueueNames) -> Result:
    """Answer the names."""
    if not 1 <= command.limit <= SCAN_LIMIT_MAX:
        raise ReplyError("limit is out of range", hint=f"from 1 to {SCAN_LIMIT_MAX}")
    for text in (command.prefix, command.after):
        if len(text) > QUEUE_NAME_BYTES_MAX:
            raise ReplyError("the name of a queue is too long", code="bad_key")
    first = max(QUEUE_PREFIX + command.prefix, QUEUE_PREFIX + command.after + b"\0" if command.after else b"")
    found = view.scan(first, behind(QUEUE_PREFIX + command.prefix), limit=command.limit, length=0)
    return Result([key[1:] for key, _ in found], None)


class StateWanted(IntEnum):
    """Which messages are wanted. The numbers are in the log: never reuse one."""

    ANY = 0
    VISIBLE = 1
    DELAYED = 2
    IN_FLIGHT = 3
    DEAD = 4


@dataclass(frozen=True, slots=True)
class Peek(Command):
    """Read up to `count` messages in the order of their ids, those after `after`; only those in a state."""

    queue: bytes
    state: StateWanted = StateWanted.ANY
    after: bytes = b""
    count: int = PEEK_COUNT_DEFAULT


def peek(view: KeyValueView, queue: Queue | None, command: Peek) -> Result:
    """Answer a list with the names and values of each message in turn. Few messages of a state among very many of
    others are not found at once; then it raises `ReplyError`, which says after which id to go on."""
    if not 1 <= command.count <= RECEIVE_COUNT_MAX:
        raise ReplyError(f"COUNT is from 1 to {RECEIVE_COUNT_MAX}")
    after = read_id(command.after) if command.after else b""
    if after is None:
        raise ReplyError("the id of a message cannot be read")
    if queue is None:
        return Result([], None)
    found: list[tuple[Message, int]] = []
    given_up_after: bytes | None = None
    if command.state is not StateWanted.DEAD:
        found, given_up_after = _alive(view, queue, command, after)
    if command.state in (StateWanted.ANY, StateWanted.DEAD):
        found += [(message, queue.grave) for message in _scan(view, queue.grave, after, command.count)]
    found.sort(key=lambda one: one[0].id)
    if not found and given_up_after is not None:
        raise ReplyError(
            "no such message among the next ones",
            hint=f"there are more: peek AFTER {shown_id(given_up_after).decode()}",
        )
    page: list[list[object]] = []
    page_bytes = 0
    for message, number in found[: command.count]:
        if page_bytes >= PAGE_BYTES_MAX:
            break
        page_bytes += message.body_bytes
        page.append(_shown(view, number, message))
    return Result(page, None)


def _alive(
    view: KeyValueView, queue: Queue, command: Peek, after: bytes
) -> tuple[list[tuple[Message, int]], bytes | None]:
    """Messages that wait or are in flight; and the id at which the search was given up, None if it was not."""
    found: list[tuple[Message, int]] = []
    for _ in range(0, PEEK_PASSED_MAX, SCAN_LIMIT_MAX):
        limit = command.count if command.state is StateWanted.ANY else SCAN_LIMIT_MAX
        page = _scan(view, queue.filling, after, limit)
        found += [
            (message, queue.filling) for message in page if command.state in (StateWanted.ANY, message.state)
        ]
        if len(page) < limit or len(found) >= command.count:
            return found, None
        after = page[-1].id
    return found, after


def _scan(view: KeyValueView, number: int, after: bytes, limit: int) -> list[Message]:
    prefix = MESSAGE_PREFIX + pack_number(number)
    pairs = view.scan(prefix + after + b"\0" if after else prefix, behind(prefix), limit=limit)
    return [decode_message(key[-ID_BYTES:], record) for key, record in pairs]


@dataclass(frozen=True, slots=True)
class QueueGet(Command):
    """Read one message."""

    queue: bytes
    id: bytes


def queue_get(view: KeyValueView, queue: Queue | None, command: QueueGet) -> Result:
    """Answer its names and values in turn, None if it is not there."""
    message_id = read_id(command.id)
    if queue is None or message_id is None:
        return Result(None, None)
    for number in (queue.filling, queue.grave):
        message = load_message(view, number, message_id)
        if message is not None:
            return Result(_shown(view, number, message), None)
    return Result(None, None)


def _shown(view: KeyValueView, number: int, message: Message) -> list[object]:
    flat: list[object] = []
    for name, value in (
        (b"id", shown_id(message.id)),
        (b"state", STATE_NAMES[message.state]),
        (b"value", view.get(body_key(number, message.id))),
        (b"put_ms", message.put_ms),
        (b"since_ms", message.since_ms),
        (b"until_ms", message.until_ms or None),
        (b"ends_ms", message.ends_ms or None),
        (b"deliveries", message.deliveries),
        (b"failures", message.failures),
        (b"worker", message.worker),
        (b"error", message.error),
        (b"group", message.group),
        (b"priority", message.priority),
    ):
        flat += (name, value)
    return flat


def _build_names(arguments: Sequence[bytes]) -> Command:
    prefix, after, *_ = (*arguments[:2], b"", b"")
    for text in (prefix, after):
        if len(text) > QUEUE_NAME_BYTES_MAX:
            raise RequestRefused("bad_key", f"the name of a queue has at most {QUEUE_NAME_BYTES_MAX} bytes")
    limit = number_of("LIMIT", arguments[2], 1, SCAN_LIMIT_MAX) if len(arguments) > 2 else SCAN_LIMIT_DEFAULT
    return QueueNames(prefix, after, limit)


_STATES = {state.name.encode(): state for state in StateWanted if state}


def _build_peek(arguments: Sequence[bytes]) -> Command:
    state, after, count = StateWanted.ANY, b"", PEEK_COUNT_DEFAULT
    for option, text in options_of(PEEK_SYNTAX, arguments[1:], (b"STATE", b"AFTER", b"COUNT")):
        if option == b"STATE":
            state = _STATES.get(text.upper(), StateWanted.ANY)
            if state is StateWanted.ANY:
                raise RequestRefused("bad_request", "STATE is visible, delayed, in_flight or dead")
        elif option == b"AFTER":
            after = id_of(text)
        else:
            count = number_of("COUNT", text, 1, RECEIVE_COUNT_MAX)
    return Peek(queue_name(arguments[0]), state, after, count)


def _arguments_of_peek(command: Peek) -> list[bytes]:
    words = [command.queue]
    words += [b"STATE", STATE_NAMES[State(command.state)]] if command.state else []
    words += [b"AFTER", command.after] if command.after else []
    return words + ([b"COUNT", b"%d" % command.count] if command.count != PEEK_COUNT_DEFAULT else [])


LOOKING = (
    CommandType(
        type=QueueLength,
        number=36,
        read=read_handler(queue_length),
        names=(
            CommandSpec(
                name="qlen",
                syntax="qlen QUEUE",
                summary="How many messages of a queue are visible.",
                examples=(Example("qlen mail", "0"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 1),
                reply=ReplyKind.INTEGER,
                build=lambda given: QueueLength(queue_name(given[0])),
                values=NO_ARGUMENTS,
            ),
        ),
    ),
    INFO,
    CommandType(
        type=QueueNames,
        number=38,
        read=queue_names,
        names=(
            CommandSpec(
                name="queues",
                syntax="queues [PREFIX [AFTER [LIMIT]]]",
                summary="The names of the queues, in order; page by page with AFTER, the last name of a page.",
                examples=(
                    Example("qset mail visibility 60", "OK"),
                    Example("qset orders visibility 60", "OK"),
                    Example("queues", '1) "mail"\n2) "orders"'),
                    Example("queues o", '1) "orders"'),
                ),
                arity=Arity(0, 3),
                reply=ReplyKind.ARRAY,
                build=_build_names,
                keys=NO_ARGUMENTS,
                values=NO_ARGUMENTS,
            ),
        ),
    ),
    CommandType(
        type=Peek,
        number=39,
        read=read_handler(peek),
        keys_named=lambda command: steps_of(command.count, RECEIVE_COUNT_MAX),
        arguments=_arguments_of_peek,
        names=(
            CommandSpec(
                name="peek",
                syntax=PEEK_SYNTAX,
                summary="Look at messages, in the order of their ids, without handing them out.",
                examples=(Example("peek mail STATE dead COUNT 5", "(empty list)"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(1, 7),
                reply=ReplyKind.ARRAY,
                build=_build_peek,
            ),
        ),
    ),
    CommandType(
        type=QueueGet,
        number=40,
        read=read_handler(queue_get),
        names=(
            CommandSpec(
                name="qget",
                syntax="qget QUEUE ID",
                summary="Look at one message; nil if it is not there.",
                examples=(Example("qget mail 7-0", "(nil)"),),
                key_bytes_max=QUEUE_NAME_BYTES_MAX,
                arity=Arity(2, 2),
                reply=ReplyKind.ARRAY,
                build=lambda given: QueueGet(queue_name(given[0]), id_of(given[1])),
            ),
        ),
    ),
)
"""The commands that look."""
