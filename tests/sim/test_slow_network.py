"""On a slow network a leader stays, whatever the settings, and what is promised holds."""

from dataclasses import replace

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


@pytest.mark.parametrize("way_ms", [100, 400, 1_000])
@pytest.mark.parametrize("seed", range(4))
def test_a_network_that_becomes_slow_gets_a_leader_again(way_ms: int, seed: int) -> None:
    """The leader of the fast network is lost, because its heartbeats are late. Nobody measures the links meanwhile: the
    answers to those who stand show how slow it has become, also those that are too late to count."""
    drawn = draw_options(Chance(seed), nodes=3, steps=STEPS)
    calm = replace(
        drawn.on_slow_network(0, faults=Faults()),
        tick_us=25 * MILLISECOND,
        election_timeout_ticks=12,
        heartbeat_ticks=3,
        turn_us=MILLISECOND,
        clients=1,
        think_us=SECOND,
        transactors=0,
        workers=0,
        lockers=0,
        observers=0,
        keepers=0,
    )
    simulation = Simulation(seed, nodes=3, options=calm)
    simulation.terms_over(5 * SECOND, 0)
    simulation.network.become_slow(way_ms * MILLISECOND)
    simulation.run_for(30 * way_ms * MILLISECOND + 5 * SECOND)
    before = simulation.oracle.commit_index
    terms = {host.term for host in simulation.hosts.values()}
    simulation.run_for(20 * SECOND)
    assert {host.term for host in simulation.hosts.values()} == terms
    assert len(terms) == 1
    assert simulation.oracle.commit_index > before


@pytest.mark.parametrize("seed", range(3))
def test_faults_on_a_slow_network_break_no_promise(seed: int) -> None:
    """The oracle looks after every step; what takes elections of half a minute to heal is not waited for."""
    drawn = draw_options(Chance(seed), nodes=5, steps=STEPS)
    simulation = Simulation(seed, nodes=5, options=drawn.on_slow_network(300 * MILLISECOND))
    simulation.terms_over(20 * SECOND, 0)
    assert simulation.steps > 0
