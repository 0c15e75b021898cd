"""The clients. A `flow` decides each step of a call, and `async_sharing` and `sync_sharing` have it carried out."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, overload

from raftdb.client import cluster_methods
from raftdb.client.addresses import DEFAULT_ADDRESSES, addresses_of, parse_url
from raftdb.client.async_commands import AsyncClientCommands
from raftdb.client.async_io import CONCURRENCY_MAX
from raftdb.client.async_services import AsyncClientServices
from raftdb.client.async_sharing import AsyncSharedCalls
from raftdb.client.async_tasks import teller
from raftdb.client.async_transacting import AsyncClientTransactions
from raftdb.client.async_users import AsyncClientUsers
from raftdb.client.credentials import Credentials, credentials_of
from raftdb.client.dialing import now_ms
from raftdb.client.encryption import Encryption, TlsOption
from raftdb.client.fences import Fence, fenced
from raftdb.client.flow import Caller, CallLimits, Method
from raftdb.client.given import Form, Lifetime, V, duration, duration_or_none, form_of, session_ttl_ms
from raftdb.client.http1 import Sink
from raftdb.client.leases import SESSION_TTL_S
from raftdb.client.model import AuditEvent, Json, NodeStatus
from raftdb.client.routing import Router
from raftdb.client.session import Sessions
from raftdb.errors import RaftdbError

if TYPE_CHECKING:
    from raftdb.client.async_holding import AsyncHolding

DEFAULT_TIMEOUT_MS = 8_000
"""Longest time of one call, retries included. Nodes give a request up after 5 s by default, so that the caller gets
their error, which says more than the client's."""

T = TypeVar("T")


class AsyncClient(
    AsyncClientCommands[V], AsyncClientTransactions[V], AsyncClientUsers, AsyncClientServices[V]
):
    """A client of one cluster. `Client` is for ordinary, blocking Python, `AsyncClient` for the tasks of one event
    loop; the rest is the same.

    `addresses`: the nodes' HTTP addresses, `"HOST:PORT,HOST:PORT"` or several such texts; one is enough, but with more
    the client works while some nodes are down. `timeout_ms`: the longest time of each call, retries included (None: 8
    seconds, and more on a network that turns out to be slow, but at most a minute). `unreachable_timeout_ms`: give up
    earlier if no node can be connected to for this long (None: do not). `random`: the source of jitter.

    `sessions`: writes are numbered within a session, which the first of them registers. So a write is sent again until
    the deadline, even if it may have been executed, and is executed once. Without sessions a write is sent again only
    if it surely was not executed; a client that makes only one write saves a round trip.

    Keys and values are given as `bytes`, as `str`, which is sent as UTF-8, or as `int`, which is sent as decimal
    digits; anything else is a `TypeError`. They are returned as `bytes`, or, with `decode`, as `str`: bytes that are
    not UTF-8 become lone surrogates (PEP 383), which are sent as the same bytes again.

    `session_ttl`: how long keys that are bound to this client (`set(..., session=True)`) outlive it, 15 seconds unless
    said otherwise. They are bound to a session of their own, which the first such write registers, and which a thread
    renews each third of that until the client is closed or the process ends. If it could not be renewed in time, or the
    cluster has ended it, `on_session_lost` is called: on a thread of its own, or on the event loop. The next write that
    binds a key raises `SessionLost`, once, and writes nothing: then all keys are to be bound again.

    `token`, or `user` and `password`: who this client is to a cluster that has users. They are sent with every request,
    to the addresses given and to those that nodes name as their members', and are read from no environment and no file.
    `credentials`: those of another client, which both share. Without TLS, whoever is on the way can read them.
    `tls`: True, a `Tls` with files, or an `ssl.SSLContext`. A client that is given one, or an address with `https://`,
    reaches every node by TLS; None alone stands for the CAs that the system trusts.

    Every method takes a `timeout_ms` of its own, which replaces the client's. Without it `snapshot` and `backup`, which
    take the leader long, may take ten minutes once the leader is found.

    Threads may share a `Client`, and the tasks of a loop an `AsyncClient`: each call has a connection for itself, so
    calls do not wait for each other. In a child process an inherited client begins with new connections and a new
    session.

    Only an `AsyncClient` has `concurrency_max`, the most calls at a time; more wait for their turn, which is part of
    their time. Its calls may be cancelled at any moment. The call's connection is closed then, and a write may or may
    not take effect, as after `OutcomeUnknown`.

    Every method raises `RaftdbError`: `Unavailable` if the cluster cannot answer now, and the call surely was not
    executed; `OutcomeUnknown` if a write may have been executed or may yet be; `CommandFailed` if the command ran and
    failed, with `Conflict` for a revision that has changed; `SessionExpired` if the cluster no longer knows whether it
    executed a write; `RequestRefused` if the request is malformed or over a limit, with `Unauthenticated` if the
    cluster does not know who asks and `Forbidden` if that user may not; `RemoteProtocolError` if the server is not a
    raftdb node.
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
        tls: TlsOption = ...,
        concurrency_max: int = ...,  # async only
        session_ttl: Lifetime = ...,
        on_session_lost: Callable[[], object] | None = ...,
        random: Random | None = ...,
        token: str | None = ...,
        user: str | None = ...,
        password: str | None = ...,
        credentials: Credentials | None = ...,
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
        tls: TlsOption = ...,
        concurrency_max: int = ...,  # async only
        session_ttl: Lifetime = ...,
        on_session_lost: Callable[[], object] | None = ...,
        random: Random | None = ...,
        token: str | None = ...,
        user: str | None = ...,
        password: str | None = ...,
        credentials: Credentials | None = ...,
    ) -> None: ...

    def __init__(
        self,
        addresses: str | Iterable[str] = DEFAULT_ADDRESSES,
        *,
        timeout_ms: float | None = None,
        unreachable_timeout_ms: float | None = None,
        sessions: bool = True,
        decode: bool = False,
        tls: TlsOption = None,
        concurrency_max: int = CONCURRENCY_MAX,  # async only
        session_ttl: Lifetime = SESSION_TTL_S,
        on_session_lost: Callable[[], object] | None = None,
        random: Random | None = None,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._credentials = credentials_of(credentials, token=token, user=user, password=password)
        self.tls = tls
        given = addresses_of(addresses)
        self._encryption = Encryption(tls, given)
        self._addresses = tuple(map(self._encryption.reached, given))
        self._has_sessions = sessions
        self._form: Form[V] = form_of(decode=decode)
        self._concurrency_max = concurrency_max  # async only
        self._random = random or Random()
        self._timeout_ms = duration(DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms, "timeout_ms")
        self._stretches = timeout_ms is None
        self._unreachable_timeout_ms = duration_or_none(unreachable_timeout_ms, "unreachable_timeout_ms")
        self._calls = self._begin()
        self._session_ttl_ms = session_ttl_ms(session_ttl)
        self._on_session_lost = on_session_lost
        self._holding: AsyncHolding | None = None
        self._fences: tuple[Fence, ...] = ()
        self._is_interrupted = False

    def _begin(self) -> AsyncSharedCalls:
        """The state that belongs to one home: the connections, the session, and the known leader."""
        caller = Caller(
            Router(self._addresses, random=self._random, reached=self._encryption.reached),
            sessions=Sessions() if self._has_sessions else None,
            clock=now_ms,
            random=self._random,
            credentials=self._credentials,
        )
        return AsyncSharedCalls(
            caller,
            self._encryption,
            self._concurrency_max,  # async only
        )

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, decode: Literal[False] = ..., credentials: Credentials | None = ...
    ) -> "AsyncClient[bytes]": ...

    @overload
    @classmethod
    def from_url(
        cls, url: str, *, decode: Literal[True], credentials: Credentials | None = ...
    ) -> "AsyncClient[str]": ...

    @classmethod
    def from_url(
        cls, url: str, *, decode: bool = False, credentials: Credentials | None = None
    ) -> "AsyncClient[Any]":
        """The client of a URL, such as `raftdb://HOST:PORT,HOST:PORT/?timeout_ms=500&sessions=false`.

        The query may have `timeout_ms`, `unreachable_timeout_ms` and `sessions`. `http://` instead of `raftdb://` works
        as well, and so does no scheme. A URL has no secrets: `credentials` have them. Raises `RequestRefused` for any
        other URL.
        """
        addresses, options = parse_url(url)
        return cast("AsyncClient[Any]", cls(addresses, decode=decode, credentials=credentials, **options))  # type: ignore[call-overload]

    @property
    def credentials(self) -> Credentials:
        """Who this client is to the cluster. What is replaced there holds from the next request on."""
        return self._credentials

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {','.join(self.addresses)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that this client was given, in order."""
        return tuple(map(str, self._addresses))

    async def status(self, address: str | None = None, *, timeout_ms: float | None = None) -> NodeStatus:
        """The status of the node at `address` (HOST:PORT), or of the first node that answers.

        With an address the node is asked once. It has a second to answer, or longer if connecting took long; a
        connection may take up to two thirds of the timeout.
        """
        if address is None:
            return await self._run(cluster_methods.STATUS, timeout_ms)
        return await self._ask(cluster_methods.STATUS, address, timeout_ms)

    async def audit(
        self, address: str, *, limit: int = 100, timeout_ms: float | None = None
    ) -> tuple[AuditEvent, ...]:
        """The newest `limit` (at most 10,000) events of the node at `address` about users, in order: who logged in
        there since its start, was refused, and changed what. For administrators."""
        return await self._ask(cluster_methods.audit(limit), address, timeout_ms)

    async def network(self, address: str, *, timeout_ms: float | None = None) -> Json:
        """What fault injection does to the links of the node at `address` (docs/network.md): the JSON of GET
        /v1/network. Raises `RequestRefused` (`forbidden`) if the node was started without it."""
        return await self._ask(cluster_methods.NETWORK, address, timeout_ms)

    async def change_network(self, address: str, change: Json, *, timeout_ms: float | None = None) -> Json:
        """Set what fault injection does to the links of the node at `address`: `change` is the JSON of PUT
        /v1/network. Returns what is set then, and raises as `network`."""
        return await self._ask(cluster_methods.change_network(change), address, timeout_ms)

    async def _ask(self, method: Method[T], address: str, timeout_ms: float | None) -> T:
        """Ask the node at `address` alone, once."""
        limits, calls = self._limits(timeout_ms), self._own_calls()
        return await calls.carry_out(
            calls.caller.ask(method, address, limits),
            limits,  # async only
        )

    async def backup(
        self,
        target: Sink | str | os.PathLike[str],
        *,
        replace: bool = False,
        timeout_ms: float | None = None,
    ) -> int:
        """Write a backup of the leader's state to a file, or stream it into a `Sink`. Returns the index of its last
        entry.

        A file is complete, verified and durable when this returns, and is removed if it raises. With `replace` it
        replaces a file of that name; without, `FileExistsError` is raised if there is one. An answer that breaks off is
        asked for again within the time of the call, and a sink's `begin` is called again then. The caller has to verify
        what a sink gets. Memory is bounded. An `AsyncClient` writes files, and calls a sink, on other threads, one call
        at a time. Raises `BackupDamaged`, the `OSError` of a file, and what a sink raises.
        """
        if isinstance(target, str | os.PathLike):
            from raftdb.client.async_backup import take_backup

            taken = await take_backup(self, Path(target), replace=replace, timeout_ms=timeout_ms)
            return taken.index
        return await self._run(cluster_methods.backup(target), timeout_ms)

    async def close(self) -> None:
        """End the session, if the leader can be reached quickly, and close the connections. The client may be used
        again.

        Other calls are not waited for: they go on, and close their connections when they are done. The session then
        ends after a time without use.
        """
        with suppress(RaftdbError):
            calls = self._own_calls()
            try:
                await calls.carry_out(
                    calls.caller.close(),
                    self._limits(None),  # async only
                )
            finally:
                calls.caller.abandon()
                calls.connections.close()
        holding = self._holding
        if holding is not None and holding.is_here:
            await holding.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _limits(self, timeout_ms: float | None) -> CallLimits:
        if timeout_ms is None:
            return CallLimits(
                now_ms(), self._timeout_ms, self._unreachable_timeout_ms, stretches=self._stretches
            )
        longest_ms = duration(timeout_ms, "timeout_ms")
        return CallLimits(now_ms(), longest_ms, self._unreachable_timeout_ms, is_strict=True)

    async def _run(self, method: Method[T], timeout_ms: float | None = None) -> T:
        method = fenced(method, self._fences)
        limits, calls = self._limits(timeout_ms), self._own_calls()
        return await calls.carry_out(
            calls.caller.flow(method, limits, self._lease_sessions),
            limits,  # async only
        )

    def _fenced_by(self, fence: Fence) -> "AsyncClient[V]":
        """This client, with all its writes fenced by a lock as well. Both have the same session and connections."""
        self._own_calls()
        self._own_holding()
        view = copy(self)
        view._fences = (*self._fences, fence)
        return view

    def _interrupt(self) -> None:
        """Break off all calls, for good, from any thread: they raise `Interrupted`."""
        self._is_interrupted = True
        self._calls.connections.interrupt()

    def _own_holding(self) -> "AsyncHolding":
        holding = self._holding
        if holding is None or not holding.is_here:
            from raftdb.client.async_holding import AsyncHolding
            from raftdb.client.renewing import ClientRenewer

            make = partial(
                AsyncClient,
                self.addresses,
                unreachable_timeout_ms=self._unreachable_timeout_ms,
                tls=self.tls,
                credentials=self._credentials,
            )
            renewer = partial(ClientRenewer, self.addresses, self.tls, self._credentials)
            holding = self._holding = AsyncHolding(make, renewer)
        return holding

    def _lease_sessions(self) -> Sessions:
        """The sessions for what binds keys, which begin with the first such write."""
        from raftdb.client.leased import LeasedSessions

        told = self._on_session_lost or (lambda: None)
        return LeasedSessions(self._session_ttl_ms, self._own_holding().renewals, teller(told))

    def _own_calls(self) -> AsyncSharedCalls:
        """The calls of the present home. Two homes with the same connections or sequences would get each other's
        answers."""
        calls = self._calls
        while not calls.home.is_here():
            calls.caller.abandon()
            calls.connections.close()
            calls = self._calls = self._begin()
        return calls
