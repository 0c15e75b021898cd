"""Beginning transactions, and functions each call of which is one."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from random import Random
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from raftdb.client import retrying
from raftdb.client.async_io import sleep
from raftdb.client.async_transaction import AsyncTransaction
from raftdb.client.dialing import now_ms
from raftdb.client.flow import Method
from raftdb.client.given import Form, V
from raftdb.client.retrying import Attempts
from raftdb.errors import Conflict

if TYPE_CHECKING:
    from raftdb.client.async_jobs import AsyncJob

T = TypeVar("T")
P = ParamSpec("P")


class AsyncClientTransactions(ABC, Generic[V]):
    """The transactions of a client."""

    _form: Form[V]
    _random: Random
    _timeout_ms: float

    @abstractmethod
    async def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        """Make one call. Raises `RaftdbError`."""

    def transaction(
        self, *, job: "AsyncJob[Any] | None" = None, timeout_ms: float | None = None
    ) -> AsyncTransaction[V]:
        """A transaction, which reads at once and writes when it is committed (see `raftdb.client.transaction`).
        `timeout_ms` is the longest time of each of its calls.

        With `job` its commit is also the end of that job: both happen, or neither. If the job was lost, the commit
        raises `Fenced`, and nothing is written.
        """
        return AsyncTransaction(self, self._form, partial(self._run, timeout_ms=timeout_ms), job)

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
        """Decorate a function whose first argument is a transaction, so that each call of it is one transaction.

        The transaction is committed when the function returns. After a conflict the function is called again with a new
        one, up to `max_attempts` times in all and for `timeout_ms`, before `Conflict` is raised. So other effects of
        the function may happen several times. If the function raises an exception, its writes are discarded and the
        exception is passed on, except if its reads turn out not to be of one moment: then it is called again.
        """
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
                await sleep(pause_ms)

        return run

    async def _run_within(self, attempts: Attempts, method: Method[T]) -> T:
        return await self._run(method, min(self._timeout_ms, attempts.call_timeout_ms(now_ms())))
