"""Waiting for a condition, which is the only kind of waiting that these tests do."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

LIMIT_S = 60.0
"""How long a condition may take to come true: far above what is normal, for machines that do ten things at once."""
PAUSE_S = 0.02
"""Time between two looks at the condition."""


def wait_for(condition: Callable[[], Found | None], what: str, limit_s: float = LIMIT_S) -> Found:
    """The first answer of `condition` that is true; asked again and again for at most `limit_s` seconds.

    Raises AssertionError, with `what` was waited for and the last answer, if none comes.
    """
    end = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s:g} s in vain for: {what}; the last answer was {found!r}")
        time.sleep(PAUSE_S)
