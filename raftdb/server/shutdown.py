"""How a node ends: what asked for it, the error that it ends with, and the closing of its parts in order, in bounded
time.

Only the first failure counts: later ones, while the node stops because of it, only follow from it. Whatever one part
does when it is closed, the next is closed, too. The node does not wait for a part that does not end, such as a disk
that does not answer: no write that hangs there was acknowledged.

A service manager stops a unit by a signal to each of its processes, and the process that has started the nodes passes
the signal on: so one request to stop may come as several signals. Signals within a moment count once; a later one asks
the node to stop at once.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

from raftdb.background import fatal_of
from raftdb.errors import Fatal
from raftdb.server import logs
from raftdb.server.folder import EXIT_FAILED, storage_errors

logger = logging.getLogger("raftdb.server")

SIGNALS_MOMENT_SECONDS = 1.0
"""Signals that come within this time after the first are the same request to stop."""
END_SECONDS = 9.5
"""How long it may take from the request to stop, or the failure, until everything is closed."""


def _exit(code: int) -> NoReturn:
    logs.flush()
    os._exit(code)


class Shutdown:
    """See the module. Made and used on a running event loop. `exit_now` ends the process with an exit code."""

    def __init__(
        self,
        *,
        moment_seconds: float = SIGNALS_MOMENT_SECONDS,
        end_seconds: float = END_SECONDS,
        exit_now: Callable[[int], None] = _exit,
    ) -> None:
        self.failure: Fatal | None = None
        self._moment_seconds = moment_seconds
        self._end_seconds = end_seconds
        self._exit_now = exit_now
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._signalled_at: float | None = None
        self._ends_by: float | None = None

    def watch_signals(self, on_hangup: Callable[[], None] | None = None) -> None:
        """From now on SIGTERM, SIGINT and SIGHUP ask for the end, except those that the starting process has set to be
        ignored: `nohup` does that with SIGHUP, and a script with SIGINT for programs that it runs in the background.
        If there is `on_hangup`, SIGHUP calls that instead, whatever was set before."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is signal.SIGHUP and on_hangup is not None:
                self._loop.add_signal_handler(number, on_hangup)
            elif number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                self._loop.add_signal_handler(number, self.signalled, number)

    def signalled(self, number: signal.Signals) -> None:
        """A signal has come: the first asks for an orderly end, a later one ends the process at once."""
        now = self._loop.time()
        if self._signalled_at is None:
            self._signalled_at = now
            logger.info("stopping", extra={"fields": {"signal": number.name}})
            self._ask()
        elif now - self._signalled_at >= self._moment_seconds:
            logger.warning("stops at once", extra={"fields": {"signal": number.name}})
            self._exit_now(EXIT_FAILED)

    def fail(self, error: Fatal) -> None:
        """Something broke that must not be worked around: the node stops without waiting for its requests."""
        if self.failure is None:
            logger.error("fatal", extra={"fields": {"error": error.message, "hint": error.hint}})
            self.failure = error
        self._ask()

    async def asked(self) -> None:
        """Wait until the node is to end."""
        await self._asked.wait()

    @asynccontextmanager
    async def closing(self) -> AsyncIterator["Closing"]:
        """Parts given to the `Closing` are closed on leaving, the last first, however the block is left. Then the first
        error is raised, if there was one: `failure`, or the exception that left the block."""
        came_first = False
        try:
            async with AsyncExitStack() as stack:
                try:
                    yield Closing(self, stack)
                except Exception as error:
                    came_first = self.failure is None
                    if isinstance(error, Fatal) and came_first:
                        self.failure = error
                    raise
        except Exception:
            if came_first:
                raise
        if self.failure is not None:
            raise self.failure

    async def close(self, what: str, close: Callable[[], Awaitable[object]]) -> None:
        """Close one part; an error is kept if it is the first, and raised nowhere."""
        limit = asyncio.timeout_at(self._deadline())
        try:
            with storage_errors():
                async with limit:
                    await close()
        except Exception as error:
            if limit.expired():
                logger.error(
                    "a part does not end, the node stops without it", extra={"fields": {"what": what}}
                )
                self._exit_now(EXIT_FAILED if self.failure is None else self.failure.exit_code)
                return
            logger.error("internal error while stopping", exc_info=error, extra={"fields": {"what": what}})
            self.fail(fatal_of(error))

    def _ask(self) -> None:
        self._deadline()
        self._asked.set()

    def _deadline(self) -> float:
        """The time until which everything is to be closed; counted from the first call."""
        if self._ends_by is None:
            self._ends_by = self._loop.time() + self._end_seconds
        return self._ends_by


class Closing:
    """The parts that are to be closed, in the order in which they were started."""

    def __init__(self, shutdown: Shutdown, stack: AsyncExitStack) -> None:
        self._shutdown = shutdown
        self._stack = stack

    def then(self, what: str, close: Callable[[], Awaitable[object]]) -> None:
        """Register the part `what`, which is closed by `close` before all parts registered earlier."""
        self._stack.push_async_callback(self._shutdown.close, what, close)
