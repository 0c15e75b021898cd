"""The line that tells how a run goes: one that is written over on a terminal, and elsewhere a new one now and then."""

import time
from collections.abc import Callable
from typing import TextIO

from cli.console.output import is_terminal, terminal_columns
from cli.console.render import printable

TERMINAL_PERIOD_S = 0.5
FILE_PERIOD_S = 10.0


class Progress:
    """See the module."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = is_terminal(stream)
        self._next_s = clock()
        self._is_open = False

    def show(self, line: Callable[[], str]) -> None:
        """Show what `line` says now, if it is time."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + (TERMINAL_PERIOD_S if self._is_terminal else FILE_PERIOD_S)
        text = printable(line())
        if self._is_terminal:
            self._stream.write(f"\r{text[: terminal_columns() - 1]}\x1b[K")
            self._is_open = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line that stays."""
        if self._is_open:
            self._stream.write("\r\x1b[K")
            self._is_open = False
        self._stream.write(f"{text}\n")
        self._stream.flush()
