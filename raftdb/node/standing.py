"""Which folder a node that calls, or is called, has to be; and what this node itself can be (hazards B36, B41).

* A removed node is turned away, once its removal is certain: until then it may still be needed.
* A member is the folder that the configuration names. Where it names none (the first members, until a leader that knows
  them changes the members; learners, which promise nothing), it is the one that was first met: its owner remembers it.
  A learner that was met before it was one is the folder that it was met as: its answers may be counted already.
* Any other node is accepted. It may have been added since, and even lead, and have the very entry that says so (thesis
  4.1); and a node that was not added can do nothing, for without a log it neither votes nor stands for election. The
  owner of the links calls such a stranger back, because it would get no answers otherwise: a node that joins knows no
  other before the leader has called it.
"""

from collections.abc import Set
from typing import NamedTuple

from raftdb.core.model import EntryId, NodeId
from raftdb.core.quorum import is_majority
from raftdb.core.state import RaftState


class Standing(NamedTuple):
    """What is known of a node by its id: the folder that it has to be, if the configuration says that (`uuid`), and the
    folder that it was last met as since this node started (`met`)."""

    is_removed: bool
    is_member: bool
    uuid: str | None
    met: str | None


def standing_of(core: RaftState, node: NodeId) -> Standing:
    """The standing of `node`, by the rules of this module."""
    is_removed = node in core.configurations.committed_at(core.commit_index)[1].removed
    member = core.configurations.find(node)
    uuid = None if member is None else member.uuid
    return Standing(is_removed, member is not None, uuid, core.folders.get(node))


def is_cast_out(core: RaftState, by: Set[NodeId]) -> bool:
    """True if so many voters refuse this node that it can have no majority without them.

    Fewer voters may lie, or one folder may be mistaken, so their word does not stop a node that has a majority, or can
    have one.
    """
    voters = core.configurations.voters
    return not is_majority(voters, set(voters) - by)


def is_unproven(core: RaftState, links: Set[NodeId], first_entry: EntryId) -> bool:
    """True while this node has the log of a first start, and too few peers have confirmed that it may be so.

    A wiped folder looks exactly like a new one. The peers remember which folders they met and refuse a node that lost
    its memory; until enough of them have spoken to make a majority with it, such a node neither votes nor stands for
    election (hazard B36). A node that joins has no configuration, so no peers make a majority with it: it waits until
    the leader has sent it a log. That it was no voter before is certain, for the entry that lets a node vote names its
    folder, and no other folder under its id is heard.
    """
    return is_new(core, first_entry) and not is_majority(core.configurations.voters, {*links, core.id})


def is_new(core: RaftState, first_entry: EntryId) -> bool:
    """True while this node has the log of a first start: it never took part in the cluster, or has lost all memory of
    it."""
    return core.term <= first_entry.term and core.log.last_index <= first_entry.index
