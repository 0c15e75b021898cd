"""A thread that checks whether the event loop still turns, and reports what holds it up.

It asks the loop for a sign of life again and again, so it measures whatever the loop runs: turns of the replica, HTTP,
links to peers, collections of garbage. While a sign is overdue it notes what the loop's thread is doing; when the sign
has come, it reports how long the stall was, and how much processor time the thread had in it. Little processor time
means that other processes, or another thread of this one, kept the machine busy; nearly all of it, that the loop was
given too much to do at once.

C code that keeps the interpreter lock keeps it from this thread as well: then the note is made as soon as the lock is
free, which is nearly always still within the call that held up the loop.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from types import FrameType
from typing import NamedTuple

from raftdb.tally import Tally

logger = logging.getLogger("raftdb.node")

LOOKS_PER_NOTABLE = 4
"""How many signs are asked for within the time that is worth a line."""
NOTABLE_FRACTION = 1 / 4
"""The share of the shortest election timeout from which on a stall is notable."""
NOTABLE_SECONDS_MIN = 0.05
"""The least time that is notable: a machine with other work takes that much from time to time."""
FRAMES_SHOWN_MAX = 8
"""How many of the innermost frames are shown of the code that held up the loop."""
QUIET_SECONDS = 1.0
"""The time from one line to the next, so that a loop that is held up again and again does not fill the log."""


class Stall(NamedTuple):
    """A time in which the loop gave no sign. `processor_ms` is the processor time of its thread; None if it is not
    known.

    `where` are the innermost frames of that thread, the innermost first, `FILE:LINE FUNCTION` each.
    """

    milliseconds: float
    processor_ms: float | None
    where: tuple[str, ...]


class Watchdog:
    """Watches the running loop from `start` to `close`."""

    def __init__(self, *, election_timeout_seconds: float) -> None:
        """`election_timeout_seconds`: the shortest; a part of it is worth a line in the log."""
        self.longest_ms = 0.0
        """The longest wait for a sign since the start, from when it was asked for."""
        self.lag_seconds = Tally()
        """How long each sign of life took to come."""
        self.stalls = 0
        """How many stalls were notable."""
        self.last: Stall | None = None
        """The last notable stall."""
        self._notable_seconds = max(election_timeout_seconds * NOTABLE_FRACTION, NOTABLE_SECONDS_MIN)
        self._interval_seconds = self._notable_seconds / LOOKS_PER_NOTABLE
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._told_seconds = -QUIET_SECONDS
        self._untold = 0

    def start(self) -> None:
        """Begin. On the loop's thread."""
        watched = _Watched(asyncio.get_running_loop(), threading.get_ident())
        self._thread = threading.Thread(target=self._run, args=(watched,), name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking; idempotent. The thread ends by itself, so nobody has to wait for it."""
        self._closing.set()

    def _run(self, watched: "_Watched") -> None:
        while not self._closing.wait(self._interval_seconds):
            sign = watched.ask()
            if sign is None:
                return
            asked_seconds, processor_seconds = time.monotonic(), watched.processor_seconds()
            where: tuple[str, ...] = ()
            # A loop that was held just before the question is asked has been held for up to an interval already.
            if not sign.wait(self._notable_seconds - self._interval_seconds):
                where = watched.where()
                while not sign.wait(self._interval_seconds):
                    if self._closing.is_set():
                        return
            held_seconds = time.monotonic() - asked_seconds
            self.lag_seconds.add(held_seconds)
            self.longest_ms = max(self.longest_ms, held_seconds * 1000)
            if held_seconds >= self._notable_seconds - self._interval_seconds:
                had_seconds = watched.processor_seconds()
                if processor_seconds is not None and had_seconds is not None:
                    had_seconds -= processor_seconds
                self._note(Stall(held_seconds * 1000, _milliseconds(had_seconds), where))

    def _note(self, stall: Stall) -> None:
        """Remember a stall, and log it unless one was just logged."""
        self.stalls += 1
        self.last = stall
        now_seconds = time.monotonic()
        if now_seconds - self._told_seconds < QUIET_SECONDS:
            self._untold += 1
            return
        details: dict[str, object] = {"milliseconds": round(stall.milliseconds, 1)}
        if stall.processor_ms is not None:
            details["processor_milliseconds"] = round(stall.processor_ms, 1)
        if self._untold:
            details["others"] = self._untold
        details["where"] = " < ".join(stall.where) or "over before it was seen"
        logger.warning("the event loop was held up", extra={"fields": details})
        self._told_seconds, self._untold = now_seconds, 0


class _Watched:
    """The loop that is watched, and its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._loop = loop
        self._thread = thread
        # On a system without clocks of other threads the processor time is not reported.
        find_clock = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = None if find_clock is None else find_clock(thread)

    def ask(self) -> threading.Event | None:
        """Ask for a sign: an event that the loop sets. None if the loop is closed."""
        sign = threading.Event()
        try:
            self._loop.call_soon_threadsafe(sign.set)
        except RuntimeError:
            return None
        return sign

    def processor_seconds(self) -> float | None:
        """Processor time of the thread so far; None if that is not known."""
        return None if self._clock is None else time.clock_gettime(self._clock)

    def where(self) -> tuple[str, ...]:
        """The frames that the thread is in."""
        frame: FrameType | None = sys._current_frames().get(self._thread)
        frames = [] if frame is None else traceback.extract_stack(frame)[-FRAMES_SHOWN_MAX:]
        return tuple(
            f"{'/'.join(part.filename.split('/')[-2:])}:{part.lineno} {part.name}"
            for part in reversed(frames)
        )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
