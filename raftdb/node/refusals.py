"""Why a node does not execute a request, in words: which node leads instead, which cannot be reached, what it waited
for."""

from collections.abc import Callable, Set

from raftdb.core.model import Index, NodeId, Role
from raftdb.core.quorum import is_majority
from raftdb.core.state import RaftState
from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint, OutcomeUnknown, RaftdbError, Unavailable


def leader_hint(core: RaftState, endpoint_of: Callable[[NodeId], Endpoint | None]) -> LeaderHint | None:
    """Where the leader is, if this node knows of one. `endpoint_of`: where a peer is found by now; it may have moved
    while the configuration that says so is not here yet."""
    member = core.configurations.find(core.leader_id) if core.leader_id is not None else None
    if member is None:
        return None
    return LeaderHint(member.id, endpoint_of(member.id) or member.http, member.redis)


def not_executed(
    core: RaftState, links: Set[NodeId], leader: LeaderHint | None, *, is_removed: bool
) -> Unavailable:
    """Another node leads, no node leads, no majority can be reached, or this node is no member any more."""
    if core.role is not Role.LEADER and leader is not None:
        return Unavailable("not_leader", f"{leader.id} leads, not {core.id}", leader=leader)
    if is_removed:
        others = ", ".join(str(member.http) for member in core.configurations.latest.members)
        return Unavailable(
            "no_leader", f"{core.id} was removed from the cluster", hint=f"ask another node: {others}"
        )
    reachable = {*links, core.id}.intersection(core.configurations.voters)
    if not is_majority(core.configurations.voters, reachable):
        return Unavailable(
            "no_quorum",
            f"{core.id} reaches {len(reachable)} of {len(core.configurations.voters)} voters, no majority",
            hint="start or reconnect the other nodes; if all have moved, --members tells one where they are now",
        )
    return Unavailable("no_leader", "no leader is elected at the moment", hint="try again in a second")


def too_much_waits() -> Unavailable:
    """The leader takes no more writes for now."""
    return Unavailable("busy", "too much is waiting for a majority", hint="send more slowly")


def no_space(core: RaftState, reason: str, *, is_own: bool, is_full: bool = False) -> Unavailable:
    """A disk is short of space. `is_own`: it is this node's disk, so another leader might have space; `is_full`: not
    even a deletion can be written."""
    hint = "remove what else is on the disk" if is_full else "delete keys"
    hint += ", or give the disk more space"
    if is_own and len(core.configurations.voters) > 1:
        hint += "; if others have space, let one of them lead: 'raftdb cluster transfer'"
    return Unavailable("no_space", reason, hint=hint)


def out_of_time(core: RaftState, applied_index: Index, *, is_write: bool) -> RaftdbError:
    """No majority confirmed the request in time: a write may still take effect, a read was only not answered."""
    if is_write:
        return OutcomeUnknown(
            "no majority confirmed the write in time: it may or may not take effect",
            hint="read before you try again",
        )
    behind = core.commit_index - applied_index
    if behind > 0:
        return Unavailable(
            "busy", f"the state is being rebuilt: {behind} committed entries wait to be applied"
        )
    return Unavailable("no_quorum", "no majority confirmed in time that this node still leads")
