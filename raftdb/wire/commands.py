"""Commands as they stand in the log: `[version, number, fields...]` in canonical CBOR.

The number of a command is its place in `COMMAND_TYPES`, from 1. Lists of keys are one field, and so are pairs
(flat: key, value, key, value). Numbers from 64 on are kept for entries that hold commands and something about
them (sessions, transactions); the time of an entry will be a field of version 2.

What `encode` gives out, `decode` accepts, on every node: an entry that cannot be decoded would stop every
node that has it, for ever (hazard B67). So the checks run on both sides. Whether keys and values are too long
is not decided here but at apply, which can answer.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from raftdb.commands.limits import COMMAND_BYTES_CEILING, KEYS_PER_COMMAND_MAX, MIB
from raftdb.commands.model import (
    COMMAND_TYPES,
    INTEGER_MAX,
    INTEGER_MIN,
    Append,
    Command,
    Delete,
    Exists,
    Get,
    IncrementBy,
    MultiGet,
    MultiSet,
    Ping,
    Set,
    Strlen,
)
from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.wire import cbor
from raftdb.wire.fields import is_bytes, is_integer

VERSION = 1
"""Version of the form of a command. A node stops at an entry with a version that it does not know (hazard
B107)."""

COMMAND_BYTES_MAX = COMMAND_BYTES_CEILING + 1 * MIB
"""Longest encoded command: the most bytes of arguments that a node can be configured to take, and their
heads."""

COMMAND_ITEMS_MAX = 2 * KEYS_PER_COMMAND_MAX + 16
"""Most CBOR items of an encoded command: every key with a value, and what stands before them."""


def _is_byte_strings(value: object) -> bool:
    return type(value) in (list, tuple) and all(map(is_bytes, value))  # type: ignore[call-overload]


def _is_byte_string_pairs(value: object) -> bool:
    return type(value) is list and len(value) % 2 == 0 and all(map(is_bytes, value))


class _Form(NamedTuple):
    """How one command type is written: its fields' names and checks, and the ways from command to fields and back."""

    names: Sequence[str]
    checks: Sequence[Callable[[object], bool]]
    fields: Callable[[Any], tuple[object, ...]]
    build: Callable[..., Command]


_KEY = (("key",), (is_bytes,), lambda command: (command.key,))
_KEY_VALUE = (("key", "value"), (is_bytes, is_bytes), lambda command: (command.key, command.value))
_KEYS = (("keys",), (_is_byte_strings,), lambda command: (command.keys,))

FORMS: dict[type[Command], _Form] = {
    Ping: _Form((), (), lambda command: (), Ping),
    Get: _Form(*_KEY, Get),
    Set: _Form(*_KEY_VALUE, Set),
    Strlen: _Form(*_KEY, Strlen),
    Delete: _Form(*_KEY, Delete),
    Append: _Form(*_KEY_VALUE, Append),
    Exists: _Form(*_KEYS, lambda keys: Exists(tuple(keys))),
    IncrementBy: _Form(
        ("key", "delta"), (is_bytes, is_integer), lambda command: (command.key, command.delta), IncrementBy
    ),
    MultiGet: _Form(*_KEYS, lambda keys: MultiGet(tuple(keys))),
    MultiSet: _Form(
        ("pairs",),
        (_is_byte_string_pairs,),
        lambda command: (list(chain.from_iterable(command.pairs)),),
        lambda flat: MultiSet(tuple(zip(flat[::2], flat[1::2], strict=True))),
    ),
}
"""The form of every command type; a test proves that none is missing."""

_BY_TYPE = {type_: (number, FORMS[type_]) for number, type_ in enumerate(COMMAND_TYPES, start=1)}
_BY_NUMBER = {number: (type_, FORMS[type_]) for number, type_ in enumerate(COMMAND_TYPES, start=1)}


def encode(command: Command) -> bytes:
    """Return the bytes that go into the log for `command`: equal commands have equal bytes.

    Raises `RequestRefused` (`too_large`) for a command over `COMMAND_BYTES_MAX`, and `LocalProtocolError` for
    one that `decode` would refuse.
    """
    number, form = _BY_TYPE[type(command)]
    fields = form.fields(command)
    for name, check, value in zip(form.names, form.checks, fields, strict=True):
        if not check(value):
            raise LocalProtocolError(f"{type(command).__name__} has a bad {name}: {type(value).__name__}")
        # Longer integers would be written under a tag, and tags are refused.
        if type(value) is int and not INTEGER_MIN <= value <= INTEGER_MAX:
            raise LocalProtocolError(f"{type(command).__name__} has a {name} of more than 64 bits")
        if type(value) in (list, tuple) and len(value) > 2 * KEYS_PER_COMMAND_MAX:  # type: ignore[arg-type]
            raise RequestRefused("too_large", f"a command names more than {KEYS_PER_COMMAND_MAX} keys")
    data = cbor.encode([VERSION, number, *fields])
    if len(data) > COMMAND_BYTES_MAX:
        raise RequestRefused(
            "too_large", f"a command has {len(data)} bytes: the limit is {COMMAND_BYTES_MAX}"
        )
    return data


def decode(data: bytes) -> Command:
    """Return the command that `data` from the log holds, or raise `RemoteProtocolError`."""
    parts = cbor.decode(data, bytes_max=COMMAND_BYTES_MAX, items_max=COMMAND_ITEMS_MAX)
    if type(parts) is not list or len(parts) < 2 or type(parts[0]) is not int or type(parts[1]) is not int:
        raise RemoteProtocolError("a command is not an array that starts with its version and number")
    if parts[0] != VERSION:
        raise RemoteProtocolError(f"a command has version {parts[0]}: this node knows version {VERSION}")
    known = _BY_NUMBER.get(parts[1])
    if known is None:
        raise RemoteProtocolError(f"a command has number {parts[1]}, which this node does not know")
    type_, form = known
    fields = parts[2:]
    if len(fields) != len(form.checks):
        raise RemoteProtocolError(f"{type_.__name__} has {len(fields)} fields, not {len(form.checks)}")
    for name, check, value in zip(form.names, form.checks, fields, strict=True):
        if not check(value):
            raise RemoteProtocolError(f"{type_.__name__} has a bad {name}: {type(value).__name__}")
    return form.build(*fields)
