"""The files of a leader: made once for all who need them, kept for a while for who comes back, then gone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.background import Background
from raftdb.core.events import SnapshotMade
from raftdb.core.model import EntryId
from raftdb.errors import Fatal
from raftdb.node.view import NodeView
from raftdb.server.outgoing import Outgoing
from storage.errors import OutOfSpace
from storage.manifest import DIGEST_BYTES, Manifest, pack_container

ABSENT_SECONDS = 0.05
KEEP_SECONDS = 0.5
"""By the clock of the test, which stands still between what it does."""
WAIT_S = 10.0


class Surroundings:
    """A leader whose state is at `index`, and a disk that makes files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []
        self.failures: list[Fatal] = []
        self.is_full = False
        self.now = 0.0
        self.log = SimpleNamespace(base=SimpleNamespace(index=5))
        self.progress = {node: SimpleNamespace(match_index=0, is_caught_up=True) for node in ("n2", "n3")}
        leadership = SimpleNamespace(progress=self.progress)
        core = SimpleNamespace(log=self.log, leadership=leadership)
        self.replica = SimpleNamespace(
            raft=SimpleNamespace(state=core), checkpoint_index=10, retained_index=None
        )

    def outgoing(self, *, keep_seconds: float = KEEP_SECONDS) -> Outgoing:
        disk = SimpleNamespace(folder=SimpleNamespace(outgoing=self.folder.joinpath), export=self.export)
        return Outgoing(
            cast(Any, self.replica),
            NodeView(cast(Any, self.replica)),
            cast(Any, disk),
            "c1",
            Background(self.failures.append),
            keep_seconds=keep_seconds,
            absent_seconds=ABSENT_SECONDS,
            clock=lambda: self.now,
        )

    async def export(self, path: Path, *, cluster_id: str, verify: bool) -> Manifest:
        if self.is_full:
            raise OutOfSpace("no space for a snapshot")
        manifest = Manifest(
            cluster_id=cluster_id,
            index=self.replica.checkpoint_index,
            term=3,
            configuration_index=1,
            configuration=b"members",
            data_bytes=4,
        )
        await asyncio.to_thread(path.write_bytes, pack_container(manifest, b"data"))
        self.made.append(path.name)
        return manifest

    def goes_on(self) -> None:
        """The log gets shorter, beyond the snapshots that there are."""
        self.log.base.index += 20
        self.replica.checkpoint_index += 20

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_snapshot_is_told_of_as_it_is(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    made = await outgoing.make("n2")
    content = (tmp_path / around.made[0]).read_bytes()
    assert made == SnapshotMade("n2", EntryId(10, 3), 1, b"members", len(content), content[-DIGEST_BYTES:])
    file = outgoing.find("n2", made.digest)
    assert file is not None
    assert (file.size_bytes, file.read(5, 10)) == (len(content), content[5:15])
    assert outgoing.find("n2", bytes(DIGEST_BYTES)) is None


async def test_a_snapshot_that_cannot_be_made_is_an_outcome(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    around.is_full = True
    assert await around.outgoing().make("n2") == SnapshotMade("n2", None)


async def test_the_file_goes_after_its_last_use(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    made = await outgoing.make("n2")
    file = outgoing.find("n2", made.digest)
    assert file is not None
    around.now += KEEP_SECONDS
    await until(lambda: around.files == [])
    assert outgoing.find("n2", made.digest) is None
    with pytest.raises(OSError, match="no such file"):
        file.read(0, 10)
    await outgoing.make("n3")
    assert len(around.made) == 2


async def test_all_who_need_one_get_the_same_file(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    digests = {(await outgoing.make(target)).digest for target in ("n2", "n3", "n2")}
    await asyncio.gather(outgoing.make("n2"), outgoing.make("n3"))
    assert around.files == around.made
    assert (len(around.made), len(digests)) == (1, 1)


async def test_a_file_that_is_read_stays_however_long_that_takes(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    made = await outgoing.make("n2")
    for _ in range(5):
        around.now += 0.9 * KEEP_SECONDS
        await asyncio.sleep(ABSENT_SECONDS)
        assert outgoing.find("n2", made.digest) is not None
    assert around.files == around.made
    around.now += KEEP_SECONDS
    await until(lambda: around.files == [])


async def test_a_file_behind_which_the_log_is_gone_is_replaced(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    await outgoing.make("n2")
    around.goes_on()
    around.now += ABSENT_SECONDS
    await until(lambda: around.replica.retained_index is None)
    await outgoing.make("n2")
    assert len(around.made) == 2
    await until(lambda: around.files == around.made[1:])


async def test_who_is_fetching_a_snapshot_comes_to_its_end_though_the_log_gets_shorter(
    tmp_path: Path,
) -> None:
    """Or it would begin anew with every compaction, and never end. Others get a new one at once."""
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    first = await outgoing.make("n2")
    around.goes_on()
    assert (await outgoing.make("n2")).digest == first.digest
    newer = await outgoing.make("n3")
    assert newer.digest != first.digest
    assert outgoing.find("n2", first.digest) is not None
    around.progress["n2"].match_index = 10
    assert (await outgoing.make("n2")).digest == newer.digest, "it has the first, and needs more"
    assert len(around.made) == 2


async def test_the_log_is_kept_from_the_oldest_snapshot_on_that_is_being_fetched(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    outgoing = around.outgoing()
    await outgoing.make("n2")
    assert around.replica.retained_index == 10
    around.goes_on()
    around.now += 0.6 * ABSENT_SECONDS
    newer = await outgoing.make("n3")
    assert around.replica.retained_index == 10
    around.now += 0.6 * ABSENT_SECONDS
    outgoing.find("n3", newer.digest)
    assert around.replica.retained_index == 30
    around.now += ABSENT_SECONDS
    await until(lambda: around.replica.retained_index is None)
    await until(lambda: around.files == around.made[1:])
    assert outgoing.find("n3", newer.digest) is not None, "the newest stays for who comes back"
