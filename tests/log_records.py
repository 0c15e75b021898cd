"""The log lines of the product, kept in memory.

pytest writes each line to a file of its own too (the null device by default), which is a blocking call on the event
loop, and the detector in `conftest.py` says so. A running server logs through a queue; tests log to a list.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def recorded() -> Iterator[list[logging.LogRecord]]:
    """The records of every logger below `raftdb`, from level INFO, as they come; nobody else sees them meanwhile."""
    logger = logging.getLogger("raftdb")
    handler = _ListHandler()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
