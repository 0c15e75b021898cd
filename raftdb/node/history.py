"""What this node has applied lately: each change of a value, with the value before it and after it.

It serves those who follow changes (`raftdb.node.watches`), and those who ask how a key was some time ago. It is in
memory only, and bounded: the oldest changes make room for new ones, and go when they are older than a setting allows.
It has every change of every entry above `begin`,
whatever made it: commands, transactions, the sweeper, the end of a session. After a restart it begins at the
checkpoint, from which on the log is applied again, and after a snapshot was put in place it begins anew at its end. So
where it begins differs from node to node; from there on all have the same.

The machine notes which values an entry changes (`raftdb.machine.layer.Written`), and the value before is found here: it
is that of the change before in the same slice, or stands in the state, which gets the changes of a slice at its end. So
a command that looks at the head of a value only, as `set` does, costs no more for the machine.

Three things are decided here:

* A value whose time is up is gone for every command before the sweeper removes it. In the history it ends in the entry
  that removes it, or that writes a new value in its place: then it ends first, as `Kind.EXPIRE`.
* `flushall` removes any number of values in one change. If they are few they are listed, as deletions in the order of
  their keys; so is all else that an entry does.
* An entry whose changes are more than `ENTRY_CHANGES_MAX`, or more than `ENTRY_BYTES_MAX` with the values before, is
  not kept, because to read them would hold up the loop: the history begins anew after it. Whoever follows changes gets
  the present state then, as if it had been away for too long.

Measured: 0.9 us for a `set` that replaces a value in memory, 3 us more if that value is on the disk. With values of 64
bytes 64 MiB are 150,000 changes: eleven minutes of 230 a second.
"""

from bisect import bisect_right
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from raftdb.core.model import Index
from raftdb.errors import Compacted
from raftdb.limits import MIB
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import HEADER_BYTES, NEVER_EXPIRES, StoredValue, decode_header, decode_value
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.scanning import behind
from raftdb.machine.values import key_of

HISTORY_BYTES_MAX = 64 * MIB
"""The memory that the history may take, unless the setting `history_bytes_max` gives another limit."""
HISTORY_SECONDS_MAX = 86_400
"""For how long the history keeps a change for which it has room, unless the setting `history_seconds_max` says
otherwise."""
CHANGE_BYTES = 136
"""What a change takes in memory beside its key and its two values: the objects that it is made of. Measured, for an
entry with one change: 259 bytes for both."""
ENTRY_BYTES = 128
"""What an entry takes beside its changes."""
ENTRY_CHANGES_MAX = 10_000
"""Most changes of one entry that are kept."""
ALL_LISTED_MAX = 1_000
"""Most values that are listed as deleted when all are gone at once; to look them up takes 3 ms."""
ENTRY_BYTES_MAX = 16 * MIB
"""Most bytes of one entry that are kept; 5 ms to copy."""
RELEASED_TOGETHER = 4_096
"""Places of entries that are gone which are given back at a time."""

_NO_EXPIRY = NEVER_EXPIRES.to_bytes(8)
_EXPIRY = slice(HEADER_BYTES - 8, HEADER_BYTES)


class Kind(IntEnum):
    """What a change is. Renaming a key is a deletion and a put, and a new expiry puts the value again."""

    PUT = 0
    DELETE = 1
    EXPIRE = 2
    """The value's time was up."""


Change: TypeAlias = tuple[bytes, int, bytes | None, bytes | None]
"""Where a value stands, the number of its `Kind`, and its records before and after (None: there was none); see
`value_of`."""


class Entry(NamedTuple):
    """The changes of one entry of the log, in their order; at least one. The time is that of the cluster clock, and the
    session is the name of the client's session in which the entry was proposed, if it was in one."""

    revision: Index
    clock_ms: int
    session: bytes | None
    changes: tuple[Change, ...]


_Kept: TypeAlias = tuple[Any, ...]
"""The parts of an `Entry`: revision, time, session, the bytes that it takes, and then the four parts of each change. A
flat tuple of numbers and bytes is left out by the next garbage collection. Members of an enumeration would keep it in,
and tuples in tuples for longer: a full collection would look through the whole history."""
_GONE: _Kept = (0, 0, None, 0)
_FIRST_CHANGE = len(_GONE)
_CHANGE_PARTS = 4
_PUT, _DELETE, _EXPIRE = map(int, Kind)


class Reach(NamedTuple):
    """How far the history goes back: all changes after the entry at `begin` are in it, which was applied at `clock_ms`
    of the cluster clock; and what it holds."""

    begin: Index
    clock_ms: int
    entries: int
    bytes: int


def key_of_change(change: Change) -> bytes:
    """Return the key that a change is of."""
    return key_of(change[0])


def value_of(record: bytes | None) -> StoredValue | None:
    """Return the value in a record of a change."""
    return None if record is None else decode_value(record)


class History:
    """See the module. It is filled entry by entry, while a slice is applied (`raftdb.node.execution`)."""

    def __init__(self, *, bytes_max: int = HISTORY_BYTES_MAX, seconds_max: int = HISTORY_SECONDS_MAX) -> None:
        self.begin: Index = 0
        """All changes after this entry are here."""
        self.applied: Index = 0
        """The last entry that was applied, whether it has changed a value or not."""
        self._bytes_max = bytes_max
        self._milliseconds_max = seconds_max * 1000
        self._bytes = 0
        self._begin_clock_ms = 0
        self._entries: list[_Kept] = []
        """The entries in their order; in the places before `_first` they are gone."""
        self._first = 0
        self._sliced: dict[bytes, bytes | None] = {}
        """The values that the slice which is being applied has changed so far."""
        self.on_change: Callable[[], None] | None = None
        """Is called when there may be something new. It must be quick, not raise, and look at nothing yet."""

    @property
    def reach(self) -> Reach:
        """How far it goes back, and what it holds."""
        return Reach(self.begin, self._begin_clock_ms, len(self._entries) - self._first, self._bytes)

    def restart(self, applied: Index, view: KeyValueView) -> None:
        """Begin anew with the state of the entry at `applied`, which is `view`."""
        self._entries, self._first, self._bytes = [], 0, 0
        self._sliced = {}
        self.begin = self.applied = applied
        self._begin_clock_ms = read_clock(view)
        self._tell()

    def take(self, index: Index, layer: Layer, state: KeyValueView) -> None:
        """Keep what the entry at `index` has noted in `layer`, which lies over `state`."""
        written, layer.written = layer.written, []
        parts: list[bytes | int | None] = []
        size_bytes = ENTRY_BYTES
        sliced = self._sliced
        # This runs for every write, so what most of them need stands here.
        for state_key, was_there, after, _ in written:
            if after is None and not key_of(state_key):
                size_bytes += _take_all(state_key, layer, parts)
            else:
                before = None
                if was_there:
                    before = sliced[state_key] if state_key in sliced else state.get(state_key)
                sliced[state_key] = after
                if after is None or (before is not None and before[_EXPIRY] != _NO_EXPIRY):
                    size_bytes += _take_end(parts, layer, state_key, before, after)
                else:
                    parts += (state_key, _PUT, before, after)
                    size_bytes += CHANGE_BYTES + len(state_key) + len(after)
                    if before is not None:
                        size_bytes += len(before)
            if size_bytes > ENTRY_BYTES_MAX or len(parts) > _CHANGE_PARTS * ENTRY_CHANGES_MAX:
                self._forget_until(index, layer)
                return
        if parts:
            self._entries.append((index, layer.clock_at_least_ms, written[0][3], size_bytes, *parts))
            self._bytes += size_bytes
            # The time is that of the cluster's clock, which stands in entries: a jump of this machine's clock, or a log
            # that is applied again, takes nothing away.
            oldest_ms = layer.clock_at_least_ms - self._milliseconds_max
            while self._bytes > self._bytes_max or (
                self._bytes and self._entries[self._first][1] < oldest_ms
            ):
                self._let_go()

    def sliced(self, applied: Index) -> None:
        """The state has the changes of a slice, which ends there."""
        self.applied = applied
        if self._sliced:
            self._sliced = {}
            self._tell()

    def after(self, revision: Index, *, limit: int) -> list[Entry]:
        """The entries above `revision`, in order, up to `limit`; it may be above all that was applied. Raises
        `Compacted`."""
        if revision < self.begin:
            raise Compacted(self.begin)
        place = bisect_right(self._entries, revision, lo=self._first, key=_revision)
        return [_entry_of(kept) for kept in self._entries[place : place + limit]]

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _forget_until(self, index: Index, layer: Layer) -> None:
        """Begin anew after an entry that is too large."""
        self._entries, self._first, self._bytes = [], 0, 0
        self.begin = index
        self._begin_clock_ms = layer.clock_at_least_ms

    def _let_go(self) -> None:
        """Forget the oldest entry."""
        entries, first = self._entries, self._first
        self.begin, self._begin_clock_ms, _, size_bytes = entries[first][:_FIRST_CHANGE]
        self._bytes -= size_bytes
        entries[first] = _GONE
        self._first = first + 1
        if self._first >= RELEASED_TOGETHER and 2 * self._first >= len(entries):
            del entries[: self._first]
            self._first = 0


def _entry_of(kept: _Kept) -> Entry:
    revision, clock_ms, session, _ = kept[:_FIRST_CHANGE]
    each_part = (kept[_FIRST_CHANGE + part :: _CHANGE_PARTS] for part in range(_CHANGE_PARTS))
    return Entry(revision, clock_ms, session, tuple(zip(*each_part, strict=True)))


def _take_end(
    parts: list[bytes | int | None],
    layer: Layer,
    state_key: bytes,
    before: bytes | None,
    after: bytes | None,
) -> int:
    """Add the end of the value in the record `before`, if there is one, or its change if its time is not up, and that
    which comes `after` it; returns the bytes that they take."""
    size_bytes = 0
    if before is not None:
        expires_ms = decode_header(before)[2]
        if expires_ms != NEVER_EXPIRES and expires_ms < read_clock(layer):
            parts += (state_key, _EXPIRE, before, None)
            size_bytes += CHANGE_BYTES + len(state_key) + len(before)
            before = None
    if before is not None or after is not None:
        parts += (state_key, _DELETE if after is None else _PUT, before, after)
        values_bytes = sum(len(record) for record in (before, after) if record is not None)
        size_bytes += CHANGE_BYTES + len(state_key) + values_bytes
    return size_bytes


def _take_all(front: bytes, layer: Layer, parts: list[bytes | int | None]) -> int:
    """Add a deletion for each value that stood behind `front`; returns the bytes that they take, which are too many if
    these are not all."""
    size_bytes = 0
    found = layer.scan(front, behind(front), limit=ALL_LISTED_MAX + 1, length=1)
    if len(found) > ALL_LISTED_MAX:
        return ENTRY_BYTES_MAX + 1
    for state_key, _ in found:
        size_bytes += _take_end(parts, layer, state_key, layer.peek(state_key), None)
        if size_bytes > ENTRY_BYTES_MAX:
            break
    return size_bytes


def _revision(kept: _Kept) -> Index:
    revision: Index = kept[0]
    return revision
