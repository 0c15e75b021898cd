"""How much of one turn of the event loop requests may take.

asyncio runs in one turn whatever is ready. Of thousands of connections that each have a request ready all would be in
the same turn, which would take a second, and a leader that is silent for so long is deposed. So requests pass a
turnstile, in order, when they begin and when they are answered: the heartbeats' timers get their turn in between.
"""

import asyncio
from collections import deque

PASSES_PER_TURN = 128
"""Beginnings and ends of requests in one turn. Of short ones each takes 0.1 to 0.2 ms, and what is long is done aside
(`raftdb.budgets`): about 20 ms."""


class Turnstile:
    """Lets so many through in one turn of the loop, the others in the next ones, who came first first."""

    def __init__(self, passes_per_turn: int = PASSES_PER_TURN) -> None:
        self._passes_per_turn = self._left = passes_per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Go through; without a wait, and a change of tasks, if there is room in this turn."""
        loop = asyncio.get_running_loop()
        if self._left == self._passes_per_turn:
            loop.call_soon(self._begin_turn)
        if self._left and not self._waiting:
            self._left -= 1
            return
        # Nothing is left, or others are before this one: the next turn is asked for.
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _begin_turn(self) -> None:
        self._left = self._passes_per_turn
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self._passes_per_turn:
            asyncio.get_running_loop().call_soon(self._begin_turn)
