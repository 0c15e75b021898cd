"""Keys in their order: all that begin alike, page by page, and how many there are.

What is scanned are heads of values, so that keys alone cost the same however long their values are. A page ends early
when its values are long: fewer than were asked for does not mean that there are no more.
"""

from raftdb.commands.budgets import EXPIRED_COUNTED_MAX, EXPIRED_PASSED_MAX
from raftdb.commands.limits import KEY_BYTES_MAX, KEYS_LISTED_MAX, PAGE_BYTES_MAX, SCAN_LIMIT_MAX
from raftdb.commands.model import Command, DatabaseSize, Keys, Scan
from raftdb.commands.queries import Query, ReadPage, ReadRecord
from raftdb.errors import ReplyError
from raftdb.machine.clock import read_clock
from raftdb.machine.deadlines import EXPIRIES
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KEY_VALUE_PREFIX,
    NEVER_EXPIRES,
    StoredValue,
)
from raftdb.machine.kv import ReadHandler
from raftdb.machine.reply import KeyRecord, Page, Result, Value
from raftdb.machine.transaction import KeyValueView
from raftdb.machine.values import load, value_count, visible

_Head = tuple[bytes, StoredValue]


def keys(view: KeyValueView, command: Keys) -> Result:
    """Answer all keys that begin with the prefix, in order."""
    found, given_up_at = _heads(view, _checked(command.prefix), b"", KEYS_LISTED_MAX + 1)
    if len(found) > KEYS_LISTED_MAX:
        raise ReplyError(f"there are more than {KEYS_LISTED_MAX} such keys", hint="use scan")
    if given_up_at is not None:
        raise _too_many_expired()
    listed: list[Value] = [key for key, _ in found]
    return Result(listed, None)


def scan(view: KeyValueView, command: Scan) -> Result:
    """Answer keys and values in turn: those that begin with the prefix and come after a key."""
    flat: list[Value] = []
    page = _page(view, command.prefix, command.after, command.limit, with_values=True)
    if not page.records and page.next_after is not None:
        # An empty answer would say that there are no more.
        raise _too_many_expired()
    for record in page.records:
        flat += (record.key, record.value)
    return Result(flat, None)


def database_size(view: KeyValueView, command: DatabaseSize) -> Result:
    """Answer how many keys there are."""
    expired = EXPIRIES.due(view, read_clock(view), limit=EXPIRED_COUNTED_MAX)
    return Result(value_count(view) - len(expired), None)


def read_record(view: KeyValueView, query: ReadRecord) -> Result:
    """Answer the `KeyRecord` of the key, None if it is missing."""
    stored = load(view, query.key)
    if stored is None:
        return Result(None, 0)
    return Result(_record(view, query.key, stored, stored.data), stored.revision)


def read_page(view: KeyValueView, query: ReadPage) -> Result:
    """Answer a `Page`."""
    page = _page(view, query.prefix, query.after, query.limit, with_values=query.with_values)
    return Result(page, None)


def _page(view: KeyValueView, prefix: bytes, after: bytes, limit: int, *, with_values: bool) -> Page:
    if not 1 <= limit <= SCAN_LIMIT_MAX:
        raise ReplyError("limit is out of range", hint=f"from 1 to {SCAN_LIMIT_MAX}")
    # One more than asked for tells whether anything follows.
    heads, given_up_at = _heads(view, _checked(prefix), _checked(after), limit + 1)
    records: list[KeyRecord] = []
    page_bytes = 0
    for key, head in heads[:limit]:
        if page_bytes >= PAGE_BYTES_MAX:
            break
        stored = load(view, key) if with_values else None
        data = None if stored is None else stored.data
        page_bytes += 0 if data is None else len(data)
        records.append(_record(view, key, head, data))
    return Page(records, records[-1].key if len(records) < len(heads) else given_up_at)


def _record(view: KeyValueView, key: bytes, stored: StoredValue, data: bytes | None) -> KeyRecord:
    expires_ms = ttl_ms = None
    if stored.expires_ms != NEVER_EXPIRES:
        expires_ms = stored.expires_ms
        ttl_ms = expires_ms - read_clock(view)
    return KeyRecord(key, data, stored.revision, expires_ms, ttl_ms)


def _heads(view: KeyValueView, prefix: bytes, after: bytes, limit: int) -> tuple[list[_Head], bytes | None]:
    """Up to `limit` visible keys with the prefix that come after `after` (empty: from the first), with their heads; and
    the key up to which was looked if that took too long, else None."""
    first = KEY_VALUE_PREFIX + max(prefix, after + b"\0" if after else b"")
    end = _behind(KEY_VALUE_PREFIX + prefix)
    found: list[_Head] = []
    looked_at = 0
    while len(found) < limit:
        if looked_at - len(found) > EXPIRED_PASSED_MAX:
            return found, first[1:-1]
        wanted = limit - len(found)
        pairs = view.scan(first, end, limit=wanted, length=HEADER_BYTES)
        for state_key, record in pairs:
            stored = visible(view, record)
            if stored is not None:
                found.append((state_key[1:], stored))
        if len(pairs) < wanted:
            break
        looked_at += len(pairs)
        first = pairs[-1][0] + b"\0"
    return found, None


def _too_many_expired() -> ReplyError:
    return ReplyError(
        "too many keys have just ended", hint="they are being removed: try again a little later"
    )


def _behind(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`, whose first byte is not 255."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def _checked(text: bytes) -> bytes:
    if len(text) > KEY_BYTES_MAX:
        raise ReplyError("prefix is too long", hint=f"a key has at most {KEY_BYTES_MAX} bytes")
    return text


READS: dict[type[Command], ReadHandler] = {Keys: keys, Scan: scan, DatabaseSize: database_size}
"""Handlers that only look."""

QUERIES: dict[type[Query], ReadHandler] = {ReadRecord: read_record, ReadPage: read_page}
"""Handlers of what is only read beside the log."""
