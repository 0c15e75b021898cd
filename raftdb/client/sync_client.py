"""The client for ordinary, blocking Python: `flow` decides, `connection` carries out, `sharing` joins them."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial, wraps
from random import Random
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from raftdb.client import methods, retrying
from raftdb.client.addresses import parse_addresses
from raftdb.client.dialing import now_ms
from raftdb.client.flow import Caller, Limits, Method
from raftdb.client.http1 import Sink
from raftdb.client.membership import MemberCalls
from raftdb.client.model import LogPage, Member, NodeStatus
from raftdb.client.retrying import Attempts
from raftdb.client.routing import DEFAULT_ADDRESSES, Router
from raftdb.client.session import Sessions
from raftdb.client.sharing import SharedCalls
from raftdb.client.sync_commands import ClientCommands
from raftdb.client.transaction import Transaction
from raftdb.errors import Conflict, RaftdbError

DEFAULT_TIMEOUT_MS = 8_000
"""Longest time of one call, retries included. Nodes give a request up after 5 s unless configured otherwise:
the one who knows more should speak first."""

T = TypeVar("T")
P = ParamSpec("P")


class Client(ClientCommands, MemberCalls):
    """A connection to a cluster.

    `addresses`: the nodes' HTTP addresses, `"HOST:PORT,HOST:PORT"` or a sequence of such; any of them will
    do, more survive more failures. `timeout_ms`: the deadline of each call, retries included (None: 8 seconds, and more
    on a network that turns out to be slow, but at most a minute).
    `unreachable_timeout_ms`: give up sooner if no node at all can be connected to (None: do not). `random`:
    the source of jitter.

    `sessions`: writes are numbered within a session, which the first of them registers. So they are sent again, for as
    long as the deadline allows, whatever became of them, and happen once. Without, a write is sent again only if it
    surely was not executed; and a client that makes one write only is spared a round trip.

    Keys and values are `bytes`, or `str` for its UTF-8; what comes back is always `bytes`.

    Threads may share a client: each call has a connection for itself, so they do not wait for each other. A child
    process that inherits a client begins connections and a session of its own.

    Every method raises `RaftdbError`: `Unavailable` if the cluster cannot answer now, and the call surely was not
    executed; `OutcomeUnknown` if a write may have happened or may yet; `CommandFailed` if the command ran and failed,
    with `Conflict` for a revision that has changed; `SessionExpired` if the cluster no longer remembers whether it
    executed a write; `RequestRefused` if it is malformed; `RemoteProtocolError` if what answers is no raftdb node.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] = DEFAULT_ADDRESSES,
        *,
        timeout_ms: float | None = None,
        unreachable_timeout_ms: float | None = None,
        sessions: bool = True,
        random: Random | None = None,
    ) -> None:
        text = addresses if isinstance(addresses, str) else ",".join(addresses)
        self._addresses = parse_addresses(text)
        self._has_sessions = sessions
        self._random = random or Random()
        self._timeout_ms = DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
        self._stretches = timeout_ms is None
        self._unreachable_timeout_ms = unreachable_timeout_ms
        self._calls = self._begin()

    def _begin(self) -> SharedCalls:
        """What is this process' own: connections, the session, and who leads."""
        caller = Caller(
            Router(self._addresses, random=self._random),
            sessions=Sessions() if self._has_sessions else None,
            clock=now_ms,
            random=self._random,
        )
        return SharedCalls(caller)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses this client was given, in order."""
        return self._addresses

    def transaction(self) -> Transaction:
        """A transaction that reads at once and writes when it is committed (see `raftdb.client.transaction`)."""
        return Transaction(self, self._run)

    @overload
    def transactional(self, function: Callable[Concatenate[Transaction, P], T], /) -> Callable[P, T]: ...

    @overload
    def transactional(
        self, function: None = None, /, *, max_attempts: int = ..., timeout_ms: float = ...
    ) -> Callable[[Callable[Concatenate[Transaction, P], T]], Callable[P, T]]: ...

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
        self,
        function: Callable[Concatenate[Transaction, P], T],
        *,
        max_attempts: int,
        timeout_ms: float,
    ) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            attempts = Attempts(
                max_attempts=max_attempts, timeout_ms=timeout_ms, now_ms=now_ms(), random=self._random
            )
            while True:
                transaction = Transaction(self, partial(self._run_within, attempts))
                try:
                    with transaction, transaction.judging_exceptions():
                        return function(transaction, *args, **kwargs)
                except Conflict as conflict:
                    pause_ms = attempts.pause_ms(now_ms()) if transaction.lost_by(conflict) else None
                    if pause_ms is None:
                        raise
                time.sleep(pause_ms / 1000.0)

        return run

    def request_log(self, *, first: int | None = None, limit: int = 100) -> LogPage:
        """A page of the leader's log: up to `limit` entries from index `first` (None: the node's choice).

        Raises `RaftdbError` `compacted` if `first` is no longer in the log.
        """
        return self._run(methods.request_log(first, limit))

    def status(self, address: str | None = None) -> NodeStatus:
        """The view of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the question is whether that node is up: it gets one second and no second chance.
        """
        if address is None:
            return self._run(methods.STATUS)
        calls = self._own_calls()
        return calls.carry_out(calls.caller.ask(methods.STATUS, address, self._limits()))

    def members(self) -> tuple[Member, ...]:
        """The cluster's members as the leader knows them, with how far each has come."""
        return self._run(methods.MEMBERS)

    def snapshot(self) -> int:
        """Make the leader's state durable and compact its log now; the index that the state is durable up to."""
        return self._run(methods.SNAPSHOT)

    def backup(self, sink: Sink) -> int:
        """Stream a backup of the leader's state into `sink`; the index that it goes up to.

        Memory is bounded. An answer that is cut off is asked for again, as long as the time of a call lasts: `sink`
        then begins anew. Verifying what arrived is the caller's work (`raftdb.client.backup`). What the sink raises
        is passed on.
        """
        return self._run(methods.backup(sink))

    def close(self) -> None:
        """End the session, if the leader can be told quickly, and close the connections. The client may be used again.

        Nobody is waited for: calls of other threads go on, close their connections when they are done, and leave the
        session to end by its silence.
        """
        calls = self._calls
        if calls.process_id == os.getpid():
            with suppress(RaftdbError):
                calls.carry_out(calls.caller.close())
        calls.connections.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _limits(self, timeout_ms: float | None = None) -> Limits:
        longest_ms = self._timeout_ms if timeout_ms is None else min(timeout_ms, self._timeout_ms)
        stretches = self._stretches and timeout_ms is None
        return Limits(now_ms(), longest_ms, self._unreachable_timeout_ms, stretches)

    def _run(self, method: Method[T]) -> T:
        return self._run_for(method, self._limits())

    def _run_within(self, attempts: Attempts, method: Method[T]) -> T:
        return self._run_for(method, self._limits(attempts.call_timeout_ms(now_ms())))

    def _run_for(self, method: Method[T], limits: Limits) -> T:
        calls = self._own_calls()
        return calls.carry_out(calls.caller.flow(method, limits))

    def _own_calls(self) -> SharedCalls:
        """What this process knows: two on one connection, or with one numbering, would take each other's answers."""
        calls = self._calls
        if calls.process_id != os.getpid():
            calls.connections.close()
            calls = self._calls = self._begin()
        return calls
