"""The clock of one simulated host, which runs fast or slow, and shows another time than the others (hazards B55,
B63)."""

from raftdb.simulation.options import Options
from raftdb.simulation.scheduler import MILLISECOND, Chance, Scheduler

APART_MS = 3_600_000.0
"""The difference between the clocks of two neighbouring hosts."""


class HostClock:
    """The clock of the host at `position` among all. A tick of the node takes `tick_us` of the simulation's time."""

    def __init__(self, scheduler: Scheduler, chance: Chance, options: Options, *, position: int) -> None:
        self._scheduler = scheduler
        self._slowness = 1 + options.clock_drift * (2 * chance.fraction() - 1)
        self._offset_ms = APART_MS * position
        self.tick_us = int(options.tick_us * self._slowness)

    @property
    def now_ms(self) -> float:
        """The time on it, which is monotonic and as fast as the ticks."""
        return (
            self._offset_ms
            + (self._scheduler.now_us + self._scheduler.skipped_us) / MILLISECOND / self._slowness
        )
