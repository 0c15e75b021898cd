"""Streaming a file as an answer, in pieces, which are read on threads, bounded in memory and in time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from raftdb.frontend.http_body import awaits_continue
from raftdb.frontend.http_reply import OCTETS

PIECE_BYTES = 1 << 20
"""The length of a piece, of which one is in memory."""
PIECE_TIMEOUT_S = 30.0
"""How long a client may take to read one piece before its connection is cut."""
SLOW_BYTES_PER_SECOND = 1 << 20
"""A client that reads less than this, on average, is cut off for a new one: by reading one piece now and then it could
keep others out for hours."""
SLOW_AFTER_S = 10.0
"""A client is not cut off as slow before this time."""


class Sending:
    """A file that a client is reading. `is_over` is set once everything that was held for it is free."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._began_s = self._clock()
        self.sent_bytes = 0
        self.is_over = asyncio.Event()

    async def make_room(self) -> None:
        """Cut the client off if it reads slowly, and wait until its request has ended."""
        passed_s = self._clock() - self._began_s
        if passed_s < SLOW_AFTER_S or self.sent_bytes >= passed_s * SLOW_BYTES_PER_SECOND:
            return
        if self._request.transport is not None:
            self._request.transport.abort()
        await self.is_over.wait()


async def stream_file(
    request: web.BaseRequest, path: Path, *, headers: Mapping[str, str], sending: Sending
) -> web.StreamResponse:
    """Send the file at `path`. If the client goes away or does not read, its connection is cut. The length is sent
    beforehand, so that a client notices a stream that was cut."""
    response = web.StreamResponse(headers=headers)
    response.content_type = OCTETS.decode("ascii")
    response.content_length = (await asyncio.to_thread(path.stat)).st_size
    if awaits_continue(request):
        response.force_close()
    try:
        async with _opened(path) as file:
            await response.prepare(request)
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                async with asyncio.timeout(PIECE_TIMEOUT_S):
                    await response.write(piece)
                sending.sent_bytes += len(piece)
            await response.write_eof()
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
    return response


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[BinaryIO]:
    """Open and close the file on a thread, as a context. It is closed whenever a cancellation comes, which without the
    shield could take back the closing, or lose a file that a thread is opening."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open, path)
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_if_opened)
        raise
    try:
        yield file
    finally:
        await asyncio.shield(loop.run_in_executor(None, file.close))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _close_if_opened(opening: "asyncio.Future[BinaryIO]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
