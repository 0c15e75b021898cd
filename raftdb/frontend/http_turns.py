"""The share of one turn of the event loop that requests may take.

asyncio runs everything that is ready in one turn. If thousands of connections each had a request ready, that turn would
take a second, and a leader that is silent for so long is deposed. So requests pass a turnstile, in order, when they
begin and when they are answered, and the timers of heartbeats run in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

PASSES_PER_TURN = 128
"""Beginnings and ends of requests in one turn, about 20 ms. Each takes 0.1 to 0.2 ms, because long ones are decoded and
encoded on a thread (`raftdb.budgets`)."""
CALLS_PER_PASS = 8
"""Beginnings and ends of requests on the lean path (`raftdb.frontend.http_lean`) that count as one of these."""


class Turnstile:
    """Lets requests through in one turn of the loop that take `passes_per_turn` passes together, and the others in the
    next ones, in order."""

    def __init__(self, passes_per_turn: int = PASSES_PER_TURN) -> None:
        self._full = self._left = passes_per_turn * CALLS_PER_PASS
        """How many calls are left in this turn."""
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()

    async def enter(self) -> None:
        """Pass, at once if there is room in this turn, without a change of tasks."""
        if not self._passes(CALLS_PER_PASS):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((partial(_wake, turn), CALLS_PER_PASS))
            await turn

    def call(self, function: Callable[[], None], *, calls: int = 1) -> None:
        """Call the function, which counts as so many calls, at once if there is room in this turn."""
        if self._passes(calls):
            function()
        else:
            self._waiting.append((function, calls))

    def _passes(self, calls: int) -> bool:
        """Take so much of this turn; False if that is not left, or others wait already."""
        if self._left == self._full:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        if self._left < calls or self._waiting:
            return False
        self._left -= calls
        return True

    def _begin_turn(self) -> None:
        self._left = self._full
        try:
            while self._waiting and self._left >= self._waiting[0][1]:
                function, calls = self._waiting.popleft()
                self._left -= calls
                function()
        finally:
            # Whatever a function does, the others in the line are called.
            if self._left < self._full:
                asyncio.get_running_loop().call_soon(self._begin_turn)


def _wake(turn: asyncio.Future[None]) -> None:
    """Let the task go on, unless it has given up."""
    if not turn.done():
        turn.set_result(None)
