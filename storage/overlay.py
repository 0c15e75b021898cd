"""Changes in memory over a durable key space: a dictionary whose keys are put in order when somebody asks.

Most changes are never scanned before they go to the disk, so an insertion costs a dictionary entry and a list append,
a fraction of what a sorted dictionary takes, and the first scan after them pays for ordering the keys that are new.
Considered and rejected: sorting a plain list at each scan, which costs the whole overlay when writes and scans
alternate.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from sortedcontainers import SortedList

SLICE_KEYS = 512
"""Keys sorted and handed to LMDB at a time. Sorting holds the interpreter lock: a whole large overlay sorted at once
would stop the event loop for longer than a heartbeat."""
SAMPLES_PER_SLICE = 8


class Overlay:
    """Changes, None for a deletion. One thread writes; `changes` may be read by others once nobody writes."""

    __slots__ = ("_ordered", "_unordered", "change_bytes", "changes")

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.change_bytes = 0
        self._ordered = SortedList()
        self._unordered: list[bytes] = []

    def update(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Lay `changes` over those present."""
        present = self.changes
        change_bytes = 0
        for key, value in changes.items():
            if key not in present:
                self._unordered.append(key)
            present[key] = value
            change_bytes += len(key) + (len(value) if value is not None else 0)
        self.change_bytes += change_bytes

    def scan(self, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes | None]]:
        """Changes with first <= key < end (None: to the last), ascending, deletions included."""
        if self._unordered:
            self._ordered.update(self._unordered)
            self._unordered = []
        if end is not None and end <= first:
            return
        for key in self._ordered.irange(first, end, inclusive=(True, False)):
            yield key, self.changes[key]


def sorted_slices(changes: Mapping[bytes, bytes | None]) -> Iterator[list[bytes]]:
    """The keys of `changes` in ascending order, in lists of about `SLICE_KEYS`.

    Keys are dealt to slices between sampled boundaries and each slice is sorted by itself.
    """
    keys = list(changes)
    if len(keys) <= SLICE_KEYS:
        yield sorted(keys)
        return
    slices = len(keys) // SLICE_KEYS + 1
    sample = sorted(keys[:: max(1, len(keys) // (slices * SAMPLES_PER_SLICE))])
    boundaries = sample[SAMPLES_PER_SLICE::SAMPLES_PER_SLICE]
    dealt: list[list[bytes]] = [[] for _ in range(len(boundaries) + 1)]
    for key in keys:
        dealt[bisect_right(boundaries, key)].append(key)
    for part in dealt:
        part.sort()
        yield part
