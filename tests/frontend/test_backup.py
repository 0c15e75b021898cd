"""POST /v1/snapshot, GET /v1/backup, and what /readyz warns of."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from raftdb.errors import LeaderHint, Unavailable
from raftdb.frontend import http_file
from raftdb.frontend.http_file import PIECE_BYTES
from raftdb.frontend.node_api import Backup
from tests.addresses import at
from tests.frontend.support import WAIT_S, StubNode, get, post, running, wait_until


async def test_a_snapshot_answers_its_index() -> None:
    async with running() as harness:
        response = await harness.request(post(b"", "/v1/snapshot"))
        assert (response.status, response.json) == (200, {"index": 12})


async def test_a_backup_is_a_stream_with_its_length_index_and_name(tmp_path: Path) -> None:
    content = bytes(range(256)) * (PIECE_BYTES // 256 * 2) + b"end"
    (tmp_path / "copy").write_bytes(content)
    async with running() as harness:
        harness.node.backup_path = tmp_path / "copy"
        response = await harness.request(get("/v1/backup"))
        assert response.status == 200
        assert response.headers["raftdb-index"] == "12"
        assert response.headers["content-disposition"] == 'attachment; filename="raftdb-12.backup"'
        assert response.body == content


class OneAtATime(StubNode):
    """Makes one backup at a time, as a node does."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.backup_path = path
        self.is_backing_up = False

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        if self.is_backing_up:
            raise Unavailable("busy", "a backup is being made")
        self.is_backing_up = True
        try:
            async with super().backup() as backup:
                yield backup
        finally:
            # Its file is removed, which takes a while.
            await asyncio.sleep(0)
            self.is_backing_up = False


@pytest.mark.parametrize(("slow_after_s", "status"), [(0.0, 200), (3600.0, 503)])
async def test_who_reads_a_backup_slowly_makes_room_for_who_asks_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_after_s: float, status: int
) -> None:
    """A piece in half a minute would keep everybody else from having one for hours."""
    monkeypatch.setattr(http_file, "SLOW_AFTER_S", slow_after_s)
    monkeypatch.setattr(http_file, "SLOW_BYTES_PER_SECOND", 1 << 60)
    content = bytes(16 * PIECE_BYTES)
    (tmp_path / "copy").write_bytes(content)
    node = OneAtATime(tmp_path / "copy")
    async with running(node=node) as harness:
        slow = await harness.connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await slow.send(get("/v1/backup"))
        await wait_until(lambda: harness.api._sending is not None and harness.api._sending.sent_bytes > 0)
        response = await harness.request(get("/v1/backup"))
        assert response.status == status
        if status == 200:
            assert response.body == content
            await wait_until(lambda: not node.is_backing_up)
        slow.writer.transport.abort()


async def test_only_the_leader_makes_backups_and_snapshots() -> None:
    async with running() as harness:
        harness.node.leads, harness.node.leader = False, LeaderHint("n2", at("other:1"))
        for request in (get("/v1/backup"), post(b"", "/v1/snapshot")):
            response = await harness.request(request)
            assert (response.status, response.code) == (307, "not_leader")
            assert response.headers["location"].startswith("http://other:1/v1/")


async def test_a_backup_that_does_not_fit_is_refused_before_it_begins() -> None:
    async with running() as harness:
        harness.node.failure = Unavailable("no_space", "a file does not fit")
        response = await harness.request(get("/v1/backup"))
        assert (response.status, response.code) == (503, "no_space")


async def test_a_warning_is_reported_by_a_node_that_is_ready() -> None:
    warning: list[str | None] = ["the disk is nearly full"]
    async with running(warnings={"space": lambda: warning[0]}) as harness:
        harness.node.leader = LeaderHint("n1", at("here:1"))
        response = await harness.request(get("/readyz"))
        assert (response.status, response.body) == (200, b"[!]space warning: the disk is nearly full\nok\n")
        warning[0] = None
        assert (await harness.request(get("/readyz"))).body == b"ok\n"


@pytest.mark.parametrize("step", ["open", "close"])
async def test_a_file_is_closed_whenever_its_stream_is_cancelled(tmp_path: Path, step: str) -> None:
    """A cancellation takes back what no thread has begun, and loses what one has just opened."""
    path = tmp_path / "copy"
    path.write_bytes(b"content")
    begun, go_on = threading.Event(), threading.Event()
    opened: list[BinaryIO] = []

    class SlowPath:
        """Its file; one step of it takes until it may go on."""

        def open(self, mode: str) -> BinaryIO:
            file = cast(BinaryIO, path.open(mode))
            opened.append(file)
            if step == "open":
                begun.set()
                assert go_on.wait(WAIT_S)
            return file

    async def stream() -> None:
        async with http_file._opened(cast(Path, SlowPath())):
            if step == "close":
                # The only thread is busy, so that the close waits for it.
                asyncio.get_running_loop().run_in_executor(None, go_on.wait, WAIT_S)
                begun.set()

    with ThreadPoolExecutor(1) as one_thread:
        asyncio.get_running_loop().set_default_executor(one_thread)
        streaming = asyncio.create_task(stream())
        await wait_until(begun.is_set)
        await asyncio.sleep(0)
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
        go_on.set()
        await wait_until(lambda: [file.closed for file in opened] == [True])
