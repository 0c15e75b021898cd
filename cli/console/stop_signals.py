"""Signals that end a program at which a person sits, or which runs nodes: in order, and once.

Left alone, Python ends at once on SIGTERM and SIGHUP: a terminal then stays without echo, and nodes go on with nobody
to stop them.

One wish to stop may come as several signals: systemd and `timeout` signal a whole group, a terminal that closes signals
the shell, which passes it on. So signals within a moment count once. A later one means: at once.
"""

import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from raftdb.errors import LocalProtocolError

MOMENT_S = 1.0
"""Signals that come within so long after the first are the same wish; nodes think so, too."""


class Stopped(BaseException):
    """A signal asked us to stop. Not an `Exception`: nothing on the way may take it for a failure."""


class StopSignals:
    """Turns signals into the end of what runs: of the shell if it is at its prompt, else by `Stopped`.

    `leave_shell` ends a shell as Ctrl-D would, and says whether there was one. `first` is the signal that came first,
    None if none has come.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.leave_shell: Callable[[], bool] | None = None
        self.first: signal.Signals | None = None
        self._first_at_s = 0.0
        self._clock = clock

    def install(self, *numbers: signal.Signals) -> None:
        """Handle these signals from now on, but for those that whoever started us wants to be ignored: `nohup` for
        SIGHUP, and a shell for SIGINT of what runs in the background."""
        for number in numbers:
            if number is signal.SIGTERM or not is_ignored(number):
                signal.signal(number, self._handle)

    def announce(self, leave: Callable[[], bool]) -> None:
        """Take the function that ends the shell."""
        self.leave_shell = leave

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now_s = self._clock()
        if self.first is None:
            self.first, self._first_at_s = signal.Signals(number), now_s
            if self.leave_shell is not None and self.leave_shell():
                return
        elif now_s - self._first_at_s < MOMENT_S:
            return
        raise Stopped


def is_ignored(number: signal.Signals) -> bool:
    """Whether whoever started us wants this signal to be ignored."""
    return signal.getsignal(number) is signal.SIG_IGN


def end_by(number: signal.Signals) -> NoReturn:
    """End this process by a signal as if it had not been handled, so that the parent sees which one it was."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the terminal may be what has gone
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise LocalProtocolError(f"{number.name} did not end the process")
