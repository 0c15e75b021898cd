"""How each operation of a run ended: counted, and timed. Safe for use by several threads."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from raftdb.client.leases import LockTimeout
from raftdb.errors import CommandFailed, OutcomeUnknown, SessionExpired, Unavailable


class Ending(StrEnum):
    """What a client knows of its operation."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


ENDINGS = {
    Ending.OK: "acknowledged",
    Ending.FAILED: "executed, with an error as the answer (a conflict, a fence)",
    Ending.REFUSED: "refused, and surely not executed",
    Ending.UNKNOWN: "of unknown outcome (a timeout, a lost connection)",
}
"""The endings in words, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One operation. Times are nanoseconds of the monotonic clock; `value` is its result, `error` why there is none."""

    invoked: int
    returned: int
    ending: Ending
    value: Any = None
    error: Exception | None = None


class Recorder:
    """See the module. `counts` are by workload, then by ending."""

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.counts: dict[str, Counter[Ending]] = {}
        self.longest_silence_ns = 0
        """The longest time without an acknowledged write, while it was watched."""
        self.written = 0
        """How many writes were acknowledged."""
        self._clock = clock
        self._lock = threading.Lock()
        self._last_write: int | None = None

    def attempt(self, workload: str, call: Callable[[], Any], *, writes: bool) -> Attempt:
        """Carry out one operation of a workload, and count how it ended. Raises what no client should ever meet."""
        invoked = self._clock()
        value: Any = None
        error: Exception | None = None
        ending = Ending.OK
        try:
            value = call()
        except (OutcomeUnknown, SessionExpired) as unknown:
            error, ending = unknown, Ending.UNKNOWN
        except (Unavailable, LockTimeout) as refused:
            error, ending = refused, Ending.REFUSED
        except CommandFailed as failed:
            error, ending = failed, Ending.FAILED
        returned = self._clock()
        self.count(workload, ending, wrote=writes and ending is Ending.OK)
        return Attempt(invoked, returned, ending, value, error)

    def count(self, workload: str, ending: Ending, *, wrote: bool) -> None:
        """Count an operation that has just ended."""
        with self._lock:
            self.counts.setdefault(workload, Counter())[ending] += 1
            self.written += wrote
            if wrote and self._last_write is not None:
                self._note_silence()
                self._last_write = self._clock()

    def watch_writes(self, *, on: bool) -> None:
        """Measure the times without an acknowledged write from now on, or no more."""
        with self._lock:
            if self._last_write is not None:
                self._note_silence()
            self._last_write = self._clock() if on else None

    def silence_ns(self) -> int:
        """For how long no write has been acknowledged; 0 while that is not watched."""
        with self._lock:
            return 0 if self._last_write is None else self._clock() - self._last_write

    def total(self) -> Counter[Ending]:
        """The counts of all workloads together."""
        with self._lock:
            return sum(self.counts.values(), Counter())

    def _note_silence(self) -> None:
        if self._last_write is not None:
            self.longest_silence_ns = max(self.longest_silence_ns, self._clock() - self._last_write)
