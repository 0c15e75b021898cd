"""Every node serves linearizable reads, and they are."""

from dataclasses import replace

import pytest

from raftdb.core import raft
from raftdb.core.messages import ReadIndexReply
from raftdb.core.model import Role
from raftdb.core.state import RaftState
from raftdb.simulation.cluster import Simulation
from raftdb.simulation.options import draw_options
from raftdb.simulation.scheduler import Chance
from tests.sim.mutations import MUTATIONS, planted

STEPS = 2_500
SEEDS = 12


def anywhere(seed: int) -> Simulation:
    drawn = draw_options(Chance(seed), nodes=5, steps=STEPS)
    options = replace(drawn, reads_anywhere=True, read_share=0.8, idle_hours=False)
    return Simulation(seed, nodes=5, options=options)


@pytest.mark.parametrize("seed", range(4))
def test_reads_of_all_nodes_are_linearizable(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = 0
    place = (Role.FOLLOWER, ReadIndexReply)
    plain = raft.HANDLERS[place]

    def counted(state: RaftState, message: ReadIndexReply) -> None:
        nonlocal answers
        answers += 1
        plain(state, message)

    monkeypatch.setitem(raft.HANDLERS, place, counted)
    report = anywhere(seed).run()
    assert report.passed, report.violation
    assert answers


@pytest.mark.parametrize("hazard", ["6.4c", "6.4d"])
def test_reads_that_are_not_confirmed_are_found(hazard: str) -> None:
    (mutation,) = (mutation for mutation in MUTATIONS if mutation.hazard == hazard)
    with planted(mutation):
        assert any(not anywhere(seed).run().passed for seed in range(SEEDS))
