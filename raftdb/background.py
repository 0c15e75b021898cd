"""The tasks and timers of a node, all of which are started here.

No one awaits these tasks, so one that ended by an error would end unnoticed, and its work would no longer be done. So
each is watched, and an unforeseen error of a task or of a timer's call is told to the owner, which stops the node. A
task may end when its work is done, or by `cancel` on it; a cancellation from inside, of a future that the task awaits,
is as unforeseen as an error.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from raftdb.errors import Fatal

logger = logging.getLogger("raftdb.node")


def fatal_of(error: BaseException) -> Fatal:
    """`error` as the reason why a node stops. An error with a `message` and a `hint`, as storage raises, keeps both."""
    if isinstance(error, Fatal):
        return error
    message, hint = getattr(error, "message", None), getattr(error, "hint", None)
    if isinstance(message, str) and (hint is None or isinstance(hint, str)):
        return Fatal(message, hint=hint)
    return Fatal(f"{type(error).__name__}: {error}")


class StartTask(Protocol):
    """Starts tasks, and handles their failures."""

    def __call__(self, work: Coroutine[Any, Any, None], /, *, name: str) -> "asyncio.Task[None]":
        """Run `work` from now on; `name` is for people."""
        ...


class Background:
    """Tasks and timers of one owner, until `close`. Everything is called on the event loop's thread."""

    def __init__(self, on_failure: Callable[[Fatal], None]) -> None:
        """`on_failure` gets each unforeseen error, after it was logged."""
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
        """Call `call(*arguments)` once after the delay, unless the timer is cancelled or this is closed before."""

        def run() -> None:
            self._timers.discard(timer)
            try:
                call(*arguments)
            except Exception as error:  # noqa: BLE001 - the owner is told of any
                self._failed(getattr(call, "__qualname__", repr(call)), error)

        # A cancelled timer tells no one, so it is forgotten when the next one is set.
        self._timers = {other for other in self._timers if not other.cancelled()}
        timer = asyncio.get_running_loop().call_later(delay_seconds, run)
        self._timers.add(timer)
        if self._closed:
            timer.cancel()
        return timer

    async def close(self) -> None:
        """Cancel all tasks and timers, and wait until the tasks have ended."""
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
