"""The measured round trips of a link, and how long to wait for an answer over it.

A wait is `TRIPS_WAITED` times the longest of the latest trips, within bounds that the caller names, so it fits a fast
network and one with trips of seconds. Before a trip was measured a wait is as long as the upper bound, and again after
a wait was too short, because the network has changed then.
"""

from collections import deque

TRIPS_REMEMBERED = 8
"""The number of latest trips that count. The middle one shows a usual trip, and the longest the effect of a lost
packet."""
TRIPS_WAITED = 10
"""A wait is this many times the longest trip, because an answer can be lost, and its repetition, too."""


class Trips:
    """The latest trips over one link, in seconds."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=TRIPS_REMEMBERED)

    def note(self, seconds: float) -> None:
        """Note the time of a small message there and of its answer back."""
        self._latest.append(seconds)

    def forget(self) -> None:
        """Forget all trips, because a wait was too short."""
        self._latest.clear()

    @property
    def typical_s(self) -> float | None:
        """The median of the latest trips, which single losses do not change; None before the first."""
        return sorted(self._latest)[len(self._latest) // 2] if self._latest else None

    def wait_s(self, *, least_s: float, most_s: float) -> float:
        """How long to wait for an answer, from `least_s` to `most_s`."""
        if not self._latest:
            return most_s
        return min(max(least_s, TRIPS_WAITED * max(self._latest)), most_s)
