"""Every behaviour of three nodes within small bounds, and proof that the search would notice."""

import gc

import pytest

from tests.sim import pool
from tests.sim.mutations import MUTATIONS, planted
from tests.sim.small_model import CI, LONG, Bounds, Broken, Searched, describe, search


def search_within(bounds: Bounds, states_max: int) -> Searched:
    return search(bounds, states_max=states_max)


@pytest.mark.timeout(3600)
def test_no_behaviour_of_the_core_breaks_a_property(
    is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    extents = LONG if is_long else CI
    # Nearly all that a search makes it keeps, and a collector would look through it again and again.
    with pool.pool(gc.disable) as processes:
        found = processes.map(search_within, *zip(*extents, strict=True))
        for (bounds, states_max), searched in zip(extents, found, strict=True):
            with capsys.disabled():
                print("\n" + describe(bounds, searched), end="")
            assert searched.states >= states_max or searched.complete
            assert searched.commits_max > 1, "nothing was ever committed: the search shows nothing"


def test_the_smallest_cluster_is_searched_to_its_end() -> None:
    searched = search(Bounds(term_max=2, proposals=0), states_max=100_000)
    assert searched.complete
    assert searched.commits_max == 2


@pytest.mark.parametrize("hazard", ["B02", "B04", "B11", "B12", "B24", "3.4", "3.6.1"])
def test_a_planted_bug_is_found_by_exhaustion(hazard: str) -> None:
    mutation = next(mutation for mutation in MUTATIONS if mutation.hazard == hazard)
    bounds = Bounds(term_max=3, proposals=0, slow_disk=hazard in ("B02", "B24"))
    with planted(mutation), pytest.raises(Broken):
        search(bounds, states_max=150_000)
