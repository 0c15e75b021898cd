"""How keys were at an earlier entry: the state as it is, with the changes since then undone. No I/O.

What is asked may concern as many changes as the history has, so they are looked through a part at a time, while the
state goes on. That is exact, because the part of the state is read first, at some entry, and the changes up to that one
do not change any more; if the history forgets them meanwhile, it says so (`Compacted`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from raftdb.machine.keyspace import KIND_STRING, NEVER_EXPIRES, StoredValue
from raftdb.machine.reply import KeyRecord
from raftdb.node.history import Entry, History, key_of_change, value_of


class Difference(NamedTuple):
    """A key whose value is not the same at two entries; None where it was missing."""

    key: bytes
    before: KeyRecord | None
    after: KeyRecord | None


class Past:
    """The changes of keys with a prefix that come after a key, after the entry at `position` up to that at `until`."""

    def __init__(self, prefix: bytes, after: bytes, *, position: int, until: int) -> None:
        self._prefix = prefix
        self._after = after
        self._position = position
        self._until = until
        self._first: dict[bytes, bytes | None] = {}
        """The value before the first change, by key."""
        self._last: dict[bytes, bytes | None] = {}
        """The value after the last."""

    def look(self, history: History, *, limit: int) -> bool:
        """Look at up to `limit` further entries; returns whether all were seen. Raises `Compacted`."""
        entries = history.after(self._position, limit=limit)
        self._take([entry for entry in entries if entry.revision <= self._until])
        if len(entries) < limit or entries[-1].revision >= self._until:
            return True
        self._position = entries[-1].revision
        return False

    def undone(self, records: Sequence[KeyRecord], last_key: bytes | None) -> list[KeyRecord]:
        """Return the keys up to `last_key` (None: all) as they were, given as they are now, with the changes undone."""
        found = {record.key: record for record in records}
        for key, before in self._first.items():
            if last_key is None or key <= last_key:
                found.pop(key, None)
                record = _record(key, before)
                if record is not None:
                    found[key] = record
        return [found[key] for key in sorted(found)]

    def differences(self) -> list[Difference]:
        """Return the keys, in order, whose values are not the same before and after all the changes."""
        return [
            Difference(key, _record(key, self._first[key]), _record(key, self._last[key]))
            for key in sorted(self._first)
            if self._first[key] != self._last[key]
        ]

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for change in entry.changes:
                key = key_of_change(change)
                if key > self._after and key.startswith(self._prefix):
                    self._first.setdefault(key, change[2])
                    self._last[key] = change[3]


def _record(key: bytes, stored: bytes | None) -> KeyRecord | None:
    value = value_of(stored)
    return None if value is None else record_of(key, value)


def record_of(key: bytes, value: StoredValue) -> KeyRecord:
    """Return all that is known of a key that had this value. How long it had to live is not known of the past."""
    expires_ms = None if value.expires_ms == NEVER_EXPIRES else value.expires_ms
    return KeyRecord(key, value.data if value.kind == KIND_STRING else None, value.revision, expires_ms, None)
