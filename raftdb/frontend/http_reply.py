"""The bytes of an HTTP answer, which are written in one piece.

aiohttp takes a `Reply` as a response: its server calls `prepare`, then `write_eof`, and reads `keep_alive`. Because the
head is built as bytes and written with the body in one system call, small requests have nearly half more throughput
(package essay). In return this module has to follow the rules of the head: `Connection`, HEAD, `Date`.
"""

import asyncio
import email.utils
import http
import logging
import re
import time
from collections.abc import Sequence

from aiohttp import HttpVersion, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from raftdb.errors import CODES, RaftdbError, RequestRefused, Unavailable
from raftdb.frontend.http_memory import held_for
from raftdb.frontend.json_values import encode_json, error_object

logger = logging.getLogger("raftdb.http")

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
OCTETS = b"application/octet-stream"

UNSENT_BYTES_MAX = 64 * 1024
"""A connection with more than this unsent waits for its client before the next request is handled."""
SEND_TIMEOUT_S = 10.0
"""How long a client may take to read its answer while that much is unsent, before it is cut off (hazard B92)."""
RETRY_AFTER_S = 1
"""`Retry-After` of every 503, because an election or a full queue is over within about a second."""

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in http.HTTPStatus
}
_HEADER_FORBIDDEN = re.compile(rb"[^\x20-\x7e]")


class Reply:
    """One answer: status, body, type of the body, further headers. `close` ends the connection after it. The body is
    None for a HEAD whose GET would have an unknown length.

    A reply is written at most once.
    """

    __slots__ = ("body", "close", "content_type", "headers", "keep_alive", "status")

    def __init__(
        self,
        body: bytes | None,
        *,
        status: int = 200,
        content_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
        close: bool = False,
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.close = close
        self.keep_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the whole answer to `request`'s connection; called by aiohttp."""
        self.keep_alive = keep_alive = request.keep_alive and not self.close
        held = held_for(request)
        try:
            transport = request.writer.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the client has gone")
            is_head = request.method == "HEAD"
            if self.write(transport, keep_alive=keep_alive, version=request.version, is_head=is_head):
                await drain(request.writer, transport)
        finally:
            if held.bytes:
                held.release()

    def write(
        self,
        transport: asyncio.WriteTransport,
        *,
        keep_alive: bool,
        version: HttpVersion = HttpVersion11,
        is_head: bool = False,
    ) -> bool:
        """Write the whole answer, or its head only. True if so much is unsent that the client has to be waited for."""
        head = self._head(keep_alive=keep_alive, version=version)
        if is_head or self.body is None:
            transport.write(head)
        elif len(self.body) <= UNSENT_BYTES_MAX:
            transport.write(head + self.body)
        else:
            # A second system call costs less than a second copy of a long body. `writelines` of asyncio is not used,
            # because it does not pause its protocol in Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1, so `drain` would
            # not wait.
            transport.write(head)
            transport.write(self.body)
        return transport.get_write_buffer_size() > UNSENT_BYTES_MAX

    def _head(self, *, keep_alive: bool, version: HttpVersion = HttpVersion11) -> bytes:
        """The status line, the headers and the empty line after them."""
        length = b"" if self.body is None else b"Content-Length: %d\r\n" % len(self.body)
        head = b"%b\r\nContent-Type: %b\r\n%bDate: %b\r\n" % (
            _STATUS_LINES[self.status],
            self.content_type,
            length,
            _date_header(),
        )
        if self.headers:
            head += b"".join(b"%b: %b\r\n" % (name, _checked(value)) for name, value in self.headers)
        if not keep_alive:
            head += b"Connection: close\r\n"
        elif version < HttpVersion11:
            head += b"Connection: keep-alive\r\n"
        return head + b"\r\n"

    def last_bytes(self) -> bytes:
        """The whole answer, for a connection that ends with it before a request was parsed."""
        return self._head(keep_alive=False) + (self.body or b"")

    async def write_eof(self) -> None:
        """Do nothing: `prepare` has written everything. Called by aiohttp."""


async def drain(writer: AbstractStreamWriter, transport: asyncio.WriteTransport) -> None:
    """Wait until the client has read its answer. Cuts it off after `SEND_TIMEOUT_S`, and raises
    ConnectionResetError."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await writer.drain()
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client does not read its answer") from None


def _checked(value: bytes) -> bytes:
    """A header value without line ends, because addresses of members come from other nodes and clients."""
    return _HEADER_FORBIDDEN.sub(b"?", value)


_date_second = 0
_date_text = b""


def _date_header() -> bytes:
    """The present time as HTTP writes it, formatted once per second."""
    global _date_second, _date_text  # noqa: PLW0603 - a cache of one value, read and written by one thread
    second = int(time.time())
    if second != _date_second:
        _date_text = email.utils.formatdate(second, usegmt=True).encode("ascii")
        _date_second = second
    return _date_text


class BodyRefused(RequestRefused):
    """The request's body is too large, too slow or broken, so the next request on the connection cannot be found."""


def error_reply(error: RaftdbError, target: str = "/") -> Reply:
    """The answer for `error`. A `not_leader` becomes a redirect to `target`, the path and query, on the leader.

    A `not_leader` without a known leader becomes `no_leader`.
    """
    code, headers = error.code, []
    leader = error.leader if isinstance(error, Unavailable) else None
    if code == "not_leader" and leader is None:
        code = "no_leader"
    status = CODES[code].status if code in CODES else 500
    if status == 307 and leader is not None:
        headers.append((b"Location", leader.endpoint.url(target).encode("utf-8", "replace")))
    elif status == 503:
        headers.append((b"Retry-After", b"%d" % RETRY_AFTER_S))
    body = encode_json(error_object(error, code=code))
    return Reply(body, status=status, headers=headers, close=isinstance(error, BodyRefused))


def code_of(error: Exception) -> str:
    """The code under which the answer to `error` is counted."""
    return error.code if isinstance(error, RaftdbError) else "internal"


def failure_reply(error: Exception, target: str) -> Reply:
    """The answer to a request for `target`, the path and query, on which a handler raised `error`. If that is a bug,
    the log has its traceback."""
    if isinstance(error, RaftdbError):
        return error_reply(error, target)
    fields = {"path": target.partition("?")[0]}
    logger.error("request failed", exc_info=error, extra={"fields": fields})
    return error_reply(RaftdbError("internal", "the server failed on this request; its log says why"))
