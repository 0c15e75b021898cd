"""The cluster clock against the time that has really passed (hazards B55, B63, B71).

The clock may stand still: while there is no leader, while a new one does not know yet where it stood. It never goes
back, and it never runs ahead: between two entries no more time passes on it than has passed on the fastest of the
machines between the moments when leaders appended them. So nothing ends before its time.
"""

from raftdb.core.model import Entry, EntryKind, Index, Term
from raftdb.errors import InvariantBroken
from raftdb.machine import entries as wire_operations
from raftdb.simulation.scheduler import MILLISECOND, Scheduler

ROUNDING_MS = 2
"""Leaders cut their time to whole milliseconds, when they begin and with every entry."""


class Timeline:
    """When each entry was appended by its leader, and where the clock stood at the last committed one.

    `fastest`: how fast the fastest machine's time runs, 1.0 being the time of the simulation.
    """

    def __init__(self, scheduler: Scheduler, *, fastest: float) -> None:
        self._scheduler = scheduler
        self._fastest = fastest
        self._appended_us: dict[tuple[Index, Term], int] = {}
        self._clock_ms = 0
        self._last_us = 0

    def appended(self, entry: Entry) -> None:
        """A leader has appended an entry of its term."""
        now_us = self._scheduler.now_us + self._scheduler.skipped_us
        self._appended_us.setdefault((entry.index, entry.term), now_us)

    def committed(self, entry: Entry) -> None:
        """The next entry is committed. Raises `InvariantBroken` if the clock ran ahead in it."""
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
