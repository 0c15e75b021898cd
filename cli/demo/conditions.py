"""What steps wait for. Each condition is a sentence once it is so, and None before."""

from http.client import HTTPException

from cli.demo.actions import Until
from cli.demo.elections import blocks
from cli.demo.stage import Stage
from raftdb.client.model import NodeStatus


def leads() -> Until:
    """A leader, whom all nodes that run know."""

    def check(stage: Stage) -> str | None:
        leader, statuses = stage.find_leader(), stage.statuses()
        if leader is None or len(statuses) < len(stage.addresses):
            return None
        known = {each.leader.id if each.leader else None for each in statuses}
        return f"{leader.id} leads term {leader.term}" if known == {leader.id} else None

    return Until("all nodes that run know one leader", check)


def other_leads(*roles: str) -> Until:
    """A leader that is none of these nodes, which may not even know it."""

    def check(stage: Stage) -> str | None:
        leader = stage.find_leader()
        if leader is None or leader.id in map(stage.node, roles):
            return None
        return f"{leader.id} leads term {leader.term}"

    return Until("the others have a leader", check)


def agrees(role: str) -> Until:
    """A node that follows, or leads, and has applied what was committed when it was asked for."""

    def check(stage: Stage) -> str | None:
        leader, own = stage.find_leader(), _status(stage, role)
        if leader is None or own is None or own.leader is None or own.leader.id != leader.id:
            return None
        if own.applied_index < leader.commit_index:
            return None
        return f"{own.id} has applied {own.applied_index} entries"

    return Until(f"<{role}> has all that is committed", check)


def is_member(role: str, *, votes: bool) -> Until:
    """A node that votes, or is a member no more."""

    def check(stage: Stage) -> str | None:
        leader = stage.find_leader()
        if leader is None:
            return None
        voters = [member.id for member in leader.members if member.voter]
        if (stage.node(role) in voters) != votes:
            return None
        return f"the voters are {', '.join(voters)}"

    return Until(f"<{role}> {'votes' if votes else 'is a member no more'}", check)


def steps_down(role: str) -> Until:
    """A node that has stopped to lead."""

    def check(stage: Stage) -> str | None:
        own = _status(stage, role)
        return f"{own.id} is a {own.role}" if own is not None and own.role != "leader" else None

    return Until(f"<{role}> leads no more", check)


def log_begins_later() -> Until:
    """A log that no longer begins with the first entry."""

    def check(stage: Stage) -> str | None:
        leader = stage.find_leader()
        if leader is None or leader.first_index <= 1:
            return None
        held = leader.last_index - leader.first_index + 1
        return f"the log of {leader.id} holds {held} of {leader.last_index} entries"

    return Until("the log begins later", check)


def has_received_a_snapshot(role: str) -> Until:
    """A node that lacked entries which nobody has any more."""

    def check(stage: Stage) -> str | None:
        try:
            _, block = next(blocks(stage.address(role)))
        except (OSError, HTTPException, ValueError, StopIteration):
            return None
        told = [event["what"] for event in block.get("snapshot", {}).get("events", ())]
        return f"{stage.node(role)} has received a snapshot" if "snapshot received" in told else None

    return Until(f"<{role}> has received a snapshot", check)


def _status(stage: Stage, role: str) -> NodeStatus | None:
    node = stage.node(role)
    return next((status for status in stage.statuses() if status.id == node), None)
