"""Byte strings in part: appending to a value, writing over a part of it, reading one."""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.errors import RequestRefused
from raftdb.machine.arguments import integer
from raftdb.machine.integers import NotNegative
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_done,
)
from raftdb.machine.values import change_value, check_value, load, state_key_of, string_of, visible


@dataclass(frozen=True, slots=True)
class Append(Command):
    """Append `value` to the value of `key`, creating the key; an expiry that the key had stays."""

    key: bytes
    value: bytes


def append(layer: Layer, command: Append, revision: int) -> Result:
    """Append the text to the value, which is empty for a missing key; the expiry stays. Answers the new length."""
    state_key = state_key_of(layer, command.key)
    before = layer.get(state_key)
    stored = visible(layer, before)
    data = b"" if stored is None else string_of(stored)
    # The lengths are checked before the values are joined, which costs the sum of both.
    length = len(data) + len(command.value)
    check_value(length)
    change_value(layer, state_key, before, stored, data + command.value, revision=revision)
    return Result(length, revision)


@dataclass(frozen=True, slots=True)
class SetRange(Command):
    """Put `value` over the value of `key` from `offset` on, in bytes, creating the key; an expiry that the key had
    stays."""

    key: bytes
    offset: NotNegative
    value: bytes


def set_range(layer: Layer, command: SetRange, revision: int) -> Result:
    """Write over a part of the value, which zero bytes fill up to the offset; the expiry stays. Answers the length.

    An empty text changes nothing, and creates no key.
    """
    state_key = state_key_of(layer, command.key)
    before = layer.get(state_key)
    stored = visible(layer, before)
    data = b"" if stored is None else string_of(stored)
    if not command.value:
        return Result(len(data), 0 if stored is None else stored.revision)
    end = command.offset + len(command.value)
    # The length is checked before the value is made: the offset may be any number.
    check_value(end)
    data = data[: command.offset].ljust(command.offset, b"\0") + command.value + data[end:]
    change_value(layer, state_key, before, stored, data, revision=revision)
    return Result(len(data), revision)


def _build_set_range(arguments: Sequence[bytes]) -> Command:
    """`setrange KEY OFFSET VALUE`."""
    offset = integer(arguments[1], hint="where to begin, in bytes: 0 is the first")
    if offset < 0:
        raise RequestRefused("bad_request", "offset is out of range", hint="it is 0 or above")
    return SetRange(arguments[0], offset, arguments[2])


@dataclass(frozen=True, slots=True)
class GetRange(Command):
    """Read the part of the value of `key` from byte `first` to byte `last`, included; below 0 they count from the end,
    -1 is the last byte."""

    key: bytes
    first: int
    last: int


def get_range(view: KeyValueView, command: GetRange) -> Result:
    """Answer that part, which is empty for a missing key and where there is nothing."""
    stored = load(view, command.key)
    if stored is None:
        return Result(b"", 0)
    data = string_of(stored)
    first, last = (max(0, end + len(data)) if end < 0 else end for end in (command.first, command.last))
    is_backwards = command.first < 0 and command.last < 0 and command.first > command.last
    return Result(b"" if is_backwards else data[first : last + 1], stored.revision)


EDITING = Service(
    heading="values",
    commands=(
        CommandType(
            type=Append,
            number=6,
            write=append,
            grows=True,
            shown=as_done,
            names=(
                CommandSpec(
                    name="append",
                    syntax="append KEY VALUE",
                    summary="Append text to a value; creates the key if there is none.",
                    examples=(
                        Example("append kunci satu", "OK"),
                        Example("append kunci dua", "OK"),
                        Example("get kunci", '"satudua"'),
                    ),
                    arity=Arity(2, 2),
                    reply=ReplyKind.STATUS,
                    build=lambda given: Append(given[0], given[1]),
                ),
            ),
        ),
        CommandType(
            type=SetRange,
            number=19,
            write=set_range,
            grows=True,
            names=(
                CommandSpec(
                    name="setrange",
                    syntax="setrange KEY OFFSET VALUE",
                    summary="Write over a value from a byte on, filled up with zero bytes; answers the length.",
                    examples=(
                        Example('set greeting "Hello world"', "OK"),
                        Example("setrange greeting 6 there", "11"),
                        Example("get greeting", '"Hello there"'),
                    ),
                    arity=Arity(3, 3),
                    reply=ReplyKind.INTEGER,
                    build=_build_set_range,
                ),
            ),
        ),
        CommandType(type=GetRange, number=22, read=get_range, log_name="getrange"),
    ),
)
