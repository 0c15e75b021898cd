"""Values that are byte strings: stored, read, changed and deleted, one key at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from raftdb.errors import ReplyError, RequestRefused
from raftdb.limits import TTL_MS_MAX
from raftdb.machine.arguments import bad_ttl, ttl_ms
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    VALUE_COUNT_KEY,
)
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
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.machine.values import (
    check_value,
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


@dataclass(frozen=True, slots=True)
class Get(Command):
    """Read the value of `key`."""

    key: bytes


def get(view: KeyValueView, command: Get) -> Result:
    """Answer the value and its revision; of a missing key None and revision 0."""
    stored = load(view, command.key)
    return Result(None, 0) if stored is None else Result(string_of(stored), stored.revision)


class Condition(IntEnum):
    """What must hold for a `Set` to store anything. The numbers are in the log: never reuse one."""

    ALWAYS = 0
    IF_MISSING = 1
    IF_PRESENT = 2


@dataclass(frozen=True, slots=True)
class Set(Command):
    """Store `value` under `key` if `condition` holds.

    `ttl_ms`: how long it is to live, in milliseconds of the cluster clock from when this is applied; `NO_TTL`: for
    ever, an expiry that the key had is gone; `KEEP_TTL`: that stays.
    """

    key: bytes
    value: bytes
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS


def set_(transaction: Transaction, command: Set, revision: int) -> Result:
    """Store the value if the condition holds. Answers whether it did; if not, with the present revision."""
    state_key = state_key_of(command.key)
    check_value(len(command.value))
    before = transaction.head(state_key, HEADER_BYTES)
    expires_ms = NEVER_EXPIRES
    if command.ttl_ms == KEEP_TTL or command.condition:
        present = visible(transaction, before)
        expires_ms = _expiry_of_set(
            transaction, command, NEVER_EXPIRES if present is None else present.expires_ms
        )
        if command.condition is not Condition.ALWAYS and (present is None) != (
            command.condition is Condition.IF_MISSING
        ):
            return Result(False, 0 if present is None else present.revision)
    elif command.ttl_ms:
        expires_ms = _expiry_of_set(transaction, command, NEVER_EXPIRES)
    put_value(transaction, state_key, before, command.value, revision=revision, expires_ms=expires_ms)
    return Result(True, revision)


def _expiry_of_set(transaction: Transaction, command: Set, present_ms: int) -> int:
    if command.ttl_ms == KEEP_TTL:
        return present_ms
    if not NO_TTL <= command.ttl_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    return NEVER_EXPIRES if command.ttl_ms == NO_TTL else read_clock(transaction) + command.ttl_ms


SET_SYNTAX = "set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"
_UNITS_MS = {b"EX": 1000, b"PX": 1}
_CONDITIONS = {b"NX": Condition.IF_MISSING, b"XX": Condition.IF_PRESENT}
_CONDITION_WORDS: dict[Condition, list[bytes]] = {
    Condition.ALWAYS: [],
    Condition.IF_MISSING: [b"NX"],
    Condition.IF_PRESENT: [b"XX"],
}


def _build_set(arguments: Sequence[bytes]) -> Command:
    """`set KEY VALUE` and its options: each kind at most once, in any case and order."""
    if len(arguments) == 2:
        return Set(arguments[0], arguments[1])
    lifetime_ms, condition = NO_TTL, Condition.ALWAYS
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
        else:
            raise RequestRefused(
                "bad_request", "the options of 'set' cannot be read", hint=f"the syntax is: {SET_SYNTAX}"
            )
    return Set(arguments[0], arguments[1], lifetime_ms, condition)


def _arguments_of_set(command: Set) -> list[bytes]:
    if command.ttl_ms in (NO_TTL, KEEP_TTL):
        lifetime = [b"KEEPTTL"] if command.ttl_ms == KEEP_TTL else []
    else:
        lifetime = [b"PX", b"%d" % command.ttl_ms]
    return [command.key, command.value, *lifetime, *_CONDITION_WORDS[command.condition]]


def _shown_set(result: Told) -> object:
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


def delete(transaction: Transaction, command: Delete, revision: int) -> Result:
    """Remove the key. Answers the value it had and that value's revision, or None and 0."""
    state_key = state_key_of(command.key)
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    if before is None or stored is None:
        return Result(None, 0)
    data = string_of(stored)
    remove_value(transaction, state_key, before)
    return Result(data, stored.revision)


@dataclass(frozen=True, slots=True)
class GetSet(Command):
    """Store `value` under `key`, and answer the value it had; an expiry that the key had is gone."""

    key: bytes
    value: bytes


def get_set(transaction: Transaction, command: GetSet, revision: int) -> Result:
    """Store the value, without an expiry. Answers the one before it, None if there was none."""
    state_key = state_key_of(command.key)
    check_value(len(command.value))
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    data = None if stored is None else string_of(stored)
    put_value(transaction, state_key, before, command.value, revision=revision)
    return Result(data, revision)


STRINGS = Service(
    heading="values",
    prefixes=KEY_VALUE_PREFIX + VALUE_COUNT_KEY,
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
            shown=_shown_set,
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
                    arity=Arity(2, 5),
                    reply=ReplyKind.STATUS,
                    build=_build_set,
                ),
            ),
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
