"""Reading a request's body, bounded in bytes and in time, whatever the headers say (hazards B96, B98, B99)."""

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol, cast

from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING

from raftdb.errors import RequestRefused
from raftdb.frontend.http_memory import held_for, hold_body
from raftdb.frontend.http_reply import BodyRefused

CONTINUED: web.RequestKey[bool] = web.RequestKey("CONTINUED", bool)
"""Set once the client was told to send its body."""


class _Connection(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    def awaiting_client(self) -> AbstractContextManager[None]:
        """A context for the time in which the request has not fully arrived."""
        ...


async def read_body(request: web.BaseRequest, *, bytes_max: int, timeout_s: float) -> bytes:
    """The body of `request`, which may have `bytes_max` bytes and must arrive within `timeout_s` seconds.

    Raises BodyRefused (`too_large`, `bad_request`), which closes the connection, RequestRefused
    (`unsupported_encoding`), Unavailable (`busy`, if there is no memory for it now), or ConnectionError if the client
    has gone.
    """
    refuse_coded(request)
    content = request.content
    if content.is_eof():
        # Usually the body has come with the head, and needs neither a task switch nor a timer.
        body = content.read_nowait(-1)
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        hold_body(request, len(body))
        return body
    announced = request.content_length or 0
    if announced > bytes_max:
        raise _too_large(bytes_max)
    held_for(request).require_room(announced)
    if awaits_continue(request):
        _write_continue(request)
    try:
        async with asyncio.timeout(timeout_s):
            # Meanwhile this connection may be closed for a new one, like one that has sent nothing.
            with cast(_Connection, request.protocol).awaiting_client():
                body = await _read_pieces(request, bytes_max=bytes_max)
    except TimeoutError:
        raise BodyRefused("bad_request", f"the body did not arrive within {timeout_s:g} seconds") from None
    except web.RequestPayloadError:
        raise BodyRefused("bad_request", "the body is not what its headers promise") from None
    hold_body(request, len(body))
    return body


def refuse_coded(request: web.BaseRequest) -> None:
    """Raise RequestRefused for a compressed body (hazard B99)."""
    coding = request.headers.get(CONTENT_ENCODING)
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise RequestRefused("unsupported_encoding", "the body is compressed", hint="send it as it is")


def awaits_continue(request: web.BaseRequest) -> bool:
    """True if the client waits to be told to send its body, and was not told."""
    return (
        not request.content.is_eof()
        and CONTINUED not in request
        and request.headers.get("Expect", "").strip().lower() == "100-continue"
    )


async def _next_piece(request: web.BaseRequest) -> bytes:
    """The next piece of the body, empty at its end. Raises ConnectionError if the connection was closed before that."""
    if request.transport is None and not request.content.is_eof():
        # This node has closed the connection: aiohttp would treat a read now as a mistake of its caller.
        raise ConnectionResetError("the connection was closed")
    return await request.content.readany()


async def _read_pieces(request: web.BaseRequest, *, bytes_max: int) -> bytes:
    body, piece, held = bytearray(), b"", held_for(request)
    try:
        while piece := await _next_piece(request):
            held.grow(len(piece))
            body += piece
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
        return bytes(body)
    finally:
        # An error that the stream keeps also keeps this frame, and with it these bytes until the next cycle collection.
        body.clear()
        piece = b""


def _too_large(bytes_max: int) -> RequestRefused:
    return BodyRefused("too_large", f"the body is larger than {bytes_max} bytes")


def _write_continue(request: web.BaseRequest) -> None:
    """Tell a waiting client to send its body, whose announced size is acceptable."""
    request[CONTINUED] = True
    transport = request.writer.transport
    if transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
