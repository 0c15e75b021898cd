"""Figures of samples: distributions, rates, gaps and dips; and how they are written. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.common import percentile


class Spread(NamedTuple):
    """The distribution of some values, in their unit: how many there are, and percentiles (nearest rank)."""

    number: int
    smallest: float
    median: float
    p90: float
    p99: float
    largest: float


def spread(values: Sequence[float]) -> Spread:
    """The distribution of the values; all zero of none."""
    ascending = sorted(values)
    if not ascending:
        return Spread(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    median, p90, p99 = (percentile(ascending, percent) for percent in (50, 90, 99))
    return Spread(len(ascending), ascending[0], median, p90, p99, ascending[-1])


def rates(moments: Sequence[float], begin: float, end: float, width: float) -> list[tuple[float, float]]:
    """How many of the ascending moments there are per second in each interval of that width: (its begin, rate).

    Only whole intervals count, for a part of one would look like a dip.
    """
    found = []
    for number in range(int((end - begin) / width + 1e-9)):
        left = begin + number * width
        count = bisect_left(moments, left + width) - bisect_left(moments, left)
        found.append((left, count / width))
    return found


def rate(moments: Sequence[float], begin: float, end: float) -> float:
    """How many of the ascending moments there are per second between two times."""
    if end <= begin:
        return 0.0
    return (bisect_left(moments, end) - bisect_left(moments, begin)) / (end - begin)


class Gap(NamedTuple):
    """A time in which nothing happened."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def longest_gap(moments: Sequence[float], begin: float, end: float) -> Gap:
    """The longest time between two of the ascending moments, of the gaps that reach into `begin` to `end`.

    A gap that was open at `begin` counts from the moment before it, and one that is open at `end` up to the moment
    after it, if there are such moments.
    """
    first, last = bisect_right(moments, begin), bisect_left(moments, end)
    inside = [
        moments[first - 1] if first else begin,
        *moments[first:last],
        moments[last] if last < len(moments) else end,
    ]
    gaps = [Gap(one, other) for one, other in pairwise(inside)]
    return max(gaps, key=lambda gap: gap.seconds)


def dip_percent(before: float, lowest: float) -> float:
    """By how much a rate fell, in percent of what it was; 0 if it rose."""
    return max(0.0, 100 * (1 - lowest / before)) if before > 0 else 0.0


def cumulative(values: Sequence[float]) -> list[tuple[float, float]]:
    """For each of the values, ascending, the share of all, in percent, that are no larger."""
    ascending = sorted(values)
    return [(value, 100 * (rank + 1) / len(ascending)) for rank, value in enumerate(ascending)]


def in_seconds(seconds: float) -> str:
    """A time for people: `0.4 ms`, `35 ms`, `1.20 s`, `210 s`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def in_bytes(count: float) -> str:
    """An amount of bytes for people: `10 B`, `1 KiB`, `2.5 MiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:.0f} {name}"
    return f"{count:.0f} B"
