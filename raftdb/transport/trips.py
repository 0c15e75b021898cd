"""How long a link takes there and back, as measured, and how long to wait for what comes over it.

A wait is so many of the longest trips seen lately, within bounds that its owner names: so it fits a desk as well as a
link of seconds. What was never measured is waited for as long as the upper bound says; and so it is again once a wait
was too short, for then the network has changed.
"""

from collections import deque

TRIPS_REMEMBERED = 8
"""Of these the shortest is the way itself, the middle one what it usually takes, and the longest what a lost packet
makes of it."""
TRIPS_WAITED = 10
"""A wait is for so many of the longest trips: an answer can be lost, and what repeats it, too."""


class Trips:
    """The latest trips over one link, in seconds."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=TRIPS_REMEMBERED)

    def note(self, seconds: float) -> None:
        """Something small went there and came back."""
        self._latest.append(seconds)

    def forget(self) -> None:
        """A wait was too short: what was measured no longer holds."""
        self._latest.clear()

    @property
    def usual_s(self) -> float | None:
        """How long a trip takes when nothing gets lost; None before the first."""
        return min(self._latest, default=None)

    @property
    def typical_s(self) -> float | None:
        """How long most trips take, whatever becomes of single packets; None before the first."""
        return sorted(self._latest)[len(self._latest) // 2] if self._latest else None

    def wait_s(self, *, least_s: float, most_s: float) -> float:
        """How long to wait for an answer."""
        if not self._latest:
            return most_s
        return min(max(least_s, TRIPS_WAITED * max(self._latest)), most_s)
