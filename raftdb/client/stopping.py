"""Ending loops in order: by their own `stop`, or when the process is told to end (SIGTERM). No I/O.

A loop over jobs that is told to stop finishes what has begun, and gives back what has not. SIGTERM says the same to all
loops of a process, unless the program handles it itself. A second SIGTERM ends the process at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_stops: "dict[object, Stop]" = {}
"""The loops that are running, by a key of each."""


class Stop:
    """Whether a loop is to stop, and what has to be done to it then, as to break off a wait."""

    def __init__(self) -> None:
        self.is_set = False
        self._then: dict[Callable[[], None], None] = {}

    def set(self) -> None:
        """Tell the loop to stop. Any thread may, and a handler of a signal."""
        self.is_set = True
        for then in list(self._then):
            then()

    @contextmanager
    def calling(self, then: Callable[[], None]) -> Iterator[None]:
        """Within the block, `then` is called when the loop is told to stop, or was already."""
        self._then[then] = None
        try:
            if self.is_set:
                then()
            yield
        finally:
            self._then.pop(then, None)

    @contextmanager
    def heeding_sigterm(self) -> Iterator[None]:
        """Within the block, SIGTERM tells the loop to stop. Outside of the main thread it does so if a loop of the main
        thread runs as well."""
        key = object()
        _stops[key] = self
        installed = _install()
        try:
            yield
        finally:
            _stops.pop(key, None)
            if installed and not _stops and signal.getsignal(signal.SIGTERM) is _stop_all:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _install() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop_all)
    return True


def _stop_all(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stop in list(_stops.values()):
        stop.set()
