"""Values as they stand in the key space: found, written and removed, with their number and their index of expiries.

Every service that keeps values changes them through `put_value`, `change_value` and `remove_value`. They keep exact how
many values there are, when they expire, and what is bound to sessions (`raftdb.machine.bound_keys`), and are told what
was there before, as the whole record or as its head. All that they and `remove_all_values` do is noted in the layer
(`raftdb.machine.layer.Written`), for the history that a node keeps; nothing else changes a value that is there.

A value whose time is up stays until a sweep removes it (`raftdb.machine.sweeper`), but for every command it is missing.

All values there are have the same generation, a number in front of their keys, and the next one begins empty: so
removing all values takes one change. Those of earlier generations are removed step by step (`raftdb.machine.sweeping`);
until then they may be met in the index of expiries, and nowhere else.
"""

from raftdb.budgets import EXPIRED_COUNTED_MAX
from raftdb.errors import ReplyError, required
from raftdb.limits import KEY_BYTES_MAX, VALUE_BYTES_CEILING
from raftdb.machine import bound_keys
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.keyspace import (
    EXPIRY_PREFIX,
    EXPIRY_SWEPT_KEY,
    GENERATION_KEY,
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    KIND_STRING,
    KINDS,
    NEVER_EXPIRES,
    VALUE_COUNT_KEY,
    StoredValue,
    decode_header,
    decode_value,
    encode_again,
    encode_string,
    is_bound,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.removals import note_removal, removed_revision
from raftdb.machine.sweeping import abandon

EXPIRIES = DeadlineIndex(EXPIRY_PREFIX, EXPIRY_SWEPT_KEY)
"""The values that expire, by their keys."""

VALUE_BYTES_LIMIT_AT_APPLY = VALUE_BYTES_CEILING
"""Longest value, on every node and whatever its configuration: no frontend has checked a value that `append` builds."""


def state_key_of(view: KeyValueView, key: bytes) -> bytes:
    """Return where the value of `key` stands now; raises `ReplyError` for a key that cannot be one."""
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise ReplyError("key is empty or too long", hint=f"a key has from 1 to {KEY_BYTES_MAX} bytes")
    return values_prefix(view) + key


def values_prefix(view: KeyValueView) -> bytes:
    """Return what stands in front of the keys of all values that there are."""
    if not isinstance(view, Layer):
        return _prefix_of(_generation(view.get(GENERATION_KEY)))
    prefix = view.values_prefix
    if prefix is None:
        prefix = view.values_prefix = _prefix_of(_generation(view.peek(GENERATION_KEY)))
    return prefix


def _generation(record: bytes | None) -> int:
    return read_number(None if record is None else record[:8])


def _prefix_of(generation: int) -> bytes:
    """The number of a generation in as few bytes as it has, and how many these are, so that they are in order."""
    length = (generation.bit_length() + 7) // 8
    return KEY_VALUE_PREFIX + bytes((length,)) + generation.to_bytes(length)


def remove_all_values(layer: Layer) -> None:
    """Let all values be gone. If there are none, nothing changes."""
    if not value_count(layer):
        return
    first = values_prefix(layer)
    generation = _generation(layer.get(GENERATION_KEY)) + 1
    layer.put(GENERATION_KEY, pack_number(generation) + _created(layer))
    layer.values_prefix = _prefix_of(generation)
    layer.put(VALUE_COUNT_KEY, pack_number(0) + _created(layer))
    abandon(layer, KEY_VALUE_PREFIX, first, layer.values_prefix)
    layer.written.append((first, True, None, layer.session))


def forget_value(layer: Layer, state_key: bytes, head: bytes) -> None:
    """Remove what is kept beside a value of an earlier generation."""
    expires_ms = decode_header(head)[2]
    if expires_ms != NEVER_EXPIRES:
        EXPIRIES.lift(layer, expires_ms, state_key[1:])
    if is_bound(head):
        bound_keys.unbind(layer, state_key[1:])


def expired_count(view: KeyValueView) -> int:
    """Return how many values are there whose time is up, as far as they are among the first `EXPIRED_COUNTED_MAX` of
    all generations."""
    generation = values_prefix(view)[1:]
    due = EXPIRIES.due(view, read_clock(view), limit=EXPIRED_COUNTED_MAX)
    return sum(name.startswith(generation) for _, name in due)


def check_value(value_bytes: int) -> None:
    """Raise `ReplyError` for a value that is too long."""
    if value_bytes > VALUE_BYTES_LIMIT_AT_APPLY:
        raise ReplyError("value is too long", hint=f"the limit is {VALUE_BYTES_LIMIT_AT_APPLY} bytes")


def visible(view: KeyValueView, record: bytes | None) -> StoredValue | None:
    """Return the value that `record`, whole or its head, holds; None if there is none, or its time is up."""
    if record is None:
        return None
    stored = decode_value(record)
    if stored.expires_ms != NEVER_EXPIRES and stored.expires_ms < read_clock(view):
        return None
    return stored


def load(view: KeyValueView, key: bytes) -> StoredValue | None:
    """Return the value of `key`, None if it has none. Raises `ReplyError` for a key that cannot be one."""
    return visible(view, view.get(state_key_of(view, key)))


def load_head(view: KeyValueView, key: bytes) -> StoredValue | None:
    """Return the value of `key` without its data, None if it has none. Raises as `load` does."""
    return visible(view, view.head(state_key_of(view, key), HEADER_BYTES))


def string_of(stored: StoredValue) -> bytes:
    """Return the byte string that the value is; raises `ReplyError` (`wrong_type`) if it is something else."""
    if stored.kind != KIND_STRING:
        raise ReplyError(
            f"the key holds a {KINDS[stored.kind]}, not a string",
            hint="use the commands of that kind, or delete the key",
            code="wrong_type",
        )
    return stored.data


def put_value(
    layer: Layer,
    state_key: bytes,
    before: bytes | None,
    data: bytes,
    *,
    revision: int,
    expires_ms: int = NEVER_EXPIRES,
    session: int = 0,
) -> None:
    """Store the string `data` in place of the record `before`, None if there is none. It is bound to a `session`, named
    by its registration, or to none (0), whatever was before."""
    _replace(layer, state_key, before, expires_ms, revision, session)
    record = encode_string(data, revision=revision, expires_ms=expires_ms, is_bound=session != 0)
    _put(layer, state_key, record, was_there=before is not None)


def change_value(
    layer: Layer,
    state_key: bytes,
    before: bytes | None,
    present: StoredValue | None,
    data: bytes,
    *,
    revision: int,
) -> None:
    """Let the value in the record `before`, which is `present` now, be the string `data`. When it ends, and the session
    to which it is bound, stay; if it is not present it is made, and has neither."""
    if before is None or present is None:
        put_value(layer, state_key, before, data, revision=revision)
        return
    record = encode_string(data, revision=revision, expires_ms=present.expires_ms, is_bound=is_bound(before))
    _put(layer, state_key, record, was_there=True)


def expire_value(layer: Layer, state_key: bytes, before: bytes, *, revision: int, expires_ms: int) -> None:
    """Let the value that is whole in the record `before`, of whatever kind, end at another time."""
    _set_expiry(layer, state_key, decode_header(before)[2], expires_ms)
    record = encode_again(before, revision=revision, expires_ms=expires_ms, is_bound=is_bound(before))
    _put(layer, state_key, record, was_there=True)


def move_value(
    layer: Layer,
    state_key: bytes,
    before: bytes | None,
    record: bytes,
    *,
    revision: int,
    session: int = 0,
) -> None:
    """Store the value of another key that is whole in `record`, of whatever kind, in place of the record `before`; it
    is bound as `put_value` says."""
    expires_ms = decode_header(record)[2]
    _replace(layer, state_key, before, expires_ms, revision, session)
    again = encode_again(record, revision=revision, expires_ms=expires_ms, is_bound=session != 0)
    _put(layer, state_key, again, was_there=before is not None)


def _put(layer: Layer, state_key: bytes, record: bytes, *, was_there: bool) -> None:
    layer.put(state_key, record)
    layer.written.append((state_key, was_there, record, layer.session))


def _replace(
    layer: Layer, state_key: bytes, before: bytes | None, expires_ms: int, revision: int, session: int
) -> None:
    """Update what is kept beside values for one that replaces `before`: their number, the index of expiries, and what
    is bound to sessions."""
    if before is None:
        expires_before_ms = NEVER_EXPIRES
        _count(layer, 1, created_at=revision)
    else:
        expires_before_ms = decode_header(before)[2]
        if is_bound(before):
            bound_keys.unbind(layer, state_key[1:])
    if session:
        bound_keys.bind(layer, state_key[1:], session)
    _set_expiry(layer, state_key, expires_before_ms, expires_ms)


def _set_expiry(layer: Layer, state_key: bytes, expires_before_ms: int, expires_ms: int) -> None:
    if expires_ms != expires_before_ms:
        if expires_before_ms != NEVER_EXPIRES:
            EXPIRIES.lift(layer, expires_before_ms, state_key[1:])
        if expires_ms != NEVER_EXPIRES:
            EXPIRIES.set(layer, expires_ms, state_key[1:])


def remove_value(layer: Layer, state_key: bytes, before: bytes) -> None:
    """Remove the record `before`."""
    _, revision, expires_before_ms = decode_header(before)
    note_removal(layer, state_key[len(values_prefix(layer)) :], revision)
    if expires_before_ms != NEVER_EXPIRES:
        EXPIRIES.lift(layer, expires_before_ms, state_key[1:])
    if is_bound(before):
        bound_keys.unbind(layer, state_key[1:])
    layer.delete(state_key)
    layer.written.append((state_key, True, None, layer.session))
    _count(layer, -1)


def bound_session(view: KeyValueView, state_key: bytes, record: bytes | None) -> int:
    """Return the session to which the value in `record`, whole or its head, is bound; 0 if it is bound to none."""
    return bound_keys.session_of(view, state_key[1:]) if record is not None and is_bound(record) else 0


def bound_value_count(view: KeyValueView, session: int) -> int:
    """Return how many values are bound to a session."""
    return bound_keys.bound_count(view, session, values_prefix(view)[1:])


def remove_bound_values(layer: Layer, session: int) -> int:
    """Remove all values that are bound to a session, which are at most `SESSION_KEYS_MAX`; returns how many."""
    names = bound_keys.bound_names(layer, session, values_prefix(layer)[1:])
    for name in names:
        state_key = KEY_VALUE_PREFIX + name
        remove_value(layer, state_key, required(layer.head(state_key, HEADER_BYTES), "bound value"))
    return len(names)


def key_of(state_key: bytes) -> bytes:
    """Return the key whose value stands there; empty for the front of all values of a generation."""
    return state_key[2 + state_key[1] :]


def has_changed(view: KeyValueView, key: bytes, revision: int, seen_at: int) -> bool:
    """Return whether a key may have changed since it had `revision` in the state of the entry at `seen_at`. Revision 0
    is that of a missing key; if `seen_at` is 0, only whether the key is missing now counts. Raises as `load` does."""
    record = view.head(state_key_of(view, key), HEADER_BYTES)
    stored = visible(view, record)
    if stored is not None or revision:
        return stored is None or stored.revision != revision
    if not seen_at:
        return False
    flush = view.get(GENERATION_KEY)
    last = max(removed_revision(view, key), 0 if flush is None else read_number(flush[8:]))
    return seen_at < (last if record is None else max(last, decode_header(record)[1]))


def value_count(view: KeyValueView) -> int:
    """Return how many values are there, including those whose time is up."""
    record = view.get(VALUE_COUNT_KEY)
    return read_number(None if record is None else record[:8])


def _created(view: KeyValueView) -> bytes:
    """The highest revision that a value had when it was made where there was none, as it is stored."""
    record = view.get(VALUE_COUNT_KEY)
    return pack_number(0) if record is None else record[8:]


def _count(layer: Layer, change: int, *, created_at: int = 0) -> None:
    created = pack_number(created_at) if created_at else _created(layer)
    layer.put(VALUE_COUNT_KEY, pack_number(value_count(layer) + change) + created)
