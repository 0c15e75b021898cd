"""What was done, with times: a line each in a file, for who looks into a failure."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class Journal:
    """A file of lines: the time of day, seconds since the beginning, and what happened. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self.began_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def note(self, text: str) -> None:
        """Write a line. The seconds are those of the histories, whose times are nanoseconds of the same clock."""
        now_ns = time.monotonic_ns()
        line = f"{datetime.now(UTC):%H:%M:%S.%f} {(now_ns - self.began_ns) / 1e9:10.3f} {now_ns} {text}\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()

    @contextmanager
    def taking_log(self, name: str) -> Iterator[None]:
        """Let the lines of a logger come here, and nowhere else, inside the context."""
        logger, handler = logging.getLogger(name), _Handler(self)
        propagates, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Handler(logging.Handler):
    """Writes the lines of a logger into a journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._journal.note(f"{record.threadName}: {record.getMessage()}")
