"""What a node says about itself: `status` and `members`, as plain values."""

from typing import Any

from raftdb.core.model import Role
from raftdb.node.driver import Driver
from raftdb.node.view import NodeView

ROLE_NAMES = {Role.PRE_CANDIDATE: "candidate"}
ROLES = ("leader", "follower", "candidate", "learner", "removed")
"""All that `role_of` may say."""


def members_of(driver: Driver) -> list[dict[str, Any]]:
    """The members, with `alive`: this node hears them, as far as it can know; and `put_back`: the folder is an older
    copy of itself, and the node does not count until it is filled anew.

    A connection has to stand, which it does for long after a cable was cut. So who should speak to this node, as
    followers should to a leader, and is suspected for its silence, is not alive either.

    Where this node leads also `match_index`, `caught_up` (see `Progress.tick`), `last_contact_seconds` since the last
    message, and the `suspicion` (phi, see `raftdb.node.suspicion`) that follows from the silence; a follower has the
    last two of its leader alone, since followers do not talk to each other.
    """
    view = driver.view
    followed = view.followed
    members = []
    for member in view.configuration.members:
        entry: dict[str, Any] = {
            "id": member.id,
            "http": str(member.http),
            **member.redis.named(),
            "voter": member.voter,
        }
        if member.joining:
            entry["joining"] = True
        if view.is_put_back(member.id):
            entry["put_back"] = True
        if member.id == view.id:
            entry["alive"] = True
            if view.is_leader:
                entry["match_index"] = view.persisted_index
        else:
            entry["alive"] = member.id in view.links and not driver.contacts.is_suspected(member.id)
            entry |= driver.contacts.describe(member.id)
            if member.id in followed:
                entry["match_index"], entry["caught_up"] = followed[member.id]
        members.append(entry)
    return members


def role_of(view: NodeView) -> str:
    """`leader`, `follower`, `candidate`, `learner` or `removed`."""
    if view.is_removed and not view.is_leader:
        return "removed"
    if view.role is Role.FOLLOWER and not view.is_voter:
        return "learner"
    return ROLE_NAMES.get(view.role, view.role.value)


def status_of(driver: Driver) -> dict[str, Any]:
    """The consensus part of `GET /v1/status`; the server adds identity, version and uptime."""
    view = driver.view
    leader = view.leader
    return {
        "role": role_of(view),
        "term": view.term,
        "leader": None if leader is None else leader.named(),
        "first_index": view.first_index,
        "last_index": view.last_index,
        "commit_index": view.commit_index,
        "applied_index": view.applied_index,
        "checkpoint_index": view.checkpoint_index,
        "pending_requests": view.pending_count,
        "waiting": view.waiting_count,
        "clock_ms": view.clock_ms,
        "sessions": view.session_count,
        "history": view.history.reach._asdict(),
        "members": members_of(driver),
        "removed": list(view.configuration.removed),
        "put_back": view.is_put_back(view.id),
        "birth": view.committed_configuration.birth,
    }


def is_caught_up(driver: Driver) -> bool:
    """True if everything known to be committed is applied here; whether a leader is known is another question."""
    return driver.view.applied_index >= driver.view.commit_index
