"""Several keys in one command."""

from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.limits import REPLY_BYTES_MAX
from raftdb.machine.keyspace import HEADER_BYTES, KIND_STRING
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    ALL_ARGUMENTS,
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
)
from raftdb.machine.string_table import CONDITION_WORDS, shown_set
from raftdb.machine.strings import Condition, holds
from raftdb.machine.values import (
    check_value,
    load,
    load_head,
    put_value,
    remove_value,
    state_key_of,
    visible,
)


@dataclass(frozen=True, slots=True)
class Exists(Command):
    """Count how many of `keys` exist; a key that is named twice counts twice."""

    keys: tuple[bytes, ...]


def exists(view: KeyValueView, command: Exists) -> Result:
    """Answer how many of the keys exist, each as often as it is named."""
    return Result(sum(load_head(view, key) is not None for key in command.keys), None)


@dataclass(frozen=True, slots=True)
class MultiGet(Command):
    """Read the values of `keys` at one point of the log."""

    keys: tuple[bytes, ...]


def multi_get(view: KeyValueView, command: MultiGet) -> Result:
    """Answer the values in the order of the keys, None for a missing key and for a value that is no string."""
    values: list[bytes | None] = []
    reply_bytes = 0
    for key in command.keys:
        stored = load(view, key)
        data = None if stored is None or stored.kind != KIND_STRING else stored.data
        values.append(data)
        reply_bytes += 0 if data is None else len(data)
        if reply_bytes > REPLY_BYTES_MAX:
            raise ReplyError(
                "reply is too long", hint=f"the limit is {REPLY_BYTES_MAX} bytes: ask for fewer keys"
            )
    return Result(values, None)


@dataclass(frozen=True, slots=True)
class MultiSet(Command):
    """Store all `pairs` of key and value at once, if `condition` holds of all keys; of a key that is named twice, the
    last value stays."""

    pairs: tuple[tuple[bytes, bytes], ...]
    condition: Condition = Condition.ALWAYS


def multi_set(layer: Layer, command: MultiSet, revision: int) -> Result:
    """Store all values, without expiries; of a key named twice the last. Answers whether the condition held."""
    checked: list[tuple[bytes, bytes]] = []
    for key, value in command.pairs:
        check_value(len(value))
        checked.append((state_key_of(layer, key), value))
    if command.condition is not Condition.ALWAYS and not all(
        holds(command.condition, is_missing=load_head(layer, key) is None) for key, _ in command.pairs
    ):
        return Result(False, None)
    for state_key, value in checked:
        before = layer.head(state_key, HEADER_BYTES)
        put_value(layer, state_key, before, value, revision=revision)
    return Result(True, None)


def _arguments_of_multi_set(command: MultiSet) -> list[bytes]:
    return [*(text for pair in command.pairs for text in pair), *CONDITION_WORDS[command.condition]]


@dataclass(frozen=True, slots=True)
class DeleteMany(Command):
    """Remove `keys`, and count those that were there."""

    keys: tuple[bytes, ...]


def delete_many(layer: Layer, command: DeleteMany, revision: int) -> Result:
    """Remove the keys, whatever kind their values are. Answers how many there were."""
    state_keys = [state_key_of(layer, key) for key in command.keys]
    count = 0
    for state_key in state_keys:
        before = layer.head(state_key, HEADER_BYTES)
        if before is not None and visible(layer, before) is not None:
            remove_value(layer, state_key, before)
            count += 1
    return Result(count, None)


BATCHES = Service(
    heading="several keys",
    commands=(
        CommandType(
            type=Exists,
            number=7,
            read=exists,
            keys_named=lambda command: len(command.keys),
            names=(
                CommandSpec(
                    name="exists",
                    syntax="exists KEY [KEY ...]",
                    summary="How many of these keys exist.",
                    examples=(Example("set kunci satu", "OK"), Example("exists kunci lain", "1")),
                    arity=Arity(1, None),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: Exists(tuple(given)),
                    keys=ALL_ARGUMENTS,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=MultiGet,
            number=9,
            read=multi_get,
            keys_named=lambda command: len(command.keys),
            names=(
                CommandSpec(
                    name="mget",
                    syntax="mget KEY [KEY ...]",
                    summary="The values of several keys, read at one moment; nil for a missing key.",
                    examples=(
                        Example("mset a 1 b 2", "OK"),
                        Example("mget a b c", '1) "1"\n2) "2"\n3) (nil)'),
                    ),
                    arity=Arity(1, None),
                    reply=ReplyKind.ARRAY,
                    build=lambda given: MultiGet(tuple(given)),
                    keys=ALL_ARGUMENTS,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=MultiSet,
            number=10,
            write=multi_set,
            grows=True,
            keys_named=lambda command: len(command.pairs),
            arguments=_arguments_of_multi_set,
            shown=shown_set,
            names=(
                CommandSpec(
                    name="mset",
                    syntax="mset KEY VALUE [KEY VALUE ...]",
                    summary="Store several values at once: all of them or none.",
                    examples=(Example("mset a 1 b 2", "OK"), Example("get b", '"2"')),
                    arity=Arity(2, None, step=2),
                    reply=ReplyKind.STATUS,
                    build=lambda given: MultiSet(tuple(zip(given[::2], given[1::2], strict=True))),
                    keys=slice(0, None, 2),
                    values=slice(1, None, 2),
                ),
            ),
        ),
        CommandType(
            type=DeleteMany,
            number=20,
            write=delete_many,
            log_name="unlink",
            keys_named=lambda command: len(command.keys),
        ),
    ),
)
