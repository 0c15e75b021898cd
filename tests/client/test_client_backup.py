"""Backups by the clients: into a file or a sink, from a thread or a loop, whole or not at all."""

import asyncio
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from raftdb import AsyncClient, BackupDamaged, Client, Unavailable
from raftdb.client.backup import MARK
from raftdb.client.http1 import Response
from tests.client.fake_node import Canned, FakeCluster

CONTENT = MARK + bytes(range(256)) * 20_000
BACKUP = CONTENT + sha256(CONTENT).digest()


class Noted:
    """A sink that notes what it gets, and on which threads."""

    def __init__(self) -> None:
        self.begun = 0
        self.content = bytearray()
        self.threads: set[int] = set()
        self.at_once = 0

    def begin(self, head: Response) -> None:
        self.begun += 1
        self.content.clear()
        assert head.headers["content-length"] == str(len(BACKUP))

    def write(self, piece: bytes) -> None:
        self.at_once += 1
        assert self.at_once == 1, "two calls at a time"
        self.threads.add(threading.get_ident())
        self.content += piece
        self.at_once -= 1


@pytest.fixture(autouse=True)
def has_a_backup(cluster: FakeCluster) -> None:
    cluster.backup = BACKUP


def test_into_a_file(cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with Client(cluster.addresses) as client:
        assert client.backup(path) == len(cluster.log)
        assert path.read_bytes() == BACKUP
        with pytest.raises(FileExistsError):
            client.backup(str(path))
        client.backup(path, replace=True)
        cluster.backup = BACKUP[:-1] + b"x"
        with pytest.raises(BackupDamaged):
            client.backup(tmp_path / "b.backup")
    assert [file.name for file in tmp_path.iterdir()] == ["a.backup"]


async def test_into_a_file_on_a_loop(cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    async with AsyncClient(cluster.addresses) as client:
        assert await client.backup(path) == len(cluster.log)
        assert path.read_bytes() == BACKUP
        with pytest.raises(FileExistsError):
            await client.backup(str(path))
        await client.backup(path, replace=True)
        cluster.backup = BACKUP[:-1] + b"x"
        with pytest.raises(BackupDamaged):
            await client.backup(tmp_path / "b.backup")
    assert [file.name for file in tmp_path.iterdir()] == ["a.backup"]


async def test_into_a_sink_piece_by_piece_beside_the_loop(cluster: FakeCluster) -> None:
    sink = Noted()
    async with AsyncClient(cluster.addresses) as client:
        assert await client.backup(sink) == len(cluster.log)
        assert await client.get("k") is None
    assert bytes(sink.content) == BACKUP
    assert threading.get_ident() not in sink.threads


async def test_a_stream_that_is_cut_off_begins_anew(cluster: FakeCluster) -> None:
    sink = Noted()
    async with AsyncClient(cluster.addresses) as client:
        await client.get("k")
        cluster.nodes[0].script.append(
            Canned(content=BACKUP[:300_000], length=len(BACKUP), headers={"Raftdb-Index": "1"})
        )
        await client.backup(sink)
    assert (sink.begun, bytes(sink.content)) == (2, BACKUP)


async def test_what_a_sink_raises_ends_the_stream(cluster: FakeCluster) -> None:
    class Full(Noted):
        def write(self, piece: bytes) -> None:
            raise OSError("no space")

    async with AsyncClient(cluster.addresses) as client:
        with pytest.raises(OSError, match="no space"):
            await client.backup(Full())
        assert await client.get("k") is None


async def test_a_stream_that_is_cancelled_leaves_no_file_and_no_call(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    async with AsyncClient(cluster.addresses) as client:
        await client.get("k")
        released = threading.Event()
        cluster.nodes[0].script.append(Canned(cut=True, wait=released))
        task = asyncio.create_task(client.backup(tmp_path / "a.backup"))
        while cluster.nodes[0].requests[-1] != ("GET", "/v1/backup"):
            await asyncio.sleep(0.001)
        assert len(list(tmp_path.iterdir())) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(tmp_path.iterdir()) == []
        released.set()


async def test_a_stream_that_is_cancelled_ends_when_its_sink_does(cluster: FakeCluster) -> None:
    """Whoever cancels a stream may use the sink again: no call of it goes on on another thread."""
    begun, released = threading.Event(), threading.Event()

    class Slow(Noted):
        def write(self, piece: bytes) -> None:
            begun.set()
            released.wait(20)
            super().write(piece)

    sink = Slow()
    async with AsyncClient(cluster.addresses) as client:
        task = asyncio.create_task(client.backup(sink))
        assert await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert BACKUP.startswith(bytes(sink.content))
    assert 0 < len(sink.content) < len(BACKUP)


async def test_a_deadline_ends_a_backup_that_does_not_begin(cluster: FakeCluster, tmp_path: Path) -> None:
    released = threading.Event()
    async with AsyncClient(cluster.addresses) as client:
        await client.get("k")
        cluster.nodes[0].script.append(Canned(cut=True, wait=released))
        with pytest.raises(Unavailable):
            await client.backup(tmp_path / "a.backup", timeout_ms=100)
    released.set()
    assert list(tmp_path.iterdir()) == []
