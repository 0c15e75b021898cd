"""How likely it is that a silent peer is gone: the phi-accrual failure detector (Hayashibara and others, 2004).

A deadline says yes or no, and is wrong on a machine that is slower than the one it was chosen on. Phi is a scale that
grows with the silence, measured by the silences seen before: phi 1 means that a living peer is silent for longer than
this once in ten times, phi 3 once in a thousand times, phi 8 once in a hundred million.

It is information for people: in status, members and logs. No election, read or change of members depends on it; for
those Raft counts ticks. This module is pure: the owner says what time it is, in seconds of one monotonic clock.

Where this differs from the paper:

* **Intervals are no shorter than a heartbeat.** Under load a peer speaks every millisecond; that says nothing of how
  long it may be silent once the load ends.
* **Long silences are not remembered.** A peer that was away for a minute would make the next minute look normal.
* **The spread has a floor**, because a machine that happens to be calm may not stay so.
"""

import math
from collections import deque

INTERVALS_KEPT = 128
"""Intervals that are remembered: about ten seconds of heartbeats."""
LONGEST_INTERVAL_FACTOR = 20.0
"""A silence of so many heartbeats is not counted as an interval: the peer was away, or had nothing to say. If the core
accepts longer silences, that is the limit instead."""
SPREAD_MIN_FACTOR = 0.5
"""The standard deviation is at least this part of a heartbeat."""
PHI_MAX = 100.0
"""The highest phi that is reported."""
SUSPECTED_PHI = 8.0
"""From here on a silent peer is called suspected, in logs and tables, if its silence is also longer than the core
accepts. With usual heartbeats that is a silence about as long as the shortest election timeout."""


class Arrivals:
    """When one peer was heard, and what its silence means. All times in seconds of one monotonic clock."""

    def __init__(self, *, heartbeat_s: float, now_s: float) -> None:
        """The peer is expected from now on, every `heartbeat_s` at least: the first guess of its intervals."""
        self.last_s: float | None = None
        self.patience_s = 0.0
        """How long a silence of the peer the core accepts."""
        self._expected_since_s = now_s
        self._heartbeat_s = heartbeat_s
        self._intervals: deque[float] = deque(maxlen=INTERVALS_KEPT)
        self._sum = 0.0
        self._sum_of_squares = 0.0

    def heard(self, now_s: float) -> None:
        """Something came from the peer."""
        last_s, self.last_s = self.last_s, now_s
        began_s, self._expected_since_s = self._expected_since_s, now_s
        if last_s is None or began_s > last_s:
            return
        interval_s = now_s - last_s
        if interval_s < max(self._heartbeat_s * LONGEST_INTERVAL_FACTOR, self.patience_s):
            self._remember(max(interval_s, self._heartbeat_s))

    def silence_s(self, now_s: float) -> float | None:
        """How long nothing has come; None if nothing ever has."""
        return None if self.last_s is None else max(now_s - self.last_s, 0.0)

    def expect_anew(self, now_s: float) -> None:
        """Hold no silence before now against the peer."""
        self._expected_since_s = now_s

    def is_suspected(self, now_s: float) -> bool:
        """True if the silence is unusual for this peer, and longer than the core accepts."""
        silence_s = now_s - self._expected_since_s
        return silence_s >= self.patience_s and self.phi(now_s) >= SUSPECTED_PHI

    def phi(self, now_s: float) -> float:
        """How suspicious the present silence is, 0 to `PHI_MAX`."""
        silence_s = now_s - self._expected_since_s
        return phi_of(silence_s, mean_s=self.mean_s, spread_s=self.spread_s)

    @property
    def mean_s(self) -> float:
        """Mean of the intervals remembered; a heartbeat, if there are none."""
        return self._sum / len(self._intervals) if self._intervals else self._heartbeat_s

    @property
    def spread_s(self) -> float:
        """Standard deviation of the intervals, or its floor."""
        count = len(self._intervals)
        variance = self._sum_of_squares / count - self.mean_s**2 if count else 0.0
        # Sums that are kept up to date lose the last digits: what should be 0 may come out below it.
        return max(math.sqrt(max(variance, 0.0)), self._heartbeat_s * SPREAD_MIN_FACTOR)

    def _remember(self, interval_s: float) -> None:
        if len(self._intervals) == INTERVALS_KEPT:
            oldest_s = self._intervals[0]
            self._sum -= oldest_s
            self._sum_of_squares -= oldest_s**2
        self._intervals.append(interval_s)
        self._sum += interval_s
        self._sum_of_squares += interval_s**2


def phi_of(silence_s: float, *, mean_s: float, spread_s: float) -> float:
    """-log10 of the chance that a normally distributed interval is longer than `silence_s`; at most `PHI_MAX`."""
    deviation = (silence_s - mean_s) / (spread_s * math.sqrt(2.0))
    chance = math.erfc(deviation) / 2.0
    # Where the chance is too small for a float, phi is at its maximum.
    return PHI_MAX if chance == 0.0 else min(max(-math.log10(chance), 0.0), PHI_MAX)
