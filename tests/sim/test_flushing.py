"""All keys are removed now and then, and what they take is freed in very small steps."""

from dataclasses import replace

import pytest

from raftdb.machine import sweeping
from raftdb.machine.keys import Clear
from raftdb.machine.keyspace import VALUE_COUNT_KEY
from raftdb.machine.layer import Layer
from raftdb.machine.strings import Get, Set
from raftdb.simulation.cluster import Simulation
from raftdb.simulation.linearizability import Operation, Verdict, check_history, verdict_of
from raftdb.simulation.options import draw_options
from raftdb.simulation.scheduler import Chance

STEPS = 1_500


def flushing(seed: int) -> Simulation:
    drawn = draw_options(Chance(seed), nodes=3, steps=STEPS)
    options = replace(drawn, flushes=True, transactors=0, expires=True, read_share=0.5, idle_hours=False)
    return Simulation(seed, nodes=3, options=options)


@pytest.mark.parametrize("seed", range(3))
def test_replicas_stay_alike_while_keys_are_removed_step_by_step(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_ABANDONED_MAX", 1)
    simulation = flushing(seed)
    report = simulation.run()
    assert report.passed, report.violation
    cleared = [each for each in simulation.crowd.history.operations if isinstance(each.command, Clear)]
    assert cleared


def test_keys_that_are_not_removed_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug removes only the number of keys."""

    def remove(layer: Layer) -> None:
        layer.put(VALUE_COUNT_KEY, bytes(8))

    monkeypatch.setattr("raftdb.machine.keys.remove_all_values", remove)
    assert any(not flushing(seed).run().passed for seed in range(5))


def test_a_removal_of_all_keys_has_its_place_in_the_order_of_each() -> None:
    flush = Operation("b", Clear(), 30, 40, "OK")
    seen_before = (
        Operation("a", Set(b"k", b"v"), 10, 20, "OK"),
        flush,
        Operation("c", Get(b"k"), 32, 50, b"v"),
    )
    seen_after = (*seen_before[:2], Operation("c", Get(b"k"), 45, 50, b"v"))
    assert verdict_of(check_history(seen_before)) is Verdict.LINEARIZABLE
    assert verdict_of(check_history(seen_after)) is Verdict.VIOLATION
