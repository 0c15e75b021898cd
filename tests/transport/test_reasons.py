"""What the log says of a dial that failed: a few words, and none of a library's."""

import asyncio
import errno
import socket
from logging import LogRecord

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from raftdb.errors import RemoteProtocolError
from raftdb.transport.reasons import short_reason
from tests.streams import stream_server
from tests.transport.support import identity, receiver, sender, wait_until

Records = list[LogRecord]


DIALLED = ConnectionKey("h", 1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 8001)"), "connection refused"),
        (caused(aiohttp.ClientError("x"), OSError(errno.EHOSTUNREACH, "x")), "no route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the host name cannot be resolved"),
        (aiohttp.ClientConnectorDNSError(DIALLED, OSError(-2, "x")), "the host name cannot be resolved"),
        (TimeoutError(), "no answer in time"),
        (aiohttp.ServerTimeoutError("No PONG received after 1 seconds"), "no answer in time"),
        (aiohttp.ServerDisconnectedError(), "closed by the peer"),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "the connection broke"),
        (aiohttp.InvalidURL("ws://x"), "the address cannot be used"),
        (aiohttp.ClientPayloadError("x"), "the answer is not one of a raftdb node"),
        (RemoteProtocolError("the peer answered a hello with a hello"), "the peer answered a hello with a hello"),
        (KeyError("x"), "KeyError"),
        (None, "NoneType"),
    ],
)  # fmt: skip
def test_reasons_are_short(error: object, reason: str) -> None:
    assert short_reason(error) == reason


async def answer_without_sense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_a_node_that_is_away_is_refused_in_the_words_of_the_system(log_records: Records) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    assert await reason_of_a_dial(address, log_records) == "connection refused"


async def test_something_else_at_the_address_is_told(log_records: Records) -> None:
    async with stream_server(answer_without_sense) as port:
        reason = await reason_of_a_dial(f"127.0.0.1:{port}", log_records)
    assert reason == "HTTP status 404 in answer to a dial: is that a raftdb node?"


@pytest.mark.parametrize("rest", [b"", b"\x00\x00\x00\x07\x05not now"])
async def test_who_hangs_up_instead_of_answering_is_told(log_records: Records, rest: bytes) -> None:
    """Whatever comes with the change of protocols, or right behind it, is seen."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + rest)
        await writer.drain()
        writer.close()

    async with stream_server(hang_up) as port:
        reason = await reason_of_a_dial(f"127.0.0.1:{port}", log_records)
    assert reason in (
        "the peer closed the connection instead of answering the handshake",
        "connection reset by peer",
        "the connection broke",
    )


async def test_a_node_that_is_stopping_is_not_asked_whether_it_is_one(log_records: Records) -> None:
    """Its listener still answers, and refuses new links: 503."""
    async with receiver(identity("n2")) as stopping:
        await stopping.peers.close()
        reason = await reason_of_a_dial(stopping.address, log_records)
    assert reason == "it takes no link now: it is stopping, or busy"


async def reason_of_a_dial(address: str, records: Records) -> str:
    """What is logged of the first dial to `address`."""
    async with sender(identity("n1"), {"n2": address}):
        await wait_until(lambda: bool(records))
    assert records[0].getMessage() == "dial failed"
    return str(records[0].__dict__["fields"]["reason"])
