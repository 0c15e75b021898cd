"""While a request is not all there: reading its body, and what the listener is told of its connection meanwhile."""

from contextlib import AbstractContextManager
from typing import Protocol, cast

from aiohttp import web


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
