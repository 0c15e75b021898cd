"""What a node has at its start is looked through once, and no more."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from raftdb.server import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


LOAD = """
import gc, sys
from raftdb.__main__ import main

def note(phase, details):
    module = sys.modules.get("raftdb.server.bootstrap")
    if module is not None and not hasattr(module, "run_node"):
        print("collects while the server is loaded", phase, details)

gc.callbacks.append(note)
assert main(["serve", "--config", "/no/such/file"]) == 2
assert "raftdb.server.bootstrap" in sys.modules
assert gc.isenabled()
"""


def test_nothing_is_collected_while_the_server_is_loaded() -> None:
    ended = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert ended.stdout == ""


def test_what_is_there_at_the_start_is_left_out_of_later_collections() -> None:
    kept: list[list[object]] = [[] for _ in range(1_000)]
    collector.settle()
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)
    assert gc.get_threshold()[0] == collector.YOUNG_OBJECTS


def test_cycles_made_later_are_still_found() -> None:
    collector.settle()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
