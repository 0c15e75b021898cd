"""The core refuses what would break a promise, also in an interpreter that leaves asserts out."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import sys
from raftdb.core import invariants
from raftdb.core.events import Compacted, Received
from raftdb.core.messages import AppendEntries, Heartbeat
from raftdb.core.model import Entry, EntryId, EntryKind, Role
from raftdb.errors import InvariantBroken
from tests.blocks import blocks
from tests.core.direct import Direct

assert False, "asserts are left out here"


def following():
    node = Direct(nodes=3)
    new = blocks(Entry(index, 2, EntryKind.NOOP, b"") for index in (2, 3))
    node.receive(AppendEntries("n2", "n1", 2, 1, 1, 3, new))
    return node


def vote_twice():
    state = following().state
    state.set_hard_state(state.term, "n2")
    state.set_hard_state(state.term, "n3")


def go_back():
    state = following().state
    state.set_hard_state(state.term - 1, None)


def truncate():
    following().state.truncate_log_from(2)


def truncate_late():
    state = following().state
    state.append_to_log(blocks([Entry(4, 2, EntryKind.NOOP, b"")]))
    state.truncate_log_from(4)


def install():
    following().state.install_snapshot(EntryId(3, 2), 1, b"")


def commit():
    following().state.commit_to(4)


def compact():
    following().state.log.compact_to(9)


def compact_beyond_the_disk():
    state = following().state
    state.append_to_log(blocks([Entry(4, 2, EntryKind.NOOP, b"")]))
    state.log.compact_to(4)


def invariant():
    state = following().state
    before = invariants.snapshot(state)
    state.term -= 1
    invariants.check_step(before, state)


ways = (
    vote_twice, go_back, truncate, truncate_late, install, commit, compact, compact_beyond_the_disk, invariant,
)
for way in ways:
    try:
        way()
    except InvariantBroken:
        continue
    sys.exit(f"{way.__name__} was let through")
print(len(ways), "ways are closed")
"""


def test_safety_does_not_depend_on_asserts() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout) == (0, "9 ways are closed\n"), done.stderr
