"""Commands as they stand in the log: `[number, fields...]`, the body of an entry or a part of one (`entries`).

The form of a command is read off its dataclass: its fields in order, by their types. Lists of keys are one field, and
so are pairs (flat: key, value, key, value); an enumeration is its number. Fields with a default stand at the end, and
are left out together exactly if all have their default: one command has one form.

Every node reads back what is written here: an entry that cannot be decoded would stop every node that has it,
for ever (hazard B67). So the checks run on both sides. Whether keys and values are too long is not decided here but at
apply, which can answer.
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from enum import IntEnum
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, get_type_hints

from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.limits import KEYS_PER_COMMAND_MAX
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, NotNegative
from raftdb.machine.service import Command, ServiceOperation
from raftdb.machine.services import COMMANDS, OPERATIONS

Convert = Callable[[Any], Any]


class Field(NamedTuple):
    """One field: its name, the type that it has in the log, and a further check; and the conversions from the value in
    the command to the one in the log and back, None if they are the same."""

    name: str
    type: type
    holds: Callable[[Any], bool] | None = None
    pack: Convert | None = None
    unpack: Convert | None = None


class Form(NamedTuple):
    """How one type is written: its fields, and the defaults of the last of them."""

    type: type[Command] | type[ServiceOperation]
    number: int
    fields: tuple[Field, ...]
    defaults: tuple[object, ...]
    values: Callable[[Any], tuple[object, ...]]
    """The values of all fields, as they are in the command."""


def _are_byte_strings(value: list[object]) -> bool:
    return all(type(item) is bytes for item in value)


def _are_pairs(value: list[object]) -> bool:
    return len(value) % 2 == 0 and _are_byte_strings(value)


def _in_pairs(flat: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _field(name: str, hint: Any) -> Field:
    """The field of that name whose type in the dataclass is `hint`."""
    if hint in (bytes, int):
        return Field(name, hint)
    if hint == NotNegative:
        return Field(name, int, *hint.__metadata__)
    if hint == tuple[bytes, ...]:
        return Field(name, list, _are_byte_strings, list, tuple)
    if hint == tuple[tuple[bytes, bytes], ...]:
        return Field(name, list, _are_pairs, lambda pairs: list(chain.from_iterable(pairs)), _in_pairs)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return Field(name, int, tuple(map(int, hint)).__contains__, int, hint)
    raise LocalProtocolError(f"a field {name} of type {hint} has no form in the log")


def _form(of: type[Any], number: int) -> Form:
    hints = get_type_hints(of, include_extras=True)
    found = tuple(_field(field.name, hints[field.name]) for field in fields(of))
    defaults = tuple(field.default for field in fields(of) if field.default is not MISSING)
    return Form(of, number, found, defaults, _values(tuple(field.name for field in found)))


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[object, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda command: ()
    get = attrgetter(names[0])
    return lambda command: (get(command),)


FORMS: dict[type[Command] | type[ServiceOperation], Form] = {
    **{known.type: _form(known.type, known.number) for known in COMMANDS.values()},
    **{known.type: _form(known.type, known.number) for known in OPERATIONS.values()},
}
"""The form of every type of command, and of the other operations of services."""


class _Shape(NamedTuple):
    """A form with a certain number of fields, made ready for encoding and decoding."""

    fields: tuple[Field, ...]
    types: tuple[type, ...]
    """The types of the number and of each field."""
    checked: tuple[tuple[int, str, Callable[[Any], bool]], ...]
    """Place, name and check of the fields that have a further check."""
    packed: tuple[tuple[int, Convert], ...]
    """Place and conversion of the fields that are converted."""
    numbers: tuple[int, ...]
    """Place of the numbers. CBOR has some that do not fit into 64 bits."""
    lists: tuple[int, ...]
    """Place of the lists, which may be too long."""
    build: Callable[..., Any]


def _shape(form: Form, present: tuple[Field, ...]) -> _Shape:
    places = tuple(enumerate(present, start=1))
    return _Shape(
        present,
        (int, *(field.type for field in present)),
        tuple((place, field.name, field.holds) for place, field in places if field.holds is not None),
        tuple((place, field.pack) for place, field in places if field.pack is not None),
        tuple(place for place, field in places if field.type is int),
        tuple(place for place, field in places if field.type is list),
        build_of(form, present),
    )


def build_of(form: Form, present: tuple[Field, ...]) -> Callable[..., Any]:
    """The function that makes the command of the fields that are present, as they are in the log."""
    is_whole = bool(form.defaults) and len(present) == len(form.fields)
    if not is_whole and all(field.unpack is None for field in present):
        return form.type
    unpacked = tuple((place, field.unpack) for place, field in enumerate(present) if field.unpack is not None)

    def build(*values: object) -> object:
        if unpacked:
            parts = list(values)
            for place, unpack in unpacked:
                parts[place] = unpack(parts[place])
            command = form.type(*parts)
        else:
            command = form.type(*values)
        if is_whole and form.values(command)[-len(form.defaults) :] == form.defaults:
            raise RemoteProtocolError(f"{form.type.__name__} has options that say nothing")
        return command

    return build


def _shapes() -> dict[tuple[int, int], _Shape]:
    """All shapes by number and length, the number included."""
    shapes = {}
    for form in FORMS.values():
        shapes[form.number, 1 + len(form.fields)] = _shape(form, form.fields)
        if form.defaults:
            present = form.fields[: -len(form.defaults)]
            shapes[form.number, 1 + len(present)] = _shape(form, present)
    return shapes


_SHAPES = _shapes()


def to_parts(command: Command | ServiceOperation) -> list[object]:
    """Return number and fields of `command`: equal commands have equal parts.

    Raises `RequestRefused` (`too_large`) for one that names too many keys, and `LocalProtocolError` for one that
    `from_parts` would refuse.
    """
    form = FORMS[type(command)]
    values = form.values(command)
    if form.defaults and values[-len(form.defaults) :] == form.defaults:
        values = values[: -len(form.defaults)]
    parts: list[Any] = [form.number, *values]
    shape = _SHAPES[form.number, len(parts)]
    for place, pack in shape.packed:
        parts[place] = pack(parts[place])
    if tuple(map(type, parts)) != shape.types:
        raise _bad_field(command, shape, parts)
    for place, name, holds in shape.checked:
        if not holds(parts[place]):
            raise LocalProtocolError(f"{type(command).__name__} has a bad {name}")
    for place in shape.numbers:
        if not INTEGER_MIN <= parts[place] <= INTEGER_MAX:
            raise LocalProtocolError(f"{type(command).__name__} has a number of more than 64 bits")
    for place in shape.lists:
        if len(parts[place]) > 2 * KEYS_PER_COMMAND_MAX:
            raise RequestRefused("too_large", f"a command names more than {KEYS_PER_COMMAND_MAX} keys")
    return parts


def _bad_field(command: object, shape: _Shape, parts: list[object]) -> LocalProtocolError:
    """The error for the first field that has a wrong type."""
    for field, part in zip(shape.fields, parts[1:], strict=True):
        if type(part) is not field.type:
            return LocalProtocolError(
                f"{type(command).__name__} has a bad {field.name}: {type(part).__name__}"
            )
    return LocalProtocolError(f"{type(command).__name__} cannot be written")


def from_parts(parts: list[Any]) -> Any:
    """Return the command, or other operation of a service, whose number and fields these are; or raise
    `RemoteProtocolError`."""
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
    for place in shape.numbers:
        if not INTEGER_MIN <= parts[place] <= INTEGER_MAX:
            raise RemoteProtocolError(f"command {parts[0]} has a number of more than 64 bits")
    for place, name, holds in shape.checked:
        if not holds(parts[place]):
            raise RemoteProtocolError(f"command {parts[0]} has a bad {name}")
    return shape.build(*parts[1:])
