"""How often values of which size occurred: plain counts, which cost an addition where something is measured.

A tally has no name, no label and no lock. It belongs to the part that measures, and whoever shows it copies it:
`GET /metrics` as a histogram of Prometheus, the sampler of the charts as percentiles. One thread at a time may add; any
may read, and then sees counts that are at most one addition apart.
"""

from bisect import bisect_left
from collections.abc import Sequence
from time import perf_counter

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Bounds for how long something takes: from one write to a disk with a cache to a client's patience."""
WAIT_SECONDS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Bounds for how long somebody waits in a line."""
ENTRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16_384.0)
"""Bounds for how many go together."""


class Tally:
    """Counts of values. `counts[i]` of them were at most `bounds[i]` and above the bound before; the last count is that
    of the values above all bounds. `total` is the sum of all values."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds` ascend."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_many(self, value: float, count: int) -> None:
        """Count `count` values that are the same."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)


def percentile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The value that `share` of the counted ones (0 to 1) do not exceed, within the bucket that it is in by a straight
    line; of the last bucket, its lower bound. None if nothing was counted."""
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and wanted <= count:
            return below + (bound - below) * wanted / count
        wanted -= count
        below = bound
    return below


class RequestTallies:
    """How long the requests of one kind of door took, by operation and outcome: `ok`, or the code of an error.

    Operations are names of commands and patterns of paths, never what a client made up, so there is a bounded number of
    tallies.
    """

    __slots__ = ("_succeeded", "failed")

    def __init__(self) -> None:
        self._succeeded: dict[str, Tally] = {}
        self.failed: dict[tuple[str, str], Tally] = {}
        """By operation and code."""

    def succeeded(self, operation: str, began_s: float) -> None:
        """Count a request, which began at `began_s` of `time.perf_counter`, and is answered with its result now."""
        seconds = perf_counter() - began_s
        try:
            tally = self._succeeded[operation]
        except KeyError:
            tally = self._succeeded[operation] = Tally()
        # As `Tally.add`, in place: this is done for every request.
        tally.counts[bisect_left(SECONDS, seconds)] += 1
        tally.total += seconds

    def refused(self, operation: str, code: str, began_s: float) -> None:
        """The same for one that is answered with an error."""
        tally = self.failed.get((operation, code))
        if tally is None:
            tally = self.failed[operation, code] = Tally()
        tally.add(perf_counter() - began_s)

    def all(self) -> list[tuple[str, str, Tally]]:
        """Operation, outcome and tally of all that were counted, in order."""
        found = [(operation, "ok", tally) for operation, tally in self._succeeded.items()]
        found += [(operation, code, tally) for (operation, code), tally in self.failed.items()]
        return sorted(found, key=lambda one: one[:2])
