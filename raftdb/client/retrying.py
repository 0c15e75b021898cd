"""When a transaction that had a conflict is tried again. No I/O.

A transaction that lost to another one reads anew and tries again after a pause. The pause is random and grows, so that
several such transactions do not meet again. One deadline holds for all attempts.
"""

from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient
    from raftdb.client.async_transaction import AsyncTransaction
    from raftdb.client.sync_client import Client
    from raftdb.client.sync_transaction import Transaction

Values = TypeVar("Values", bound=bytes | str)
"""The type of a client's values: `raftdb.client.given.V`, but without a default, because the parameters after it have
none."""
T = TypeVar("T")
P = ParamSpec("P")

ATTEMPTS_MAX = 100
"""How often a transaction is tried by default."""
TIMEOUT_MS = 30_000.0
"""How long all attempts together may take by default."""
PAUSE_MS_FIRST = 2.0
PAUSE_MS_MAX = 250.0
"""Longest pause after many conflicts; `PAUSE_MS_FIRST` is the longest after the first."""
CALL_MS_MIN = 1.0


class Attempts:
    """The attempts at one transaction, from `now_ms` on. Times are in milliseconds of one monotonic clock."""

    def __init__(self, *, max_attempts: int, timeout_ms: float, now_ms: float, random: Random) -> None:
        self._left = max_attempts
        self._ends_ms = now_ms + timeout_ms
        self._random = random
        self._longest_ms = PAUSE_MS_FIRST

    def call_timeout_ms(self, now_ms: float) -> float:
        """The longest time that a call within the present attempt may take."""
        return max(self._ends_ms - now_ms, CALL_MS_MIN)

    def pause_ms(self, now_ms: float) -> float | None:
        """How long to wait after a conflict before the next attempt; None if there is no next one."""
        self._left -= 1
        pause_ms = self._random.uniform(0.0, self._longest_ms)
        self._longest_ms = min(self._longest_ms * 2.0, PAUSE_MS_MAX)
        return pause_ms if self._left > 0 and now_ms + pause_ms < self._ends_ms else None


@overload
def transactional(
    client: "Client[Values]", *, max_attempts: int = ..., timeout_ms: float = ...
) -> Callable[[Callable[Concatenate["Transaction[Values]", P], T]], Callable[P, T]]: ...


@overload
def transactional(
    client: "AsyncClient[Values]", *, max_attempts: int = ..., timeout_ms: float = ...
) -> Callable[
    [Callable[Concatenate["AsyncTransaction[Values]", P], Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]
]: ...


def transactional(
    client: "Client[Any] | AsyncClient[Any]",
    *,
    max_attempts: int = ATTEMPTS_MAX,
    timeout_ms: float = TIMEOUT_MS,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function whose first argument is a transaction of `client`. Each call of it is one transaction, which
    is repeated on a conflict. See `raftdb.client.sync_client.Client.transactional`."""
    return client.transactional(max_attempts=max_attempts, timeout_ms=timeout_ms)
