"""A node as its frontends see it, over a disk that is a list of what was asked of it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.errors import Unavailable
from raftdb.memory import MemoryAccount
from raftdb.server.local_node import LocalNode
from storage.errors import OutOfSpace


class ListingDisk:
    """Exports as `outcome` says, and writes down what is removed."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.removed: list[Path] = []
        self.folder = SimpleNamespace(outgoing=lambda name: Path("outgoing") / name)

    async def export(self, path: Path, *, cluster_id: str, verify: bool) -> Any:
        if isinstance(self.outcome, asyncio.Event):
            await self.outcome.wait()
        elif isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def remove(self, path: Path) -> None:
        self.removed.append(path)


def node_on(disk: ListingDisk) -> LocalNode:
    async def checkpoint(*, keeps_tail: bool) -> int:
        assert keeps_tail, "a follower that is away is to find its log"
        return 1

    driver = SimpleNamespace(checkpoint=checkpoint)
    nothing = cast(Any, None)
    return LocalNode(
        cast(Any, driver),
        cast(Any, disk),
        nothing,
        MemoryAccount(),
        node_id="n1",
        cluster_id="c",
        users=nothing,
    )


async def backed_up(node: LocalNode) -> int:
    async with node.backup() as backup:
        return backup.index


async def test_the_file_of_a_backup_is_removed_by_the_disk_however_it_ends() -> None:
    """Not here: to remove a large file takes longer than a heartbeat may wait."""
    done = ListingDisk(SimpleNamespace(index=7, term=1))
    assert await backed_up(node_on(done)) == 7
    full = ListingDisk(OutOfSpace("the disk is full"))
    with pytest.raises(Unavailable):
        await backed_up(node_on(full))
    cut_off = ListingDisk(asyncio.Event())
    task = asyncio.create_task(backed_up(node_on(cut_off)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.removed == full.removed == cut_off.removed == [Path("outgoing/backup")]
