"""Who waits for the disk: a follower may, a leader never does."""

from typing import Any, cast

import pytest

from raftdb.background import Background
from raftdb.node.chronicle import Chronicle
from raftdb.node.counts import NodeCounts
from raftdb.node.effect_handler import NodeEffectHandler
from raftdb.node.effects import EffectRunner
from raftdb.node.space import SpaceBudget
from raftdb.node.turn import PersistJob
from storage import LogBatch

JOB = PersistJob(7, LogBatch(blocks=(b"block",)), None)


class Disk:
    """Writes at once if it is quick, and notes what it is asked for."""

    last_sync_ms = 0.0

    def __init__(self, *, is_quick: bool) -> None:
        self.is_quick = is_quick
        self.written: list[LogBatch] = []
        self.submitted: list[tuple[int, LogBatch]] = []

    def write_here(self, batch: LogBatch) -> bool:
        if self.is_quick:
            self.written.append(batch)
        return self.is_quick

    def submit(self, sequence: int, batch: LogBatch) -> None:
        self.submitted.append((sequence, batch))


@pytest.mark.parametrize(
    ("leads", "is_quick", "is_written"), [(False, True, True), (False, False, False), (True, True, False)]
)
def test_only_a_follower_with_a_quick_disk_waits_for_it(
    leads: bool, is_quick: bool, is_written: bool
) -> None:
    disk, turns = Disk(is_quick=is_quick), list[None]()
    runner = EffectRunner(lambda: turns.append(None))
    no_one = cast(Any, None)
    background = Background(lambda error: None)
    handler = NodeEffectHandler(
        *(runner, background, SpaceBudget(), NodeCounts()),
        chronicle=Chronicle(),
        leads=lambda: leads,
        on_durable=runner.persisted,
        disk=cast(Any, disk),
        links=no_one,
        snapshots=no_one,
    )
    handler.write_log(JOB)
    assert (disk.written, disk.submitted) == (([JOB.batch], []) if is_written else ([], [(7, JOB.batch)]))
    assert (runner.inputs.persisted_sequence, len(turns)) == ((7, 1) if is_written else (0, 0))
