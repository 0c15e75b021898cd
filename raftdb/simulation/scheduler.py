"""Virtual time: a queue of what happens when, and one source of chance. Both follow from the seed alone."""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

MILLISECOND = 1_000
SECOND = 1_000_000
"""Times are integers of microseconds, so that they add up alike everywhere."""


class Chance:
    """All randomness of a run, from one seed. Every draw moves the one stream: same calls, same run."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self.fraction = self._random.random
        """A float in [0, 1)."""

    def branch(self, name: str) -> "Chance":
        """Another stream, from the same seed."""
        return Chance(f"{self._seed}/{name}")

    def below(self, limit: int) -> int:
        """An integer, 0 <= n < limit."""
        return int(self.fraction() * limit)

    def between(self, low: int, high: int) -> int:
        """An integer, low <= n < high: what the core calls `randrange`."""
        return low + int(self.fraction() * (high - low))

    def bytes(self, count: int) -> bytes:
        """So many random bytes."""
        return self._random.randbytes(count)

    def happens(self, probability: float) -> bool:
        """True with that probability. A probability of 0 draws nothing."""
        return probability > 0 and self.fraction() < probability

    def choose(self, items: Any) -> Any:
        """One of a non-empty sequence."""
        return items[int(self.fraction() * len(items))]

    def some(self, items: Any, count: int) -> list[Any]:
        """`count` different ones, in random order."""
        return self._random.sample(list(items), count)

    def around(self, mean: int) -> int:
        """A duration of that mean, at least 1, exponentially spread: mostly short, now and then long."""
        return 1 + int(self._random.expovariate(1.0) * mean)


class Scheduler:
    """Calls what is due, in order of time; what is due together, in the order in which it was scheduled."""

    def __init__(self) -> None:
        self.now_us = 0
        self.skipped_us = 0
        """Time that has passed in which nothing happened: only clocks count it."""
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        """Call `call(*arguments)` in `delay_us` from now."""
        self._count += 1
        heappush(self._queue, (self.now_us + delay_us, self._count, call, arguments))

    def run_next(self) -> bool:
        """Let the next thing happen; False if nothing is left."""
        if not self._queue:
            return False
        self.now_us, _, call, arguments = heappop(self._queue)
        call(*arguments)
        return True
