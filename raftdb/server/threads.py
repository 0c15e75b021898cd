"""Checking, before anything else, that this process may have the threads of a node.

A limit on processes (`ulimit -u`, TasksMax= of a service, the pids of a container) counts threads. The event loop's
library, which resolves names in threads of its own, ends the process without a message if it gets none.
"""

import threading
from contextlib import suppress

from raftdb.errors import Fatal
from raftdb.server.folder import EXIT_OF_REASON
from storage import Reason

THREADS_MIN = 20
"""The threads that write the log, the state and log lines, the watchdog, the one that measures the space, the event
loop's four, and those of long work."""


def check_threads() -> None:
    """Start as many threads as a node needs, and let them end. Raises `Fatal` (exit code 7) if there are too few."""
    may_end = threading.Event()
    started: list[threading.Thread] = []
    try:
        with suppress(RuntimeError):  # "can't start new thread"
            for _ in range(THREADS_MIN):
                thread = threading.Thread(target=may_end.wait, name="check-threads", daemon=True)
                thread.start()
                started.append(thread)
    finally:
        may_end.set()
        for thread in started:
            thread.join()
    if len(started) < THREADS_MIN:
        raise Fatal(
            f"this process may start {len(started)} threads, and a node needs {THREADS_MIN} at the least",
            exit_code=EXIT_OF_REASON[Reason.OPEN_FILES],
            hint="raise the limit on processes, which counts threads: 'ulimit -u', TasksMax= of its service, or the "
            "pids of its container",
        )
