"""Tests of one group go to one worker."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.conftest import pytest_xdist_make_scheduler
from tests.groups import GROUPS, GroupScheduling, scope_of

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """A worker of pytest-xdist that notes what it is given."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[int] = []

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.given += indexes

    def shutdown(self) -> None:
        self.shutting_down = True


def test_every_file_of_a_group_exists() -> None:
    places = [place for group in GROUPS.values() for place in group]
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert len(set(places)) == len(places)


def test_a_folder_is_a_group() -> None:
    names = [
        "tests/web/test_live.py::test_a[1/2]",
        "tests/web/test_login.py::test_b",
        "tests/test_docs.py::test_c",
    ]
    assert [scope_of(name) for name in names] == ["the browser", "the browser", names[2]]


def test_a_group_is_given_to_one_worker_and_the_largest_first() -> None:
    ports = [f"tests/cli/test_up.py::test_{number}" for number in range(3)]
    simulated = [f"tests/sim/test_simulation.py::test_it[{number}-a::b]" for number in range(4)]
    collection = ["tests/cli/test_main.py::test_first", *ports, *simulated, "tests/e2e/test_up.py::test_it"]
    option = SimpleNamespace(loadscopereorder=True, tx=["popen", "popen"], numprocesses=None)
    config = SimpleNamespace(option=option, getvalue=lambda name: getattr(option, name))
    scheduler = pytest_xdist_make_scheduler(cast(pytest.Config, config), None)
    assert isinstance(scheduler, GroupScheduling)
    workers = [Worker("gw0"), Worker("gw1")]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        scheduler.add_node_collection(worker, collection)
    scheduler.schedule()
    given = [[collection[index] for index in worker.given] for worker in workers]
    assert given == [[*ports, collection[-1]], simulated]
