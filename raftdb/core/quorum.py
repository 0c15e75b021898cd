"""Majorities: pure functions over the voters of a configuration (thesis 3.4, 3.5, 6.2, 6.4).

Two majorities share a voter, and because of what that voter knows one of them cannot contradict the other. A voter
whose folder was put back has forgotten what it knew (`raftdb.core.doubts`), so it must not be the only one that they
share: the voters that answer must be a majority, and those of them that have forgotten nothing must be enough to meet
every majority that there can have been. With an odd number of voters that is a majority without those in doubt; with an
even number, half of all. It holds for every configuration that may turn out to be the cluster's: a majority of the one
before the last may have been all that an entry needed.
"""

from collections.abc import Collection, Iterable, Mapping

from raftdb.core.model import NodeId


def majority(voters: Collection[NodeId]) -> int:
    """The smallest number of voters for which any two groups of that size share a voter."""
    return len(voters) // 2 + 1


def meets_every_majority(voters: Collection[NodeId]) -> int:
    """The smallest number of voters for which any group of that size shares one with every majority of `voters`."""
    return len(voters) - majority(voters) + 1


def reached_by_majority(voters: Collection[NodeId], values: Mapping[NodeId, int]) -> int:
    """The highest value that a majority of `voters` has reached; a voter without a value has 0.

    With match indexes this is the index that may commit; with acknowledged rounds, the round that is confirmed.
    No voters: 0, nothing is ever reached.
    """
    return 0 if not voters else _reached(voters, values, majority(voters))


def reached_soundly(
    electorates: Iterable[Collection[NodeId]], values: Mapping[NodeId, int], doubted: Collection[NodeId]
) -> int:
    """The highest value that, in each of these electorates, enough voters have reached that are not `doubted`."""
    reached = []
    for voters in electorates:
        sound = [voter for voter in voters if voter not in doubted]
        needed = meets_every_majority(voters)
        reached.append(_reached(sound, values, needed) if needed <= len(sound) else 0)
    return min(reached, default=0)


def _reached(voters: Collection[NodeId], values: Mapping[NodeId, int], count: int) -> int:
    """The highest value that at least `count` of `voters` have reached."""
    return sorted((values.get(voter, 0) for voter in voters), reverse=True)[count - 1]


def is_majority(voters: Collection[NodeId], nodes: Collection[NodeId]) -> bool:
    """True if `nodes` holds a majority of `voters`. Nodes that do not vote are not counted (hazard B05)."""
    return bool(voters) and sum(1 for voter in voters if voter in nodes) >= majority(voters)


def is_sound(
    electorates: Iterable[Collection[NodeId]], nodes: Collection[NodeId], doubted: Collection[NodeId]
) -> bool:
    """True if, in each of these electorates, `nodes` holds enough voters that are not `doubted`."""
    return all(
        sum(1 for voter in voters if voter in nodes and voter not in doubted) >= meets_every_majority(voters)
        for voters in electorates
    )
