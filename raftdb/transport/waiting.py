"""While a request is not all there: reading its body, and what the listener is told of its connection meanwhile."""

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol, cast

from aiohttp import web

from raftdb.errors import RequestRefused


class _Connection(Protocol):
    """A connection of `raftdb.frontend.http_server`."""

    def awaiting_client(self) -> AbstractContextManager[None]:
        """See below."""
        ...


def awaiting_client(request: web.BaseRequest) -> AbstractContextManager[None]:
    """While this is held the request is not all there: it makes room if there are too many connections, as one that has
    sent nothing does (hazard B98)."""
    return cast(_Connection, request.protocol).awaiting_client()


async def next_piece(request: web.BaseRequest) -> bytes:
    """What has arrived of the body, waited for; empty at its end. Raises ConnectionError if it ends before that."""
    if request.transport is None and not request.content.is_eof():
        # Closed by this side: aiohttp takes a wait for more for a mistake of its caller.
        raise ConnectionResetError("the connection was closed")
    return await request.content.readany()


async def read_chunks(request: web.BaseRequest, *, bytes_max: int, timeout_s: float) -> list[bytes] | None:
    """The body in the chunks that it arrived in, or None if it did not arrive whole, in time (hazard B98).

    Raises RequestRefused if it is longer than `bytes_max`.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while chunk := await next_piece(request):
                size += len(chunk)
                if size > bytes_max:
                    raise RequestRefused("too_large", f"the body is larger than {bytes_max} bytes")
                chunks.append(chunk)
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        return None
    return chunks
