"""The key-value service: one handler per command. Replies are those of the shell and HTTP (interface, section
4).

Handlers of reads take a view of the state and the command. Handlers of writes take a transaction, the command
and the revision, which is the index of the entry; they check first and write last. Both raise `ReplyError`
where the command fails: the texts are replicated rules and are never changed.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from raftdb.commands.limits import KEY_BYTES_MAX, MIB, VALUE_BYTES_CEILING
from raftdb.commands.model import (
    INTEGER_MAX,
    INTEGER_MIN,
    Append,
    Command,
    Delete,
    Exists,
    Get,
    IncrementBy,
    MultiGet,
    MultiSet,
    Ping,
    Set,
    Strlen,
    parse_integer,
)
from raftdb.errors import ReplyError
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    StoredValue,
    decode_value,
    encode_string,
)
from raftdb.machine.reply import Result
from raftdb.machine.transaction import KeyValueView, Transaction

VALUE_BYTES_LIMIT_AT_APPLY = VALUE_BYTES_CEILING
"""Longest value, on every node and whatever its configuration: what `append` builds was not seen by any
frontend."""

REPLY_BYTES_LIMIT = 16 * MIB
"""Most bytes of values in one reply: `mget` of many large values is an error and not an exhausted memory."""

ReadHandler: TypeAlias = Callable[[KeyValueView, Any], Result]
WriteHandler: TypeAlias = Callable[[Transaction, Any, int], Result]


def _state_key(key: bytes) -> bytes:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise ReplyError("key is empty or too long", hint=f"a key has from 1 to {KEY_BYTES_MAX} bytes")
    return KEY_VALUE_PREFIX + key


def _check_value(value_bytes: int) -> None:
    if value_bytes > VALUE_BYTES_LIMIT_AT_APPLY:
        raise ReplyError("value is too long", hint=f"the limit is {VALUE_BYTES_LIMIT_AT_APPLY} bytes")


def _load(view: KeyValueView, state_key: bytes) -> StoredValue | None:
    record = view.get(state_key)
    return None if record is None else decode_value(record)


def ping(view: KeyValueView, command: Ping) -> Result:
    """Answer PONG."""
    return Result("PONG", None)


def get(view: KeyValueView, command: Get) -> Result:
    """Answer the value and its revision; of a missing key the empty string and revision 0."""
    stored = _load(view, _state_key(command.key))
    return Result(b"", 0) if stored is None else Result(stored.data, stored.revision)


def strlen(view: KeyValueView, command: Strlen) -> Result:
    """Answer the length of the value in bytes, 0 for a missing key."""
    stored = _load(view, _state_key(command.key))
    return Result(0, 0) if stored is None else Result(len(stored.data), stored.revision)


def exists(view: KeyValueView, command: Exists) -> Result:
    """Answer how many of the keys exist, each as often as it is named."""
    state_keys = [_state_key(key) for key in command.keys]
    return Result(sum(view.get(state_key) is not None for state_key in state_keys), None)


def multi_get(view: KeyValueView, command: MultiGet) -> Result:
    """Answer the values in the order of the keys, None for a missing one."""
    values: list[bytes | None] = []
    reply_bytes = 0
    for state_key in [_state_key(key) for key in command.keys]:
        stored = _load(view, state_key)
        values.append(None if stored is None else stored.data)
        reply_bytes += 0 if stored is None else len(stored.data)
        if reply_bytes > REPLY_BYTES_LIMIT:
            raise ReplyError(
                "reply is too long", hint=f"the limit is {REPLY_BYTES_LIMIT} bytes: ask for fewer keys"
            )
    return Result(values, None)


def set_(transaction: Transaction, command: Set, revision: int) -> Result:
    """Store the value, without an expiry. Answers OK."""
    state_key = _state_key(command.key)
    _check_value(len(command.value))
    transaction.put(state_key, encode_string(command.value, revision=revision))
    return Result("OK", revision)


def delete(transaction: Transaction, command: Delete, revision: int) -> Result:
    """Remove the key. Answers the value it had and that value's revision, or the empty string and 0."""
    state_key = _state_key(command.key)
    stored = _load(transaction, state_key)
    if stored is None:
        return Result(b"", 0)
    transaction.delete(state_key)
    return Result(stored.data, stored.revision)


def append(transaction: Transaction, command: Append, revision: int) -> Result:
    """Put the text behind the value, which a missing key has empty; the expiry stays. Answers OK."""
    state_key = _state_key(command.key)
    record = transaction.get(state_key)
    if record is None:
        data, expires_ms = command.value, NEVER_EXPIRES
        _check_value(len(data))
    else:
        # Looked at before they are joined, which costs the sum of both.
        _check_value(len(record) - HEADER_BYTES + len(command.value))
        stored = decode_value(record)
        data, expires_ms = stored.data + command.value, stored.expires_ms
    transaction.put(state_key, encode_string(data, revision=revision, expires_ms=expires_ms))
    return Result("OK", revision)


def increment_by(transaction: Transaction, command: IncrementBy, revision: int) -> Result:
    """Add to the integer that the value spells, 0 for a missing key; the expiry stays. Answers the sum."""
    state_key = _state_key(command.key)
    stored = _load(transaction, state_key)
    current = 0 if stored is None else parse_integer(stored.data)
    if current is None or not INTEGER_MIN <= command.delta <= INTEGER_MAX:
        raise ReplyError("value is not an integer or out of range")
    total = current + command.delta
    if not INTEGER_MIN <= total <= INTEGER_MAX:
        raise ReplyError("increment or decrement would overflow")
    expires_ms = NEVER_EXPIRES if stored is None else stored.expires_ms
    transaction.put(state_key, encode_string(b"%d" % total, revision=revision, expires_ms=expires_ms))
    return Result(total, revision)


def multi_set(transaction: Transaction, command: MultiSet, revision: int) -> Result:
    """Store all values, without expiries; of a key named twice the last. Answers OK."""
    checked: list[tuple[bytes, bytes]] = []
    for key, value in command.pairs:
        _check_value(len(value))
        checked.append((_state_key(key), value))
    for state_key, value in checked:
        transaction.put(state_key, encode_string(value, revision=revision))
    return Result("OK", None)


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
}
"""Handlers that may change the state: only `apply` runs them."""
