"""Reporting that a command is still waiting, once it has taken longer than `PATIENCE_S`."""

import threading
from collections.abc import Callable
from types import TracebackType

PATIENCE_S = 1.0
"""Elections take about a second, so a person who waits longer is told why."""


class Patience:
    """A context that calls `tell`, in a thread, if it is still open after `PATIENCE_S`."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._timer = threading.Timer(PATIENCE_S, tell)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
