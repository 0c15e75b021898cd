# Made from async_client.py by .ci/unasync.py: what is to be changed is changed there.
"""The clients: `flow` decides, `async_connection` and `sync_connection` carry out, `async_sharing` and `sync_sharing`
join them."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from raftdb.client import cluster_methods, retrying
from raftdb.client.addresses import addresses_of, parse_url
from raftdb.client.dialing import now_ms
from raftdb.client.flow import Caller, Limits, Method
from raftdb.client.given import Form, V, as_bytes, as_text, duration
from raftdb.client.http1 import Sink
from raftdb.client.model import NodeStatus
from raftdb.client.retrying import Attempts
from raftdb.client.routing import DEFAULT_ADDRESSES, Router
from raftdb.client.session import Sessions
from raftdb.client.sync_commands import ClientCommands
from raftdb.client.sync_io import sleep
from raftdb.client.sync_sharing import SharedCalls
from raftdb.client.sync_transaction import Transaction
from raftdb.errors import Conflict, RaftdbError

DEFAULT_TIMEOUT_MS = 8_000
"""Longest time of one call, retries included. Nodes give a request up after 5 s unless configured otherwise:
the one who knows more should speak first."""

T = TypeVar("T")
P = ParamSpec("P")


class Client(ClientCommands[V]):
    """A connection to a cluster. `Client` is for ordinary, blocking Python, `AsyncClient` for the tasks of one event
    loop; all else is the same.

    `addresses`: the nodes' HTTP addresses, `"HOST:PORT,HOST:PORT"` or a sequence of such; any of them will
    do, more survive more failures. `timeout_ms`: the deadline of each call, retries included (None: 8 seconds, and more
    on a network that turns out to be slow, but at most a minute).
    `unreachable_timeout_ms`: give up sooner if no node at all can be connected to (None: do not). `random`:
    the source of jitter.

    `sessions`: writes are numbered within a session, which the first of them registers. So they are sent again, for as
    long as the deadline allows, whatever became of them, and happen once. Without, a write is sent again only if it
    surely was not executed; and a client that makes one write only is spared a round trip.

    Keys and values are `bytes`, `str` for its UTF-8, or `int` for its decimal; anything else is a `TypeError`. What
    comes back is `bytes`, or, with `decode`, `str`: UTF-8, and bytes that are not, as lone surrogates (PEP 383), which
    go back as what they were.

    Every method takes `timeout_ms`, its own deadline instead of the client's. Without it, what takes the leader long
    (`snapshot`, `backup`) may take ten minutes once the leader is found.

    Threads may share a `Client`, and the tasks of a loop an `AsyncClient`: each call has a connection for itself, so
    they do not wait for each other. A child process that inherits a client begins connections and a session of its own.

    Of an `AsyncClient` only: `concurrency_max` is how many calls are under way at a time; more wait for their turn, and
    waiting is part of a call's time. A call may be cancelled at any moment. Its connection is then closed; a write that
    was under way may or may not take effect, as after `OutcomeUnknown`.

    Every method raises `RaftdbError`: `Unavailable` if the cluster cannot answer now, and the call surely was not
    executed; `OutcomeUnknown` if a write may have happened or may yet; `CommandFailed` if the command ran and failed,
    with `Conflict` for a revision that has changed; `SessionExpired` if the cluster no longer remembers whether it
    executed a write; `RequestRefused` if it is malformed; `RemoteProtocolError` if what answers is no raftdb node.
    """

    @overload
    def __init__(
        self: "Client[bytes]",
        addresses: str | Iterable[str] = ...,
        *,
        timeout_ms: float | None = ...,
        unreachable_timeout_ms: float | None = ...,
        sessions: bool = ...,
        decode: Literal[False] = ...,
        random: Random | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: "Client[str]",
        addresses: str | Iterable[str] = ...,
        *,
        timeout_ms: float | None = ...,
        unreachable_timeout_ms: float | None = ...,
        sessions: bool = ...,
        decode: Literal[True],
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
        random: Random | None = None,
    ) -> None:
        self._addresses = addresses_of(addresses)
        self._has_sessions = sessions
        self._form = cast(Form[V], as_text if decode else as_bytes)
        self._random = random or Random()
        self._timeout_ms = duration(DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms, "timeout_ms")
        self._stretches = timeout_ms is None
        self._unreachable_timeout_ms = (
            None
            if unreachable_timeout_ms is None
            else duration(unreachable_timeout_ms, "unreachable_timeout_ms")
        )
        self._calls = self._begin()

    def _begin(self) -> SharedCalls:
        """What belongs to one home alone: connections, the session, and who leads."""
        caller = Caller(
            Router(self._addresses, random=self._random),
            sessions=Sessions() if self._has_sessions else None,
            clock=now_ms,
            random=self._random,
        )
        return SharedCalls(caller)

    @overload
    @classmethod
    def from_url(cls, url: str, *, decode: Literal[False] = ...) -> "Client[bytes]": ...

    @overload
    @classmethod
    def from_url(cls, url: str, *, decode: Literal[True]) -> "Client[str]": ...

    @classmethod
    def from_url(cls, url: str, *, decode: bool = False) -> "Client[Any]":
        """The client that a URL describes: `raftdb://HOST:PORT,HOST:PORT/?timeout_ms=500&sessions=false`.

        The options of the query are those above but `decode`, and none must be there. `http://` is taken as well, or no
        scheme at all. Raises `RequestRefused` for what is none.
        """
        addresses, options = parse_url(url)
        return cast("Client[Any]", cls(addresses, decode=decode, **options))  # type: ignore[call-overload]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {','.join(self._addresses)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses this client was given, in order."""
        return self._addresses

    def transaction(self, *, timeout_ms: float | None = None) -> Transaction[V]:
        """A transaction that reads at once and writes when it is committed (see `raftdb.client.transaction`).
        `timeout_ms` is the deadline of each of its calls."""
        return Transaction(self, self._form, partial(self._run, timeout_ms=timeout_ms))

    @overload
    def transactional(self, function: Callable[Concatenate[Transaction[V], P], T], /) -> Callable[P, T]: ...

    @overload
    def transactional(
        self, function: None = None, /, *, max_attempts: int = ..., timeout_ms: float = ...
    ) -> Callable[[Callable[Concatenate[Transaction[V], P], T]], Callable[P, T]]: ...

    def transactional(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        max_attempts: int = retrying.ATTEMPTS_MAX,
        timeout_ms: float = retrying.TIMEOUT_MS,
    ) -> Callable[..., Any]:
        """Decorate a function that gets a transaction as its first argument: each call of it is one.

        It is committed when the function returns; if that meets a conflict, the function is called again with a new
        one, up to `max_attempts` times and for `timeout_ms`, then `Conflict` is raised. So what the function does
        beside its transaction may be done several times. If it raises an exception, its writes are forgotten; but if
        what it had read was not of one moment, that proves nothing, and it is called again.
        """
        decorate = partial(self._repeated, max_attempts=max_attempts, timeout_ms=timeout_ms)
        return decorate if function is None else decorate(function)

    def _repeated(
        self, function: Callable[Concatenate[Transaction[V], P], T], *, max_attempts: int, timeout_ms: float
    ) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            attempts = Attempts(
                max_attempts=max_attempts, timeout_ms=timeout_ms, now_ms=now_ms(), random=self._random
            )
            while True:
                transaction = Transaction(self, self._form, partial(self._run_within, attempts))
                try:
                    with transaction, transaction.judging_exceptions():
                        return function(transaction, *args, **kwargs)
                except Conflict as conflict:
                    pause_ms = attempts.pause_ms(now_ms()) if transaction.lost_by(conflict) else None
                    if pause_ms is None:
                        raise
                sleep(pause_ms)

        return run

    def status(self, address: str | None = None, *, timeout_ms: float | None = None) -> NodeStatus:
        """The view of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the question is whether that node is up: it gets one second at most and no second chance.
        """
        if address is None:
            return self._run(cluster_methods.STATUS, timeout_ms)
        limits, calls = self._limits(timeout_ms), self._own_calls()
        return calls.carry_out(calls.caller.ask(cluster_methods.STATUS, address, limits))

    def backup(
        self, target: Sink | str | os.PathLike[str], *, replace: bool = False, timeout_ms: float | None = None
    ) -> int:
        """Write a backup of the leader's state to a file, or stream it into a `Sink`; the index that it goes up to.

        A file is whole, verified and durable when this returns, or not there; with `replace` it takes the place of one
        of that name, else raises `FileExistsError`. Raises `OSError` of the file as it is, and `BackupDamaged`. An
        answer that is cut off is asked for again, as long as the time of a call lasts: a sink then begins anew. What it
        raises is passed on, and verifying what it got is the caller's work. Memory is bounded. An `AsyncClient` has
        files, and the calls of a sink, on other threads, one call after the other.
        """
        if isinstance(target, str | os.PathLike):
            from raftdb.client.sync_backup import take_backup

            taken = take_backup(self, Path(target), replace=replace, timeout_ms=timeout_ms)
            return taken.index
        return self._run(cluster_methods.backup(target), timeout_ms)

    def close(self) -> None:
        """End the session, if the leader can be told quickly, and close the connections. The client may be used again.

        Nobody is waited for: other calls go on, close their connections when they are done, and leave the session to
        end by its silence.
        """
        with suppress(RaftdbError):
            calls = self._own_calls()
            try:
                calls.carry_out(calls.caller.close())
            finally:
                calls.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _limits(self, timeout_ms: float | None) -> Limits:
        if timeout_ms is None:
            return Limits(now_ms(), self._timeout_ms, self._unreachable_timeout_ms, stretches=self._stretches)
        longest_ms = duration(timeout_ms, "timeout_ms")
        return Limits(now_ms(), longest_ms, self._unreachable_timeout_ms, is_strict=True)

    def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        limits, calls = self._limits(timeout_ms), self._own_calls()
        return calls.carry_out(calls.caller.flow(method, limits))

    def _run_within(self, attempts: Attempts, method: Method[T]) -> T:
        return self._run(method, min(self._timeout_ms, attempts.call_timeout_ms(now_ms())))

    def _own_calls(self) -> SharedCalls:
        """What is known here: two homes on one connection, or with one numbering, would take each other's answers."""
        calls = self._calls
        while not calls.home.is_here():
            calls.connections.close()
            calls = self._calls = self._begin()
        return calls
