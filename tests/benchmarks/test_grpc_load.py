"""The load on etcd: the bytes it sends, and what it makes of the bytes that come, however they are split."""

import asyncio
from typing import cast

import pytest

from benchmarks import grpc_load
from benchmarks.grpc_load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NEXT_HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Client,
    Requests,
    frame,
    grpc_message,
)
from benchmarks.load import Tally

FIRST = grpc_load.first_headers("localhost:2379", "/etcdserverpb.KV/Put")
MESSAGES = [b"message0", b"message1", b"message2"]


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> None:
        self.content += data

    def taken(self) -> bytes:
        content, self.content = self.content, b""
        return content


def connected(*, streams: int) -> tuple[Client, Written, Tally]:
    tally = Tally()
    tally.open = True
    client = Client(Requests(FIRST, MESSAGES, answer_bytes_min=5), 0, streams, tally)
    transport = Written()
    client.connection_made(cast(asyncio.Transport, transport))
    return client, transport, tally


def request(stream: int, message: bytes, *, fields: bytes = NEXT_HEADERS) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, fields) + frame(DATA, END_STREAM, stream, message)


def answer(stream: int) -> bytes:
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x88")
        + frame(DATA, 0, stream, bytes(5))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x40")
    )


def test_header_fields_are_those_of_a_grpc_request() -> None:
    assert FIRST == (
        b"\x83\x86"
        b"\x44\x14/etcdserverpb.KV/Put"
        b"\x41\x0elocalhost:2379"
        b"\x5f\x10application/grpc"
        b"\x40\x02te\x08trailers"
    )


def test_a_put_is_a_key_and_a_value_behind_the_prefix_of_grpc() -> None:
    assert grpc_message("key", "v" * 200) == (
        b"\x00" + (5 + 203).to_bytes(4, "big") + b"\x0a\x03key" + b"\x12\xc8\x01" + b"v" * 200
    )


def test_the_first_request_names_its_fields_and_all_others_number_them() -> None:
    _, transport, _ = connected(streams=2)
    sent = transport.taken()
    assert sent.startswith(grpc_load.PREFACE + b"\x00\x00\x0c\x04\x00")
    assert sent.endswith(request(1, b"message1", fields=FIRST) + request(3, b"message2"))


def test_an_answer_is_counted_and_followed_by_the_next_request_however_its_bytes_are_split() -> None:
    came = frame(SETTINGS, 0, 0, b"") + answer(1) + frame(PING, 0, 0, b"8 bytes.")
    for split in range(len(came) + 1):
        client, transport, tally = connected(streams=1)
        transport.taken()
        client.data_received(came[:split])
        client.data_received(came[split:])
        parts = [frame(SETTINGS, ACK, 0, b""), frame(PING, ACK, 0, b"8 bytes."), request(3, b"message2")]
        assert sorted(transport.content) == sorted(b"".join(parts))
        assert all(part in transport.content for part in parts)
        assert (len(tally.latencies_ns), dict(tally.errors)) == (1, {})


async def test_an_answer_without_a_message_and_a_stream_that_is_reset_are_errors() -> None:
    client, transport, tally = connected(streams=2)
    transport.taken()
    client.data_received(
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88") + frame(RST_STREAM, 0, 3, bytes(4))
    )
    assert dict(tally.errors) == {"an answer without a message": 1, "stream reset": 1}
    assert not tally.latencies_ns
    while len(transport.content) < 2 * len(request(5, b"message0")):
        await asyncio.sleep(0.001)
    assert transport.content == request(5, b"message0") + request(7, b"message1")


def test_the_server_may_send_again_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_load, "WINDOW_REFILL_BYTES", 100)
    client, transport, _ = connected(streams=1)
    transport.taken()
    client.data_received(frame(DATA, 0, 1, bytes(60)))
    assert transport.content == b""
    client.data_received(frame(DATA, 0, 1, bytes(60)))
    assert transport.content == frame(WINDOW_UPDATE, 0, 0, (120).to_bytes(4, "big"))
