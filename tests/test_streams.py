"""The server of plain streams that tests use leaves nothing behind."""

import asyncio
import gc

from tests.streams import stream_server


async def wait_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def test_connections_end_with_the_server_whatever_their_handlers_do() -> None:
    """What was left open would be found by a collection in some later test, and fail that."""

    async def connect() -> bytes:
        async with stream_server(wait_for_ever) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            _, late = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            for one in (writer, late):
                one.transport.abort()

    assert asyncio.run(connect()) == b""
    gc.collect()
