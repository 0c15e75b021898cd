"""Snapshots under the cluster's secret: they are asked for and given by nodes that prove that they know it
(hazards B95, B101, B104)."""

import asyncio
import re
import zlib

import aiohttp
import pytest

from raftdb.transport.handshake import LocalIdentity
from raftdb.transport.proof import NONCE_HEADER, Secrets
from raftdb.transport.sealed_requests import SEAL_HEADER
from raftdb.transport.snapshot_server import SNAPSHOT_PATH, write_introduction
from raftdb.wire.handshake import Hello
from tests.server.snapshot_support import MemoryReceiver, Relay, Source, content, follower, member
from tests.streams import stream_server
from tests.transport.support import WAIT_S
from tests.transport.test_proof import ONE, TWO, knowing

DATA = content(10_500)


@pytest.mark.parametrize(
    ("own", "theirs"),
    [((ONE,), (ONE,)), ((TWO, ONE), (ONE, TWO)), ((None, ONE), (ONE, None)), ((None,), (None,))],
)
async def test_a_snapshot_comes_from_one_that_knows_the_secret(own: Secrets, theirs: Secrets) -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(knowing("n1", *theirs), source) as leader,
        follower(knowing("n2", *own), receiver, {"n1": leader.address}) as node,
    ):
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == DATA


async def test_a_connection_that_is_made_anew_is_proved_anew() -> None:
    """Whether it was cut within a piece or between two."""
    budgets = iter([2_500, 3_000, 4_000, *([None] * 100)])
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(knowing("n1"), source) as leader,
        Relay(lambda: leader.port, budget=lambda: next(budgets)) as relay,
        follower(knowing("n2"), receiver, {"n1": relay.address}) as node,
    ):
        await node.fetch_at_last(source.offer(), attempts_max=20)
        assert receiver.disk.whole == DATA


@pytest.mark.parametrize(("own", "theirs"), [((TWO,), (ONE,)), ((None,), (ONE,)), ((ONE,), (None,))])
async def test_no_byte_goes_to_or_comes_from_one_that_proves_nothing(
    own: Secrets, theirs: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    for name in ("snapshot_server", "snapshot_client"):
        monkeypatch.setattr(f"raftdb.transport.{name}.decode_handshake", decoded.append)
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(knowing("n1", *theirs), source) as leader,
        follower(knowing("n2", *own), receiver, {"n1": leader.address}) as node,
    ):
        assert not await node.incoming.fetch(source.offer())
    assert (source.reads, decoded, receiver.count("append")) == ([], [], 0)


async def test_a_piece_that_was_changed_on_its_way_is_not_kept() -> None:
    """With a checksum that fits it."""
    forged = bytes(1000)

    def forge(data: bytes) -> bytes:
        begin = data.find(DATA[:10])
        if begin < 0:
            return data
        data = data[:begin] + forged + data[begin + 1000 :]
        return re.sub(rb"Raftdb-Crc32: \d+", b"Raftdb-Crc32: %d" % zlib.crc32(forged), data)

    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(knowing("n1"), source) as leader,
        Relay(lambda: leader.port, alter=forge) as relay,
        follower(knowing("n2"), receiver, {"n1": relay.address}) as node,
    ):
        assert not await node.incoming.fetch(source.offer())
    assert source.reads != []
    assert receiver.count("append") == 0


async def captured(leader_port: int, asker: LocalIdentity, source: Source) -> list[bytes]:
    """The heads that a follower sends for a snapshot, as one on the wire sees them."""
    heads: list[bytes] = []

    async def listen_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, upstream = await asyncio.open_connection("127.0.0.1", leader_port)
        backwards = asyncio.create_task(_pump(answers, writer))
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                upstream.write(heads[-1])
        except asyncio.IncompleteReadError:
            pass
        finally:
            backwards.cancel()
            upstream.close()

    async with (
        stream_server(listen_in) as port,
        follower(asker, MemoryReceiver(), {"n1": f"127.0.0.1:{port}"}) as node,
    ):
        assert await node.incoming.fetch(source.offer())
    return heads


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def test_a_request_that_was_overheard_brings_nothing_a_second_time() -> None:
    source = Source(DATA)
    async with member(knowing("n1"), source) as leader:
        heads = await captured(leader.port, knowing("n2"), source)
        reads = len(source.reads)
        assert len(heads) > 3
        reader, writer = await asyncio.open_connection("127.0.0.1", leader.port)
        for head in heads:
            writer.write(head)
            async with asyncio.timeout(WAIT_S):
                answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer.split()[1])
            assert status in (401, 403), head
            length = re.search(rb"Content-Length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length is not None else 0)
        writer.close()
        assert len(source.reads) == reads


async def test_a_hello_without_a_seal_is_not_read() -> None:
    source = Source(DATA)
    hello = knowing("n2").introduce(Hello, "n1")
    wanted = {
        "Authorization": f"Raftdb {write_introduction(hello)}",
        "If-Match": f'"{source.digest.hex()}"',
        "Range": "bytes=0-99",
    }
    async with member(knowing("n1"), source) as leader, aiohttp.ClientSession() as session:
        url = f"http://{leader.address}{SNAPSHOT_PATH}"
        for more, status in (
            ({}, 403),
            ({SEAL_HEADER: "00" * 16}, 401),
            ({NONCE_HEADER: "00" * 32}, 401),
            ({SEAL_HEADER: "00" * 16}, 403),
            ({SEAL_HEADER: "00" * 16}, 401),
        ):
            async with session.get(url, headers={**wanted, **more}) as response:
                assert response.status == status, more
    assert source.reads == []
