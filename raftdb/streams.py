"""The three standard streams, which may be closed when a program begins (`raftdb serve 2>&-`).

The system gives the lowest free number to the next file that is opened: with stream 2 closed that would be a file of
the database, and text for "standard error" would be written into it. So the three numbers are taken before any other
file is opened. Reading such a stream gives nothing, and what is written to it is discarded.
"""

import os
import sys
from collections.abc import Set

from raftdb.errors import LocalProtocolError

NAMES = ("stdin", "stdout", "stderr")
_closed: set[int] = set()


def open_standard_streams() -> None:
    """Open each of streams 0 to 2 that is closed on the null device. It must be called at the very beginning of a
    program."""
    for descriptor, name in enumerate(NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            _closed.add(descriptor)
            # All lower numbers are taken by now, so this is the lowest free one.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                raise LocalProtocolError("somebody opens files on another thread already") from None
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            stream = open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def closed_at_start() -> Set[int]:
    """Those of streams 0 to 2 that were closed, so that no one reads what is written there."""
    return _closed
