"""Ranges of the state in which no key is visible: the deletions there are remembered until the keys are off the disk.

A scan steps over each deleted key that waits for the next checkpoint, and there may be hundreds of thousands of them in
a row. So a scan that has done that notes the range, and later scans go on after it. Gaps change no result: a writer
only has to tell them which keys it has given a value.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

STEPPED_OVER_MIN = 64
"""A scan that has passed fewer keys in a row does not note it, because remembering the gap would cost as much."""
GAPS_MAX = 4096
"""The most gaps that are remembered."""


class Gaps:
    """Ranges first <= key < end, none of which touches another."""

    def __init__(self) -> None:
        self._firsts: list[bytes] = []
        self._ends: list[bytes] = []

    def after(self, key: bytes) -> bytes:
        """The first position from `key` on that is in no gap."""
        at = bisect_right(self._firsts, key) - 1
        return max(key, self._ends[at]) if at >= 0 else key

    def note(self, first: bytes, end: bytes) -> None:
        """Note that no key is visible with first <= key < end."""
        if first >= end:
            return
        # All that overlap or touch become one.
        low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)
        if low < high:
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        elif len(self._firsts) >= GAPS_MAX:
            return
        self._firsts[low:high], self._ends[low:high] = [first], [end]

    def written(self, keys: Iterable[bytes]) -> None:
        """These keys have values now: a gap that holds one ends before it, and another gap begins after it."""
        if not self._firsts:
            return
        for key in keys:
            at = bisect_right(self._firsts, key) - 1
            if at < 0 or key >= self._ends[at]:
                continue
            parts = [(self._firsts[at], key), (key + b"\0", self._ends[at])]
            left = [part for part in parts if part[0] < part[1]]
            if len(self._firsts) >= GAPS_MAX:
                left = left[-1:]
            self._firsts[at : at + 1] = [first for first, _ in left]
            self._ends[at : at + 1] = [end for _, end in left]
