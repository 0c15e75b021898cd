"""What a node says about itself: `status` and `members`, as plain values."""

from typing import Any

from raftdb.core.model import Role
from raftdb.node.driver import Driver

ROLE_NAMES = {Role.PRE_CANDIDATE: "candidate"}


def members_of(driver: Driver) -> list[dict[str, Any]]:
    """The members, with `alive`: a connection to them stands; and `put_back`: the folder is an older copy of itself,
    and the node counts for nothing until it is filled anew.

    Where this node leads also `match_index`, `caught_up` (see `Progress.tick`), and `last_contact_seconds` since the
    last message with the `suspicion` (phi, see `raftdb.node.suspicion`) that the silence deserves; a follower has the
    latter two of its leader alone, since followers have nothing to say to each other.
    """
    state = driver.replica.raft.state
    progress = state.leadership.progress if state.leadership else {}
    members = []
    for member in state.configurations.latest.members:
        entry: dict[str, Any] = {
            "id": member.id,
            "http": member.http,
            "redis": member.redis,
            "voter": member.voter,
        }
        if member.joining:
            entry["joining"] = True
        if member.id in state.doubts:
            entry["put_back"] = True
        if member.id == state.id:
            entry["alive"] = True
            if state.leadership:
                entry["match_index"] = state.log.persisted_index
        else:
            entry["alive"] = member.id in driver.replica.links
            entry |= driver.contacts.describe(member.id)
            if member.id in progress:
                entry["match_index"] = progress[member.id].match_index
                entry["caught_up"] = progress[member.id].is_caught_up
        members.append(entry)
    return members


def status_of(driver: Driver) -> dict[str, Any]:
    """The consensus part of `GET /v1/status`; the server adds identity, version and uptime."""
    state = driver.replica.raft.state
    leader = driver.leader_hint()
    role = ROLE_NAMES.get(state.role, state.role.value)
    if driver.replica.is_removed and state.role is not Role.LEADER:
        role = "removed"
    elif state.role is Role.FOLLOWER and not state.is_voter:
        role = "learner"
    return {
        "role": role,
        "term": state.term,
        "leader": None if leader is None else {"id": leader.id, "http": leader.http, "redis": leader.redis},
        "first_index": state.log.base.index + 1,
        "last_index": state.log.last_index,
        "commit_index": state.commit_index,
        "applied_index": driver.replica.applied_index,
        "checkpoint_index": driver.replica.checkpoint_index,
        "pending_requests": driver.replica.pending_count,
        "clock_ms": driver.replica.clock_ms,
        "sessions": driver.replica.session_count,
        "members": members_of(driver),
        "removed": list(state.configurations.latest.removed),
        "put_back": state.id in state.doubts,
        "birth": state.configurations.committed_at(state.commit_index)[1].birth,
    }


def is_caught_up(driver: Driver) -> bool:
    """True if everything known to be committed is applied here; whether a leader is known is another question."""
    return driver.replica.applied_index >= driver.replica.raft.state.commit_index
