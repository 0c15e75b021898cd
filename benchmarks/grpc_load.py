"""The load of `peers.py` on etcd: puts and linearizable ranges of the keys of `load.py`, as light as they can be.

    python -m benchmarks.grpc_load HOST:PORT CLIENTS SECONDS [--streams 16] [--reads] ...

h2load, which is C, sends one body over and over, and so loads a single key; with `--keys 1` this one does, too.
Otherwise it sends another key with each request. It speaks as much of HTTP/2 (RFC 9113) and gRPC as a closed loop
needs: each request is a short HEADERS frame, as all header fields are in the connection's dynamic table after its first
request, and a DATA frame made in advance; of an answer only frame heads are looked at. A stream with a DATA frame is a
success, for gRPC sends errors in trailers alone. Output is that of `load.py`.
"""

import argparse
import asyncio
import time
from typing import NamedTuple, cast

from benchmarks.load import RETRY_PAUSE_S, Tally, make_pairs, parse_options, run

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
HEAD_BYTES = 9
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 0x1, 0x4
WINDOW_BYTES_DEFAULT = 65_535
WINDOW_BYTES_MAX = 2**31 - 1
WINDOW_REFILL_BYTES = 1 << 30
"""The server may send this much before it is allowed as much again."""
STREAMS_MAX = 100
"""Requests under way on a connection. Bodies have some 100 bytes: with at most this many of them the server's window,
which it refills as it reads, is never full."""
HPACK_BYTES_MAX = 126
"""The longest text whose length is one byte (RFC 7541, section 5.1)."""
METHODS = {False: "/etcdserverpb.KV/Put", True: "/etcdserverpb.KV/Range"}
GRPC_PREFIX_BYTES = 5


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def hpack_text(text: str) -> bytes:
    """A text in HPACK, without Huffman's code."""
    encoded = text.encode("ascii")
    if len(encoded) > HPACK_BYTES_MAX:
        raise ValueError(f"a header field of {len(encoded)} bytes; at most {HPACK_BYTES_MAX}")
    return bytes((len(encoded),)) + encoded


def first_headers(address: str, path: str) -> bytes:
    """The header fields of a connection's first request; all that vary by connection enter the dynamic table.

    RFC 7541: fields 3 and 6 of the static table are POST and http; 4, 1 and 31 are the names :path, :authority and
    content-type; 0x40 has a table entry made of the field.
    """
    return b"".join(
        (
            b"\x83\x86",
            b"\x44" + hpack_text(path),
            b"\x41" + hpack_text(address),
            b"\x5f" + hpack_text("application/grpc"),
            b"\x40" + hpack_text("te") + hpack_text("trailers"),
        )
    )


NEXT_HEADERS = b"\x83\x86\xc1\xc0\xbf\xbe"
"""The same fields by their numbers: 65, the oldest entry of the dynamic table, to 62, the newest."""


def protobuf_varint(number: int) -> bytes:
    """A number from 0 on, in Protocol Buffers' encoding."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def protobuf_field(number: int, content: bytes) -> bytes:
    """A field of bytes, in the same encoding."""
    return bytes((number << 3 | 2,)) + protobuf_varint(len(content)) + content


def grpc_frame(message: bytes) -> bytes:
    """A message behind the prefix of gRPC: not compressed, and its length."""
    return bytes(1) + len(message).to_bytes(4, "big") + message


def grpc_message(*fields: str) -> bytes:
    """A message of texts in the fields 1, 2, ..., behind its prefix: a put has key and value, a range a key."""
    return grpc_frame(
        b"".join(protobuf_field(number, text.encode()) for number, text in enumerate(fields, 1))
    )


def opening() -> bytes:
    """What a client sends first: it keeps no table of header fields, and the server may send as much as it likes."""
    settings = b"".join(
        number.to_bytes(2, "big") + value.to_bytes(4, "big")
        for number, value in ((HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, WINDOW_BYTES_MAX))
    )
    window = (WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT).to_bytes(4, "big")
    return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, window)


class Requests(NamedTuple):
    """What a connection sends: header fields of its first request, and then messages, in turn."""

    first_headers: bytes
    messages: list[bytes]
    answer_bytes_min: int
    """A DATA frame of an answer has at least so many bytes: a value that is missing is no success."""


def make_requests(address: str, options: argparse.Namespace) -> Requests:
    """Puts of all keys, or linearizable reads."""
    reads: bool = options.reads
    pairs = make_pairs(keys=options.keys, value_bytes=options.value_bytes, seed=options.seed)
    return Requests(
        first_headers(address, METHODS[reads]),
        [grpc_message(key) if reads else grpc_message(key, value) for key, value in pairs],
        GRPC_PREFIX_BYTES + options.value_bytes if reads else GRPC_PREFIX_BYTES,
    )


class Client(asyncio.Protocol):
    """One connection, with `--streams` streams under way at any time."""

    def __init__(self, requests: Requests, position: int, streams: int, tally: Tally) -> None:
        """Messages are sent from the one after `position` on."""
        self._requests = requests
        self._position = position
        self._streams = streams
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._stream = -1
        self._sent_ns: dict[int, int] = {}
        self._answered: set[int] = set()
        """Streams under way whose message has come, and whose trailers have not."""
        self._unrefilled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(opening() + self._next_requests(self._streams))

    def data_received(self, data: bytes) -> None:
        """Take in frames, and send as many requests as were answered."""
        if self._received:
            data = self._received + data
        position, end = 0, len(data)
        replies, ended = [], 0
        while position + HEAD_BYTES <= end:
            length = int.from_bytes(data[position : position + 3], "big")
            kind, flags = data[position + 3], data[position + 4]
            stream = int.from_bytes(data[position + 5 : position + HEAD_BYTES], "big")
            begin = position + HEAD_BYTES
            if begin + length > end:
                break
            position = begin + length
            if kind == DATA:
                self._unrefilled += length
                if length >= self._requests.answer_bytes_min:
                    self._answered.add(stream)
            elif kind == HEADERS:
                if flags & END_STREAM:
                    ended += self._end(stream, "an answer without a message")
            elif kind == RST_STREAM:
                ended += self._end(stream, "stream reset")
            elif kind in (SETTINGS, PING) and not flags & ACK:
                replies.append(frame(kind, ACK, 0, data[begin:position] if kind == PING else b""))
        self._received = data[position:]
        if self._unrefilled >= WINDOW_REFILL_BYTES:
            replies.append(frame(WINDOW_UPDATE, 0, 0, self._unrefilled.to_bytes(4, "big")))
            self._unrefilled = 0
        if self._transport is not None and (replies or ended):
            self._transport.write(b"".join(replies) + self._next_requests(ended))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop this client, because the server has closed the connection, and count that as an error."""
        self._transport = None
        if self._tally.open:
            self._tally.errors["connection lost"] += 1

    def _end(self, stream: int, error: str) -> int:
        """A stream is over; how many requests may be sent at once in its place."""
        sent_ns = self._sent_ns.pop(stream, None)
        if sent_ns is None:
            return 0
        if stream in self._answered:
            self._answered.remove(stream)
            self._tally.answered += 1
            if self._tally.open:
                self._tally.latencies_ns.append(time.perf_counter_ns() - sent_ns)
            return 1
        if self._tally.open:
            self._tally.errors[error] += 1
        asyncio.get_running_loop().call_later(RETRY_PAUSE_S, self._send_one)
        return 0

    def _send_one(self) -> None:
        if self._transport is not None:
            self._transport.write(self._next_requests(1))

    def _next_requests(self, count: int) -> bytes:
        """The frames of the next requests."""
        parts = []
        now_ns = time.perf_counter_ns()
        for _ in range(count):
            self._position = (self._position + 1) % len(self._requests.messages)
            self._stream += 2
            self._sent_ns[self._stream] = now_ns
            fields = NEXT_HEADERS if self._stream > 1 else self._requests.first_headers
            parts.append(frame(HEADERS, END_HEADERS, self._stream, fields))
            parts.append(frame(DATA, END_STREAM, self._stream, self._requests.messages[self._position]))
        return b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load one node of etcd over gRPC, in a closed loop.")
    parser.add_argument("--streams", type=int, default=1, help="requests under way on each connection")
    options = parse_options(parser)
    if not 1 <= options.streams <= STREAMS_MAX:
        parser.error(f"--streams is 1 to {STREAMS_MAX}")
    requests = make_requests(options.address, options)
    run(lambda position, tally: Client(requests, position, options.streams, tally), options)


if __name__ == "__main__":
    main()
