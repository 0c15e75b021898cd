"""A server of plain streams for tests, of which nothing is left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TURNS_TO_CLOSE = 5
"""Turns of the event loop after which connections that were just accepted or aborted are closed."""


@asynccontextmanager
async def stream_server(handler: Handler) -> AsyncIterator[int]:
    """Listen on a free port, which is yielded, and let `handler` answer each connection.

    At the end all connections are aborted: of handlers that still wait for something, and of those that have not begun.
    asyncio's own server leaves them to their handlers, and a loop that ends with one of them complains later, in the
    middle of another test.
    """
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()
    is_open = True

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_open:
            writers.append(writer)
            tasks.add(asyncio.get_running_loop().create_task(answer(reader, writer)))
        else:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        is_open = False
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        for _turn in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)
