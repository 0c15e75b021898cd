"""Tests that must not run beside each other: each group goes to one worker of pytest-xdist, largest group first.

pytest-xdist has a mark for that, `xdist_group`, which writes the group into the names of tests. This version of pytest
does not take names from there, and the mark is passed over without a word.
"""

from xdist.scheduler import LoadScopeScheduling

GROUPS: dict[str, tuple[str, ...]] = {
    "the ports from 8001 on": (
        "tests/cli/test_left_over.py",
        "tests/cli/test_local_folder.py",
        "tests/cli/test_up.py",
        "tests/e2e/test_up.py",
    ),
    # A browser and a cluster for each file, and not for each worker that gets a test of it: one cluster's ports, too.
    "the browser": ("tests/web",),
    # They use pools of their own (`tests.sim.pool`), and fill all processors at the lowest priority.
    "processors": (
        "tests/sim/test_mutations.py",
        "tests/sim/test_simulation.py",
        "tests/sim/test_small_model.py",
    ),
}
"""What the tests of a group fight over, to their files, or to the folder of all of them."""

GROUP_OF = {place: group for group, places in GROUPS.items() for place in places}


def scope_of(test: str) -> str:
    """The group of a test, by its name, or the test itself if it is in none."""
    file = test.partition("::")[0]
    return GROUP_OF.get(file) or GROUP_OF.get(file.rpartition("/")[0]) or test


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Hands tests to workers one by one, and a group as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
