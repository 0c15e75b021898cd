"""Signals that end the shell, or a program that runs nodes, in an orderly way.

By default Python ends at once on SIGTERM and SIGHUP, which leaves a terminal without echo, and nodes running without
the program that stops them.

One request to stop may come as several signals: systemd and `timeout` signal a whole group, and a terminal that closes
signals the shell, which passes the signal on. So signals within `MOMENT_S` count once. A later one ends the program at
once.
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
"""Signals that come within this time after the first belong to the same request; nodes use the same rule."""


class Stopped(BaseException):
    """A signal asked the program to stop. It is not an `Exception`, so that no handler takes it for a failure."""


class StopSignals:
    """Turns a signal into the end of the shell if that is at its prompt, else raises `Stopped`.

    `leave_shell` ends a shell as Ctrl-D does, and returns whether there was one. `first` is the first signal, None
    before that.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.leave_shell: Callable[[], bool] | None = None
        self.first: signal.Signals | None = None
        self._first_at_s = 0.0
        self._clock = clock

    def install(self, *numbers: signal.Signals) -> None:
        """Handle these signals from now on, except those that the parent process had ignored: `nohup` ignores SIGHUP,
        and a shell SIGINT for programs in the background."""
        for number in numbers:
            if number is signal.SIGTERM or not is_ignored(number):
                signal.signal(number, self._handle)

    def announce(self, leave: Callable[[], bool]) -> None:
        """Use `leave` to end the shell from now on."""
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
    """Whether this signal is ignored, as the parent process wanted."""
    return signal.getsignal(number) is signal.SIG_IGN


def end_by(number: signal.Signals) -> NoReturn:
    """End this process by a signal, as if it had not been handled, so that the parent process sees which one it was."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the terminal may have gone
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise LocalProtocolError(f"{number.name} did not end the process")
