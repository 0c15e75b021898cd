"""The load of `services.py` on etcd's lock service: each client takes a lock and gives it back, over one connection.

    python -m benchmarks.lock_load HOST:PORT CLIENTS SECONDS [--name jobs] ...

It is a closed loop, and output is that of `load.py`. A client gets one lease, and then calls Lock and Unlock of
`v3lockpb` in turn with a name of its own, one call at a time. HTTP/2 and gRPC are as in `grpc_load.py`, but three
methods are called, and what an answer says is read.
"""

import argparse
import asyncio
import time
from typing import NamedTuple, cast

from benchmarks.grpc_load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GRPC_PREFIX_BYTES,
    HEAD_BYTES,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    frame,
    grpc_frame,
    hpack_text,
    opening,
    protobuf_field,
    protobuf_varint,
)
from benchmarks.load import RETRY_PAUSE_S, Tally, parse_options, run
from raftdb.errors import required

GRANT = "/etcdserverpb.Lease/LeaseGrant"
LOCK = "/v3lockpb.Lock/Lock"
UNLOCK = "/v3lockpb.Lock/Unlock"
LEASE_S = 600
"""Longer than any run, so that nothing has to be kept alive."""
FIRST_DYNAMIC = 62
"""The number of the newest entry of the dynamic table (RFC 7541, section 2.3.3)."""
VARINT, BYTES = 0, 2
"""The types of fields in Protocol Buffers' encoding that answers have."""


class HeaderFields:
    """The header fields of the requests of one connection: each is sent whole once, and by its number from then on."""

    def __init__(self, address: str) -> None:
        self._others = (
            b"\x41" + hpack_text(address),
            b"\x5f" + hpack_text("application/grpc"),
            b"\x40" + hpack_text("te") + hpack_text("trailers"),
        )
        self._table: list[bytes] = []
        """The dynamic table, the newest first."""

    def of(self, path: str) -> bytes:
        """A call of the method at `path`."""
        fields = (b"\x44" + hpack_text(path), *self._others)
        return b"\x83\x86" + b"".join(map(self._encoded, fields))

    def _encoded(self, field: bytes) -> bytes:
        if field in self._table:
            return bytes((0x80 | FIRST_DYNAMIC + self._table.index(field),))
        self._table.insert(0, field)
        return field


def fields_of(message: bytes) -> dict[int, int | bytes]:
    """The fields of a message by number: numbers, and texts or messages as bytes."""
    fields: dict[int, int | bytes] = {}
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        value, position = read_varint(message, position)
        if tag & 7 == BYTES:
            fields[tag >> 3] = message[position : position + value]
            position += value
        elif tag & 7 == VARINT:
            fields[tag >> 3] = value
        else:
            raise ValueError(f"a field of type {tag & 7}")
    return fields


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """A number, and the position behind it."""
    number = shift = 0
    while message[position] > 0x7F:
        number |= (message[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return number | message[position] << shift, position + 1


class Call(NamedTuple):
    """A method, and its argument."""

    path: str
    message: bytes


def grant_call() -> Call:
    """Get a lease."""
    return Call(GRANT, grpc_frame(b"\x08" + protobuf_varint(LEASE_S)))


def lock_call(name: bytes, lease: int) -> Call:
    """Take the lock."""
    return Call(LOCK, grpc_frame(protobuf_field(1, name) + b"\x10" + protobuf_varint(lease)))


def unlock_call(key: bytes) -> Call:
    """Give back what a lock was answered with."""
    return Call(UNLOCK, grpc_frame(protobuf_field(1, key)))


class Client(asyncio.Protocol):
    """One connection, which gets a lease, and then takes its lock and gives it back over and over, or `ways` times."""

    def __init__(self, address: str, name: bytes, tally: Tally, *, ways: int | None = None) -> None:
        self._fields = HeaderFields(address)
        self._name = name
        self._tally = tally
        self._ways = ways
        self._gives_back = True
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._stream = -1
        self._call: Call | None = None
        """The one under way."""
        self._lease = 0
        self._key = b""
        """What is given back, empty while the lock is not held."""
        self._answer = b""
        self._began_ns = 0

    @property
    def is_idle(self) -> bool:
        """Whether it has all that it asked for."""
        return self._call is None and self._lease > 0

    @property
    def holds(self) -> bool:
        """Whether it has the lock, and keeps it."""
        return self.is_idle and bool(self._key)

    def go(self, ways: int) -> None:
        """Take the lock and give it back so many times. It must be idle."""
        self._ways = ways
        self._begin()

    def take(self) -> None:
        """Take the lock, and keep it. It must be idle."""
        self._gives_back = False
        self.go(1)

    def give_back(self) -> None:
        """Give it back, after `take`."""
        self._gives_back = True
        self._send(unlock_call(self._key))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(opening())
        self._send(grant_call())

    def data_received(self, data: bytes) -> None:
        """Take in frames, and send the next call once this one is answered."""
        if self._received:
            data = self._received + data
        position, end = 0, len(data)
        while position + HEAD_BYTES <= end:
            length = int.from_bytes(data[position : position + 3], "big")
            kind, flags = data[position + 3], data[position + 4]
            begin = position + HEAD_BYTES
            if begin + length > end:
                break
            position = begin + length
            if kind == DATA:
                self._answer += data[begin:position]
            elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                self._take(self._answer)
            elif kind in (SETTINGS, PING) and not flags & ACK and self._transport is not None:
                self._transport.write(frame(kind, ACK, 0, data[begin:position] if kind == PING else b""))
        self._received = data[position:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop this client, because the server has closed the connection, and count that as an error."""
        self._transport = None
        if self._tally.open:
            self._tally.errors["connection lost"] += 1

    def _take(self, answer: bytes) -> None:
        """The call is over; gRPC sends errors without a message."""
        call, self._call, self._answer = required(self._call, "call"), None, b""
        if not answer:
            if self._tally.open:
                self._tally.errors[f"no answer to {call.path}"] += 1
            asyncio.get_running_loop().call_later(RETRY_PAUSE_S, self._send, call)
        elif call.path == GRANT:
            self._lease = int(fields_of(answer[GRPC_PREFIX_BYTES:])[2])
            self._begin()
        elif call.path == LOCK:
            self._key = bytes(fields_of(answer[GRPC_PREFIX_BYTES:])[2])
            if self._gives_back:
                self._send(unlock_call(self._key))
        else:
            self._key = b""
            self._tally.answered += 1
            if self._tally.open:
                self._tally.latencies_ns.append(time.perf_counter_ns() - self._began_ns)
            if self._ways is not None:
                self._ways -= 1
            self._begin()

    def _begin(self) -> None:
        if self._ways != 0:
            self._began_ns = time.perf_counter_ns()
            self._send(lock_call(self._name, self._lease))

    def _send(self, call: Call) -> None:
        if self._transport is None:
            return
        self._call = call
        self._stream += 2
        self._transport.write(
            frame(HEADERS, END_HEADERS, self._stream, self._fields.of(call.path))
            + frame(DATA, END_STREAM, self._stream, call.message)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Load etcd's lock service over gRPC, in a closed loop.")
    parser.add_argument("--name", default="load", help="what names of locks begin with")
    options = parse_options(parser)
    run(
        lambda position, tally: Client(options.address, f"{options.name}-{position}".encode(), tally), options
    )


if __name__ == "__main__":
    main()
