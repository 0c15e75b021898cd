"""The loads on queues and locks: what their clients send, and what they make of replies, however these are split."""

import asyncio
from collections.abc import Sequence
from typing import cast

from benchmarks import lock_load
from benchmarks.grpc_load import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    frame,
    grpc_frame,
    opening,
    protobuf_field,
)
from benchmarks.load import Tally
from benchmarks.lock_load import GRANT, LOCK, UNLOCK, HeaderFields, fields_of
from benchmarks.service_load import PING, Client, Step, command, deliver_steps, enqueue_steps, lock_steps
from benchmarks.service_rows import Row, line_of, summarize

DELIVERY = b"*4\r\n$3\r\n7-0\r\n$5\r\n7-0-1\r\n:1\r\n$3\r\nvvv\r\n"
GRANTED = b"*3\r\n:65536\r\n$9\r\nexclusive\r\n:30000\r\n"


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> None:
        self.content += data

    def taken(self) -> bytes:
        content, self.content = self.content, b""
        return content


def open_tally() -> Tally:
    tally = Tally()
    tally.open = True
    return tally


def connected(script: Sequence[Step], *, ways: int | None = None) -> tuple[Client, Written, Tally]:
    tally, transport = open_tally(), Written()
    client = Client(script, tally, ways=ways)
    client.connection_made(cast(asyncio.Transport, transport))
    return client, transport, tally


def test_one_message_is_put_over_and_over() -> None:
    client, transport, tally = connected(enqueue_steps(b"jobs", 1, b"vvv"))
    put = command(b"ENQUEUE", b"jobs", b"vvv")
    assert put == b"*3\r\n$7\r\nENQUEUE\r\n$4\r\njobs\r\n$3\r\nvvv\r\n"
    assert transport.taken() == put
    client.data_received(b"*2\r\n$3\r\n7-0\r\n:1\r\n")
    assert transport.taken() == put
    assert (tally.answered, len(tally.latencies_ns), dict(tally.errors)) == (1, 1, {})


def test_several_messages_are_put_as_one_transaction() -> None:
    client, transport, tally = connected(enqueue_steps(b"jobs", 2, b"vvv"), ways=1)
    put = command(b"ENQUEUE", b"jobs", b"vvv")
    assert transport.taken() == command(b"MULTI") + 2 * put + command(b"EXEC")
    client.data_received(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n" + 2 * b"*2\r\n$3\r\n7-0\r\n:1\r\n")
    assert (tally.answered, client.is_idle, transport.taken()) == (1, True, b"")


def test_receipts_are_acknowledged_however_the_reply_is_split() -> None:
    reply = b"*2\r\n" + DELIVERY + DELIVERY.replace(b"7-0", b"8-0")
    for split in range(len(reply) + 1):
        client, transport, tally = connected(deliver_steps(b"jobs", 2), ways=1)
        assert transport.taken() == command(b"RECEIVE", b"jobs", b"COUNT", b"2", b"VISIBILITY", b"600")
        client.data_received(reply[:split])
        client.data_received(reply[split:])
        assert transport.taken() == command(b"ACK", b"jobs", b"7-0-1", b"8-0-1")
        client.data_received(b":2\r\n")
        assert (tally.answered, client.is_idle) == (1, True)


async def test_fewer_messages_than_were_asked_for_are_an_error_and_the_client_begins_again() -> None:
    client, transport, tally = connected(deliver_steps(b"jobs", 2))
    receive = transport.taken()
    client.data_received(b"*1\r\n" + DELIVERY)
    assert (dict(tally.errors), tally.answered) == ({"*1": 1}, 0)
    while not transport.content:
        await asyncio.sleep(0.001)
    assert transport.taken() == receive


async def test_a_transaction_that_is_refused_is_an_error() -> None:
    client, _, tally = connected(enqueue_steps(b"jobs", 2, b"vvv"))
    client.data_received(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT no\r\n")
    assert dict(tally.errors) == {"EXECABORT no": 1}


def test_a_lock_is_given_back_under_its_token() -> None:
    client, transport, tally = connected(lock_steps(b"gate", b"ana", 50), ways=1)
    assert transport.taken() == command(b"LOCK", b"gate", b"OWNER", b"ana", b"WAIT", b"50")
    client.data_received(GRANTED)
    assert transport.taken() == command(b"UNLOCK", b"gate", b"65536")
    client.data_received(b":1\r\n")
    assert (tally.answered, client.is_idle) == (1, True)


def test_a_client_without_a_script_does_what_it_is_told_and_remembers_the_reply_before() -> None:
    client, transport, _ = connected(())
    assert (client.is_idle, transport.taken()) == (True, b"")
    lock, unlock = lock_steps(b"gate", b"ana", 0)
    client.go((PING,), ways=1)
    client.data_received(b"+PONG\r\n")
    client.go((lock,), ways=1)
    client.data_received(GRANTED)
    transport.taken()
    client.go((unlock,), ways=1)
    assert transport.taken() == command(b"UNLOCK", b"gate", b"65536")


def test_header_fields_are_sent_whole_once_and_then_by_their_numbers() -> None:
    fields = HeaderFields("localhost:2379")
    assert fields.of("/a") == b"\x83\x86" + b"".join(
        (
            b"\x44\x02/a",
            b"\x41\x0elocalhost:2379",
            b"\x5f\x10application/grpc",
            b"\x40\x02te\x08trailers",
        )
    )
    # The newest entry of the table is 62: te, content-type, :authority, and :path before them.
    assert fields.of("/a") == b"\x83\x86\xc1\xc0\xbf\xbe"
    # A second path pushes them all up by one.
    assert fields.of("/b") == b"\x83\x86\x44\x02/b\xc1\xc0\xbf"
    assert fields.of("/a") == b"\x83\x86\xc2\xc1\xc0\xbf"


def test_fields_of_answers_are_numbers_and_bytes() -> None:
    header = protobuf_field(1, b"\x08\x01")
    assert fields_of(header + b"\x10\xac\x02" + protobuf_field(3, b"k" * 200)) == {
        1: b"\x08\x01",
        2: 300,
        3: b"k" * 200,
    }


def rpc(address_fields: HeaderFields, stream: int, path: str, message: bytes) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, address_fields.of(path)) + frame(
        DATA, END_STREAM, stream, grpc_frame(message)
    )


def answer(stream: int, message: bytes) -> bytes:
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x88")
        + frame(DATA, 0, stream, grpc_frame(message))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x40")
    )


def test_a_client_of_etcd_gets_a_lease_and_locks_and_unlocks_with_it() -> None:
    tally, transport, fields = open_tally(), Written(), HeaderFields("etcd:1")
    client = lock_load.Client("etcd:1", b"gate", tally, ways=1)
    client.connection_made(cast(asyncio.Transport, transport))
    assert transport.taken() == opening() + rpc(fields, 1, GRANT, b"\x08\xd8\x04")
    client.data_received(answer(1, b"\x10\x2a"))
    assert transport.taken() == rpc(fields, 3, LOCK, b"\x0a\x04gate\x10\x2a")
    for byte in answer(3, b"\x12\x07gate/2a"):
        client.data_received(bytes((byte,)))
    assert transport.taken() == rpc(fields, 5, UNLOCK, b"\x0a\x07gate/2a")
    assert not client.is_idle
    client.data_received(answer(5, b"\x0a\x02\x08\x01"))
    assert (tally.answered, client.is_idle, transport.taken()) == (1, True, b"")


def test_a_client_of_etcd_may_keep_the_lock_until_it_is_told() -> None:
    tally, transport = open_tally(), Written()
    client = lock_load.Client("etcd:1", b"gate", tally, ways=0)
    client.connection_made(cast(asyncio.Transport, transport))
    client.data_received(answer(1, b"\x10\x2a"))
    assert (client.is_idle, client.holds) == (True, False)
    client.take()
    client.data_received(answer(3, b"\x12\x07gate/2a"))
    assert client.holds
    client.give_back()
    client.data_received(answer(5, b"\x0a\x00"))
    assert (client.holds, client.is_idle, tally.answered) == (False, True, 1)


def row(round_number: int, load: str, system: str, waiting: int, per_second: float) -> Row:
    return Row(
        round_number, load, 64, 1, system, waiting, per_second, {"p50": 1.0, "p99": 2.0}, {},
        1.0 if system == "raftdb" else None, cpu_us={"leader": 5.0}, memory_mib={"leader": 50.0},
    )  # fmt: skip


def test_ratios_are_of_one_round_to_etcd_or_to_the_queue_that_was_empty() -> None:
    rows = [
        row(1, "enqueue", "raftdb", 0, 1000.0),
        row(1, "enqueue", "raftdb", 1_000_000, 900.0),
        row(2, "enqueue", "raftdb", 0, 500.0),
        row(2, "enqueue", "raftdb", 1_000_000, 500.0),
        row(1, "lock + unlock", "raftdb", 0, 300.0),
        row(1, "lock + unlock", "etcd", 0, 100.0),
    ]
    short, long, ours, theirs = summarize(rows)
    assert (short["ratio"], theirs["ratio"]) == (None, None)
    assert long["ratio"] == {"with": "0 waiting", "median": 0.95, "lowest": 0.9, "highest": 1.0}
    assert ours["ratio"] == {"with": "etcd", "median": 3.0, "lowest": 3.0, "highest": 3.0}
    assert line_of(long).endswith("0 waiting: 0.95 [0.90 to 1.00]")
    assert line_of(theirs).startswith("  etcd ")
