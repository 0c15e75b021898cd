"""Work that is too long for the event loop, one piece at a time on a thread.

There is only one such thread: each thread that runs takes the interpreter lock in turn, and the loop would have to wait
for all of them.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Aside:
    """One thread, for one owner. The loop lends it, so nothing has to be closed."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def run(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """What `work` returns or raises. It must touch nothing that the loop does."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(work, *args, **kwargs)
