"""What the simulator has found in the product, kept: the seed that showed it, and the bug in its smallest form."""

import pytest

from raftdb.core.events import Received
from raftdb.core.messages import Heartbeat, HeartbeatReply
from raftdb.core.model import HardState
from raftdb.simulation.cluster import Simulation
from tests.sim.small_model import FIRST, start


def test_a_late_heartbeat_of_an_older_term_is_answered_without_its_round() -> None:
    """n1 led term 2 for 372 rounds and leads term 3: the answer to an old round must confirm none of the new."""
    node = start("n2", HardState(3, "n1"), (FIRST,))
    update = node.step(Received(Heartbeat("n1", "n2", term=2, commit_index=0, round=372)))
    (reply,) = update.messages
    assert isinstance(reply, HeartbeatReply)
    assert (reply.target, reply.term, reply.round) == ("n1", 3, 0)


@pytest.mark.parametrize("seed", [644])
def test_seeds_that_have_found_a_bug_pass(seed: int) -> None:
    """644: stale reads of a node that led two terms, confirmed by answers to the rounds of the first."""
    report = Simulation(seed, steps=8_000).run()
    assert report.passed, report.violation
