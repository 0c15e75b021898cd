"""On a slow network a leader stays, whatever the settings, and what is promised holds."""

import pytest

from raftdb.simulation.cluster import Simulation
from raftdb.simulation.options import Faults, draw_options
from raftdb.simulation.scheduler import MILLISECOND, SECOND, Chance

FORM_US = 60 * SECOND
QUIET_US = 60 * SECOND
STEPS = 3_000


@pytest.mark.parametrize("way_ms", [100, 1_000])
def test_a_leader_stays_on_a_slow_network(way_ms: int) -> None:
    """A tenth of all frames is lost at first, and what is behind it waits. Once the nodes have seen what that is like,
    nobody starts a new term."""
    drawn = draw_options(Chance(1), nodes=5, steps=STEPS)
    calm = drawn.on_slow_network(way_ms * MILLISECOND, faults=Faults())
    simulation = Simulation(1, nodes=5, options=calm)
    terms = simulation.terms_over(FORM_US, QUIET_US)
    assert len(terms) == 1
    assert simulation.oracle.leaders.keys() >= terms
    assert simulation.oracle.commit_index > 1


@pytest.mark.parametrize("seed", range(3))
def test_faults_on_a_slow_network_break_no_promise(seed: int) -> None:
    """The oracle looks after every step; what takes elections of half a minute to heal is not waited for."""
    drawn = draw_options(Chance(seed), nodes=5, steps=STEPS)
    simulation = Simulation(seed, nodes=5, options=drawn.on_slow_network(300 * MILLISECOND))
    simulation.terms_over(20 * SECOND, 0)
    assert simulation.steps > 0
