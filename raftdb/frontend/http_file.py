"""A file as an answer: streamed in pieces, read beside the event loop, bounded in memory and in time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from raftdb.frontend.http_body import awaits_continue
from raftdb.frontend.http_reply import OCTETS

PIECE_BYTES = 1 << 20
"""Read and sent at once; a client holds up no more than this."""
PIECE_TIMEOUT_S = 30.0
"""How long a client may take to read one piece; then it is cut off."""
SLOW_BYTES_PER_SECOND = 1 << 20
"""Who reads less, on average, makes room for who asks anew: one piece now and then would keep others out for hours."""
SLOW_AFTER_S = 10.0
"""Nobody is called slow before that."""


class Sending:
    """A file on its way to a client. `is_over` is set once all that was held for it is free."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._began_s = self._clock()
        self.sent_bytes = 0
        self.is_over = asyncio.Event()

    async def make_room(self) -> None:
        """Cut off a client that reads slowly, and wait for its end."""
        passed_s = self._clock() - self._began_s
        if passed_s < SLOW_AFTER_S or self.sent_bytes >= passed_s * SLOW_BYTES_PER_SECOND:
            return
        if self._request.transport is not None:
            self._request.transport.abort()
        await self.is_over.wait()


async def stream_file(
    request: web.BaseRequest, path: Path, *, headers: Mapping[str, str], sending: Sending
) -> web.StreamResponse:
    """Send the whole of `path`. A client that goes away, or does not read, ends it; the length is said beforehand, so
    that a cut stream is known for one."""
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
    """The file, opened and closed on a thread. It is closed whenever a cancellation comes: that would take back what
    no thread has begun yet, and lose what one is about to open."""
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
