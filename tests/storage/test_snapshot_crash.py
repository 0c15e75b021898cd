"""A crash at any step of making, receiving, installing or restoring a snapshot leaves the old or the new (B31)."""

import pytest

from tests.storage.crash_points import ACTIONS, run_all_steps
from tests.storage.media import run_child

STEPS_MIN = 5


@pytest.mark.parametrize("how", ["raise", "full"])
@pytest.mark.parametrize("name", ACTIONS)
def test_old_or_new_is_left_by_an_error_at_each_step(name: str, how: str) -> None:
    assert run_all_steps(name, how) >= STEPS_MIN


DIES_AT_EACH_STEP = """
import sys
from tests.storage.crash_points import run_all_steps
print(run_all_steps(sys.argv[1], "exit"))
"""


@pytest.mark.parametrize("name", ACTIONS)
def test_old_or_new_is_left_by_a_process_that_ends_at_each_step(name: str) -> None:
    child = run_child(DIES_AT_EACH_STEP, name)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) >= STEPS_MIN
