"""Every invariant can fail: each is shown a state that breaks it, for a check that cannot fail checks nothing."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from raftdb.core import invariants
from raftdb.core.invariants import (
    check_cluster,
    check_log,
    check_state,
    check_step,
    snapshot,
)
from raftdb.core.log import Log
from raftdb.core.model import Role
from raftdb.core.state import Candidacy, Leadership, RaftState
from raftdb.errors import InvariantBroken
from tests.blocks import blocks
from tests.core.direct import Direct
from tests.core.test_log import EVERYTHING, entries_of


def leader() -> RaftState:
    """A healthy leader with some entries."""
    node = Direct()
    node.become_leader()
    node.propose(b"a", b"b")
    return node.state


def leadership(state: RaftState) -> Leadership:
    assert state.leadership is not None
    return state.leadership


def break_log(log: Log, what: str, value: object) -> None:
    setattr(log, what, value)


def drop_first_block(log: Log) -> None:
    del log._blocks[0], log._block_ends[0], log._byte_ends[0]


LOGS: dict[str, Callable[[Log], None]] = {
    "disk within log": lambda log: break_log(log, "persisted_index", 9),
    "bodies not on disk are in memory": drop_first_block,
    "the columns of cached blocks are of one length": lambda log: break_log(log, "_blocks", log._blocks[:1]),
    "cached blocks follow each other": lambda log: break_log(log, "_blocks", [log._blocks[0]] * 2),
    "cached blocks have the log's terms": lambda log: break_log(log, "_run_terms", [0, 1, 1]),
    "cached blocks end with the log": lambda log: break_log(log, "last_index", 4),
}


@pytest.mark.parametrize("what", LOGS)
def test_a_broken_log_is_found(what: str) -> None:
    log = Log(cache_bytes_max=EVERYTHING)
    log.append(blocks(entries_of(1, [1, 1, 2])))
    check_log(log)
    LOGS[what](log)
    with pytest.raises(InvariantBroken, match=what):
        check_log(log)


def progress_set(state: RaftState, **changes: object) -> None:
    for name, value in changes.items():
        setattr(leadership(state).progress["n2"], name, value)


STATES: dict[str, Callable[[RaftState], None]] = {
    "commit is within the log": lambda state: setattr(state, "commit_index", 9),
    "no entry is newer than the node's term": lambda state: setattr(state, "term", 1),
    "the configuration is within the log": lambda state: setattr(
        state.configurations, "latest_index", state.log.last_index + 1
    ),
    "members and parting nodes are followed": lambda state: setattr(
        state.configurations, "ids", ("n1", "n2", "n3", "n4")
    ),
    "leaders alone lead": lambda state: setattr(state, "leadership", None),
    "candidates alone gather votes": lambda state: setattr(state, "candidacy", Candidacy()),
    "a candidate votes for itself": lambda state: setattr(state, "voted_for", "n2"),
    "match is below next": lambda state: progress_set(state, match_index=4, next_index=4),
    "match is within the leader's log": lambda state: progress_set(state, match_index=5, next_index=6),
    "bytes in flight add up": lambda state: progress_set(state, in_flight=deque([(3, 7, 0)])),
}


@pytest.mark.parametrize("what", STATES)
def test_a_broken_state_is_found(what: str) -> None:
    state = leader()
    check_state(state)
    STATES[what](state)
    with pytest.raises(InvariantBroken, match=what):
        check_state(state)


STEPS: dict[str, Callable[[RaftState], None]] = {
    "terms never go back": lambda state: setattr(state, "term", 1),
    "commit never goes back": lambda state: setattr(state, "commit_index", 1),
    "one vote in a term": lambda state: setattr(state, "voted_for", "n2"),
    "match never goes back": lambda state: progress_set(state, match_index=1),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_step_back_is_found(what: str) -> None:
    state = leader()
    before = snapshot(state)
    check_step(before, state)
    STEPS[what](state)
    with pytest.raises(InvariantBroken, match=what):
        check_step(before, state)


def test_a_forgotten_vote_is_found() -> None:
    """Hazard B04."""
    state = Direct(term=3, voted_for="n2").state
    before = snapshot(state)
    state.voted_for = None
    with pytest.raises(InvariantBroken, match="one vote in a term"):
        check_step(before, state)


def test_a_second_leader_of_a_term_is_found() -> None:
    one, other = leader(), replace(leader(), id="n2")
    leaders = check_cluster([one], {})
    assert leaders == {2: "n1"}
    with pytest.raises(InvariantBroken, match="one leader per term"):
        check_cluster([other], leaders)
    with pytest.raises(InvariantBroken, match="one leader per term"):
        check_cluster([one, other], {})
    other.role = Role.FOLLOWER
    assert check_cluster([one, other], {}) == {2: "n1"}


def test_every_invariant_is_broken_here() -> None:
    """A new `_require` needs a state above that breaks it."""
    import inspect
    import re

    stated = set(re.findall(r'_require\(.*?"([a-z][^"]+)"', inspect.getsource(invariants), re.DOTALL))
    assert stated == {*LOGS, *STATES, *STEPS, "one leader per term"}
