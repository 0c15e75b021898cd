"""Keys in their order: all with a common beginning, page by page; and the number of keys.

A scan reads heads of values, so that keys without values cost the same however long the values are. A page ends early
when its values are long: a page with fewer keys than were asked for need not be the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.budgets import EXPIRED_PASSED_MAX
from raftdb.errors import ReplyError, RequestRefused, required
from raftdb.limits import (
    KEY_BYTES_MAX,
    KEYS_LISTED_MAX,
    PAGE_BYTES_MAX,
    SCAN_LIMIT_DEFAULT,
    SCAN_LIMIT_MAX,
)
from raftdb.machine.arguments import integer, prefix_of
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import (
    HEADER_BYTES,
    KIND_STRING,
    NEVER_EXPIRES,
    StoredValue,
    decode_value,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.service import (
    ALL_ARGUMENTS,
    NO_ARGUMENTS,
    Arity,
    Command,
    CommandSpec,
    CommandType,
    Example,
    Query,
    ReplyKind,
    Service,
)
from raftdb.machine.values import (
    expired_count,
    load,
    remove_value,
    state_key_of,
    value_count,
    values_prefix,
    visible,
)

_Head = tuple[bytes, StoredValue]

DELETED_MAX = 1_000
"""Most keys that one `delprefix` removes: some 6 ms of them. It is a replicated rule."""


@dataclass(frozen=True, slots=True)
class Keys(Command):
    """Read all keys that begin with `prefix`, in order; an error if they are more than `KEYS_LISTED_MAX`."""

    prefix: bytes


def keys(view: KeyValueView, command: Keys) -> Result:
    """Answer all keys that begin with the prefix, in order."""
    found, given_up_at = _heads(view, _checked(command.prefix), b"", KEYS_LISTED_MAX + 1)
    if len(found) > KEYS_LISTED_MAX:
        raise ReplyError(f"there are more than {KEYS_LISTED_MAX} such keys", hint="use scan")
    if given_up_at is not None:
        raise _too_many_expired()
    return Result([key for key, _ in found], None)


@dataclass(frozen=True, slots=True)
class Scan(Command):
    """Read up to `limit` keys that begin with `prefix` and come after `after`, with their values, in order."""

    prefix: bytes
    after: bytes
    limit: int


def scan(view: KeyValueView, command: Scan) -> Result:
    """Answer keys and values in turn: those that begin with the prefix and come after a key."""
    flat: list[bytes | None] = []
    page = _page(view, command.prefix, command.after, command.limit, with_values=True)
    if not page.records and page.next_after is not None:
        # An empty answer would say that there are no more.
        raise _too_many_expired()
    for record in page.records:
        flat += (record.key, record.value)
    return Result(flat, None)


@dataclass(frozen=True, slots=True)
class DeletePrefix(Command):
    """Remove the first `DELETED_MAX` keys that begin with `prefix`, or all of them if they are no more."""

    prefix: bytes


def delete_prefix(layer: Layer, command: DeletePrefix, revision: int) -> Result:
    """Remove keys with the prefix, in order. Answers how many; with fewer than `DELETED_MAX` none is left."""
    found, given_up_at = _heads(layer, _checked(command.prefix), b"", DELETED_MAX)
    if not found and given_up_at is not None:
        # 0 would say that there are no more.
        raise _too_many_expired()
    for key, _ in found:
        state_key = state_key_of(layer, key)
        record = layer.head(state_key, HEADER_BYTES)
        remove_value(layer, state_key, required(record, "value that was found"))
    return Result(len(found), None)


@dataclass(frozen=True, slots=True)
class DatabaseSize(Command):
    """Count all keys."""


def database_size(view: KeyValueView, command: DatabaseSize) -> Result:
    """Answer how many keys there are."""
    return Result(value_count(view) - expired_count(view), None)


@dataclass(frozen=True, slots=True)
class ReadRecord(Query):
    """Read all that is known of `key`."""

    key: bytes


def read_record(view: KeyValueView, query: ReadRecord) -> Result:
    """Answer the `KeyRecord` of the key, None if it is missing."""
    stored = load(view, query.key)
    if stored is None:
        return Result(None, 0)
    return Result(_record(view, query.key, stored, _shown_data(stored)), stored.revision)


@dataclass(frozen=True, slots=True)
class ReadPage(Query):
    """Read up to `limit` keys that begin with `prefix` and come after `after`, in order, with all that is known of
    them; without their values unless `with_values`."""

    prefix: bytes
    after: bytes
    limit: int
    with_values: bool = True


def read_page(view: KeyValueView, query: ReadPage) -> Result:
    """Answer a `Page`."""
    page = _page(view, query.prefix, query.after, query.limit, with_values=query.with_values)
    return Result(page, None)


@dataclass(frozen=True, slots=True)
class ReadStored(Query):
    """Read up to `limit` keys as `ReadPage` does, those included whose time is up and which no sweep has removed: what
    the history of a node leads to."""

    prefix: bytes
    after: bytes
    limit: int


def read_stored(view: KeyValueView, query: ReadStored) -> Result:
    """Answer a `Page`."""
    if not 1 <= query.limit <= SCAN_LIMIT_MAX:
        raise ReplyError("limit is out of range", hint=f"from 1 to {SCAN_LIMIT_MAX}")
    prefix, after, front = _checked(query.prefix), _checked(query.after), values_prefix(view)
    first = front + max(prefix, after + b"\0" if after else b"")
    found = view.scan(first, behind(front + prefix), limit=query.limit + 1, length=HEADER_BYTES)
    records: list[KeyRecord] = []
    page_bytes = 0
    for state_key, _ in found[: query.limit]:
        if page_bytes >= PAGE_BYTES_MAX:
            break
        stored = decode_value(required(view.get(state_key), "value that was found"))
        data = _shown_data(stored)
        page_bytes += 0 if data is None else len(data)
        records.append(_record(view, state_key[len(front) :], stored, data))
    return Result(Page(records, records[-1].key if len(records) < len(found) else None), None)


def _page(view: KeyValueView, prefix: bytes, after: bytes, limit: int, *, with_values: bool) -> Page:
    if not 1 <= limit <= SCAN_LIMIT_MAX:
        raise ReplyError("limit is out of range", hint=f"from 1 to {SCAN_LIMIT_MAX}")
    # One more key than was asked for shows whether any follow.
    heads, given_up_at = _heads(view, _checked(prefix), _checked(after), limit + 1)
    records: list[KeyRecord] = []
    page_bytes = 0
    for key, head in heads[:limit]:
        if page_bytes >= PAGE_BYTES_MAX:
            break
        stored = load(view, key) if with_values else None
        data = None if stored is None else _shown_data(stored)
        page_bytes += 0 if data is None else len(data)
        records.append(_record(view, key, head, data))
    return Page(records, records[-1].key if len(records) < len(heads) else given_up_at)


def _shown_data(stored: StoredValue) -> bytes | None:
    """The string that a value is; None for one of another kind."""
    return stored.data if stored.kind == KIND_STRING else None


def _record(view: KeyValueView, key: bytes, stored: StoredValue, data: bytes | None) -> KeyRecord:
    expires_ms = ttl_ms = None
    if stored.expires_ms != NEVER_EXPIRES:
        expires_ms = stored.expires_ms
        ttl_ms = expires_ms - read_clock(view)
    return KeyRecord(key, data, stored.revision, expires_ms, ttl_ms)


def _heads(view: KeyValueView, prefix: bytes, after: bytes, limit: int) -> tuple[list[_Head], bytes | None]:
    """Up to `limit` visible keys with the prefix that come after `after` (empty: from the first), with their heads; and
    the last key looked at if the scan was cut off because it took too long, otherwise None."""
    front = values_prefix(view)
    first = front + max(prefix, after + b"\0" if after else b"")
    end = behind(front + prefix)
    found: list[_Head] = []
    looked_at = 0
    while len(found) < limit:
        if looked_at - len(found) > EXPIRED_PASSED_MAX:
            return found, first[len(front) : -1]
        wanted = limit - len(found)
        pairs = view.scan(first, end, limit=wanted, length=HEADER_BYTES)
        for state_key, record in pairs:
            stored = visible(view, record)
            if stored is not None:
                found.append((state_key[len(front) :], stored))
        if len(pairs) < wanted:
            break
        looked_at += len(pairs)
        first = pairs[-1][0] + b"\0"
    return found, None


def _too_many_expired() -> ReplyError:
    return ReplyError(
        "too many keys have just ended", hint="they are being removed: try again a little later"
    )


def behind(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, whose first byte is not 255."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def page_behind(
    view: KeyValueView, prefix: bytes, after: bytes | None, limit: int, *, length: int | None = None
) -> list[tuple[bytes, bytes]]:
    """Up to `limit` names under a prefix that come after `after` (None: from the first), in order, each with its record
    or the first `length` bytes of that. Fewer than `limit` are the last."""
    first = prefix if after is None else prefix + after + b"\0"
    pairs = view.scan(first, behind(prefix), limit=limit, length=length)
    return [(key[len(prefix) :], record) for key, record in pairs]


def _checked(text: bytes) -> bytes:
    if len(text) > KEY_BYTES_MAX:
        raise ReplyError("prefix is too long", hint=f"a key has at most {KEY_BYTES_MAX} bytes")
    return text


def _build_scan(arguments: Sequence[bytes]) -> Command:
    """`scan [PREFIX [AFTER [LIMIT]]]`."""
    prefix, after, limit_text = (*arguments, *(b"", b"", b"%d" % SCAN_LIMIT_DEFAULT)[len(arguments) :])
    limit = integer(limit_text, hint=f"from 1 to {SCAN_LIMIT_MAX}")
    if not 1 <= limit <= SCAN_LIMIT_MAX:
        raise RequestRefused("bad_request", f"the limit of a scan is from 1 to {SCAN_LIMIT_MAX}, not {limit}")
    return Scan(prefix_of(prefix), prefix_of(after), limit)


SCANNING = Service(
    heading="scanning",
    queries={ReadRecord: read_record, ReadPage: read_page, ReadStored: read_stored},
    commands=(
        CommandType(
            type=Keys,
            number=16,
            read=keys,
            names=(
                CommandSpec(
                    name="keys",
                    syntax="keys PREFIX",
                    summary='All keys that begin like this, in order; "" for all keys.'
                    " Refused for more than 10,000 of them.",
                    examples=(
                        Example("mset user:1 a user:2 b other c", "OK"),
                        Example("keys user:", '1) "user:1"\n2) "user:2"'),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.ARRAY,
                    build=lambda given: Keys(prefix_of(given[0])),
                    keys=NO_ARGUMENTS,
                    values=ALL_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=Scan,
            number=17,
            read=scan,
            names=(
                CommandSpec(
                    name="scan",
                    syntax="scan [PREFIX [AFTER [LIMIT]]]",
                    summary="Keys and values in order, those after a key, at most 100 by default;"
                    " an empty answer means that there are no more.",
                    examples=(
                        Example("mset a 1 b 2 c 3", "OK"),
                        Example('scan "" a 1', '1) "b"\n2) "2"'),
                    ),
                    arity=Arity(0, 3),
                    reply=ReplyKind.ARRAY,
                    build=_build_scan,
                    keys=NO_ARGUMENTS,
                    values=ALL_ARGUMENTS,
                ),
            ),
        ),
        CommandType(
            type=DeletePrefix,
            number=60,
            write=delete_prefix,
            names=(
                CommandSpec(
                    name="delprefix",
                    syntax="delprefix PREFIX",
                    summary="Delete the keys that begin like this, up to 1,000 of them in order: how many there were;"
                    " while it is 1,000 there may be more.",
                    examples=(
                        Example("mset user:1 a user:2 b other c", "OK"),
                        Example("delprefix user:", "2"),
                        Example("delprefix user:", "0"),
                    ),
                    arity=Arity(1, 1),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: DeletePrefix(prefix_of(given[0])),
                    keys=NO_ARGUMENTS,
                    values=ALL_ARGUMENTS,
                    dangerous=True,
                ),
            ),
        ),
        CommandType(
            type=DatabaseSize,
            number=18,
            read=database_size,
            names=(
                CommandSpec(
                    name="dbsize",
                    syntax="dbsize",
                    summary="How many keys there are.",
                    examples=(Example("mset a 1 b 2", "OK"), Example("dbsize", "2")),
                    arity=Arity(0, 0),
                    reply=ReplyKind.INTEGER,
                    build=lambda given: DatabaseSize(),
                    keys=NO_ARGUMENTS,
                    values=NO_ARGUMENTS,
                ),
            ),
        ),
    ),
)
