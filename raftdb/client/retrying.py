"""When a transaction that met a conflict is tried again. No I/O.

Whoever loses a race reads anew and tries again, after a pause with jitter that grows: several that lose to each other
must not come back together. One deadline is for all attempts.
"""

from random import Random

ATTEMPTS_MAX = 100
"""How often a transaction is tried unless the caller says otherwise."""
TIMEOUT_MS = 30_000.0
"""How long all attempts together may take unless the caller says otherwise."""
PAUSE_MS_FIRST = 2.0
PAUSE_MS_MAX = 250.0
"""Longest pause after the first conflict, and after many."""
CALL_MS_MIN = 1.0


class Attempts:
    """The attempts at one transaction, from `now_ms` on. Times are in ms of one monotonic clock."""

    def __init__(self, *, max_attempts: int, timeout_ms: float, now_ms: float, random: Random) -> None:
        self._left = max_attempts
        self._ends_ms = now_ms + timeout_ms
        self._random = random
        self._longest_ms = PAUSE_MS_FIRST

    def call_timeout_ms(self, now_ms: float) -> float:
        """How long a call within the present attempt may take at most."""
        return max(self._ends_ms - now_ms, CALL_MS_MIN)

    def pause_ms(self, now_ms: float) -> float | None:
        """How long to wait after a conflict before the next attempt; None if there is none."""
        self._left -= 1
        pause_ms = self._random.uniform(0.0, self._longest_ms)
        self._longest_ms = min(self._longest_ms * 2.0, PAUSE_MS_MAX)
        return pause_ms if self._left > 0 and now_ms + pause_ms < self._ends_ms else None
