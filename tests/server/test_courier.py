"""The courier's file: made once for all who need it, kept for a while for who comes back, then gone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.background import Background
from raftdb.core.events import SnapshotDelivered
from raftdb.core.model import EntryId
from raftdb.errors import Fatal
from raftdb.server.snapshots import Courier
from raftdb.transport.snapshot_client import DeliveryFailed
from storage.manifest import Manifest, pack_container

KEEP_SECONDS = 0.05
WAIT_S = 10.0


class Surroundings:
    """A leader whose state is at `index`, a disk that makes files, and a client that does as `delivering` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = 10
        self.base_index = 5
        self.made: list[str] = []
        self.failures: list[Fatal] = []
        self.delivering: Callable[[str], Any] = _succeed
        log = SimpleNamespace(base=SimpleNamespace(index=5))
        core = SimpleNamespace(log=log, term=3)
        self.log = log
        self.replica = SimpleNamespace(
            raft=SimpleNamespace(state=core), checkpoint_index=10, retained_index=None
        )

    def courier(self, keep_seconds: float = KEEP_SECONDS) -> Courier:
        disk = SimpleNamespace(folder=SimpleNamespace(outgoing=self.folder.joinpath), export=self.export)
        client = SimpleNamespace(deliver=self.deliver)
        return Courier(
            cast(Any, self.replica),
            cast(Any, disk),
            cast(Any, client),
            "c1",
            {"n2": "127.0.0.1:1", "n3": "127.0.0.1:1"}.get,
            Background(self.failures.append),
            keep_seconds=keep_seconds,
        )

    async def export(self, path: Path, *, cluster_id: str, verify: bool) -> Manifest:
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

    async def deliver(self, target: str, _address: str, _source: object, *, leader_term: int) -> None:
        assert leader_term == 3
        await self.delivering(target)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


async def _succeed(_target: str) -> None:
    """The snapshot is there."""


async def _fail(_target: str) -> None:
    raise DeliveryFailed("timeout", "it does not answer")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_file_goes_after_the_last_delivery(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    courier = around.courier()
    delivered = await courier.deliver("n2")
    assert delivered == SnapshotDelivered("n2", EntryId(10, 3), 1, b"members")
    await until(lambda: around.files == [])
    await courier.deliver("n3")
    assert len(around.made) == 2


@pytest.mark.parametrize("outcome", [_succeed, _fail])
async def test_who_comes_back_in_time_gets_the_same_file(
    tmp_path: Path, outcome: Callable[[str], Any]
) -> None:
    around = Surroundings(tmp_path)
    around.delivering = outcome
    courier = around.courier(keep_seconds=60)
    for target in ("n2", "n3", "n2"):
        await courier.deliver(target)
    assert around.files == around.made
    assert len(around.made) == 1


async def test_a_follower_that_refuses_at_once_is_asked_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftdb.server.snapshots.PAUSE_SECONDS_MIN", 0.05)
    monkeypatch.setattr("raftdb.server.snapshots.PAUSE_SECONDS_MAX", 0.15)
    around = Surroundings(tmp_path)
    courier = around.courier(keep_seconds=60)
    clock = asyncio.get_running_loop().time

    async def seconds_of_delivery() -> float:
        began = clock()
        await courier.deliver("n2")
        return clock() - began

    around.delivering = _fail
    failed = [await seconds_of_delivery() for _ in range(5)]
    assert all(taken >= least for taken, least in zip(failed, (0.05, 0.1, 0.15, 0.15, 0.15), strict=True))
    around.delivering = _succeed
    await courier.deliver("n2")
    around.delivering = _fail
    await courier.deliver("n2")
    assert courier.pause_of("n2") == 0.05, "it begins anew"


async def test_a_file_in_use_stays_however_long_that_takes(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    courier = around.courier()
    go_on = asyncio.Event()

    async def wait(target: str) -> None:
        if target == "n2":
            await go_on.wait()

    around.delivering = wait
    slow = asyncio.create_task(courier.deliver("n2"))
    await until(lambda: around.files != [])
    await courier.deliver("n3")
    await asyncio.sleep(3 * KEEP_SECONDS)
    assert around.files == around.made
    assert len(around.made) == 1
    go_on.set()
    await slow
    await until(lambda: around.files == [])


async def test_a_file_behind_which_the_log_is_gone_is_replaced(tmp_path: Path) -> None:
    around = Surroundings(tmp_path)
    courier = around.courier(keep_seconds=60)
    await courier.deliver("n2")
    around.log.base.index, around.replica.checkpoint_index = 20, 25
    await courier.deliver("n2")
    assert len(around.made) == 2
    assert around.files == around.made[1:]
