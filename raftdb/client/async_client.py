"""The client for asyncio: `flow` decides, `async_connection` carries out, this loop joins them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from raftdb.client import methods, retrying
from raftdb.client.addresses import addresses_of, parse_url
from raftdb.client.async_commands import AsyncClientCommands
from raftdb.client.async_connection import AsyncConnections
from raftdb.client.async_transaction import AsyncTransaction
from raftdb.client.dialing import now_ms
from raftdb.client.flow import AwaitOthers, Caller, Flow, Limits, Method, Outcome, Step
from raftdb.client.given import Form, V, as_bytes, as_text, duration
from raftdb.client.http1 import AnswerLost, NotSent, Sink
from raftdb.client.model import NodeStatus
from raftdb.client.retrying import Attempts
from raftdb.client.routing import DEFAULT_ADDRESSES, Pause, Router
from raftdb.client.session import Sessions
from raftdb.client.sync_client import DEFAULT_TIMEOUT_MS
from raftdb.errors import Conflict, LocalProtocolError, RaftdbError, Unavailable

CONCURRENCY_MAX = 64
"""How many calls of one client are under way at a time, and so how many connections it has to one node."""

T = TypeVar("T")
P = ParamSpec("P")


class AsyncClient(AsyncClientCommands[V]):
    """A connection to a cluster for the tasks of one event loop, any number of them at a time.

    The arguments, the methods and their errors are those of `raftdb.client.sync_client.Client`. `concurrency_max`: how
    many calls are under way at a time; more wait for their turn, and waiting is part of a call's time.

    A call may be cancelled at any moment. Its connection is then closed; a write that was under way may or may not
    take effect, as after `OutcomeUnknown`.
    """

    @overload
    def __init__(
        self: "AsyncClient[bytes]",
        addresses: str | Iterable[str] = ...,
        *,
        timeout_ms: float | None = ...,
        unreachable_timeout_ms: float | None = ...,
        sessions: bool = ...,
        decode: Literal[False] = ...,
        concurrency_max: int = ...,
        random: Random | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncClient[str]",
        addresses: str | Iterable[str] = ...,
        *,
        timeout_ms: float | None = ...,
        unreachable_timeout_ms: float | None = ...,
        sessions: bool = ...,
        decode: Literal[True],
        concurrency_max: int = ...,
        random: Random | None = ...,
    ) -> None: ...

    def __init__(
        self,
        addresses: str | Iterable[str] = DEFAULT_ADDRESSES,
        *,
        timeout_ms: float | None = None,
        unreachable_timeout_ms: float | None = None,
        sessions: bool = True,
        decode: bool = False,
        concurrency_max: int = CONCURRENCY_MAX,
        random: Random | None = None,
    ) -> None:
        self._addresses = addresses_of(addresses)
        self._has_sessions = sessions
        self._form = cast(Form[V], as_text if decode else as_bytes)
        self._concurrency_max = concurrency_max
        self._random = random or Random()
        self._timeout_ms = duration(DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms, "timeout_ms")
        self._stretches = timeout_ms is None
        self._unreachable_timeout_ms = (
            None
            if unreachable_timeout_ms is None
            else duration(unreachable_timeout_ms, "unreachable_timeout_ms")
        )
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """What belongs to one event loop in one process: connections, the session, and who waits for whom."""
        self._loop = loop
        self._process_id = os.getpid()
        self._places = asyncio.Semaphore(self._concurrency_max)
        self._waiting: list[asyncio.Future[None]] = []
        self._connections = AsyncConnections()
        self._caller = Caller(
            Router(self._addresses, random=self._random),
            sessions=Sessions() if self._has_sessions else None,
            clock=now_ms,
            random=self._random,
        )

    @overload
    @classmethod
    def from_url(cls, url: str, *, decode: Literal[False] = ...) -> "AsyncClient[bytes]": ...

    @overload
    @classmethod
    def from_url(cls, url: str, *, decode: Literal[True]) -> "AsyncClient[str]": ...

    @classmethod
    def from_url(cls, url: str, *, decode: bool = False) -> "AsyncClient[Any]":
        """See `raftdb.client.sync_client.Client.from_url`."""
        addresses, options = parse_url(url)
        return cast("AsyncClient[Any]", cls(addresses, decode=decode, **options))  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {','.join(self._addresses)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses this client was given, in order."""
        return self._addresses

    def transaction(self, *, timeout_ms: float | None = None) -> AsyncTransaction[V]:
        """A transaction that reads at once and writes when it is committed (see `raftdb.client.transaction`).
        `timeout_ms` is the deadline of each of its calls."""
        return AsyncTransaction(self, self._form, partial(self._run, timeout_ms=timeout_ms))

    @overload
    def transactional(
        self, function: Callable[Concatenate[AsyncTransaction[V], P], Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def transactional(
        self, function: None = None, /, *, max_attempts: int = ..., timeout_ms: float = ...
    ) -> Callable[
        [Callable[Concatenate[AsyncTransaction[V], P], Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]
    ]: ...

    def transactional(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        max_attempts: int = retrying.ATTEMPTS_MAX,
        timeout_ms: float = retrying.TIMEOUT_MS,
    ) -> Callable[..., Any]:
        """Decorate a coroutine function that gets a transaction as its first argument: each call of it is one. See
        `raftdb.client.sync_client.Client.transactional`."""
        decorate = partial(self._repeated, max_attempts=max_attempts, timeout_ms=timeout_ms)
        return decorate if function is None else decorate(function)

    def _repeated(
        self,
        function: Callable[Concatenate[AsyncTransaction[V], P], Awaitable[T]],
        *,
        max_attempts: int,
        timeout_ms: float,
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            attempts = Attempts(
                max_attempts=max_attempts, timeout_ms=timeout_ms, now_ms=now_ms(), random=self._random
            )
            while True:
                transaction = AsyncTransaction(self, self._form, partial(self._run_within, attempts))
                try:
                    async with transaction, transaction.judging_exceptions():
                        return await function(transaction, *args, **kwargs)
                except Conflict as conflict:
                    pause_ms = attempts.pause_ms(now_ms()) if transaction.lost_by(conflict) else None
                    if pause_ms is None:
                        raise
                await asyncio.sleep(pause_ms / 1000.0)

        return run

    async def status(self, address: str | None = None, *, timeout_ms: float | None = None) -> NodeStatus:
        """The view of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the question is whether that node is up: it gets one second at most and no second chance.
        """
        if address is None:
            return await self._run(methods.STATUS, timeout_ms)
        limits = self._limits(timeout_ms)
        return await self._carry_out(self._own_caller().ask(methods.STATUS, address, limits), limits)

    async def backup(
        self,
        target: Sink | str | os.PathLike[str],
        *,
        replace: bool = False,
        timeout_ms: float | None = None,
    ) -> int:
        """See `raftdb.client.sync_client.Client.backup`. Files, and the calls of a sink, are on other threads, one call
        after the other."""
        if isinstance(target, str | os.PathLike):
            from raftdb.client.async_backup import take_backup

            return (await take_backup(self, Path(target), replace=replace, timeout_ms=timeout_ms)).index
        return await self._run(methods.backup(target), timeout_ms)

    async def close(self) -> None:
        """End the session, if the leader can be told quickly, and close the connections. No calls may be under way.
        The client may be used again."""
        if self._loop is asyncio.get_running_loop():
            with suppress(RaftdbError):
                await self._carry_out(self._caller.close(), self._limits(None))
            self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _limits(self, timeout_ms: float | None) -> Limits:
        if timeout_ms is None:
            return Limits(now_ms(), self._timeout_ms, self._unreachable_timeout_ms, stretches=self._stretches)
        longest_ms = duration(timeout_ms, "timeout_ms")
        return Limits(now_ms(), longest_ms, self._unreachable_timeout_ms, is_strict=True)

    async def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        limits = self._limits(timeout_ms)
        return await self._carry_out(self._own_caller().flow(method, limits), limits)

    async def _run_within(self, attempts: Attempts, method: Method[T]) -> T:
        return await self._run(method, min(self._timeout_ms, attempts.call_timeout_ms(now_ms())))

    def _own_caller(self) -> Caller:
        """What this client knows on this loop in this process; another loop, if the first is over, begins anew."""
        loop = asyncio.get_running_loop()
        is_ours = self._process_id == os.getpid()
        if self._loop is not loop or not is_ours:
            if self._loop is not None and not self._loop.is_closed() and is_ours:
                raise LocalProtocolError("this client is used on another event loop: make one for each")
            self._begin(loop)
        return self._caller

    async def _carry_out(self, flow: Flow[T], limits: Limits) -> T:
        """Do what the flow says until it ends."""
        async with self._place(limits):
            try:
                step = next(flow)
                while True:
                    done, outcome = step, await self._perform(step)
                    step = flow.send(outcome)
                    # Who has only waited has changed nothing: two of them would wake each other for ever.
                    if not isinstance(done, AwaitOthers):
                        self._wake()
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                flow.close()
                self._wake()

    async def _perform(self, step: Step) -> Outcome:
        """Carry out one step; what came of it."""
        if isinstance(step, Pause):
            await asyncio.sleep(step.duration_ms / 1000.0)
            return None
        if isinstance(step, AwaitOthers):
            await self._await_others(step.until_ms)
            return None
        try:
            return await self._connections.exchange(
                step.attempt.address,
                step.request.method,
                step.request.target,
                step.request.body,
                connect_by_ms=step.attempt.connect_by_ms,
                answer_by_ms=step.attempt.answer_by_ms,
                prompt_ms=step.attempt.prompt_ms,
                stretches=step.attempt.stretches,
                sink=step.sink,
            )
        except (NotSent, AnswerLost) as error:
            return error

    async def _await_others(self, until_ms: float) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        with suppress(TimeoutError):
            async with asyncio.timeout((until_ms - now_ms()) / 1000.0):
                await waiting

    def _wake(self) -> None:
        """Something has changed: let those who wait for it look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    @asynccontextmanager
    async def _place(self, limits: Limits) -> AsyncIterator[None]:
        """One of the places for calls; waiting for it is part of the call's time."""
        try:
            async with asyncio.timeout((limits.ends_ms - now_ms()) / 1000.0):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable(
                "busy",
                f"{self._concurrency_max} other calls of this client were not done in {limits.timeout_ms / 1000:g} s",
                hint="make fewer calls at a time, or raise concurrency_max",
            ) from None
        try:
            yield
        finally:
            self._places.release()
