"""The tasks of an event loop that hold something: who they are, how they hear that it is lost, and many at a time.

`sync_tasks` has the same names with the same meaning, for threads.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Literal

from raftdb.client.leases import Lease
from raftdb.errors import required


def current() -> object:
    """The task that runs now: it is what owns a lock."""
    return required(asyncio.current_task(), "task: call this in a coroutine")


def teller(call: Callable[[], object]) -> Callable[[], None]:
    """What has `call` called on the event loop that runs now, from any thread."""
    loop = asyncio.get_running_loop()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(call)

    return tell


class Lost:
    """An event that is set once a lease is lost. That is decided by time: `is_set` is true from that moment on, whether
    the loop was blocked or the process stopped."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._blocks: dict[Block, None] = {}

    def is_set(self) -> bool:
        """Whether it is lost."""
        return self._lease.is_lost

    async def wait(self) -> Literal[True]:
        """Wait until it is lost."""
        return await self._event.wait()

    def enter(self) -> "Block":
        """The block of the current task, which is cancelled if it is lost."""
        block = Block()
        self._blocks[block] = None
        if self._lease.is_lost:
            self._loop.call_soon(self._tell_here)
        return block

    def tell(self) -> None:
        """Note that it is lost, from any thread."""
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._tell_here)

    def _tell_here(self) -> None:
        self._event.set()
        for block in list(self._blocks):
            block.cancel()
        self._blocks.clear()


class Block:
    """A block of a task that is cancelled when what it needs is lost."""

    def __init__(self) -> None:
        self._task = required(asyncio.current_task(), "task: use this in a coroutine")
        self._cancelling = self._task.cancelling()
        self._is_cancelled = False
        self._is_left = False

    def cancel(self) -> None:
        """Cancel the task, unless it has left the block."""
        if not self._is_left:
            self._is_cancelled = True
            self._task.cancel()

    def leave(self, error: BaseException | None) -> bool:
        """Note that the block is left; returns whether `error` is its cancellation, and nobody else's."""
        if self._is_left or not self._is_cancelled:
            self._is_left = True
            return False
        self._is_left = True
        return self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)


async def run_all(work: Sequence[Callable[[], Coroutine[Any, Any, None]]], stop: Callable[[], None]) -> None:
    """Run all of `work` at the same time, to the end. If one fails the others are told to stop, and its error is raised
    once they have; on a cancellation all are cancelled."""
    tasks = [asyncio.create_task(one()) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.done() and (task.cancelled() or task.exception()) for task in tasks):
            stop()
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    for task in tasks:
        task.result()
