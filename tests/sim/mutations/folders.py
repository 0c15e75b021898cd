"""Planted bugs of what happens when a folder is put back to an older copy (hazard B108)."""

from typing import Any

from raftdb.core import doubts, quorum
from raftdb.core.state import RaftState
from raftdb.node import starts
from raftdb.simulation.planting import Patches
from tests.sim.mutations.planting import Mutation


def nobody_remembers_starts() -> Patches:
    return [(starts, "follows", lambda known, start, predecessor: True)]


def votes_of_those_in_doubt_count() -> Patches:
    """And so do their acknowledgements."""

    def is_majority(self: RaftState, nodes: Any) -> bool:
        return quorum.is_majority(self.configurations.voters, nodes)

    def reached_by_majority(self: RaftState, values: Any) -> int:
        return quorum.reached_by_majority(self.configurations.voters, values)

    return [(RaftState, "is_majority", is_majority), (RaftState, "reached_by_majority", reached_by_majority)]


def match_index_is_not_unlearned() -> Patches:
    return [(doubts, "_unlearn", lambda state, node: None)]


def nobody_writes_down_that_it_is_over() -> Patches:
    return [(doubts, "unsettled", lambda state: False)]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B108", "a start that does not follow is taken for one that does", nobody_remembers_starts),
    Mutation("B108b", "the word of who was put back counts", votes_of_those_in_doubt_count),
    Mutation("B108c", "a match index is not unlearned", match_index_is_not_unlearned),
    Mutation("B108d", "no configuration names the new start", nobody_writes_down_that_it_is_over),
)
