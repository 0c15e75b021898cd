"""`transactional` as a function: the decorator of a client that is handed in, whichever it is."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from raftdb.client.given import V
from raftdb.client.retrying import ATTEMPTS_MAX, TIMEOUT_MS

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient
    from raftdb.client.async_transaction import AsyncTransaction
    from raftdb.client.sync_client import Client
    from raftdb.client.sync_transaction import Transaction

T = TypeVar("T")
P = ParamSpec("P")


@overload
def transactional(
    client: "Client[V]", *, max_attempts: int = ..., timeout_ms: float = ...
) -> Callable[[Callable[Concatenate["Transaction[V]", P], T]], Callable[P, T]]: ...


@overload
def transactional(
    client: "AsyncClient[V]", *, max_attempts: int = ..., timeout_ms: float = ...
) -> Callable[
    [Callable[Concatenate["AsyncTransaction[V]", P], Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]
]: ...


def transactional(
    client: "Client[Any] | AsyncClient[Any]",
    *,
    max_attempts: int = ATTEMPTS_MAX,
    timeout_ms: float = TIMEOUT_MS,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function whose first argument is a transaction of `client`: each call of it is one, repeated on a
    conflict. See `raftdb.client.sync_client.Client.transactional`."""
    return client.transactional(max_attempts=max_attempts, timeout_ms=timeout_ms)
