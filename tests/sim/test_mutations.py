"""The simulator proves itself: bugs that others have had are planted, one at a time, and each is found.

Each is looked for first with the seed that found it last (`mutations/seeds.txt`), and searched for only when that
misses: a change of the simulator draws other worlds. The table says with which seed, and by which check;
`python -m tests.sim.mutations` searches anew and writes the seeds down. What no run of the CI is long enough to meet is
named in `RARE`, with the reason, and searched for with `--long`.
"""

from types import SimpleNamespace

import pytest

from tests.sim.mutations import MUTATIONS, RARE, Mutation, planted
from tests.sim.mutations import search as searching
from tests.sim.mutations.search import Detection, is_by_a_check, known_seeds, search

SEEDS_MAX = 200
SEEDS_MAX_LONG = 3_000
RARE_SEEDS_MAX = 300
"""For what is in `RARE`: none has to be found, and each seed that finds nothing takes seconds."""


def row(mutation: Mutation, found: Detection) -> str:
    """One line of the table."""
    seed = "not found" if found.seed is None else f"seed {found.seed}"
    note = "" if found.by_known_seed or found.seed is None else "  (not by the seed that is written down)"
    return (
        f"{mutation.hazard:7}{mutation.title:56}{seed:10}{found.seconds:5.1f} s  {found.violation[:90]}{note}"
    )


@pytest.mark.timeout(14_400)
def test_every_planted_bug_is_found(is_long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    positions = [n for n, mutation in enumerate(MUTATIONS) if is_long or mutation.hazard not in RARE]
    limit = SEEDS_MAX_LONG if is_long else SEEDS_MAX
    table, missed = [], []
    known = {} if is_long else known_seeds()
    for position, found in search(positions, seeds_max=limit, rare_seeds_max=RARE_SEEDS_MAX, known=known):
        mutation = MUTATIONS[position]
        table.append(row(mutation, found))
        is_found = found.seed is not None and is_by_a_check(found.violation)
        if not is_found and (found.seed is not None or mutation.hazard not in RARE):
            missed.append(f"{mutation.hazard} {found.violation}")
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


@pytest.mark.parametrize(
    ("violations", "seed"),
    [
        (["KeyError: 'n1'", None, "InvariantBroken: two leaders", "KeyError: 'n1'"], 2),
        ([None, "KeyError: 'n1'", None, None], 1),
        ([None, None, None, None], None),
    ],
)
def test_an_error_of_the_plant_counts_only_if_no_check_finds_it(
    violations: list[str | None], seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Run:
        def __init__(self, seed: int, **_: int) -> None:
            self.run = lambda: SimpleNamespace(violation=violations[seed], steps=1)

    monkeypatch.setattr(searching, "Simulation", Run)
    assert searching.detect(0, len(violations), None).seed == seed


def _current(owner: object, name: object) -> object:
    if isinstance(owner, dict):
        return owner[name]
    assert isinstance(name, str)
    return vars(owner)[name]
