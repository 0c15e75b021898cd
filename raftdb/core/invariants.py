"""The safety properties of Raft (thesis figure 3.2), in English and in code.

`check_state` looks at one node, `check_step` at one node before and after a step, `check_cluster` at all nodes
at once. The simulator calls all of them after every step. Each raises `InvariantBroken` and says what is wrong.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from raftdb.core.block import Block
from raftdb.core.log import Log
from raftdb.core.model import Index, NodeId, Role, Term
from raftdb.core.state import RaftState
from raftdb.errors import InvariantBroken


class Snapshot(NamedTuple):
    """What `check_step` compares: taken of a node before a step."""

    term: Term
    voted_for: NodeId | None
    role: Role
    commit_index: Index
    match: dict[NodeId, Index]
    unlearned: int


def snapshot(state: RaftState) -> Snapshot:
    """Note the values that must not go back."""
    progress = state.leadership.progress if state.leadership else {}
    match = {node: follower.match_index for node, follower in progress.items()}
    return Snapshot(state.term, state.voted_for, state.role, state.commit_index, match, state.unlearned)


def _require(holds: bool, property_in_words: str, *details: object) -> None:
    if not holds:
        raise InvariantBroken(f"{property_in_words}: {details}")


def check_log(log: Log) -> None:
    """Entries that are not on disk are in memory, and all that is in memory is in the log."""
    _check_extent(log)
    following = None
    for block in map(Block.read, log._blocks):
        _require(following in (None, block.first_index), "cached blocks follow each other", following, block)
        _require(log.term_at(block.last_index) == block.term, "cached blocks have the log's terms", block)
        following = block.last_index + 1
    _require(following in (None, log.last_index + 1), "cached blocks end with the log", following)


def _check_extent(log: Log) -> None:
    """Check what needs no look at each block."""
    _require(
        log.base.index <= log.persisted_index <= log.last_index,
        "disk within log",
        log.persisted_index,
        log.last_index,
    )
    cache_first = log.cache_first
    _require(cache_first <= log.persisted_index + 1, "bodies not on disk are in memory", cache_first)
    columns = (len(log._blocks), len(log._block_ends), len(log._byte_ends))
    _require(min(columns) == max(columns), "the columns of cached blocks are of one length", *columns)


def check_state(state: RaftState, *, looks_at_blocks: bool = True) -> None:
    """What is true of one node at any time.

    `looks_at_blocks`: whether each cached block is looked at, which takes time, and is needed only where some changed.
    """
    if looks_at_blocks:
        check_log(state.log)
    else:
        _check_extent(state.log)
    _require(state.commit_index <= state.log.last_index, "commit is within the log", state.commit_index)
    _require(
        state.log.last_term <= state.term, "no entry is newer than the node's term", state.log.last_index
    )
    _require((state.leadership is not None) == (state.role is Role.LEADER), "leaders alone lead", state.role)
    latest_index = state.configurations.latest_index
    _require(latest_index <= state.log.last_index, "the configuration is within the log", latest_index)
    candidates = (Role.PRE_CANDIDATE, Role.CANDIDATE)
    _require(
        (state.candidacy is not None) == (state.role in candidates),
        "candidates alone gather votes",
        state.role,
    )
    if state.role is Role.CANDIDATE or state.role is Role.LEADER:
        _require(state.voted_for == state.id, "a candidate votes for itself", state.voted_for)
    if state.leadership is not None:
        followers = {*state.configurations.ids, *state.leadership.parting} - {state.id}
        _require(
            followers == set(state.leadership.progress), "members and parting nodes are followed", followers
        )
        for node, progress in state.leadership.progress.items():
            _require(progress.match_index < progress.next_index, "match is below next", node, progress)
            _require(progress.match_index <= state.log.last_index, "match is within the leader's log", node)
            in_flight_bytes = sum(size for _, size, _ in progress.in_flight)
            _require(progress.in_flight_bytes == in_flight_bytes, "bytes in flight add up", node)


def check_step(before: Snapshot, state: RaftState) -> None:
    """What never goes back, and what never changes within a term."""
    _require(state.term >= before.term, "terms never go back", before.term, state.term)
    _require(state.commit_index >= before.commit_index, "commit never goes back", before.commit_index)
    if state.term == before.term:
        _require(
            before.voted_for in (None, state.voted_for),
            "one vote in a term",
            before.voted_for,
            state.voted_for,
        )
        is_taught = state.unlearned == before.unlearned
        if before.role is Role.LEADER and state.leadership is not None and is_taught:
            for node, progress in state.leadership.progress.items():
                _require(progress.match_index >= before.match.get(node, 0), "match never goes back", node)


def check_cluster(states: Iterable[RaftState], leaders: Mapping[Term, NodeId]) -> dict[Term, NodeId]:
    """Election Safety: at most one leader per term, ever. Returns `leaders` with the present ones added."""
    known = dict(leaders)
    for state in states:
        if state.role is Role.LEADER:
            _require(
                known.setdefault(state.term, state.id) == state.id,
                "one leader per term",
                state.term,
                state.id,
            )
    return known
