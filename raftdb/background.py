"""What a node has under way beside its turns: tasks and timers, all of which are started here.

A task that ends by an error ends in silence: nobody awaits it, and what it was there for is no longer done. So each is
watched. What was not foreseen, in a task or in what a timer calls, is told to the owner, who stops the node. A task may
end by itself when its work is done, and by `cancel` on it; a cancellation that comes from inside, of a future that the
task waits for, is as unforeseen as an error.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from raftdb.errors import Fatal

logger = logging.getLogger("raftdb.node")


def fatal_of(error: BaseException) -> Fatal:
    """`error` as the reason why a node stops. One that is meant for people, as those of storage, keeps its words."""
    if isinstance(error, Fatal):
        return error
    message, hint = getattr(error, "message", None), getattr(error, "hint", None)
    if isinstance(message, str) and (hint is None or isinstance(hint, str)):
        return Fatal(message, hint=hint)
    return Fatal(f"{type(error).__name__}: {error}")


class StartTask(Protocol):
    """Whatever starts tasks and sees to what becomes of them."""

    def __call__(self, work: Coroutine[Any, Any, None], /, *, name: str) -> "asyncio.Task[None]":
        """Run `work` from now on; `name` is for people."""
        ...


class Background:
    """Tasks and timers of one owner, until `close`. All on the event loop's thread."""

    def __init__(self, on_failure: Callable[[Fatal], None]) -> None:
        """`on_failure` is told each end that was not foreseen, after it was logged."""
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        """Run `work` from now on; `name` is for people. It must end soon after it was cancelled."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if self._closed:
            task.cancel()
        return task

    def after(
        self, delay_seconds: float, call: Callable[..., None], *arguments: object
    ) -> asyncio.TimerHandle:
        """Call `call(*arguments)` once, unless the timer is cancelled before, or this is closed."""

        def run() -> None:
            self._timers.discard(timer)
            try:
                call(*arguments)
            except Exception as error:  # noqa: BLE001 - whatever it was, what it was to do is not done
                self._failed(getattr(call, "__qualname__", repr(call)), error)

        # Those that were cancelled are nowhere told of: they are forgotten when the next one is set.
        self._timers = {other for other in self._timers if not other.cancelled()}
        timer = asyncio.get_running_loop().call_later(delay_seconds, run)
        self._timers.add(timer)
        if self._closed:
            timer.cancel()
        return timer

    async def close(self) -> None:
        """Cancel everything, and wait until the tasks have ended."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if task.cancelling() == 0:
                self._failed(task.get_name(), asyncio.CancelledError("what it waited for was cancelled"))
        elif (error := task.exception()) is not None:
            self._failed(task.get_name(), error)

    def _failed(self, what: str, error: BaseException) -> None:
        logger.error("internal error, the node stops", exc_info=error, extra={"fields": {"in": what}})
        self._on_failure(fatal_of(error))
