"""POST /v1/snapshot, GET /v1/backup, and what /readyz warns of."""

from pathlib import Path

from raftdb.errors import LeaderHint, Unavailable
from raftdb.frontend.http_file import PIECE_BYTES
from tests.frontend.support import get, post, running


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


async def test_only_the_leader_makes_backups_and_snapshots() -> None:
    async with running() as harness:
        harness.node.leads, harness.node.leader = False, LeaderHint("n2", "other:1")
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
        harness.node.leader = LeaderHint("n1", "here:1")
        response = await harness.request(get("/readyz"))
        assert (response.status, response.body) == (200, b"[!]space warning: the disk is nearly full\nok\n")
        warning[0] = None
        assert (await harness.request(get("/readyz"))).body == b"ok\n"
