"""The key-value service: one handler per command. Replies are those of the shell and HTTP (interface, section
4).

Handlers of reads take a view of the state and the command. Handlers of writes take a transaction, the command
and the revision, which is the index of the entry; they check first and write last. Both raise `ReplyError`
where the command fails: the texts are replicated rules and are never changed.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from raftdb.commands.limits import REPLY_BYTES_MAX, TTL_MS_MAX
from raftdb.commands.model import (
    INTEGER_MAX,
    INTEGER_MIN,
    INTEGER_TEXT_BYTES_MAX,
    KEEP_TTL,
    NO_TTL,
    Append,
    Command,
    CompareAndSet,
    Condition,
    Delete,
    Exists,
    Get,
    GetSet,
    IncrementBy,
    MultiGet,
    MultiSet,
    Ping,
    Set,
    Strlen,
    parse_integer,
)
from raftdb.errors import Conflict, ReplyError
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import HEADER_BYTES, NEVER_EXPIRES
from raftdb.machine.reply import Result, Value, shown_key
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.machine.values import (
    check_value,
    load,
    load_head,
    put_value,
    remove_value,
    state_key_of,
    visible,
)

ReadHandler: TypeAlias = Callable[[KeyValueView, Any], Result]
WriteHandler: TypeAlias = Callable[[Transaction, Any, int], Result]


def ping(view: KeyValueView, command: Ping) -> Result:
    """Answer PONG."""
    return Result("PONG", None)


def get(view: KeyValueView, command: Get) -> Result:
    """Answer the value and its revision; of a missing key the empty string and revision 0."""
    stored = load(view, command.key)
    return Result(b"", 0) if stored is None else Result(stored.data, stored.revision)


def strlen(view: KeyValueView, command: Strlen) -> Result:
    """Answer the length of the value in bytes, 0 for a missing key."""
    stored = load(view, command.key)
    return Result(0, 0) if stored is None else Result(len(stored.data), stored.revision)


def exists(view: KeyValueView, command: Exists) -> Result:
    """Answer how many of the keys exist, each as often as it is named."""
    return Result(sum(load_head(view, key) is not None for key in command.keys), None)


def multi_get(view: KeyValueView, command: MultiGet) -> Result:
    """Answer the values in the order of the keys, None for a missing one."""
    values: list[Value] = []
    reply_bytes = 0
    for key in command.keys:
        stored = load(view, key)
        values.append(None if stored is None else stored.data)
        reply_bytes += 0 if stored is None else len(stored.data)
        if reply_bytes > REPLY_BYTES_MAX:
            raise ReplyError(
                "reply is too long", hint=f"the limit is {REPLY_BYTES_MAX} bytes: ask for fewer keys"
            )
    return Result(values, None)


def set_(transaction: Transaction, command: Set, revision: int) -> Result:
    """Store the value if the condition holds. Answers OK; if it does not hold, nil and the present revision."""
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
            return Result(None, 0 if present is None else present.revision)
    elif command.ttl_ms:
        expires_ms = _expiry_of_set(transaction, command, NEVER_EXPIRES)
    put_value(transaction, state_key, before, command.value, revision=revision, expires_ms=expires_ms)
    return Result("OK", revision)


def _expiry_of_set(transaction: Transaction, command: Set, present_ms: int) -> int:
    if command.ttl_ms == KEEP_TTL:
        return present_ms
    if not NO_TTL <= command.ttl_ms <= TTL_MS_MAX:
        raise ReplyError("invalid time to live", hint=f"from 1 to {TTL_MS_MAX} milliseconds")
    return NEVER_EXPIRES if command.ttl_ms == NO_TTL else read_clock(transaction) + command.ttl_ms


def delete(transaction: Transaction, command: Delete, revision: int) -> Result:
    """Remove the key. Answers the value it had and that value's revision, or the empty string and 0."""
    state_key = state_key_of(command.key)
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    if before is None or stored is None:
        return Result(b"", 0)
    remove_value(transaction, state_key, before)
    return Result(stored.data, stored.revision)


def append(transaction: Transaction, command: Append, revision: int) -> Result:
    """Put the text behind the value, which a missing key has empty; the expiry stays. Answers OK."""
    state_key = state_key_of(command.key)
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    data, expires_ms = (b"", NEVER_EXPIRES) if stored is None else (stored.data, stored.expires_ms)
    # Looked at before they are joined, which costs the sum of both.
    check_value(len(data) + len(command.value))
    put_value(transaction, state_key, before, data + command.value, revision=revision, expires_ms=expires_ms)
    return Result("OK", revision)


def increment_by(transaction: Transaction, command: IncrementBy, revision: int) -> Result:
    """Add to the integer that the value spells, 0 for a missing key; the expiry stays. Answers the sum."""
    state_key = state_key_of(command.key)
    # Of a text that is too long for an integer its beginning tells that.
    before = transaction.head(state_key, HEADER_BYTES + INTEGER_TEXT_BYTES_MAX + 1)
    stored = visible(transaction, before)
    current = 0 if stored is None else parse_integer(stored.data)
    if current is None or not INTEGER_MIN <= command.delta <= INTEGER_MAX:
        raise ReplyError("value is not an integer or out of range")
    total = current + command.delta
    if not INTEGER_MIN <= total <= INTEGER_MAX:
        raise ReplyError("increment or decrement would overflow")
    expires_ms = NEVER_EXPIRES if stored is None else stored.expires_ms
    put_value(transaction, state_key, before, b"%d" % total, revision=revision, expires_ms=expires_ms)
    return Result(total, revision)


def multi_set(transaction: Transaction, command: MultiSet, revision: int) -> Result:
    """Store all values, without expiries; of a key named twice the last. Answers OK."""
    checked: list[tuple[bytes, bytes]] = []
    for key, value in command.pairs:
        check_value(len(value))
        checked.append((state_key_of(key), value))
    for state_key, value in checked:
        before = transaction.head(state_key, HEADER_BYTES)
        put_value(transaction, state_key, before, value, revision=revision)
    return Result("OK", None)


def get_set(transaction: Transaction, command: GetSet, revision: int) -> Result:
    """Store the value, without an expiry. Answers the one before it, the empty string if there was none."""
    state_key = state_key_of(command.key)
    check_value(len(command.value))
    before = transaction.get(state_key)
    stored = visible(transaction, before)
    put_value(transaction, state_key, before, command.value, revision=revision)
    return Result(b"" if stored is None else stored.data, revision)


def compare_and_set(transaction: Transaction, command: CompareAndSet, revision: int) -> Result:
    """Store the value, without an expiry, if the key has that revision; raises `Conflict` otherwise. Answers OK."""
    state_key = state_key_of(command.key)
    check_value(len(command.value))
    before = transaction.head(state_key, HEADER_BYTES)
    stored = visible(transaction, before)
    present = 0 if stored is None else stored.revision
    if present != command.revision:
        raise Conflict(
            f"the revision of {shown_key(command.key)} is {present}, not {command.revision}",
            keys=(command.key,),
            hint="read the key again, and decide anew",
        )
    put_value(transaction, state_key, before, command.value, revision=revision)
    return Result("OK", revision)


READS: dict[type[Command], ReadHandler] = {
    Ping: ping,
    Get: get,
    Strlen: strlen,
    Exists: exists,
    MultiGet: multi_get,
}
"""Handlers that only look: what `read` runs beside the log, and `apply` within it."""

WRITES: dict[type[Command], WriteHandler] = {
    Set: set_,
    Delete: delete,
    Append: append,
    IncrementBy: increment_by,
    MultiSet: multi_set,
    GetSet: get_set,
    CompareAndSet: compare_and_set,
}
"""Handlers that may change the state: only `apply` runs them."""
