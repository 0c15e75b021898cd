"""A file as an answer: streamed in pieces, read beside the event loop, bounded in memory and in time."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from raftdb.frontend.http_body import awaits_continue
from raftdb.frontend.http_reply import OCTETS

PIECE_BYTES = 1 << 20
"""Read and sent at once; a client holds up no more than this."""
PIECE_TIMEOUT_S = 30.0
"""How long a client may take to read one piece; then it is cut off."""


async def stream_file(
    request: web.BaseRequest, path: Path, *, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send the whole of `path`. A client that goes away, or does not read, ends it; the length is said beforehand, so
    that a cut stream is known for one."""
    response = web.StreamResponse(headers=headers)
    response.content_type = OCTETS.decode("ascii")
    response.content_length = (await asyncio.to_thread(path.stat)).st_size
    if awaits_continue(request):
        response.force_close()
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await response.prepare(request)
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            async with asyncio.timeout(PIECE_TIMEOUT_S):
                await response.write(piece)
        await response.write_eof()
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
    finally:
        await asyncio.to_thread(file.close)
    return response
