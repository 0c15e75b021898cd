"""Entries of the log that hold an operation: `version (1 byte) | time (8 bytes, big-endian) | body`.

The body is the canonical CBOR of the operation: a command or another operation of a service (`forms`), or one of these.
Numbers below 64 are commands.

    64  [mode, [watched key, revision, ...], watched at, [[number, fields...], ...]]  a transaction; a branching one has
        [key, relation, operand, ...], [[number, fields...], ...]
    65  [session, sequence, acknowledged, [number, fields...]]             one of these, or a command, in a session
    68  []                                                                 end what is due
    69  [[[number, fields...], ...], [number, fields...]]                  guards, and a command or a transaction
    80  [[number, fields...]]                                              a command, or one in a session, that waits
    81  [user, revision, [number, fields...]]                              any but 68, on behalf of a user

The time is the cluster clock's, in milliseconds. It stands before the body, and not in it, because it is known only
when the leader proposes: the body is encoded before, and may be compared with another.

What `encode` gives out, `decode` accepts, on every node (hazard B67).
"""

from collections.abc import Callable
from itertools import chain
from struct import Struct
from typing import Any

from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.limits import ENTRY_BYTES_MAX, TIME_MS_MAX, TRANSACTION_KEYS_MAX
from raftdb.machine import forms
from raftdb.machine.operations import (
    Comparison,
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    Relation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
    Work,
)
from raftdb.machine.service import Command
from raftdb.machine.services import GUARDS, keys_named
from raftdb.machine.short_forms import SESSION_NUMBER, USER_NUMBER, decode_short, encode_short
from raftdb.wire import cbor
from raftdb.wire.fields import Check, check_fields, is_bytes, is_number

VERSION = 2
"""Version of the form of an entry. A node stops at an entry with a version that it does not know (hazard B107)."""

_PREFIX = Struct(">BQ")
_pack_prefix = _PREFIX.pack
_unpack_prefix = _PREFIX.unpack_from

PREFIX_BYTES = _PREFIX.size
"""Bytes before the body: version and time."""

BODY_BYTES_MAX = ENTRY_BYTES_MAX - PREFIX_BYTES
"""Longest body: the most bytes of arguments that a node can be configured to take, and the heads of as many fields as
a transaction may have."""

BODY_ITEMS_MAX = 128 * TRANSACTION_KEYS_MAX
"""Most CBOR items of a body. A command on one key has at most six, a command on many keys two for each. The limit is
higher so that the items of shorter bodies need not be counted."""

_TRANSACTION, _SESSION, _EXPIRE, _GUARDED, _WAITING, _USER = 64, SESSION_NUMBER, 68, 69, 80, USER_NUMBER
_WAITING_HEAD_BYTES = 3
"""Bytes before the operation within a `WaitingOperation`: the heads of the array and of its number."""


def encode(operation: Operation) -> bytes:
    """Return the body of an entry for `operation`: equal operations have equal bytes. `stamp` makes it an entry's data.

    Raises `RequestRefused` (`too_large`) for an operation over the limits here, and `LocalProtocolError` for one that
    `decode` would refuse.
    """
    short = encode_short(operation)
    if short is not None:
        return short
    to_parts = _TO_PARTS.get(type(operation))
    body = cbor.encode(forms.to_parts(operation) if to_parts is None else to_parts(operation))  # type: ignore[arg-type]
    if len(body) > BODY_BYTES_MAX:
        raise RequestRefused(
            "too_large", f"an operation has {len(body)} bytes: the limit is {BODY_BYTES_MAX}"
        )
    return body


def stamp(body: bytes, time_ms: int) -> bytes:
    """Return the data of an entry with this `body`, proposed at `time_ms` of the cluster clock (0: no time passes)."""
    return _pack_prefix(VERSION, time_ms) + body


def decode(data: bytes) -> tuple[int, Operation]:
    """Return the time of the cluster clock at which an entry was proposed, and its operation; or raise
    `RemoteProtocolError`."""
    if len(data) <= PREFIX_BYTES:
        raise RemoteProtocolError(f"an entry of {len(data)} bytes has no operation")
    version, time_ms = _unpack_prefix(data)
    if version != VERSION:
        raise RemoteProtocolError(f"an entry has version {version}: this node knows version {VERSION}")
    if time_ms > TIME_MS_MAX:
        raise RemoteProtocolError(f"an entry bears the time {time_ms}, which no clock shows")
    short = decode_short(data, PREFIX_BYTES)
    if short is not None:
        return time_ms, short
    parts = cbor.decode(data[PREFIX_BYTES:], bytes_max=BODY_BYTES_MAX, items_max=BODY_ITEMS_MAX)
    if type(parts) is not list or not parts or type(parts[0]) is not int:
        raise RemoteProtocolError("an operation is not an array that starts with its number")
    from_fields = _FROM_FIELDS.get(parts[0])
    return time_ms, forms.from_parts(parts) if from_fields is None else from_fields(parts[1:])


def session_payload(data: bytes, operation: SessionOperation) -> bytes:
    """Return the body of the operation within `operation`, as it stands at the end of the entry's `data`.

    It is the same however often the client sends it, where `acknowledged` is not.
    """
    heads = 1 + 2 + _head_bytes(len(operation.session)) + len(operation.session)
    heads += _head_bytes(operation.sequence) + _head_bytes(operation.acknowledged)
    return data[PREFIX_BYTES + heads :]


def waiting_data(data: bytes) -> bytes:
    """Return the data of an entry with the operation alone that is within the `WaitingOperation` in `data`."""
    return data[:PREFIX_BYTES] + data[PREFIX_BYTES + _WAITING_HEAD_BYTES :]


def user_data(data: bytes, operation: UserOperation) -> bytes:
    """Return the data of an entry with the operation alone that is within `operation`, which is that in `data`."""
    heads = 1 + 2 + _head_bytes(len(operation.user)) + len(operation.user) + _head_bytes(operation.revision)
    return data[:PREFIX_BYTES] + data[PREFIX_BYTES + heads :]


def _head_bytes(number: int) -> int:
    """Bytes that CBOR takes for an unsigned integer, or for the length of a string."""
    if number < 24:
        return 1
    return next(1 + width for width in (1, 2, 4, 8) if number < 1 << 8 * width)


def _command_to_parts(command: Command) -> list[object]:
    """The parts of what may stand within another operation: a command, and nothing else."""
    if not isinstance(command, Command):
        raise LocalProtocolError(f"{type(command).__name__} is no command")
    return forms.to_parts(command)


def _command_from_parts(parts: list[Any]) -> Command:
    command = forms.from_parts(parts)
    if not isinstance(command, Command):
        raise RemoteProtocolError(f"what has number {parts[0]} is no command")
    return command


def _transaction_to_parts(transaction: TransactionOperation) -> list[object]:
    if keys_named(transaction) > TRANSACTION_KEYS_MAX:
        raise RequestRefused(
            "too_large", f"a transaction touches more than {TRANSACTION_KEYS_MAX} keys", hint="split it"
        )
    _require("Transaction", "mode", _is_mode, int(transaction.mode))
    watched: list[object] = list(chain.from_iterable(transaction.watched))
    _require("Transaction", "watched", _is_watched, watched)
    commands = [_command_to_parts(command) for command in transaction.commands]
    _require("Transaction", "watched_at", is_number, transaction.watched_at)
    parts: list[object] = [_TRANSACTION, int(transaction.mode), watched, transaction.watched_at, commands]
    if transaction.otherwise and not transaction.comparisons:
        raise LocalProtocolError("a Transaction has another branch, and no comparison")
    if transaction.comparisons:
        flat: list[object] = [
            part
            for key, relation, operand in transaction.comparisons
            for part in (key, int(relation), operand)
        ]
        _require("Transaction", "comparisons", _are_comparisons, flat)
        parts += [flat, [_command_to_parts(command) for command in transaction.otherwise]]
    return parts


def _guarded_to_parts(operation: GuardedOperation) -> list[object]:
    if not all(type(command) in GUARDS for command in operation.guards):
        raise LocalProtocolError("a guard is a command that names something held")
    inner = operation.operation
    parts = (
        _transaction_to_parts(inner) if isinstance(inner, TransactionOperation) else _command_to_parts(inner)
    )
    return [_GUARDED, [_command_to_parts(command) for command in operation.guards], parts]


def _work_to_parts(work: Work) -> list[object]:
    if isinstance(work, GuardedOperation):
        return _guarded_to_parts(work)
    return _transaction_to_parts(work) if isinstance(work, TransactionOperation) else _command_to_parts(work)


def _session_to_parts(operation: SessionOperation) -> list[object]:
    parts = _work_to_parts(operation.operation)
    fields = (operation.session, operation.sequence, operation.acknowledged)
    for name, check, value in zip(_SESSION_NAMES, _SESSION_CHECKS, fields, strict=False):
        _require("SessionOperation", name, check, value)
    return [_SESSION, *fields, parts]


def _waiting_to_parts(operation: WaitingOperation) -> list[object]:
    inner = operation.operation
    parts = _session_to_parts(inner) if isinstance(inner, SessionOperation) else _command_to_parts(inner)
    return [_WAITING, parts]


def _user_to_parts(operation: UserOperation) -> list[object]:
    inner = operation.operation
    if isinstance(inner, UserOperation | Expire):
        raise LocalProtocolError(f"{type(inner).__name__} is nobody's operation")
    _require("UserOperation", "user", is_bytes, operation.user)
    _require("UserOperation", "revision", is_number, operation.revision)
    to_parts = _TO_PARTS.get(type(inner))
    parts = forms.to_parts(inner) if to_parts is None else to_parts(inner)
    return [_USER, operation.user, operation.revision, parts]


def _require(what: str, name: str, check: Check, value: object) -> None:
    if not check(value):
        raise LocalProtocolError(f"{what} has a bad {name}: {type(value).__name__}")


_TO_PARTS: dict[type[Operation], Callable[[Any], list[object]]] = {
    TransactionOperation: _transaction_to_parts,
    GuardedOperation: _guarded_to_parts,
    SessionOperation: _session_to_parts,
    WaitingOperation: _waiting_to_parts,
    UserOperation: _user_to_parts,
    Expire: lambda operation: [_EXPIRE],
}
"""From an operation that is no service's to number and fields."""


def _is_mode(value: object) -> bool:
    return type(value) is int and 0 <= value < len(Mode)


def _is_watched(value: object) -> bool:
    return (
        type(value) is list
        and len(value) % 2 == 0
        and all(map(is_bytes, value[::2]))
        and all(map(is_number, value[1::2]))
    )


def _are_comparisons(value: object) -> bool:
    return (
        type(value) is list
        and len(value) > 0
        and len(value) % 3 == 0
        and all(map(is_bytes, value[::3]))
        and all(type(relation) is int and 0 <= relation < len(Relation) for relation in value[1::3])
        and all(is_bytes(operand) or is_number(operand) for operand in value[2::3])
    )


def _is_list(value: object) -> bool:
    return type(value) is list


_SESSION_NAMES = ("session", "sequence", "acknowledged", "operation")
_SESSION_CHECKS: tuple[Check, ...] = (is_bytes, is_number, is_number, _is_list)


_TRANSACTION_NAMES = ("mode", "watched", "watched_at", "commands", "comparisons", "otherwise")
_TRANSACTION_CHECKS: tuple[Check, ...] = (
    *(_is_mode, _is_watched, is_number, _is_list),
    *(_are_comparisons, _is_list),
)


def _transaction_from_fields(fields: list[Any]) -> TransactionOperation:
    count = 6 if len(fields) > 4 else 4
    check_fields("Transaction", _TRANSACTION_NAMES[:count], _TRANSACTION_CHECKS[:count], fields)
    mode, watched, watched_at, commands = fields[:4]
    flat, otherwise = fields[4:] or ([], [])
    if not all(map(_is_list, (*commands, *otherwise))):
        raise RemoteProtocolError("a command of a Transaction is not an array")
    pairs = tuple(zip(watched[::2], watched[1::2], strict=True))
    comparisons = tuple(
        Comparison(key, Relation(relation), operand)
        for key, relation, operand in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    )
    return TransactionOperation(
        tuple(map(_command_from_parts, commands)),
        pairs,
        Mode(mode),
        comparisons,
        tuple(map(_command_from_parts, otherwise)),
        watched_at,
    )


def _session_from_fields(fields: list[Any]) -> SessionOperation:
    check_fields("SessionOperation", _SESSION_NAMES, _SESSION_CHECKS, fields)
    session, sequence, acknowledged, parts = fields
    if _begins_with(parts, _GUARDED):
        return SessionOperation(session, sequence, acknowledged, _guarded_from_fields(parts[1:]))
    return SessionOperation(session, sequence, acknowledged, _inner_from_parts(parts))


def _guarded_from_fields(fields: list[Any]) -> GuardedOperation:
    check_fields("GuardedOperation", ("guards", "operation"), (_is_list, _is_list), fields)
    if not all(map(_is_list, fields[0])):
        raise RemoteProtocolError("a guard is not an array")
    guards = tuple(map(_command_from_parts, fields[0]))
    if not all(type(command) in GUARDS for command in guards):
        raise RemoteProtocolError("a guard is no command that names something held")
    return GuardedOperation(guards, _inner_from_parts(fields[1]))


def _inner_from_parts(parts: list[Any]) -> Command | TransactionOperation:
    if _begins_with(parts, _TRANSACTION):
        return _transaction_from_fields(parts[1:])
    return _command_from_parts(parts)


def _begins_with(parts: list[Any], number: int) -> bool:
    return bool(parts) and parts[0] == number and type(parts[0]) is int


def _waiting_from_fields(fields: list[Any]) -> WaitingOperation:
    check_fields("WaitingOperation", ("operation",), (_is_list,), fields)
    parts = fields[0]
    if parts and parts[0] == _SESSION and type(parts[0]) is int:
        return WaitingOperation(_session_from_fields(parts[1:]))
    return WaitingOperation(_command_from_parts(parts))


def _user_from_fields(fields: list[Any]) -> UserOperation:
    check_fields("UserOperation", ("user", "revision", "operation"), (is_bytes, is_number, _is_list), fields)
    user, revision, parts = fields
    if any(_begins_with(parts, number) for number in (_USER, _EXPIRE)):
        raise RemoteProtocolError(f"what has number {parts[0]} is nobody's operation")
    from_fields = _FROM_FIELDS.get(parts[0]) if parts and type(parts[0]) is int else None
    inner: Any = forms.from_parts(parts) if from_fields is None else from_fields(parts[1:])
    return UserOperation(user, revision, inner)


def _expire_from_fields(fields: list[Any]) -> Expire:
    check_fields("Expire", (), (), fields)
    return Expire()


_FROM_FIELDS: dict[int, Callable[[list[Any]], Operation]] = {
    _TRANSACTION: _transaction_from_fields,
    _SESSION: _session_from_fields,
    _GUARDED: _guarded_from_fields,
    _WAITING: _waiting_from_fields,
    _USER: _user_from_fields,
    _EXPIRE: _expire_from_fields,
}
"""From the fields of an operation that is no service's to the operation."""
