"""Commands as they stand in the log: `[number, fields...]`, the body of an entry or a part of one (`operations`).

The number of a command is its place in `COMMAND_TYPES`, from 1. Lists of keys are one field, and so are pairs
(flat: key, value, key, value). Fields at the end that have their usual value are left out, and only then: one command
has one form.

What is written here is read back on every node: an entry that cannot be decoded would stop every node that has it,
for ever (hazard B67). So the checks run on both sides. Whether keys and values are too long is not decided here but at
apply, which can answer.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from raftdb.commands.limits import KEYS_PER_COMMAND_MAX
from raftdb.commands.model import (
    COMMAND_TYPES,
    INTEGER_MAX,
    INTEGER_MIN,
    NO_TTL,
    Append,
    Command,
    CompareAndSet,
    Condition,
    DatabaseSize,
    Delete,
    Exists,
    ExpireAfter,
    Get,
    GetSet,
    IncrementBy,
    Keys,
    MultiGet,
    MultiSet,
    Persist,
    Ping,
    Scan,
    Set,
    Strlen,
    TimeToLive,
)
from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.wire.fields import is_bytes, is_number


class _Field(NamedTuple):
    """One field of a command: its name and type, and what else must hold."""

    name: str
    type: type
    holds: Callable[[Any], bool] | None = None


class _Form(NamedTuple):
    """How one command type is written: its fields, and the ways from command to their values and back.

    The last `optional` fields are left out all together, exactly if they have their usual values.
    """

    fields: tuple[_Field, ...]
    values: Callable[[Any], tuple[object, ...]]
    build: Callable[..., Command]
    optional: int = 0


def _are_byte_strings(value: list[object]) -> bool:
    return all(map(is_bytes, value))


def _are_pairs(value: list[object]) -> bool:
    return len(value) % 2 == 0 and all(map(is_bytes, value))


def _is_condition(value: int) -> bool:
    return 0 <= value < len(Condition)


def _values_of_set(command: Set) -> tuple[object, ...]:
    if command.ttl_ms == NO_TTL and command.condition is Condition.ALWAYS:
        return (command.key, command.value)
    return (command.key, command.value, command.ttl_ms, int(command.condition))


def _build_set(key: bytes, value: bytes, ttl_ms: int, condition: int) -> Set:
    if ttl_ms == NO_TTL and condition == Condition.ALWAYS:
        raise RemoteProtocolError("Set has options that say nothing: there is a shorter form")
    return Set(key, value, ttl_ms, Condition(condition))


_KEY = _Field("key", bytes)
_VALUE = _Field("value", bytes)
_TTL = _Field("ttl_ms", int)


def _of_key(build: Callable[..., Command]) -> _Form:
    return _Form((_KEY,), lambda command: (command.key,), build)


def _of_key_and_value(build: Callable[..., Command]) -> _Form:
    return _Form((_KEY, _VALUE), lambda command: (command.key, command.value), build)


def _of_keys(build: Callable[..., Command]) -> _Form:
    return _Form(
        (_Field("keys", list, _are_byte_strings),),
        lambda command: (list(command.keys),),
        lambda keys: build(tuple(keys)),
    )


FORMS: dict[type[Command], _Form] = {
    Ping: _Form((), lambda command: (), Ping),
    Get: _of_key(Get),
    Set: _Form(
        (_KEY, _VALUE, _TTL, _Field("condition", int, _is_condition)),
        _values_of_set,
        _build_set,
        optional=2,
    ),
    Strlen: _of_key(Strlen),
    Delete: _of_key(Delete),
    Append: _of_key_and_value(Append),
    Exists: _of_keys(Exists),
    IncrementBy: _Form(
        (_KEY, _Field("delta", int)), lambda command: (command.key, command.delta), IncrementBy
    ),
    MultiGet: _of_keys(MultiGet),
    MultiSet: _Form(
        (_Field("pairs", list, _are_pairs),),
        lambda command: (list(chain.from_iterable(command.pairs)),),
        lambda flat: MultiSet(tuple(zip(flat[::2], flat[1::2], strict=True))),
    ),
    GetSet: _of_key_and_value(GetSet),
    CompareAndSet: _Form(
        (_KEY, _Field("revision", int, is_number), _VALUE),
        lambda command: (command.key, command.revision, command.value),
        CompareAndSet,
    ),
    ExpireAfter: _Form((_KEY, _TTL), lambda command: (command.key, command.ttl_ms), ExpireAfter),
    Persist: _of_key(Persist),
    TimeToLive: _of_key(TimeToLive),
    Keys: _Form((_Field("prefix", bytes),), lambda command: (command.prefix,), Keys),
    Scan: _Form(
        (_Field("prefix", bytes), _Field("after", bytes), _Field("limit", int)),
        lambda command: (command.prefix, command.after, command.limit),
        Scan,
    ),
    DatabaseSize: _Form((), lambda command: (), DatabaseSize),
}
"""The form of every command type; a test proves that none is missing."""


class _Shape(NamedTuple):
    """A form with so many fields, made ready for decoding."""

    types: tuple[type, ...]
    """Of the number, and of each field."""
    checked: tuple[tuple[int, str, Callable[[Any], bool]], ...]
    """Place and name of the fields about which more than the type must hold, and what."""
    build: Callable[..., Command]


def _shape(fields: tuple[_Field, ...], build: Callable[..., Command]) -> _Shape:
    checked = tuple(
        (place, field.name, field.holds)
        for place, field in enumerate(fields, start=1)
        if field.holds is not None
    )
    return _Shape((int, *(field.type for field in fields)), checked, build)


def _shapes() -> dict[tuple[int, int], _Shape]:
    """All shapes by number and length, the number included."""
    shapes = {}
    for number, type_ in enumerate(COMMAND_TYPES, start=1):
        form = FORMS[type_]
        shapes[number, 1 + len(form.fields)] = _shape(form.fields, form.build)
        if form.optional:
            fields = form.fields[: -form.optional]
            shapes[number, 1 + len(fields)] = _shape(fields, type_)
    return shapes


_NUMBERS = {type_: (number, FORMS[type_]) for number, type_ in enumerate(COMMAND_TYPES, start=1)}
_SHAPES = _shapes()


def to_parts(command: Command) -> list[object]:
    """Return number and fields of `command`: equal commands have equal parts.

    Raises `RequestRefused` (`too_large`) for one that names too many keys, and `LocalProtocolError` for one that
    `from_parts` would refuse.
    """
    number, form = _NUMBERS[type(command)]
    values = form.values(command)
    for field, value in zip(form.fields, values, strict=False):
        if type(value) is not field.type or (field.holds is not None and not field.holds(value)):
            raise LocalProtocolError(
                f"{type(command).__name__} has a bad {field.name}: {type(value).__name__}"
            )
        # Longer integers would be written under a tag, and tags are refused.
        if type(value) is int and not INTEGER_MIN <= value <= INTEGER_MAX:
            raise LocalProtocolError(f"{type(command).__name__} has a {field.name} of more than 64 bits")
        if type(value) is list and len(value) > 2 * KEYS_PER_COMMAND_MAX:
            raise RequestRefused("too_large", f"a command names more than {KEYS_PER_COMMAND_MAX} keys")
    return [number, *values]


def from_parts(parts: list[Any]) -> Command:
    """Return the command whose number and fields these are, or raise `RemoteProtocolError`."""
    if not parts or type(parts[0]) is not int:
        raise RemoteProtocolError("a command does not start with its number")
    shape = _SHAPES.get((parts[0], len(parts)))
    if shape is None:
        raise RemoteProtocolError(
            f"a command has number {parts[0]} and {len(parts) - 1} fields, which this node does not know"
        )
    # All types in one comparison: this runs for every command of every entry.
    if tuple(map(type, parts)) != shape.types:
        raise RemoteProtocolError(f"command {parts[0]} has a field of another type than {shape.types}")
    for place, name, holds in shape.checked:
        if not holds(parts[place]):
            raise RemoteProtocolError(f"command {parts[0]} has a bad {name}")
    return shape.build(*parts[1:])
