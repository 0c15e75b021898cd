"""The lean path: a short request with a known head is answered without aiohttp's help.

For each request aiohttp makes a stream for its body, a request, a writer, a task and two changes of tasks, and parses
a head that is, on a connection which is kept alive, the same as that of the request before. That takes several times as
long as all that the node does for a read. So a head is **remembered**, byte by byte, with what became of it, and the
next request that begins with the same bytes needs one look-up in a dictionary; its body goes to the node with a
callback.

There is no second parser of HTTP, which could disagree with the first about where a request ends (hazard B99): a head
is known only if aiohttp has parsed these bytes, and the listener has found the route and accepted the host (see
`LeanPath.learn`). What it means does not depend on anything else, so it means the same the next time.

What falls through
------------------
All that is not exactly one whole request with a known head goes to aiohttp, on the same connection and in order:

* a request for any other route, with a longer body, in chunks, in more than one read, or pipelined with others;
* a head that is not known yet, or that is not remembered because what follows from it has to be decided each time:
  `Expect`, `Content-Encoding`, `Origin`, `Upgrade`, cookies, HTTP/1.0, and `Connection: close`;
* a request with a password that is to be checked, which takes a thread (`raftdb.frontend.http_login`);
* a request that the node may hold for a while (`raftdb.frontend.http_waiting`), which is seen in its body;
* everything that comes before aiohttp has answered the request before, and while the client does not read.

A connection comes back to the lean path if it is certain where the next request begins, because all that aiohttp was
given is one whole request by its own account. After anything else (a read that ends within a head, two requests in one
read, a change of protocols) aiohttp keeps the connection until it ends.

The guards of the listener are the same ones: the line before the turnstile, `busy`, the order in which connections make
room for new ones, the memory for long answers, the time to read them, and the orderly close. What arrives during a
request is one read of the socket at most, because reading is paused, and is looked at afterwards.

aiohttp has no public way to know whether a connection is at rest, so some private names of `RequestHandler` are used
here; `tests/frontend/test_http_lean.py` fails if they mean something else in another version.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage, StreamWriter

from raftdb.errors import required
from raftdb.frontend.http_connection import Connection
from raftdb.frontend.http_login import Gate, challenged
from raftdb.frontend.http_reply import Reply, code_of, drain, failure_reply
from raftdb.frontend.http_turns import Turnstile
from raftdb.memory import Hold
from raftdb.tally import RequestTallies

if TYPE_CHECKING:
    from raftdb.frontend.http_server import BoundedServer

logger = logging.getLogger("raftdb.http")

HEADS_MAX = 1024
"""Most heads that are remembered: each client has one for every length of a body."""
HEAD_BYTES_REMEMBERED_MAX = 1024
"""Longest head that is remembered."""

_HEAD_END = b"\r\n\r\n"
_DECIDED_EACH_TIME = (
    hdrs.CONTENT_ENCODING,
    hdrs.COOKIE,
    hdrs.EXPECT,
    hdrs.ORIGIN,
    hdrs.PROXY_AUTHORIZATION,
    hdrs.TRANSFER_ENCODING,
    hdrs.UPGRADE,
)


class LeanCall(Protocol):
    """One request that the node is executing. `operation` is the name of its command."""

    operation: str

    def reply(self, memory: Hold) -> Reply | Awaitable[Reply]:
        """The reply, for which memory is taken as far as it needs any. Called once, after the call is settled. Raises
        RaftdbError."""
        ...


class LeanHandler(Protocol):
    """The handler of a route for short bodies, without a task."""

    body_bytes_max: int
    """Longest body that it takes."""

    def __call__(self, body: bytes, on_settled: Callable[[], None], *, user: bytes | None) -> LeanCall | None:
        """Begin to execute a request, on behalf of a user where there are users; None if aiohttp has to have it.
        `on_settled` is called once, after this has returned; it is quick, and does not raise. Raises RaftdbError."""


LeanRoutes = Mapping[tuple[str, str], LeanHandler]
"""From method and path to handler."""


class KnownHead(NamedTuple):
    """What a head stands for."""

    path: str
    handler: LeanHandler
    body_bytes: int
    authorization: str | None
    """What it says of who asks, which is judged each time."""


class LeanPath:
    """The heads that one listener knows, and the line of all its requests."""

    def __init__(
        self, routes: LeanRoutes, turnstile: Turnstile, requests: RequestTallies, gate: Gate
    ) -> None:
        self.routes = routes
        self.gate = gate
        self.turnstile = turnstile
        self.requests = requests
        self.heads: dict[bytes, KnownHead] = {}
        """The known heads, from the first byte to the empty line, the oldest first."""

    def learn(self, request: web.BaseRequest, head: bytes) -> None:
        """Remember the head of a request that was let in, unless it has to be judged each time.

        `head` is empty, or the bytes that aiohttp made `request` of, and a body followed that was as long as promised.
        """
        handler = self.routes.get((request.method, request.raw_path))
        body_bytes = request.content_length or 0
        if not head or handler is None or body_bytes > handler.body_bytes_max:
            return
        if request.version != HttpVersion11 or not request.keep_alive:
            return
        if any(name in request.headers for name in _DECIDED_EACH_TIME):
            return
        if len(self.heads) >= HEADS_MAX:
            del self.heads[next(iter(self.heads))]
        self.heads[head] = KnownHead(
            request.raw_path, handler, body_bytes, request.headers.get(hdrs.AUTHORIZATION)
        )


class LeanConnection(Connection):
    """A connection on which requests with known heads are answered at once; aiohttp has all others."""

    __slots__ = (
        "_answered",
        "_began_s",
        "_call",
        "_held_back",
        "_known",
        "_lean",
        "_missing_bytes",
        "_request",
        "_task",
        "head",
    )

    def __init__(self, crowd: "BoundedServer", lean: LeanPath, memory: Hold, **options: Any) -> None:
        super().__init__(crowd, memory, **options)
        self._lean = lean
        self.head = b""
        """The head of the request that aiohttp has, if it came in one read, whole and alone, to a connection at rest;
        else empty."""
        self._missing_bytes = 0
        """How many bytes of a body aiohttp still has to get before the next request begins; negative if that is not
        certain any more."""
        self._known: KnownHead | None = None
        """The head of the request under way on the lean path."""
        self._request = b""
        self._began_s = 0.0
        self._call: LeanCall | None = None
        self._held_back = b""
        self._task: asyncio.Future[None] | None = None
        self._answered: asyncio.Future[None] | None = None

    @property
    def is_lean(self) -> bool:
        """True while a request is under way on the lean path."""
        return self._known is not None

    def data_received(self, data: bytes) -> None:
        """Take bytes: one whole request with a known head, or something for aiohttp."""
        if self._known is not None:
            self._hold_back(data)
            return
        if self._missing_bytes == 0:
            end = data.find(_HEAD_END) + len(_HEAD_END)
            known = self._lean.heads.get(data[:end])
            if known is not None and len(data) == end + known.body_bytes and self._is_at_rest():
                self._known, self._request = known, data
                self._began_s = perf_counter()
                self.crowd.waiting.pop(self, None)
                self._lean.turnstile.call(self._begin)
                return
        self._pass_on(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what was held back. A request under way goes on, and the connection counts until it has ended."""
        super().connection_lost(exc)
        self._held_back = b""

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """End the connection, after a request under way, which gets twice the time, as with aiohttp."""
        if self.is_lean:
            self._answered = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if timeout is None else 2 * timeout):
                    await self._answered
        await super().shutdown(timeout)

    def _is_answering(self) -> bool:
        return self.is_lean or super()._is_answering()

    def _is_at_rest(self) -> bool:
        """True if aiohttp has answered everything, and the client reads."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self.writing_paused

    def _hold_back(self, data: bytes) -> None:
        """Keep what arrives during a request, and read no more until it is answered."""
        self._held_back += data
        if self.transport is not None:
            self.transport.pause_reading()

    def _pass_on(self, data: bytes) -> None:
        """Give bytes to aiohttp, and keep count of where the next request begins."""
        self.head = b""
        before, was_at_rest = self._request_count, self._is_at_rest()
        super().data_received(data)
        if self._missing_bytes or not data:
            self._missing_bytes -= len(data)
            return
        self._missing_bytes = -1
        message = self._messages[-1][0] if self._request_count == before + 1 and self._messages else None
        if isinstance(message, RawRequestMessage):
            end = data.find(_HEAD_END) + len(_HEAD_END)
            self._missing_bytes = missing_bytes(message, data, end)
            if was_at_rest and self._missing_bytes == 0 and end <= HEAD_BYTES_REMEMBERED_MAX:
                self.head = data[:end]

    def _begin(self) -> None:
        """Begin the request, when it is its turn."""
        known = required(self._known, "known head")
        request, self._request = self._request, b""
        try:
            self.crowd.refuse_if_crowded()
            user, is_known = self._lean.gate.admit_lean(known.authorization, self._address)
            body = request[len(request) - known.body_bytes :]
            self._call = known.handler(body, self._settled, user=user) if is_known else None
        except Exception as error:  # noqa: BLE001 - `failure_reply` logs it
            self._refuse(f"POST {known.path}", error, known.path)
        else:
            if self._call is None:
                self._known = None
                self._pass_on(request)
                if self._held_back:
                    self._take_held_back()

    def _address(self) -> str:
        """The address of the client, without its port."""
        name = None if self.transport is None else self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    def _settled(self) -> None:
        self._lean.turnstile.call(self._finish)

    def _finish(self) -> None:
        """Reply, when it is its turn. Nothing is raised, because the node may be calling (`Driver.submit`)."""
        try:
            self._reply()
        except Exception:
            logger.exception("a reply cannot be sent")
            self.force_close()
            self._end()

    def _reply(self) -> None:
        known, call = required(self._known, "known head"), required(self._call, "call")
        self._call = None
        try:
            reply = call.reply(self.memory)
        except Exception as error:  # noqa: BLE001 - `failure_reply` logs it
            self._refuse(call.operation, error, known.path)
            return
        self._lean.requests.succeeded(call.operation, self._began_s)
        if isinstance(reply, Reply):
            self._send(reply)
        else:
            self._task = asyncio.ensure_future(self._send_later(reply, known.path))

    async def _send_later(self, awaited: Awaitable[Reply], path: str) -> None:
        """Send a long reply, which is encoded on a thread."""
        try:
            reply = await awaited
        except Exception as error:  # noqa: BLE001 - `failure_reply` logs it
            reply = failure_reply(error, path)
        self._send(reply)

    def _refuse(self, operation: str, error: Exception, path: str) -> None:
        """Answer with an error."""
        self._lean.requests.refused(operation, code_of(error), self._began_s)
        self._send(challenged(failure_reply(error, path), is_page=False))

    def _send(self, reply: Reply) -> None:
        """Write the reply. If the client is slow to read it, the request ends once it has read nearly all."""
        transport = self.transport
        if transport is None or transport.is_closing():
            self._end()
            return
        # The connection waits for its client again, as the last in order.
        self.crowd.waiting[self] = None
        if self.memory.bytes:
            self.memory.set(len(reply.body or b""))
        is_slow = reply.write(transport, keep_alive=not reply.close)
        if reply.close:
            self.force_close()
        if is_slow:
            self._task = asyncio.ensure_future(self._end_when_read(transport))
        else:
            self._end()

    async def _end_when_read(self, transport: asyncio.Transport) -> None:
        with suppress(ConnectionError):
            await drain(StreamWriter(self, self._loop), transport)
        self._end()

    def _end(self) -> None:
        """End the request: the connection is at rest again."""
        self._known = self._task = None
        if self.memory.bytes:
            self.memory.release()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        if self.transport is None:
            self.crowd.connection_lost(self)
            return
        if self._has_ended:
            self.force_close()
            return
        self._next_keepalive_close_time = close_time = self._loop.time() + self.keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)
        if self._held_back:
            # In a turn of its own: this one may be the node's.
            self._loop.call_soon(self._take_held_back)

    def _take_held_back(self) -> None:
        """Go on with what has arrived during a request."""
        held_back, self._held_back = self._held_back, b""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(held_back)

    def _process_keepalive(self) -> None:
        """Close a connection that has had no request for too long; aiohttp does not know of one that is under way."""
        if self.is_lean:
            self._keepalive_handle = None
        else:
            super()._process_keepalive()


def missing_bytes(message: RawRequestMessage, data: bytes, end: int) -> int:
    """How many bytes of the body are to come after `data`, which has one head, and an empty line that ends at `end`;
    negative if that is not certain.

    The empty line is that of the head if there are as many lines before it as aiohttp has read.
    """
    lines = data.count(b"\n", 0, end)
    if lines != data.count(b"\r\n", 0, end) or lines != len(message.raw_headers) + 2:
        return -1
    if message.chunked or message.upgrade or message.method == hdrs.METH_CONNECT:
        return -1
    return int(message.headers.get(hdrs.CONTENT_LENGTH, 0)) - (len(data) - end)
