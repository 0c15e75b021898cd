"""Reading a request's body: bounded in bytes and in time, whatever the headers promise (hazards B96, B98, B99)."""

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol, cast

from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING

from raftdb.errors import RequestRefused
from raftdb.frontend.http_memory import held_for, hold_body
from raftdb.frontend.http_reply import BodyRefused

CONTINUED: web.RequestKey[bool] = web.RequestKey("CONTINUED", bool)
"""Set once the client was told to go on with its body."""


class _Connection(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    def awaiting_client(self) -> AbstractContextManager[None]:
        """While this is held the request is not all there."""
        ...


async def read_body(request: web.BaseRequest, *, bytes_max: int, timeout_s: float) -> bytes:
    """The whole body of `request`, at most `bytes_max` bytes that arrive within `timeout_s` seconds.

    Raises BodyRefused (`too_large`, `bad_request`), which closes the connection, RequestRefused
    (`unsupported_encoding`), Unavailable (`busy`: there is no memory for it now), or ConnectionError: nobody is there
    to be answered.
    """
    refuse_coded(request)
    content = request.content
    if content.is_eof():
        # The usual case: the body came with the head. No task switch and no timer.
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
            # Meanwhile it makes room if there are too many connections, as one that has sent nothing does.
            with cast(_Connection, request.protocol).awaiting_client():
                body = await _read_pieces(request, bytes_max=bytes_max)
    except TimeoutError:
        raise BodyRefused("bad_request", f"the body did not arrive within {timeout_s:g} seconds") from None
    except web.RequestPayloadError:
        raise BodyRefused("bad_request", "the body is not what its headers promise") from None
    hold_body(request, len(body))
    return body


def refuse_coded(request: web.BaseRequest) -> None:
    """Raise RequestRefused for a body that would have to be unpacked first (hazard B99)."""
    coding = request.headers.get(CONTENT_ENCODING)
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise RequestRefused("unsupported_encoding", "the body is compressed", hint="send it as it is")


def awaits_continue(request: web.BaseRequest) -> bool:
    """True if the client waits with its body until it is told to go on, and was not told."""
    return (
        not request.content.is_eof()
        and CONTINUED not in request
        and request.headers.get("Expect", "").strip().lower() == "100-continue"
    )


async def _next_piece(request: web.BaseRequest) -> bytes:
    """What has arrived of the body, waited for; empty at its end. Raises ConnectionError if it ends before that."""
    if request.transport is None and not request.content.is_eof():
        # Closed by this side: aiohttp takes a wait for more for a mistake of its caller.
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
        # An error that the stream keeps would keep this frame, and them until the collector of cycles comes by.
        body.clear()
        piece = b""


def _too_large(bytes_max: int) -> RequestRefused:
    return BodyRefused("too_large", f"the body is larger than {bytes_max} bytes")


def _write_continue(request: web.BaseRequest) -> None:
    """Tell a waiting client to go on: the size that it announced is acceptable."""
    request[CONTINUED] = True
    transport = request.writer.transport
    if transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
