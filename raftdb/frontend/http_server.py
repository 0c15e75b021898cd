"""The HTTP listener: it has the path table, turns every error into JSON, and closes in order.

It knows no route of its own. A handler is `async (request) -> Reply`, or returns another aiohttp response, as for a
peer's link; it raises `RaftdbError` to refuse. Handlers are not cancelled when their client goes away (package essay).
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import HttpVersion10, web
from aiohttp.hdrs import ORIGIN

from raftdb.errors import RequestRefused, Unavailable, required
from raftdb.frontend.accepting import Acceptor
from raftdb.frontend.http_body import awaits_continue
from raftdb.frontend.http_browser import CORS_HEADERS, Browsers
from raftdb.frontend.http_connection import LINGERING_TIME_S
from raftdb.frontend.http_head import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    REQUEST_LINE_BYTES_MAX,
    ArrivingHeads,
)
from raftdb.frontend.http_host import HostCheck, HostNames, shown
from raftdb.frontend.http_lean import LeanConnection, LeanPath, LeanRoutes
from raftdb.frontend.http_login import FETCHED_BY_PAGE, Gate, challenged
from raftdb.frontend.http_reply import Reply, code_of, error_reply, failure_reply
from raftdb.frontend.http_stream import EventStream
from raftdb.frontend.http_turns import Turnstile
from raftdb.frontend.impaired_clients import Wrap, as_it_is
from raftdb.frontend.tls import Tls
from raftdb.memory import Hold, MemoryAccount
from raftdb.route import Handler, Permission, Route, Routes
from raftdb.tally import RequestTallies

logger = logging.getLogger("raftdb.http")

SEGMENTS: web.RequestKey[dict[str, str]] = web.RequestKey("SEGMENTS", dict[str, str])
"""The segments of the path at the names of its pattern, still percent-encoded."""

OPERATION: web.RequestKey[str] = web.RequestKey("OPERATION", str)
"""What a request is counted as: the name of a command, or else the method and the pattern of the path."""
UNKNOWN_OPERATION = "unknown"

READ_BUFFER_BYTES = 64 * 1024
"""aiohttp's bound on reading a body ahead of its handler: up to twice as much, and one read of the socket, is held."""
CONNECTIONS_SPARED = 16
"""One connection in this many is kept for peers, for health checks, and for clients that are answered `busy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of one listener. Times are in seconds.

    `connections_max` counts clients and peers together. Requests at work are `busy_max` at most; those that the node
    holds until they can be served do not count. A connection is closed if it has no request for `keepalive_timeout_s`,
    or if the head of one takes longer to arrive.
    """

    connections_max: int = 24_000
    busy_max: int = 3_840
    keepalive_timeout_s: float = 75.0


class BoundedServer(web.Server):
    """aiohttp's low-level server with a limit on connections.

    Above the limit the connection that has waited for its client for longest is closed, which is idle, or whose request
    has not fully arrived. If there is none, the new one is refused. Before that many requests are at work, further ones
    are answered `busy`, except those of peers and health checks. So a crowd of silent sockets locks out neither of
    these (hazard B98).
    """

    def __init__(
        self,
        dispatch: Handler,
        *,
        lean: LeanPath,
        connections_max: int,
        busy_max: int,
        memory: MemoryAccount,
        **options: Any,
    ) -> None:
        super().__init__(cast(Any, dispatch), **options)
        self._lean = lean
        self._memory = memory
        self.connections_max = connections_max
        self._busy_max = min(busy_max, connections_max - connections_max // CONNECTIONS_SPARED)
        # The connections that wait for their clients, the one that has waited longest first. A busy one is not among
        # them.
        self.waiting: dict[web.RequestHandler, None] = {}
        self.heads = ArrivingHeads()
        self.held: set[web.RequestHandler] = set()
        """Those whose requests the node holds: they are neither busy nor waiting for their clients."""

    @property
    def turnstile(self) -> Turnstile:
        """The line of all requests of the listener."""
        return self._lean.turnstile

    @property
    def is_crowded(self) -> bool:
        """True if too many connections have requests at work: they take memory, and cannot be closed for new ones."""
        busy = len(self._connections) - len(self.waiting) - len(self.held)
        return busy > self._busy_max

    def __call__(self) -> web.RequestHandler:
        """A protocol for a connection that was just accepted."""
        return LeanConnection(self, self._lean, Hold(self._memory), loop=self._loop, **self._kwargs)

    def refuse_if_crowded(self) -> None:
        """Raise Unavailable (`busy`) if too many connections have requests at work."""
        if self.is_crowded:
            raise Unavailable("busy", "too many requests at once", hint="retry a little later")

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take the connection, and close one that waits for its client if there are too many."""
        super().connection_made(handler, transport)
        if len(self._connections) > self.connections_max:
            victim = next(iter(self.waiting), None)
            if victim is None:
                logger.warning("connection refused", extra={"fields": {"connections": self.connections_max}})
                # aiohttp requires that the connection's own task has begun before it is closed.
                self._loop.call_soon(handler.force_close)
                return
            del self.waiting[victim]
            victim.force_close()
        self.waiting[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget the connection, once its requests have ended."""
        self.waiting.pop(handler, None)
        if not cast(LeanConnection, handler).is_lean:
            super().connection_lost(handler, exc)


def paths_of(routes: Routes, *permissions: Permission) -> frozenset[str]:
    """The paths whose routes all need one of these permissions."""
    return frozenset(
        path
        for path, methods in routes.items()
        if all(route.permission in permissions for route in methods.values())
    )


def _tls_refusal() -> bytes:
    """The answer to one who comes without TLS where it is required."""
    refused = RequestRefused("forbidden", "this node is reached by TLS alone", hint="write https://HOST:PORT")
    return error_reply(refused).last_bytes()


class HttpServer:
    """One HTTP listener. `start` once, `close` once; both on the event loop."""

    def __init__(
        self,
        routes: Routes,
        *,
        limits: ServerLimits | None = None,
        memory: MemoryAccount | None = None,
        host_names: HostNames = tuple,
        lean: LeanRoutes | None = None,
        browsers: Browsers | None = None,
        gate: Gate | None = None,
        requests: RequestTallies | None = None,
        wrap: Wrap = as_it_is,
        tls: Tls | None = None,
    ) -> None:
        """`memory` is the account that connections take their memory from (None: one of their own). `host_names`
        returns the names beside IP addresses and `localhost` that a request may name; open routes are served under any
        name. A handler finds the segments of a path pattern in `request[SEGMENTS]`. `lean` has second handlers for some
        of `routes`, for short bodies (`raftdb.frontend.http_lean`). `browsers` judges what pages ask for (None: they
        may not act, and only those of this node may read). `gate` finds who asks (None:
        everybody may). `requests` counts all but those of peers. `wrap` is for what lies between clients and this node
        (`raftdb.frontend.impaired_clients`). `tls` is None if connections are without."""
        self._routes = {path: methods for path, methods in routes.items() if "{" not in path}
        self._limits = limits or ServerLimits()
        self._wrap = wrap
        self._server: BoundedServer | None = None
        self._acceptor: Acceptor | None = None
        self._memory = memory or MemoryAccount()
        self._hosts = HostCheck(host_names)
        self._browsers = browsers or Browsers()
        self._gate = gate or Gate()
        self._turnstile = Turnstile()
        self._requests = requests or RequestTallies()
        self._tls = tls
        self._lean = LeanPath(lean or {}, self._turnstile, self._requests, self._gate)
        self._open_paths = paths_of(routes, Permission.OPEN, Permission.HEALTH)
        self._uncounted_paths = paths_of(routes, Permission.PEER)
        self._spared_paths = paths_of(routes, Permission.OPEN, Permission.HEALTH, Permission.PEER)
        # Most requests need one look-up by method and path.
        self._quick = {
            (method, path): route
            for path, methods in self._routes.items()
            for method, route in methods.items()
        }
        self._patterns = [(path.split("/"), methods) for path, methods in routes.items() if "{" in path]

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen on `host`:`port` (0: any free port); returns the bound address and port. Raises OSError."""
        self._server = BoundedServer(
            self._dispatch,
            lean=self._lean,
            connections_max=self._limits.connections_max,
            busy_max=self._limits.busy_max,
            memory=self._memory,
            read_bufsize=READ_BUFFER_BYTES,
            access_log=None,
            keepalive_timeout=self._limits.keepalive_timeout_s,
            lingering_time=LINGERING_TIME_S,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            logger=logger,
        )
        self._acceptor = Acceptor(self._wrap(self._server), self._tls, refusal=_tls_refusal)
        return await self._acceptor.start(host, port)

    @property
    def connections(self) -> int:
        """The number of open connections, those of peers included."""
        return len(self._server.connections) if self._server is not None else 0

    async def close(self, *, grace_s: float) -> None:
        """Stop accepting, close idle connections, and give requests in flight `grace_s` seconds before they are cut
        off.

        Links of peers count as requests in flight, so they have to be closed first.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None or self._server is None:
            return
        acceptor.close()
        await acceptor.wait_closed()
        self._server.pre_shutdown()
        # aiohttp waits twice, before and after it cancels a handler, and takes 0 as no limit.
        await self._server.shutdown(max(grace_s / 2, 0.001))

    async def _dispatch(self, request: web.BaseRequest) -> Reply | web.StreamResponse:
        """Find and run the handler of `request`. Every error becomes an answer."""
        server = required(self._server, "server")
        connection = cast(LeanConnection, request.protocol)
        began_s, code = time.perf_counter(), ""
        server.waiting.pop(connection, None)
        reply: Reply | web.StreamResponse
        try:
            path = request.raw_path
            if request.version < HttpVersion10:
                # The parser of aiohttp takes them, and their answers have no form that a client could read.
                raise RequestRefused("bad_request", "a request names its version of HTTP, 1.0 or 1.1")
            is_let_in = self._is_let_in(path)
            if not is_let_in:
                await self._turnstile.enter()
                server.refuse_if_crowded()
            if not self._hosts.is_known(request) and path.partition("?")[0] not in self._open_paths:
                self._hosts.refuse(request)
            route = self._quick.get((request.method, path))
            if route is None or ORIGIN in request.headers:
                route = self._find(request)
            else:
                request[OPERATION] = f"{request.method} {path}"
                if connection.head:
                    self._lean.learn(request, connection.head)
            if self._gate.asks:
                await self._gate.admit(request, route)
            reply = await route.handler(request)
            if not is_let_in:
                await self._turnstile.enter()
        except Exception as error:  # noqa: BLE001 - `failure_reply` logs it
            if isinstance(error, ConnectionError) and not _is_open(request):
                # The client has gone: writing this reply fails, by which aiohttp notices that the connection is over.
                reply, code = Reply(b"", status=400, close=True), "client_gone"
            else:
                code = code_of(error)
                reply = failure_reply(error, request.rel_url.raw_path_qs)
                challenged(reply, is_page=FETCHED_BY_PAGE in request.headers)
        finally:
            if request.transport is not None:
                # The connection waits again, as the last in order. Its answer is written before anything else runs.
                server.waiting[connection] = None
        if isinstance(reply, Reply) and not isinstance(reply, EventStream):
            self._count(request, code, reply.status, began_s)
        _close_if_unread(request, reply)
        if CORS_HEADERS in request and isinstance(reply, Reply):
            reply.headers = [*reply.headers, *request[CORS_HEADERS]]
        if connection.memory.bytes:
            # The body and the decoded request are gone, and only the answer takes memory.
            connection.memory.set(len(reply.body or b"") if isinstance(reply, Reply) else 0)
        return reply

    def _count(self, request: web.BaseRequest, code: str, status: int, began_s: float) -> None:
        """Count an answered request. A stream is none: it lasts for as long as its client wants."""
        if request.raw_path.partition("?")[0] in self._uncounted_paths:
            return
        operation = request.get(OPERATION, UNKNOWN_OPERATION)
        if not code and status >= 400:
            code = "conflict" if status == 409 else "unavailable"
        if code:
            self._requests.refused(operation, code, began_s)
        else:
            self._requests.succeeded(operation, began_s)

    def _is_let_in(self, path: str) -> bool:
        """True for a request of peers or a health check, which must be served under any load."""
        return path.partition("?")[0] in self._spared_paths

    def _find(self, request: web.BaseRequest) -> Route:
        """The route of `request`, or one that refuses its method. Raises RequestRefused."""
        path = request.rel_url.raw_path
        methods, pattern = self._routes.get(path), path
        if methods is None:
            methods, pattern = self._match(request, path.split("/"))
        if methods is None:
            raise RequestRefused(
                "not_found", f"there is nothing at {shown(path)}", hint="GET / lists all routes"
            )
        route = methods.get(request.method)
        request[OPERATION] = f"{request.method} {pattern}" if route is not None else UNKNOWN_OPERATION
        if ORIGIN in request.headers:
            preflight = self._browsers.preflight(request, methods)
            if preflight is not None:
                return Route(_answerer(preflight), Permission.PAGE)
            request[CORS_HEADERS] = self._browsers.admit(request, route)
        return Route(_method_refuser(path, sorted(methods)), Permission.PAGE) if route is None else route

    def _match(
        self, request: web.BaseRequest, segments: Sequence[str]
    ) -> tuple[Mapping[str, Route] | None, str]:
        """The methods of the first pattern that fits, or None, and the pattern. Sets `request[SEGMENTS]`."""
        for pattern, methods in self._patterns:
            pairs = list(zip(pattern, segments, strict=False))
            named = [(name[1:-1], segment) for name, segment in pairs if name.startswith("{")]
            fits = len(pattern) == len(segments) and all(
                name == segment or (name.startswith("{") and segment) for name, segment in pairs
            )
            if fits:
                request[SEGMENTS] = dict(named)
                return methods, "/".join(pattern)
        return None, ""


def _is_open(request: web.BaseRequest) -> bool:
    """True if the connection can still take an answer."""
    return request.transport is not None and not request.transport.is_closing()


def _close_if_unread(request: web.BaseRequest, reply: Reply | web.StreamResponse) -> None:
    """Have the connection closed after the answer to a client that waits to be told to send its body. It may send the
    body after all, or the next request, and the two could not be told apart (RFC 9110, 10.1.1)."""
    if isinstance(reply, Reply) and awaits_continue(request):
        reply.close = True


def _answerer(reply: Reply) -> Handler:
    async def answer(_request: web.BaseRequest) -> Reply:
        return reply

    return answer


def _method_refuser(path: str, allowed: list[str]) -> Handler:
    async def refuse(request: web.BaseRequest) -> Reply:
        names = ", ".join(allowed)
        error = RequestRefused(
            "method_not_allowed", f"{path} does not take {shown(request.method)[:20]}", hint=f"use {names}"
        )
        reply = error_reply(error)
        reply.headers = [(b"Allow", names.encode("ascii"))]
        return reply

    return refuse
