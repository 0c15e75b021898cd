"""Processes that end without a word in the middle of a write: the old or the new is there, and all that was acked."""

import sys
from pathlib import Path

import pytest

from storage import LmdbLogStore, LmdbStateStore, LoadedLog, LogBatch
from tests.storage.media import blocks, run_child

DIES_IN_A_WRITE = """
import os, pathlib, sys
import storage.env, storage.log_store
from storage import LmdbLogStore, LogBatch
from tests.storage.media import blocks
log = LmdbLogStore(pathlib.Path(sys.argv[1]), create=False)
where, name = sys.argv[2].split(":")
owner = storage.env.Environment if where == "Environment" else storage.log_store.LmdbLogStore
original = getattr(owner, name)
def die(*arguments):
    if sys.argv[3] == "after":
        original(*arguments)
    os._exit(9)
setattr(owner, name, die)
log.write([LogBatch(b"new", 5, blocks(5, 1999, term=2, data=b"new", of=100))])
"""

STEPS = [
    ("LmdbLogStore:_cut", "before", False),
    ("LmdbLogStore:_cut", "after", False),
    ("LmdbLogStore:_put", "before", False),
    ("LmdbLogStore:_put_range", "before", False),
    ("LmdbLogStore:_put_range", "after", False),
    ("Environment:_settle_file", "before", True),
]


@pytest.mark.parametrize(("step", "when", "new"), STEPS)
def test_a_write_cut_off_at_any_step_is_there_or_not(tmp_path: Path, step: str, when: str, new: bool) -> None:
    log = LmdbLogStore(tmp_path / "log", create=True)
    log.write([LogBatch(b"old", None, blocks(1, 9))])
    log.close()
    assert run_child(DIES_IN_A_WRITE, tmp_path / "log", step, when).returncode == 9
    found = LmdbLogStore(tmp_path / "log", create=False).load()
    if new:
        assert found == LoadedLog(b"new", 0, 0, 1999, ((1, 1), (5, 2)))
    else:
        assert found == LoadedLog(b"old", 0, 0, 9, ((1, 1),))


DIES_UNDER_LOAD = """
import os, pathlib, sys, threading
from storage import LmdbLogStore, LogBatch, LogWriter
from tests.storage.media import blocks
log = LmdbLogStore(pathlib.Path(sys.argv[1]), create=True)
ready = threading.Event()
def on_durable(sequence):
    os.write(1, b"%d\\n" % sequence)
    ready.set()
writer = LogWriter(log, on_durable=on_durable, on_failure=print)
def end():
    ready.wait()
    threading.Event().wait(float(sys.argv[2]))
    os._exit(9)
threading.Thread(target=end).start()
index = 0
while True:
    index += 1
    writer.submit(index, LogBatch(b"%d" % index, None, blocks(index, index, data=b"x" * (index % 300))))
    if index % 50 == 0:
        threading.Event().wait(0.001)
"""


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1])
def test_everything_acknowledged_under_load_is_there_after_a_crash(tmp_path: Path, seconds: float) -> None:
    child = run_child(DIES_UNDER_LOAD, tmp_path / "log", seconds)
    assert child.returncode == 9, child.stderr
    acknowledged = int(child.stdout.splitlines()[-1])
    found = LmdbLogStore(tmp_path / "log", create=False).load()
    assert found.last_index >= acknowledged > 0
    assert found.hard_state == b"%d" % found.last_index


DIES_IN_A_FLUSH = """
import dataclasses, os, pathlib, sys
from storage import LmdbStateStore
class Deadly(dict):
    reads = 0
    def __getitem__(self, key):
        self.reads += 1
        if self.reads == int(sys.argv[2]):
            os._exit(9)
        return super().__getitem__(key)
state = LmdbStateStore(pathlib.Path(sys.argv[1]), create=True)
for generation in (1, 2):
    changes = {b"%05d" % number: b"%d" % generation for number in range(5000)}
    changes[b"00000" if generation == 2 else b"gone"] = None
    state.write(changes, index=generation, term=1)
    frozen = state.freeze()
    if generation == 2:
        frozen = dataclasses.replace(frozen, changes=Deadly(frozen.changes))
    state.flush(frozen)
    if generation == 1:
        state.thaw(frozen)
os._exit(8)
"""


@pytest.mark.parametrize("place", [1, 2500, 5000, sys.maxsize])
def test_a_flush_cut_off_leaves_the_old_checkpoint_or_the_new(tmp_path: Path, place: int) -> None:
    """Never a mixture, and never data of one with the applied index of the other (hazards B30, B31)."""
    complete = place == sys.maxsize
    assert run_child(DIES_IN_A_FLUSH, tmp_path / "state", place).returncode == (8 if complete else 9)
    state = LmdbStateStore(tmp_path / "state", create=False)
    generation = 2 if complete else 1
    assert state.applied == (generation, 1)
    found = state.scan(b"", None, limit=9999)
    assert {value for _, value in found} == {b"%d" % generation}
    assert len(found) == (4999 if complete else 5000)
