"""Settings of Python's cycle collector, which stops everything else while it runs.

Objects that a node keeps long are made at its start, or cannot be part of a cycle by their type: entries of the log,
changes of the state and keys are byte strings in lists and dictionaries, which a collection passes quickly. So the
objects that exist once a node has started are left out of collections, and these become rarer.

Measured: a full collection of a node that has just started takes 10 to 30 ms (52,000 objects, most of them of modules
and classes), and did so again and again while a node worked; with a full cache, of half a million entries in a tuple
each, it took 117 ms. After `settle` it takes under 1 ms; with that cache in blocks and 300,000 changes, 6 to 12 ms.
Of loading the server's modules, an eighth was collections: what modules make stays, and was looked through again and
again.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from raftdb.tally import Tally

YOUNG_OBJECTS = 50_000
"""New objects, less freed ones, after which young objects are collected: 1 to 5 ms each time. As many as all requests
in flight consist of, so that these do not make a collection due. With 10,000 there was one for each thousand pipelined
writes; collections took 2.7 us of a write in all three nodes together then, and take 1 us with this."""


@contextmanager
def paused() -> Iterator[None]:
    """Collect nothing inside, where only things are made that stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class PauseTally:
    """How long collections take, which nothing else runs in: from `start` to `stop`, on whichever thread collects."""

    def __init__(self) -> None:
        self.seconds = Tally()
        self._began_s = 0.0

    def start(self) -> None:
        """Begin to measure."""
        gc.callbacks.append(self._note)

    async def close(self) -> None:
        """Measure no more; idempotent."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, details: object) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        elif self._began_s:
            self.seconds.add(time.perf_counter() - self._began_s)


def settle() -> None:
    """Leave all present objects out of later collections. To be called once a node has started."""
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.collect()
    gc.freeze()
