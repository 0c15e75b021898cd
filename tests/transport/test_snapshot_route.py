"""The route on which members fetch snapshots: what it gives, to whom, and what it bears (hazards B90, B95, B101)."""

import asyncio
import threading
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

from raftdb.transport.handshake import Introduction
from raftdb.transport.snapshot_server import (
    PIECE_BYTES_MAX,
    SNAPSHOT_PATH,
    WELCOME_HEADER,
    Range,
    parse_hello,
    parse_range,
    parse_welcome,
    write_introduction,
)
from raftdb.wire.handshake import Hello, Refused, Welcome, decode_handshake
from tests.server.snapshot_support import Member, Source, content, member
from tests.transport.support import WAIT_S, identity, wait_until

N1, N2 = identity("n1"), identity("n2")
DATA = content(10_500)
HELLO = N2.introduce(Hello, "n1")


def headers(source: Source, first: int = 0, last: int = 999, *, hello: Hello = HELLO) -> dict[str, str]:
    """Those of a follower that asks for a range."""
    return {
        "Authorization": f"Raftdb {write_introduction(hello)}",
        "If-Match": f'"{source.digest.hex()}"',
        "Range": f"bytes={first}-{last}",
    }


async def ask(leader: Member, wanted: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    url = f"http://{leader.address}{SNAPSHOT_PATH}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=wanted) as response:
        return response.status, dict(response.headers), await response.read()


@pytest.mark.parametrize(
    ("first", "last", "length"), [(0, 0, 1), (0, 999, 1000), (10_000, 10_999, 500), (10_499, 10_499, 1)]
)
async def test_a_range_of_a_file(first: int, last: int, length: int) -> None:
    source = Source(DATA)
    async with member(N1, source) as leader:
        status, answered, body = await ask(leader, headers(source, first, last))
        assert (status, body) == (206, DATA[first : first + length])
        assert answered["Content-Range"] == f"bytes {first}-{first + length - 1}/{len(DATA)}"
        assert parse_welcome(answered[WELCOME_HEADER]) == N1.introduce(Welcome, "n2")


async def test_a_file_that_is_not_here_and_a_range_behind_the_end() -> None:
    source = Source(DATA)
    async with member(N1, source) as leader:
        assert (await ask(leader, headers(Source(b"other"))))[0] == 412
        status, answered, _ = await ask(leader, headers(source, len(DATA), len(DATA) + 9))
        assert (status, answered["Content-Range"]) == (416, f"bytes */{len(DATA)}")


REFUSED_HELLOS = {
    "protocol_version": replace(HELLO, protocol_version=2),
    "wrong_cluster": replace(HELLO, cluster_id="c2"),
    "wrong_target": replace(HELLO, target="n3"),
    "self": replace(HELLO, source="n1"),
    "not_member": replace(HELLO, source="n9"),
    "identity_changed": replace(HELLO, node_uuid="another"),
}


def check(introduction: Introduction) -> Refused | None:
    if introduction.source in ("n1", "n2") and introduction.node_uuid != f"uuid-{introduction.source}":
        return Refused("identity_changed", "the folder is another one")
    return None


@pytest.mark.parametrize("code", REFUSED_HELLOS)
async def test_who_does_not_belong_here_gets_nothing(code: str) -> None:
    """Hazards B90, B95, B101: the state of a cluster is for its members."""
    source = Source(DATA)
    async with member(N1, source, check_peer=check) as leader:
        status, _, body = await ask(leader, headers(source, hello=REFUSED_HELLOS[code]))
        refused = decode_handshake(body)
        assert isinstance(refused, Refused)
        assert (status, refused.code) == (403, code)
        assert source.reads == []


async def test_requests_that_no_member_makes() -> None:
    source = Source(DATA)
    good = headers(source)
    bad: dict[str, list[str]] = {
        "Authorization": ["", "Bearer x", "Raftdb", "Raftdb ä", "Raftdb AAAA", f"Raftdb {'A' * 8000}"],
        "If-Match": ["", "*", '"ab"', f"W/{good['If-Match']}", good["If-Match"].upper()],
        "Range": [
            "",
            "bytes=5-4",
            "bytes=-5",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=²-3",
            f"bytes={'9' * 99}-",
        ],
    }
    bad["Authorization"].append(f"Raftdb {write_introduction(N2.introduce(Welcome, 'n1'))}")
    async with member(N1, source) as leader:
        for name, texts in bad.items():
            for text in texts:
                assert (await ask(leader, good | {name: text}))[0] == 400, (name, text)
        assert (await ask(leader, good | {"Origin": f"http://{leader.address}"}))[0] == 403
        assert source.reads == []


def test_ranges() -> None:
    assert parse_range("bytes=5-9") == Range(5, 5)
    assert parse_range("bytes=5-") == Range(5, PIECE_BYTES_MAX)
    assert parse_range(f"bytes=0-{10**12}") == Range(0, PIECE_BYTES_MAX)


def test_an_introduction_is_read_as_it_was_written() -> None:
    assert parse_hello(f"Raftdb {write_introduction(HELLO)}") == HELLO


async def open_request(leader: Member, source: Source) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request for all of the file, whose answer nobody reads yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", leader.port, limit=1024)
    lines = [f"GET {SNAPSHOT_PATH} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers(source, 0, PIECE_BYTES_MAX - 1).items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


async def test_a_member_that_does_not_read_its_piece_is_cut_off() -> None:
    """Hazard B92: what is sent to it is in memory."""
    source = Source(content(PIECE_BYTES_MAX))
    async with member(N1, source) as leader:
        reader, writer = await open_request(leader, source)
        await wait_until(lambda: leader.http.connections == 1)
        async with asyncio.timeout(WAIT_S):
            while leader.http.connections:
                await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            assert len(await reader.read(PIECE_BYTES_MAX)) < PIECE_BYTES_MAX
        assert (await ask(leader, headers(source)))[0] == 206


async def test_an_older_request_of_a_member_is_cut_by_a_newer_one() -> None:
    """A half-open connection keeps nobody waiting (hazard B93), and one piece is in memory for each."""
    source, go_on = Source(DATA), threading.Event()
    async with member(N1, source) as leader:
        source.before_read = lambda _offset: (go_on.wait(WAIT_S), None)[1]
        reader, writer = await open_request(leader, source)
        await wait_until(lambda: source.reads == [0])
        newer = asyncio.create_task(ask(leader, headers(source, 1000, 1999)))
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                assert not await reader.read()
        go_on.set()
        writer.close()
        assert (await newer)[2] == DATA[1000:2000]
