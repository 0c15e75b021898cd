"""The simulator proves itself: bugs that others have had are planted, one at a time, and each is found.

Each is looked for first with the seed that found it last (`mutations/seeds.txt`), and searched for only when that
misses: a change of the simulator draws other worlds. The table says with which seed, and by which check;
`python -m tests.sim.mutations` searches anew and writes the seeds down. What no run of the CI is long enough to meet is
named in `RARE`, with the reason, and searched for with `--long`.
"""

import pytest

from tests.sim.mutations import MUTATIONS, RARE, Mutation, planted
from tests.sim.mutations.search import Detection, known_seeds, search

SEEDS_MAX = 200
SEEDS_MAX_LONG = 3_000
BY_A_CHECK = ("InvariantBroken", "PromiseBroken", "Missing", "LocalProtocolError")
"""What a detection begins with: a check of the simulator, or an error by which the product itself says that its own
code is wrong. A TypeError and the like is a patch that no longer fits the product, and proves nothing."""


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
    for position, found in search(positions, seeds_max=limit, known={} if is_long else known_seeds()):
        mutation = MUTATIONS[position]
        table.append(row(mutation, found))
        is_found = found.seed is not None and found.violation.startswith(BY_A_CHECK)
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


def _current(owner: object, name: object) -> object:
    if isinstance(owner, dict):
        return owner[name]
    assert isinstance(name, str)
    return vars(owner)[name]
