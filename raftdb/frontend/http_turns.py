"""The share of one turn of the event loop that requests may take.

asyncio runs everything that is ready in one turn. If thousands of connections each had a request ready, that turn would
take a second, and a leader that is silent for so long is deposed. So requests pass a turnstile, in order, when they
begin and when they are answered, and the timers of heartbeats run in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable

PASSES_PER_TURN = 128
"""Beginnings and ends of requests in one turn, about 20 ms. Each takes 0.1 to 0.2 ms, because long ones are decoded and
encoded on a thread (`raftdb.budgets`)."""


class Turnstile:
    """Lets `passes_per_turn` requests through in one turn of the loop, and the others in the next ones, in order."""

    def __init__(self, passes_per_turn: int = PASSES_PER_TURN) -> None:
        self._passes_per_turn = self._left = passes_per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Pass, at once if there is room in this turn, without a change of tasks."""
        if not self._passes():
            await self._line_up()

    def call(self, function: Callable[[], None]) -> None:
        """The same without a task: call the function, at once if there is room in this turn."""
        if self._passes():
            function()
        else:
            self._line_up().add_done_callback(lambda _: function())

    def _passes(self) -> bool:
        """Take a pass; False if none is left, or others wait already."""
        if self._left == self._passes_per_turn:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        if not self._left or self._waiting:
            return False
        self._left -= 1
        return True

    def _line_up(self) -> asyncio.Future[None]:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        return turn

    def _begin_turn(self) -> None:
        self._left = self._passes_per_turn
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self._passes_per_turn:
            asyncio.get_running_loop().call_soon(self._begin_turn)
