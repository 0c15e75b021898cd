"""Comparing the cluster clock with the time that has really passed (hazards B55, B63, B71).

The clock may stand still while there is no leader, or while a new one does not know the clock's time yet. It never goes
back, and it never runs ahead: between two entries no more time passes on it than has passed on the fastest machine
between the moments when leaders appended them. So no value or session expires too early.
"""

from raftdb.core.model import Entry, EntryKind, Index, Term
from raftdb.errors import InvariantBroken
from raftdb.machine import entries as wire_operations
from raftdb.simulation.scheduler import MILLISECOND, Scheduler

ROUNDING_MS = 2
"""Leaders round their time down to whole milliseconds when they begin, and with every entry."""


class Timeline:
    """The time at which each entry was appended by its leader, and the clock at the last committed one.

    `fastest` is the speed of the fastest machine's clock, 1.0 being that of the simulation.
    """

    def __init__(self, scheduler: Scheduler, *, fastest: float) -> None:
        self._scheduler = scheduler
        self._fastest = fastest
        self._appended_us: dict[tuple[Index, Term], int] = {}
        self._clock_ms = 0
        self._last_us = 0

    def appended(self, entry: Entry) -> None:
        """Note that a leader has appended an entry of its term."""
        now_us = self._scheduler.now_us + self._scheduler.skipped_us
        self._appended_us.setdefault((entry.index, entry.term), now_us)

    def committed(self, entry: Entry) -> None:
        """Take the next committed entry. Raises `InvariantBroken` if the clock runs ahead in it."""
        now_us = self._appended_us.pop((entry.index, entry.term), self._last_us)
        if entry.kind is EntryKind.COMMAND:
            time_ms, _ = wire_operations.decode(entry.data)
            passed_ms = (now_us - self._last_us) / MILLISECOND * self._fastest + ROUNDING_MS
            if time_ms - self._clock_ms > passed_ms:
                raise InvariantBroken(
                    f"the cluster clock goes from {self._clock_ms} to {time_ms} ms with entry {entry.index}, "
                    f"and only {passed_ms:.0f} ms have passed"
                )
            if time_ms > self._clock_ms:
                self._clock_ms = time_ms
                self._last_us = max(self._last_us, now_us)
