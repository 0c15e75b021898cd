"""Indexes of values that expire and of unused sessions, which end at a time of the cluster clock.

An index key is a prefix, the time in 8 bytes, and the name of the value or session, so that the earliest comes first.
Its value is empty. The code that sets, moves or lifts a deadline keeps the index exact.

A deadline is past when the clock is beyond it, not when the clock shows it: times are whole milliseconds, rounded down,
and a value that was given 50 of them at 0.9 must not end at 50.0.

Sweeping removes keys from the front, and until the next checkpoint they lie before the front as deletions in memory. A
scan from the beginning would step over all of them again and again. So the last key that a sweep removed is remembered,
and scans begin after it: a deadline that is set later has a later time than all that have ended.
"""

from raftdb.machine.keyspace import pack_number
from raftdb.machine.layer import KeyValueView, Layer

_TIME_BYTES = 8


class DeadlineIndex:
    """One index, whose keys say all. Times are above the clock when they are set."""

    __slots__ = ("_end", "_prefix", "_swept_key")

    def __init__(self, prefix: bytes, swept_key: bytes) -> None:
        self._prefix = prefix
        self._end = bytes((prefix[0] + 1,))
        self._swept_key = swept_key

    def set(self, layer: Layer, time_ms: int, name: bytes) -> None:
        """`name` is to end at `time_ms`."""
        layer.put(self._prefix + pack_number(time_ms) + name, b"")
        layer.note_deadline(time_ms)

    def lift(self, layer: Layer, time_ms: int, name: bytes) -> None:
        """`name`, which was to end at `time_ms`, has ended, or has another deadline."""
        layer.delete(self._prefix + pack_number(time_ms) + name)

    def due(self, view: KeyValueView, clock_ms: int, *, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` pairs (time, name) whose time is past at `clock_ms`, the earliest first."""
        end = self._prefix + pack_number(clock_ms)
        return [self._parts(key) for key, _ in view.scan(self._front(view), end, limit=limit)]

    def first(self, view: KeyValueView) -> tuple[int, bytes] | None:
        """Return the earliest (time, name), None if nothing is to end."""
        found = view.scan(self._front(view), self._end, limit=1)
        return self._parts(found[0][0]) if found else None

    def swept(self, layer: Layer, time_ms: int, name: bytes) -> None:
        """Note that everything up to this deadline has ended, and was lifted; no deadline will be set at this time or
        before."""
        layer.put(self._swept_key, self._prefix + pack_number(time_ms) + name)

    def _front(self, view: KeyValueView) -> bytes:
        swept = view.get(self._swept_key)
        return self._prefix if swept is None else swept + b"\0"

    @staticmethod
    def _parts(key: bytes) -> tuple[int, bytes]:
        return int.from_bytes(key[1 : 1 + _TIME_BYTES]), key[1 + _TIME_BYTES :]
