"""Values that are byte strings: stored, read, changed and deleted, one key at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import TTL_MS_MAX
from raftdb.machine.arguments import bad_ttl, ttl_ms
from raftdb.machine.clock import read_clock
from raftdb.machine.integers import NotNegative, parse_integer
from raftdb.machine.keyspace import (
    GENERATION_KEY,
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    VALUE_COUNT_KEY,
    StoredValue,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.locks.holding import Fence, checked_fence, fence_guard
from raftdb.machine.reply import Result, Told
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    ReplyKind,
    Service,
    as_text,
)
from raftdb.machine.values import (
    check_value,
    forget_value,
    load,
    put_value,
    remove_value,
    state_key_of,
    string_of,
    visible,
)

NO_TTL = 0
"""Instead of a time to live: the value stays for ever."""
KEEP_TTL = -1
"""Instead of a time to live: the expiry that the key had stays."""
PAST_TTL = -2
"""Instead of a time to live: the time is over already. Nothing is stored, and what was there goes."""


@dataclass(frozen=True, slots=True)
class Get(Command):
    """Read the value of `key`."""

    key: bytes


def get(view: KeyValueView, command: Get) -> Result:
    """Answer the value and its revision; of a missing key None and revision 0."""
    stored = load(view, command.key)
    return Result(None, 0) if stored is None else Result(string_of(stored), stored.revision)


class Condition(IntEnum):
    """What must hold of a key for anything to be stored under it. The numbers are in the log: never reuse one."""

    ALWAYS = 0
    IF_MISSING = 1
    IF_PRESENT = 2


@dataclass(frozen=True, slots=True)
class Set(Command):
    """Store `value` under `key` if `condition` holds.

    `ttl_ms`: how long it is to live, in milliseconds of the cluster clock from when this is applied; `NO_TTL`: for
    ever, an expiry that the key had is gone; `KEEP_TTL`: that stays; `PAST_TTL`: not at all.
    """

    key: bytes
    value: bytes
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS


def set_(layer: Layer, command: Set, revision: int) -> Result:
    """Store the value if the condition holds. Answers whether it did; if not, with the present revision."""
    state_key = state_key_of(layer, command.key)
    check_value(len(command.value))
    before = layer.head(state_key, HEADER_BYTES)
    if not command.ttl_ms and not command.condition:
        put_value(layer, state_key, before, command.value, revision=revision)
        return Result(True, revision)
    present = visible(layer, before)
    if _store(layer, command, state_key, before, present, revision):
        return Result(True, revision)
    return Result(False, 0 if present is None else present.revision)


def _store(
    layer: Layer,
    command: "Set | GetSet",
    state_key: bytes,
    before: bytes | None,
    present: StoredValue | None,
    revision: int,
) -> bool:
    """Store the value in place of the record `before`, which is `present` now, if the condition holds. Returns whether
    it does; raises `ReplyError` for a bad time to live."""
    if not PAST_TTL <= command.ttl_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    if not holds(command.condition, is_missing=present is None):
        return False
    if command.ttl_ms == PAST_TTL:
        if before is not None:
            remove_value(layer, state_key, before)
        return True
    expires_ms = NEVER_EXPIRES
    if command.ttl_ms > NO_TTL:
        expires_ms = read_clock(layer) + command.ttl_ms
    elif command.ttl_ms == KEEP_TTL and present is not None:
        expires_ms = present.expires_ms
    put_value(layer, state_key, before, command.value, revision=revision, expires_ms=expires_ms)
    return True


def holds(condition: Condition, *, is_missing: bool) -> bool:
    """Return whether the condition holds of a key that is missing, or is not."""
    return condition is Condition.ALWAYS or is_missing == (condition is Condition.IF_MISSING)


SET_SYNTAX = "set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX] [FENCE NAME TOKEN]"
_UNITS_MS = {b"EX": 1000, b"PX": 1}
_CONDITIONS = {b"NX": Condition.IF_MISSING, b"XX": Condition.IF_PRESENT}
CONDITION_WORDS: dict[Condition, list[bytes]] = {
    Condition.ALWAYS: [],
    Condition.IF_MISSING: [b"NX"],
    Condition.IF_PRESENT: [b"XX"],
}
"""The words that spell a condition."""


def _build_set(arguments: Sequence[bytes]) -> Command:
    """`set KEY VALUE` and its options: each kind at most once, in any case and order."""
    if len(arguments) == 2:
        return Set(arguments[0], arguments[1])
    lifetime_ms, condition, fence = NO_TTL, Condition.ALWAYS, None
    words = iter(arguments[2:])
    for word in words:
        option = word.upper()
        if option in _CONDITIONS and condition is Condition.ALWAYS:
            condition = _CONDITIONS[option]
        elif option == b"KEEPTTL" and lifetime_ms == NO_TTL:
            lifetime_ms = KEEP_TTL
        elif option in _UNITS_MS and lifetime_ms == NO_TTL:
            lifetime_ms = ttl_ms(next(words, b""), _UNITS_MS[option])
            if lifetime_ms <= 0:
                raise bad_ttl("a time to live is above 0")
        elif option == b"FENCE" and fence is None:
            fence = checked_fence(Fence(next(words, b""), parse_integer(next(words, b"")) or 0))
        else:
            raise RequestRefused(
                "bad_request", "the options of 'set' cannot be read", hint=f"the syntax is: {SET_SYNTAX}"
            )
    if fence is None:
        return Set(arguments[0], arguments[1], lifetime_ms, condition)
    return FencedSet(arguments[0], arguments[1], fence.name, fence.token, lifetime_ms, condition)


_LIFETIME_WORDS: dict[int, list[bytes]] = {
    NO_TTL: [],
    KEEP_TTL: [b"KEEPTTL"],
    PAST_TTL: [b"PXAT", b"0"],
}


def _arguments_of_set(command: "Set | GetSet | FencedSet") -> list[bytes]:
    lifetime = _LIFETIME_WORDS.get(command.ttl_ms, [b"PX", b"%d" % command.ttl_ms])
    words = [command.key, command.value, *lifetime, *CONDITION_WORDS[command.condition]]
    if isinstance(command, FencedSet):
        words += [b"FENCE", command.lock, b"%d" % command.token]
    return words


@dataclass(frozen=True, slots=True)
class FencedSet(Command):
    """Store `value` under `key` as `Set` does, if a lock is held under `token` by one owner alone."""

    key: bytes
    value: bytes
    lock: bytes
    token: NotNegative
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS


def fenced_set(layer: Layer, command: FencedSet, revision: int) -> Result:
    """Store the value if the lock is held and the condition holds; raises `Fenced` if it is not held."""
    fence_guard(layer, Fence(command.lock, command.token))
    return set_(layer, unfenced(command), revision)


def unfenced(command: FencedSet) -> Set:
    """Return the command that stores the same whoever holds the lock."""
    return Set(command.key, command.value, command.ttl_ms, command.condition)


def shown_set(result: Told) -> object:
    """Shows whether something was stored: nil if a condition forbade it."""
    return "OK" if result.value else None


@dataclass(frozen=True, slots=True)
class Strlen(Command):
    """Read the length of the value of `key`, in bytes."""

    key: bytes


def strlen(view: KeyValueView, command: Strlen) -> Result:
    """Answer the length of the value in bytes, 0 for a missing key."""
    stored = load(view, command.key)
    return Result(0, 0) if stored is None else Result(len(string_of(stored)), stored.revision)


@dataclass(frozen=True, slots=True)
class Delete(Command):
    """Remove `key`, and answer the value that it had."""

    key: bytes


def delete(layer: Layer, command: Delete, revision: int) -> Result:
    """Remove the key. Answers the value it had and that value's revision, or None and 0."""
    state_key = state_key_of(layer, command.key)
    before = layer.get(state_key)
    stored = visible(layer, before)
    if before is None or stored is None:
        return Result(None, 0)
    data = string_of(stored)
    remove_value(layer, state_key, before)
    return Result(data, stored.revision)


@dataclass(frozen=True, slots=True)
class GetSet(Command):
    """Store `value` under `key` if `condition` holds, for as long as `Set` would, and answer the value it had."""

    key: bytes
    value: bytes
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS


def get_set(layer: Layer, command: GetSet, revision: int) -> Result:
    """Store the value if the condition holds. Answers the one before it, None if there was none."""
    state_key = state_key_of(layer, command.key)
    check_value(len(command.value))
    before = layer.get(state_key)
    present = visible(layer, before)
    data = None if present is None else string_of(present)
    if _store(layer, command, state_key, before, present, revision):
        return Result(data, revision)
    return Result(data, 0 if present is None else present.revision)


STRINGS = Service(
    heading="values",
    prefixes=KEY_VALUE_PREFIX + VALUE_COUNT_KEY + GENERATION_KEY,
    forget=forget_value,
    commands=(
        CommandType(
            type=Get,
            number=2,
            read=get,
            shown=as_text,
            names=(
                CommandSpec(
                    name="get",
                    syntax="get KEY",
                    summary="The value of a key; an empty string if there is no such key.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("get kunci", '"satu"'),
                        Example("get lain", '""'),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.STRING,
                    build=lambda given: Get(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Set,
            number=3,
            write=set_,
            grows=True,
            arguments=_arguments_of_set,
            shown=shown_set,
            names=(
                CommandSpec(
                    name="set",
                    syntax=SET_SYNTAX,
                    summary="Store a value under a key, in place of what was there; nil if NX or XX forbids it.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example('set "two words" ""', "OK"),
                        Example("set kunci dua EX 60 XX", "OK"),
                        Example("set kunci tiga NX", "(nil)"),
                    ),
                    arity=Arity(2, 8),
                    reply=ReplyKind.STATUS,
                    build=_build_set,
                ),
            ),
        ),
        CommandType(
            type=FencedSet,
            number=58,
            write=fenced_set,
            grows=True,
            guard=lambda view, command: fence_guard(view, Fence(command.lock, command.token)),
            keys_named=lambda command: 2,
            arguments=_arguments_of_set,
            shown=shown_set,
            log_name="set",
        ),
        CommandType(
            type=Strlen,
            number=4,
            read=strlen,
            names=(
                CommandSpec(
                    name="strlen",
                    syntax="strlen KEY",
                    summary="The length of a value in bytes; 0 if there is no such key.",
                    examples=(
                        Example("set kunci satudua", "OK"),
                        Example("strlen kunci", "7"),
                        Example("strlen lain", "0"),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: Strlen(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Delete,
            number=5,
            write=delete,
            shown=as_text,
            names=(
                CommandSpec(
                    name="del",
                    syntax="del KEY",
                    summary="Delete a key and answer the value it had; an empty string if there was none.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("del kunci", '"satu"'),
                        Example("del kunci", '""'),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.STRING,
                    build=lambda given: Delete(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=GetSet,
            number=11,
            write=get_set,
            grows=True,
            arguments=_arguments_of_set,
            shown=as_text,
            names=(
                CommandSpec(
                    name="getset",
                    syntax="getset KEY VALUE",
                    summary="Store a value and answer the one before it; an empty string if there was none.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("getset kunci dua", '"satu"'),
                        Example("get kunci", '"dua"'),
                    ),
                    arity=Arity(2, 2),
                    reply=ReplyKind.STRING,
                    build=lambda given: GetSet(given[0], given[1]),
                ),
            ),
        ),
    ),
)
