"""Bugs that other systems have had, planted one at a time into ours: what the simulator must find to be believed.

Each mutation is a small patch of the product, undone on leaving; none of them is in the product. The hazard ids are
those of the catalogue of bugs that the project was built against.
"""

from tests.sim.mutations import (
    answers,
    data,
    elections,
    folders,
    locks,
    membership,
    queues,
    replication,
    snapshots,
    waiting,
    watches,
)
from tests.sim.mutations.planting import Mutation, planted

__all__ = ["MUTATIONS", "RARE", "Mutation", "planted"]

MUTATIONS: tuple[Mutation, ...] = (
    *elections.MUTATIONS,
    *replication.MUTATIONS,
    *snapshots.MUTATIONS,
    *answers.MUTATIONS,
    *membership.MUTATIONS,
    *data.MUTATIONS,
    *folders.MUTATIONS,
    *queues.MUTATIONS,
    *locks.MUTATIONS,
    *watches.MUTATIONS,
    *waiting.MUTATIONS,
)
"""Every planted bug. Ids that are numbers are sections of the thesis, for rules that no catalogued bug is about."""

RARE: dict[str, str] = {
    "B25": "needs a leader cut off with a longer uncommitted tail than all that the others commit, compact and send "
    "as a snapshot before it hears of them",
    "B71d": "needs a leader that is cut off with a follower and counts on, others that elect one after a pause and let "
    "it count, and that very follower as the next, before it has heard the second",
    "B14b": "needs a leader that sends, late, a part of what it has committed to a follower with another tail; "
    "followers' hints nearly always lead straight to where the logs part",
}
"""Mutations that CI does not wait for, and why they take so many seeds."""
