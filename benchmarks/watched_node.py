"""A node as `python -m raftdb` runs it, with a thread that writes down long turns of its event loop.

    WATCHED_NODE_FILE=FILE python -m benchmarks.watched_node serve ...

A line of FILE is `BEGAN MILLISECONDS PROCESSOR_MILLISECONDS`: when the loop was called, on the monotonic clock that all
processes share, how long its answer took, and how much processor time its thread used meanwhile. The node's own
watchdog does the same, but only ten times a second, and is not in every version that may be compared.
"""

import asyncio
import os
import sys
import threading
import time
from typing import Any

from raftdb.__main__ import main
from raftdb.node.driver import Driver

PERIOD_S = 0.002
WRITTEN_MS_MIN = 2.0


def watch(loop: asyncio.AbstractEventLoop, clock: int) -> None:
    """Call `loop` every `PERIOD_S` until it is closed. `clock` is that of its thread's processor time."""
    with open(os.environ["WATCHED_NODE_FILE"], "a", buffering=1) as file:
        while True:
            time.sleep(PERIOD_S)
            sign = threading.Event()
            began, processor = time.monotonic(), time.clock_gettime(clock)
            try:
                loop.call_soon_threadsafe(sign.set)
            except RuntimeError:
                return
            sign.wait()
            milliseconds = (time.monotonic() - began) * 1000
            if milliseconds >= WRITTEN_MS_MIN:
                had_ms = (time.clock_gettime(clock) - processor) * 1000
                file.write(f"{began:.6f} {milliseconds:.2f} {had_ms:.2f}\n")


def watch_from_start() -> None:
    """Watch the loop of every driver that starts."""
    plain = Driver.start

    def start(self: Driver, *args: Any) -> None:
        plain(self, *args)
        clock = time.pthread_getcpuclockid(threading.get_ident())
        threading.Thread(target=watch, args=(asyncio.get_running_loop(), clock), daemon=True).start()

    setattr(Driver, "start", start)  # noqa: B010 - a method that is replaced


if __name__ == "__main__":
    watch_from_start()
    sys.exit(main())
