"""Majorities: pure functions over the voters of a configuration (thesis 3.4, 3.5, 6.2, 6.4)."""

from collections.abc import Collection, Mapping

from raftdb.core.model import NodeId


def majority(voters: Collection[NodeId]) -> int:
    """How many voters any two of whose groups of that size must share one."""
    return len(voters) // 2 + 1


def reached_by_majority(voters: Collection[NodeId], values: Mapping[NodeId, int]) -> int:
    """The highest value that a majority of `voters` has reached; a voter without a value has 0.

    With match indexes this is the index that may commit; with acknowledged rounds, the round that is confirmed.
    No voters: 0, nothing is ever reached.
    """
    if not voters:
        return 0
    ranked = sorted((values.get(voter, 0) for voter in voters), reverse=True)
    return ranked[majority(voters) - 1]


def is_majority(voters: Collection[NodeId], nodes: Collection[NodeId]) -> bool:
    """True if `nodes` holds a majority of `voters`. Nodes that do not vote are not counted (hazard B05)."""
    return bool(voters) and sum(1 for voter in voters if voter in nodes) >= majority(voters)
