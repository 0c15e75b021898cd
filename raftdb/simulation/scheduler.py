"""Virtual time, as a queue of calls, and the source of chance. Both follow from the seed alone."""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

MILLISECOND = 1_000
SECOND = 1_000_000
"""Times are integers of microseconds, so that they add up alike everywhere."""


class Chance:
    """A stream of random numbers from a seed. The same draws in the same order give the same numbers."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self.fraction = self._random.random
        """A float in [0, 1)."""

    def branch(self, name: str) -> "Chance":
        """Another stream, from the same seed."""
        return Chance(f"{self._seed}/{name}")

    def below(self, limit: int) -> int:
        """An integer from 0 to below `limit`."""
        return int(self.fraction() * limit)

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to below `high`, as the core's `randrange`."""
        return low + int(self.fraction() * (high - low))

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return self._random.randbytes(count)

    def happens(self, probability: float) -> bool:
        """True with this probability. A probability of 0 draws nothing."""
        return probability > 0 and self.fraction() < probability

    def choose(self, items: Any) -> Any:
        """One of a non-empty sequence."""
        return items[int(self.fraction() * len(items))]

    def some(self, items: Any, count: int) -> list[Any]:
        """`count` different items, in random order."""
        return self._random.sample(list(items), count)

    def around(self, mean: int) -> int:
        """A random duration with this mean, exponentially distributed, at least 1."""
        return 1 + int(self._random.expovariate(1.0) * mean)


class Scheduler:
    """Makes calls in order of their times, and those of the same time in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now_us = 0
        self.on_called: Callable[[], None] = _ignore
        """Called after every call."""
        self.skipped_us = 0
        """Time that was skipped, which only clocks count."""
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        """Call `call(*arguments)` after `delay_us`."""
        self._count += 1
        heappush(self._queue, (self.now_us + delay_us, self._count, call, arguments))

    def run_next(self) -> bool:
        """Make the next call; False if there is none."""
        if not self._queue:
            return False
        self.now_us, _, call, arguments = heappop(self._queue)
        call(*arguments)
        self.on_called()
        return True


def _ignore() -> None:
    """The default: nobody looks on."""
