"""Planted bugs of requests that the leader holds, and of what is bound to a session."""

from raftdb.machine import sessions
from raftdb.node.waiting import Waiters
from raftdb.simulation.planting import Patches
from tests.sim.mutations.planting import Mutation


def changes_wake_nobody() -> Patches:
    return [(Waiters, "changed", lambda self, names: None)]


def former_leaders_hold_on() -> Patches:
    """Who waits at a node that does not lead any more is told nothing."""
    return [(Waiters, "_hand_back", lambda self, refusal: None)]


def deadlines_are_forgotten() -> Patches:
    """Who has waited for as long as it would is not told that there was nothing."""
    return [(Waiters, "_end_late", lambda self, world: None)]


def bound_keys_stay() -> Patches:
    return [(sessions, "remove_bound_values", lambda layer, session: 0)]


MUTATIONS = (
    Mutation("B73c", "a change wakes nobody who waits for it", changes_wake_nobody),
    Mutation("B73d", "a former leader holds on to requests", former_leaders_hold_on),
    Mutation("B73e", "a request is held beyond its time", deadlines_are_forgotten),
    Mutation("B73f", "keys stay when their session is closed", bound_keys_stay),
)
