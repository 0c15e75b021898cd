"""The three standard streams, which may be closed when a program begins (`raftdb serve 2>&-`).

The system gives the lowest free number to whatever is opened next: with stream 2 closed that is a file of the database,
and the first thing that anybody writes on "standard error" lands in it. So before anything is opened the three
numbers are taken. Nothing is read there then, and what is written is discarded, as whoever closed them wanted.
"""

import os
import sys
from collections.abc import Set

from raftdb.errors import LocalProtocolError

NAMES = ("stdin", "stdout", "stderr")
_closed: set[int] = set()


def open_standard_streams() -> None:
    """Open on the null device whichever of streams 0 to 2 is closed. For the very beginning of a program."""
    for descriptor, name in enumerate(NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            _closed.add(descriptor)
            # All lower ones are open by now, so this one is the lowest that is free.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                raise LocalProtocolError("somebody opens files on another thread already") from None
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            stream = open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def closed_at_start() -> Set[int]:
    """Which of streams 0 to 2 were closed, so that nobody hears what is written there."""
    return _closed
