"""The simulator proves itself: bugs that others have had are planted, one at a time, and each is found.

The table says after how many seeds, and by which check. What no run of the CI is long enough to meet is named in
`RARE`, with the reason, and searched for with `--long`.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from raftdb.simulation.cluster import Simulation
from tests.sim.mutations import MUTATIONS, RARE, Mutation, planted

SEEDS_MAX = 200
SEEDS_MAX_LONG = 3_000
STEPS = 8_000
WORKERS = 2
BY_A_CHECK = ("InvariantBroken", "PromiseBroken", "AssertionError", "Missing", "LocalProtocolError")
"""What a detection begins with: a check of the simulator, or an error by which the product itself says that its own
code is wrong. A TypeError and the like is a patch that no longer fits the product, and proves nothing."""


def seeds_to_detection(position: int, seeds_max: int) -> tuple[int | None, str, float]:
    """How many seeds it takes to find a mutation (None: not found), what found it, and the seconds taken."""
    began = time.perf_counter()
    with planted(MUTATIONS[position]):
        for seed in range(seeds_max):
            violation = Simulation(seed, nodes=5, steps=STEPS).run().violation
            if violation is not None:
                return seed + 1, violation, time.perf_counter() - began
    return None, "", time.perf_counter() - began


def row(mutation: Mutation, seeds: int | None, violation: str, seconds: float) -> str:
    """One line of the table."""
    found = "not found" if seeds is None else f"{seeds:4} seeds"
    return f"{mutation.hazard:7}{mutation.title:56}{found:12}{seconds:5.0f} s  {violation[:90]}"


@pytest.mark.timeout(7200)
def test_every_planted_bug_is_found(is_long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    positions = [n for n, mutation in enumerate(MUTATIONS) if is_long or mutation.hazard not in RARE]
    limit = SEEDS_MAX_LONG if is_long else SEEDS_MAX
    table, missed = [], []
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        results = pool.map(seeds_to_detection, positions, [limit] * len(positions))
        for position, result in zip(positions, results, strict=True):
            mutation = MUTATIONS[position]
            table.append(row(mutation, *result))
            seeds, violation, _ = result
            is_found = seeds is not None and violation.startswith(BY_A_CHECK)
            if not is_found and (seeds is not None or mutation.hazard not in RARE):
                missed.append(f"{mutation.hazard} {violation}")
    with capsys.disabled():
        print("\n" + "\n".join(table), end="")
    assert not missed, f"not found within {limit} seeds: {missed}"


def test_a_mutation_is_undone_and_each_has_its_own_name() -> None:
    for mutation in MUTATIONS:
        before = [(owner, name, _current(owner, name)) for owner, name, _ in mutation.patches()]
        with planted(mutation):
            assert any(_current(owner, name) is not value for owner, name, value in before), mutation.hazard
        assert all(_current(owner, name) is value for owner, name, value in before), mutation.hazard
    assert len({mutation.hazard for mutation in MUTATIONS}) == len(MUTATIONS)
    assert set(RARE) <= {mutation.hazard for mutation in MUTATIONS}


def _current(owner: object, name: object) -> object:
    if isinstance(owner, dict):
        return owner[name]
    assert isinstance(name, str)
    return vars(owner)[name]
