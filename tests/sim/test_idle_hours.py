"""Idle clusters, in which a key is to end while leaders come and go: it does, and never too early."""

import pytest

from raftdb.simulation import options
from raftdb.simulation.cluster import Simulation
from tests.sim.mutations import MUTATIONS, planted

SEEDS = 16
SEEDS_LONG = 1_000
STEPS = 300
"""Few: what matters comes after the faults."""


@pytest.fixture(autouse=True)
def always_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "IDLE_HOURS_SHARE", 1.0)


@pytest.mark.timeout(3600)
def test_a_key_ends_whoever_leads_and_nobody_writes(is_long: bool) -> None:
    changes = 0
    for seed in range(SEEDS_LONG if is_long else SEEDS):
        report = Simulation(seed, nodes=3 + 2 * (seed % 2), steps=STEPS).run()
        assert report.passed, f"seed {seed}: {report.violation}"
        changes += report.idle_changes
    assert changes > 5 * SEEDS


@pytest.mark.parametrize("hazard", ["B71b", "B71c"])
def test_a_key_that_lives_too_long_is_found(hazard: str) -> None:
    """The simulator proves that it would see it."""
    (mutation,) = (mutation for mutation in MUTATIONS if mutation.hazard == hazard)
    with planted(mutation):
        violations = (Simulation(seed, nodes=3, steps=STEPS).run().violation for seed in range(10))
        assert any("is there after" in violation for violation in violations if violation)
