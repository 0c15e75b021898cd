"""Requests and answers as bytes: `crc32 | CBOR array of rows`.

    [number, 0, body]             a request: the body of an entry of the log
    [number, 1, body]             a query: [number of the query, fields...], or on behalf of a user:
                                  [0, user, revision, number of the query, fields...]
    [number, 2, body, wait]       a request that may be held for so many milliseconds, as its entry
    [number, 3, ""]               the client of such a request has gone
    [number, body]                an answer

The body of an answer is one of these:

    [0, value, index, term, revision]                       what was answered
    [1, code, message, hint, failed command, keys]          the command failed
    [2, code, message, hint]                                it was not executed: the leader cannot
    [3, code, message, hint]                                it was not executed: the request breaks a rule

In values, what is no plain value of CBOR is a map of one letter, since no other value is a map.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple, TypeAlias, cast

from raftdb.commands.waiting import waiting_of
from raftdb.errors import (
    CommandFailed,
    LocalProtocolError,
    OutcomeUnknown,
    RaftdbError,
    RemoteProtocolError,
    RequestRefused,
    Unavailable,
    failure_of,
    names_of,
)
from raftdb.limits import MIB, REPLY_BYTES_MAX
from raftdb.machine import entries
from raftdb.machine.drawing import DrawKey
from raftdb.machine.operations import (
    Expire,
    SessionOperation,
    Submission,
    UserOperation,
    WaitingOperation,
    asked_of,
    on_behalf_of,
)
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.revisions import ReadRevisions
from raftdb.machine.scanning import ReadPage
from raftdb.machine.service import Command, Query
from raftdb.machine.users.service import ReadUsers
from raftdb.node.held import Waits
from raftdb.node.turn import Answer
from raftdb.wire import cbor
from raftdb.wire.fields import is_bytes, is_number
from raftdb.wire.frames import seal, unseal
from raftdb.wire.peer import FRAME_BYTES_MAX
from raftdb.wire.stream import ANSWERS_BYTES_MAX

ROWS_PER_FRAME_MAX = 256
"""Most requests or answers of a frame, which are handled in one turn of the loop: a few milliseconds of short ones."""
FRAME_BYTES_TARGET = MIB
"""A frame is closed when it is longer than this."""
ANSWER_BYTES_MAX = 2 * REPLY_BYTES_MAX
"""Longest body of an answer."""
ITEMS_MAX = entries.BODY_ITEMS_MAX
"""Most CBOR items of one body."""

Outcome: TypeAlias = Answer | RaftdbError


class Request(NamedTuple):
    """A request that is passed on. `payload` is the encoded operation; `wait_ms`: for how long it may be held, None if
    not. Without an operation it says of one that is held that its client has gone, or, with `wait_ms` 0, that it is to
    wait no longer."""

    number: int
    operation: Submission | None
    payload: bytes
    wait_ms: int | None = None

    @property
    def row(self) -> tuple[object, ...]:
        """It as a row of a frame."""
        if self.operation is None:
            return (self.number, _LEFT if self.wait_ms is None else _WAIT_END, b"")
        if self.wait_ms is not None:
            return (self.number, _WAIT, self.payload, self.wait_ms)
        is_query = isinstance(asked_of(self.operation), Query)
        return (self.number, _QUERY if is_query else _OPERATION, self.payload)


_OPERATION, _QUERY, _WAIT, _LEFT, _WAIT_END = range(5)


_OF_USER = 0
"""Stands where the number of a query is, before the user."""
_QUERIES: dict[int, type[Query]] = {1: ReadPage, 2: DrawKey, 3: ReadRevisions, 4: ReadUsers}
_QUERY_NUMBERS = {query: number for number, query in _QUERIES.items()}
_QUERY_TYPES: dict[type[Query], tuple[type, ...]] = {
    ReadPage: (bytes, bytes, int, bool),
    DrawKey: (bytes,),
    ReadRevisions: (list,),
    ReadUsers: (),
}


def encode_operation(operation: Submission) -> bytes:
    """The body of a request. Raises what `entries.encode` raises."""
    asked = asked_of(operation)
    if not isinstance(asked, Query):
        return entries.encode(operation)  # type: ignore[arg-type]  # no query
    number = _QUERY_NUMBERS.get(type(asked))
    if number is None:
        raise LocalProtocolError(f"{type(asked).__name__} cannot be passed on")
    whose = [_OF_USER, operation.user, operation.revision] if isinstance(operation, UserOperation) else []
    return cbor.encode([*whose, number, *astuple(asked)])  # type: ignore[call-overload]  # every query is a dataclass


def encode_requests(requests: Sequence[Request]) -> bytes:
    """The frame of these requests, which `frames_of` has put together."""
    return seal(cbor.encode([request.row for request in requests]))


def decode_requests(data: bytes) -> list[Request]:
    """The requests of a frame. Raises RemoteProtocolError."""
    requests = []
    for row in _rows(data, FRAME_BYTES_MAX):
        if len(row) not in (3, 4) or not (is_number(row[0]) and is_number(row[1]) and is_bytes(row[2])):
            raise RemoteProtocolError("a request is not a number, a kind and a body")
        number, kind, body = row[:3]
        if kind == _WAIT and len(row) == 4 and is_number(row[3]):
            requests.append(Request(number, _held_of(body), body, row[3]))
        elif kind > _WAIT_END or len(row) != 3 or kind == _WAIT:
            raise RemoteProtocolError("a request is of no known kind")
        elif kind in (_LEFT, _WAIT_END):
            requests.append(Request(number, None, body, None if kind == _LEFT else 0))
        else:
            requests.append(Request(number, _query_of(body) if kind == _QUERY else _operation_of(body), body))
    return requests


def encode_answers(answers: Sequence[tuple[int, bytes]]) -> bytes:
    """The frame of these answers, each of which `encode_outcome` has encoded."""
    return seal(cbor.encode(answers))


def decode_answers(data: bytes) -> list[tuple[int, Outcome]]:
    """The answers of a frame. Raises RemoteProtocolError."""
    answers = []
    for row in _rows(data, ANSWERS_BYTES_MAX):
        if len(row) != 2 or not (is_number(row[0]) and is_bytes(row[1])):
            raise RemoteProtocolError("an answer is not a number and a body")
        answers.append((row[0], _outcome_of(row[1])))
    return answers


def frames_of(
    rows: Sequence[tuple[Any, ...]], size_of: Callable[[Any], int]
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """`rows` in order, in as few frames as the limits allow."""
    begin = frame_bytes = 0
    for position, row in enumerate(rows):
        size = size_of(row)
        is_full = frame_bytes + size > FRAME_BYTES_TARGET or position - begin >= ROWS_PER_FRAME_MAX
        if position > begin and is_full:
            yield rows[begin:position]
            begin, frame_bytes = position, 0
        frame_bytes += size
    if begin < len(rows):
        yield rows[begin:]


def encode_outcome(outcome: Outcome) -> bytes:
    """The body of an answer. An `OutcomeUnknown` is none: nobody can be told more than that nothing was answered."""
    if isinstance(outcome, Answer):
        body = cbor.encode((0, _packed(outcome.value), outcome.index, outcome.term, outcome.revision))
        if len(body) > ANSWER_BYTES_MAX:
            return encode_outcome(RequestRefused("too_large", "it was executed, but its answer is too long"))
        return body
    if isinstance(outcome, CommandFailed):
        return cbor.encode((1, *_error_parts(outcome)))
    if isinstance(outcome, OutcomeUnknown):
        raise LocalProtocolError("an unknown outcome is no answer")
    kind = 2 if isinstance(outcome, Unavailable) else 3
    return cbor.encode((kind, outcome.code, outcome.message, outcome.hint))


def _outcome_of(body: bytes) -> Outcome:
    parts = cbor.decode(body, bytes_max=ANSWERS_BYTES_MAX, items_max=ITEMS_MAX)
    try:
        match parts:
            case [0, value, int(index), int(term), int() | None as revision]:
                return Answer(_unpacked(value), index, term, revision)
            case [1, *error]:
                return _error_of(error)
            case [2, str(code), str(message), str() | None as hint]:
                return Unavailable(code, message, hint=hint)
            case [3, str(code), str(message), str() | None as hint]:
                return RequestRefused(code, message, hint=hint)
    except ValueError as error:
        raise RemoteProtocolError(f"an answer has no known form: {error}") from error
    raise RemoteProtocolError("an answer has no known form")


def _held_of(body: bytes) -> Waits:
    """The operation of a request that may be held."""
    operation = entries.decode(entries.stamp(body, 0))[1]
    asked = asked_of(operation)
    if isinstance(asked, WaitingOperation):
        asked = asked.operation
    if waiting_of(asked) is None or not isinstance(asked, Command | SessionOperation):
        raise RemoteProtocolError("a request is to be held that cannot wait")
    return cast(Waits, on_behalf_of(operation, asked))


def _operation_of(body: bytes) -> Submission:
    operation = entries.decode(entries.stamp(body, 0))[1]
    if isinstance(asked_of(operation), Expire | WaitingOperation):
        raise RemoteProtocolError("only a leader proposes this")
    return cast(Submission, operation)


def _query_of(body: bytes) -> Query | UserOperation:
    parts = cbor.decode(body, bytes_max=FRAME_BYTES_MAX, items_max=ITEMS_MAX)
    match parts:
        case [0, bytes() as user, int() as revision, *rest] if is_number(revision):
            return UserOperation(user, revision, _plain_query_of(rest))
    return _plain_query_of(parts)


def _plain_query_of(parts: Any) -> Query:
    if type(parts) is not list or not parts or type(parts[0]) is not int or parts[0] not in _QUERIES:
        raise RemoteProtocolError("a query has no known number")
    query, fields = _QUERIES[parts[0]], parts[1:]
    if tuple(map(type, fields)) != _QUERY_TYPES[query]:
        raise RemoteProtocolError(f"{query.__name__} has a bad field")
    if query is ReadRevisions:
        if not all(map(is_bytes, fields[0])):
            raise RemoteProtocolError("ReadRevisions has a key that is no byte string")
        fields = [tuple(fields[0])]
    return query(*fields)


def _rows(data: bytes, bytes_max: int) -> list[list[Any]]:
    # A row has its array and three items.
    items_max = 1 + 4 * ROWS_PER_FRAME_MAX
    rows = cbor.decode(unseal(data, bytes_max=bytes_max), bytes_max=bytes_max, items_max=items_max)
    if type(rows) is not list or not all(type(row) is list for row in rows):
        raise RemoteProtocolError("a frame is not an array of arrays")
    return cast(list[list[Any]], rows)


def _packed(value: object) -> object:
    if isinstance(value, Result):
        return {"r": [_packed(value.value), value.revision]}
    if isinstance(value, CommandFailed):
        return {"e": _error_parts(value)}
    if isinstance(value, Page):
        return {"p": [[list(record) for record in value.records], value.next_after]}
    if isinstance(value, KeyRecord):
        return {"k": list(value)}
    if isinstance(value, list | tuple):
        return [_packed(element) for element in value]
    return value


def _unpacked(value: Any) -> object:
    """The value that `_packed` has made this of. Raises RemoteProtocolError."""
    if isinstance(value, list):
        return [_unpacked(element) for element in value]
    if not isinstance(value, dict):
        return value
    match [*value.items()]:
        case [("r", [inner, int() | None as revision])]:
            return Result(_unpacked(inner), revision)
        case [("e", [*parts])]:
            return _error_of(parts)
        case [("p", [[*records], bytes() | None as next_after])]:
            return Page([_record_of(record) for record in records], next_after)
        case [("k", record)]:
            return _record_of(record)
    raise RemoteProtocolError("a value has no known form")


def _record_of(parts: object) -> KeyRecord:
    match parts:
        case [
            bytes(key),
            bytes() | None as value,
            int(revision),
            int() | None as expires_ms,
            int() | None as ttl_ms,
        ]:
            return KeyRecord(key, value, revision, expires_ms, ttl_ms)
    raise RemoteProtocolError("a key has no known form")


def _error_parts(error: CommandFailed) -> list[object]:
    return [error.code, error.message, error.hint, error.failed_command, names_of(error)]


def _error_of(parts: Sequence[Any]) -> CommandFailed:
    match parts:
        case [str(code), str(message), str() | None as hint, int() | None as failed, [*names]] if all(
            map(is_bytes, names)
        ):
            return failure_of(code, message, hint, failed, names)
    raise RemoteProtocolError("an error has no known form")
