"""What is done with keys whatever kind their values are: asking for the kind, renaming, copying, and an end of all."""

from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.machine.keyspace import HEADER_BYTES, KINDS
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_done,
)
from raftdb.machine.string_table import CONDITION_WORDS
from raftdb.machine.strings import Condition, holds
from raftdb.machine.values import (
    bound_session,
    load_head,
    move_value,
    remove_all_values,
    remove_value,
    state_key_of,
    visible,
)

NO_SUCH_KEY = "no such key"
"""The error for a key that must be there (Redis' words)."""


@dataclass(frozen=True, slots=True)
class KindOf(Command):
    """Read what kind of value `key` holds."""

    key: bytes


def kind_of(view: KeyValueView, command: KindOf) -> Result:
    """Answer the name of the kind, as text in bytes; None for a missing key."""
    stored = load_head(view, command.key)
    return Result(None, 0) if stored is None else Result(KINDS[stored.kind].encode(), stored.revision)


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """Let the value of `source`, when it ends and the session to which it is bound be those of `target`, if `condition`
    holds of that."""

    source: bytes
    target: bytes
    condition: Condition = Condition.ALWAYS


def rename(layer: Layer, command: Rename, revision: int) -> Result:
    """Move the value, and remove the source. Answers whether the condition held; raises `ReplyError` if there is no
    source."""
    before = _value_of(layer, command.source)
    if before is None:
        raise ReplyError(NO_SUCH_KEY)
    if command.source == command.target:
        return Result(command.condition is not Condition.IF_MISSING, None)
    state_key = state_key_of(layer, command.source)
    session = bound_session(layer, state_key, before)
    if not _put(layer, before, command.target, command.condition, revision, session):
        return Result(False, None)
    remove_value(layer, state_key, before)
    return Result(True, None)


@dataclass(frozen=True, slots=True)
class Copy(Command):
    """Let `target` have the value of `source`, and its end, if `condition` holds of the target. It is bound to no
    session."""

    source: bytes
    target: bytes
    condition: Condition = Condition.IF_MISSING


def copy(layer: Layer, command: Copy, revision: int) -> Result:
    """Copy the value. Answers whether there was a source, and the condition held."""
    before = _value_of(layer, command.source)
    if before is None:
        return Result(False, None)
    return Result(_put(layer, before, command.target, command.condition, revision), None)


def _value_of(layer: Layer, key: bytes) -> bytes | None:
    """The whole record of the key, None if it has none that is still there."""
    before = layer.get(state_key_of(layer, key))
    return before if visible(layer, before) is not None else None


def _put(
    layer: Layer, record: bytes, target: bytes, condition: Condition, revision: int, session: int = 0
) -> bool:
    """Put a record in the place of what `target` holds, if the condition holds of it, and bind it to a session, if it
    is not 0; returns whether the condition holds."""
    state_key = state_key_of(layer, target)
    before = layer.head(state_key, HEADER_BYTES)
    if not holds(condition, is_missing=visible(layer, before) is None):
        return False
    move_value(layer, state_key, before, record, revision=revision, session=session)
    return True


@dataclass(frozen=True, slots=True)
class Clear(Command):
    """Remove all keys, however many there are, at one point of the log."""


def clear(layer: Layer, command: Clear, revision: int) -> Result:
    """Remove all keys. Answers nothing: some may have ended before, and nobody knows how many are still kept."""
    remove_all_values(layer)
    return Result(None, None)


def _arguments(command: Rename | Copy) -> list[bytes]:
    return [command.source, command.target, *CONDITION_WORDS[command.condition]]


KEYS = Service(
    heading="keys",
    commands=(
        CommandType(type=KindOf, number=24, read=kind_of, log_name="type"),
        CommandType(
            type=Rename,
            number=25,
            write=rename,
            grows=True,
            log_name="rename",
            keys_named=lambda command: 2,
            arguments=_arguments,
        ),
        CommandType(
            type=Copy,
            number=26,
            write=copy,
            grows=True,
            log_name="copy",
            keys_named=lambda command: 2,
            arguments=_arguments,
        ),
        CommandType(
            type=Clear,
            number=27,
            write=clear,
            shown=as_done,
            names=(
                CommandSpec(
                    name="flushall",
                    syntax="flushall",
                    summary="Delete all keys, however many there are.",
                    examples=(
                        Example("mset a 1 b 2", "OK"),
                        Example("flushall", "OK"),
                        Example("dbsize", "0"),
                    ),
                    arity=Arity(0, 0),
                    reply=ReplyKind.STATUS,
                    build=lambda given: Clear(),
                    keys=NO_ARGUMENTS,
                    values=NO_ARGUMENTS,
                    dangerous=True,
                ),
            ),
        ),
    ),
)
