"""Values that expire: the commands that set and read their time, and their end.

Between its time and the entry that ends it a value is invisible already (`raftdb.machine.values`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from raftdb.budgets import SWEEP_VALUES_MAX
from raftdb.errors import ReplyError
from raftdb.limits import TTL_MS_MAX
from raftdb.machine.arguments import ttl_ms
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import (
    EXPIRY_PREFIX,
    EXPIRY_SWEPT_KEY,
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    decode_header,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import Result, Told
from raftdb.machine.service import (
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Ending,
    Example,
    ReplyKind,
    Service,
    as_flag,
)
from raftdb.machine.strings import NO_TTL, PAST_TTL
from raftdb.machine.values import (
    EXPIRIES,
    expire_value,
    forget_value,
    load_head,
    remove_value,
    state_key_of,
    string_of,
    values_prefix,
    visible,
)


class ExpiryCondition(IntEnum):
    """What must hold of a key for its end to be set. A key that stays ends later than all others. The numbers are in
    the log: never reuse one."""

    ALWAYS = 0
    IF_IT_STAYS = 1
    IF_IT_ENDS = 2
    IF_LATER = 3
    IF_EARLIER = 4
    IF_EARLIER_END = 5
    """As the one before, but not for a key that stays."""


_HOLD: dict[ExpiryCondition, Callable[[int, int], bool]] = {
    ExpiryCondition.ALWAYS: lambda present_ms, new_ms: True,
    ExpiryCondition.IF_IT_STAYS: lambda present_ms, new_ms: present_ms == NEVER_EXPIRES,
    ExpiryCondition.IF_IT_ENDS: lambda present_ms, new_ms: present_ms != NEVER_EXPIRES,
    ExpiryCondition.IF_LATER: lambda present_ms, new_ms: NEVER_EXPIRES != present_ms < new_ms,
    ExpiryCondition.IF_EARLIER: lambda present_ms, new_ms: present_ms == NEVER_EXPIRES or new_ms < present_ms,
    ExpiryCondition.IF_EARLIER_END: lambda present_ms, new_ms: NEVER_EXPIRES != present_ms > new_ms,
}
"""Whether a condition holds, by the present end of a key and the new one."""

_CONDITION_WORDS: dict[ExpiryCondition, list[bytes]] = {
    ExpiryCondition.ALWAYS: [],
    ExpiryCondition.IF_IT_STAYS: [b"NX"],
    ExpiryCondition.IF_IT_ENDS: [b"XX"],
    ExpiryCondition.IF_LATER: [b"GT"],
    ExpiryCondition.IF_EARLIER: [b"LT"],
    ExpiryCondition.IF_EARLIER_END: [b"XX", b"LT"],
}


@dataclass(frozen=True, slots=True)
class ExpireAfter(Command):
    """Let `key` live for `ttl_ms` milliseconds of the cluster clock from when this is applied; delete it if that is 0
    or less. Only if `condition` holds."""

    key: bytes
    ttl_ms: int
    condition: ExpiryCondition = ExpiryCondition.ALWAYS


def expire_after(layer: Layer, command: ExpireAfter, revision: int) -> Result:
    """Set the time at which the key ends, or delete it. Answers whether there was such a key, and the condition
    held."""
    state_key = state_key_of(layer, command.key)
    if command.ttl_ms > TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"at most {TTL_MS_MAX} milliseconds")
    before = layer.get(state_key)
    stored = visible(layer, before)
    if before is None or stored is None:
        return Result(False, 0)
    expires_ms = read_clock(layer) + command.ttl_ms
    if not _HOLD[command.condition](stored.expires_ms, expires_ms):
        return Result(False, stored.revision)
    if command.ttl_ms <= 0:
        remove_value(layer, state_key, before)
        return Result(True, stored.revision)
    expire_value(layer, state_key, before, revision=revision, expires_ms=expires_ms)
    return Result(True, revision)


@dataclass(frozen=True, slots=True)
class RemoveExpiry(Command):
    """Let `key` live for ever."""

    key: bytes


def remove_expiry(layer: Layer, command: RemoveExpiry, revision: int) -> Result:
    """Let the key stay. Answers whether there was such a key and it was to end."""
    state_key = state_key_of(layer, command.key)
    before = layer.get(state_key)
    stored = visible(layer, before)
    if before is None or stored is None or stored.expires_ms == NEVER_EXPIRES:
        return Result(False, 0 if stored is None else stored.revision)
    expire_value(layer, state_key, before, revision=revision, expires_ms=NEVER_EXPIRES)
    return Result(True, revision)


@dataclass(frozen=True, slots=True)
class TimeToLive(Command):
    """Read how long `key` will live."""

    key: bytes


def time_to_live(view: KeyValueView, command: TimeToLive) -> Result:
    """Answer the milliseconds that are left, and the revision; None for a key that stays, and for a missing one, whose
    revision is 0."""
    stored = load_head(view, command.key)
    if stored is None:
        return Result(None, 0)
    if stored.expires_ms == NEVER_EXPIRES:
        return Result(None, stored.revision)
    return Result(stored.expires_ms - read_clock(view), stored.revision)


def _shown_ttl(result: Told) -> object:
    """The seconds that are left, rounded up; -1 for a key that stays, -2 for a missing one."""
    if isinstance(result.value, int):
        return -(-result.value // 1000)
    return -1 if result.revision else -2


def _end(layer: Layer, expires_ms: int, name: bytes, index: int) -> int:
    """End the value of this name (generation and key), whose time is up."""
    state_key = KEY_VALUE_PREFIX + name
    before = layer.head(state_key, HEADER_BYTES)
    if before is None or decode_header(before)[2] != expires_ms:
        return 1
    if state_key.startswith(values_prefix(layer)):
        remove_value(layer, state_key, before)
    else:
        forget_value(layer, state_key, before)
        layer.delete(state_key)
    return 1


def _build_expire(arguments: Sequence[bytes]) -> Command:
    """`expire KEY SECONDS`."""
    return ExpireAfter(arguments[0], max(0, ttl_ms(arguments[1], 1000)))


def _arguments_of_expire(command: ExpireAfter) -> list[bytes]:
    return [command.key, b"%d" % -(-command.ttl_ms // 1000), *_CONDITION_WORDS[command.condition]]


@dataclass(frozen=True, slots=True)
class GetAndExpire(Command):
    """Read the value of `key`, and let it live for `ttl_ms` from when this is applied: `NO_TTL` for ever, `PAST_TTL`
    not any longer."""

    key: bytes
    ttl_ms: int


def get_and_expire(layer: Layer, command: GetAndExpire, revision: int) -> Result:
    """Set the time at which the key ends. Answers its value, None if there is no such key."""
    state_key = state_key_of(layer, command.key)
    if command.ttl_ms not in (NO_TTL, PAST_TTL) and not 0 < command.ttl_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    before = layer.get(state_key)
    stored = visible(layer, before)
    if before is None or stored is None:
        return Result(None, 0)
    data = string_of(stored)
    if command.ttl_ms == PAST_TTL:
        remove_value(layer, state_key, before)
        return Result(data, stored.revision)
    expires_ms = NEVER_EXPIRES if command.ttl_ms == NO_TTL else read_clock(layer) + command.ttl_ms
    if expires_ms == stored.expires_ms:
        return Result(data, stored.revision)
    expire_value(layer, state_key, before, revision=revision, expires_ms=expires_ms)
    return Result(data, revision)


EXPIRY = Service(
    heading="expiry",
    prefixes=EXPIRY_PREFIX + EXPIRY_SWEPT_KEY,
    ending=Ending(index=EXPIRIES, end=_end, count_max=SWEEP_VALUES_MAX, cost_max=SWEEP_VALUES_MAX),
    commands=(
        CommandType(
            type=ExpireAfter,
            number=13,
            write=expire_after,
            arguments=_arguments_of_expire,
            shown=as_flag,
            names=(
                CommandSpec(
                    name="expire",
                    syntax="expire KEY SECONDS",
                    summary="Let a key end after some seconds, at once if 0 or less: 1, or 0 if there is no such key.",
                    examples=(
                        Example("set kunci satu", "OK"),
                        Example("expire kunci 60", "1"),
                        Example("expire lain 60", "0"),
                    ),
                    arity=Arity(2, 2),
                    reply=ReplyKind.INTEGER,
                    build=_build_expire,
                ),
            ),
        ),
        CommandType(
            type=TimeToLive,
            number=15,
            read=time_to_live,
            shown=_shown_ttl,
            names=(
                CommandSpec(
                    name="ttl",
                    syntax="ttl KEY",
                    summary="How many seconds a key has left: -1 if it stays, -2 if there is no such key.",
                    examples=(
                        Example("set kunci satu EX 60", "OK"),
                        Example("ttl kunci", "60"),
                        Example("ttl lain", "-2"),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: TimeToLive(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=RemoveExpiry,
            number=14,
            write=remove_expiry,
            shown=as_flag,
            names=(
                CommandSpec(
                    name="persist",
                    syntax="persist KEY",
                    summary="Let a key stay after all: 1, or 0 if it was not to end.",
                    examples=(
                        Example("set kunci satu EX 60", "OK"),
                        Example("persist kunci", "1"),
                        Example("ttl kunci", "-1"),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: RemoveExpiry(given[0]),
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
        CommandType(type=GetAndExpire, number=21, write=get_and_expire, log_name="getex"),
    ),
)
