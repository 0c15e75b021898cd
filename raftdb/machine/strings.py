"""Values that are byte strings: stored, read, changed and deleted, one key at a time."""

from dataclasses import dataclass
from enum import IntEnum

from raftdb.errors import ReplyError
from raftdb.limits import SESSION_KEYS_MAX, TTL_MS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    NEVER_EXPIRES,
    StoredValue,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.locks.fencing import Fence, fence_guard
from raftdb.machine.reply import Result
from raftdb.machine.service import (
    Command,
)
from raftdb.machine.session_records import registered_at
from raftdb.machine.values import (
    bound_session,
    bound_value_count,
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


class Binding(IntEnum):
    """To what a value is bound. The numbers are in the log: never reuse one."""

    NONE = 0
    SESSION = 1
    """The session of the operation: the value is gone when that ends."""


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
    binding: Binding = Binding.NONE


def set_(layer: Layer, command: Set, revision: int) -> Result:
    """Store the value if the condition holds. Answers whether it did; if not, with the present revision."""
    state_key = state_key_of(layer, command.key)
    check_value(len(command.value))
    before = layer.head(state_key, HEADER_BYTES)
    if not command.ttl_ms and not command.condition and not command.binding:
        put_value(layer, state_key, before, command.value, revision=revision)
        return Result(True, revision)
    session = _own_session(layer) if command.binding else 0
    present = visible(layer, before)
    if _store(layer, command, state_key, before, present, revision, session):
        return Result(True, revision)
    return Result(False, 0 if present is None else present.revision)


def _own_session(layer: Layer) -> int:
    """The registration of the session that asks. Raises `ReplyError` if there is none."""
    session = None if layer.session is None else registered_at(layer, layer.session)
    if session is None:
        raise ReplyError(
            "a key is bound to the session that asks, and there is none",
            hint="ask in a session, as the shell and the clients for Python do",
        )
    return session


def _store(
    layer: Layer,
    command: "Set | GetSet",
    state_key: bytes,
    before: bytes | None,
    present: StoredValue | None,
    revision: int,
    session: int = 0,
) -> bool:
    """Store the value in place of the record `before`, which is `present` now, if the condition holds, and bind it to a
    session, if it is not 0. Returns whether the condition holds; raises `ReplyError` for a bad time to live, and if too
    many keys are bound to the session."""
    if not PAST_TTL <= command.ttl_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    if not holds(command.condition, is_missing=present is None):
        return False
    if command.ttl_ms == PAST_TTL:
        if before is not None:
            remove_value(layer, state_key, before)
        return True
    if (
        session
        and bound_value_count(layer, session) >= SESSION_KEYS_MAX
        and bound_session(layer, state_key, before) != session
    ):
        raise ReplyError(f"{SESSION_KEYS_MAX} keys are bound to the session already", code="too_large")
    expires_ms = NEVER_EXPIRES
    if command.ttl_ms > NO_TTL:
        expires_ms = read_clock(layer) + command.ttl_ms
    elif command.ttl_ms == KEEP_TTL and present is not None:
        expires_ms = present.expires_ms
    put_value(
        layer,
        state_key,
        before,
        command.value,
        revision=revision,
        expires_ms=expires_ms,
        session=session,
    )
    return True


def holds(condition: Condition, *, is_missing: bool) -> bool:
    """Return whether the condition holds of a key that is missing, or is not."""
    return condition is Condition.ALWAYS or is_missing == (condition is Condition.IF_MISSING)


@dataclass(frozen=True, slots=True)
class FencedSet(Command):
    """Store `value` under `key` as `Set` does, if a lock is held under `token` by one owner alone."""

    key: bytes
    value: bytes
    lock: bytes
    token: NotNegative
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS
    binding: Binding = Binding.NONE


def fenced_set(layer: Layer, command: FencedSet, revision: int) -> Result:
    """Store the value if the lock is held and the condition holds; raises `Fenced` if it is not held."""
    fence_guard(layer, Fence(command.lock, command.token))
    return set_(layer, unfenced(command), revision)


def unfenced(command: FencedSet) -> Set:
    """Return the command that stores the same whoever holds the lock."""
    return Set(command.key, command.value, command.ttl_ms, command.condition, command.binding)


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
