"""Changing the members of a running cluster: `raftdb cluster add` and the shell's `.add` share this.

Adding a node may take long, and never ends if the node does not run. So its progress is shown, and when there is none
any more, the reason and how to undo the change.
"""

import time
from collections.abc import Callable

from cli.console.failures import EXIT_CONFLICT, EXIT_UNAVAILABLE, EXIT_USAGE, CommandError
from cli.console.output import Output
from raftdb.client.addresses import parse_member_address
from raftdb.client.model import Member, Membership
from raftdb.client.sync_client import Client
from raftdb.errors import LeaderHint, RaftdbError

POLL_S = 0.25
NOTICE_S = 1.0
"""How often progress is shown."""
STALL_S = 5.0
"""A new node that makes no progress for this long is not waited for."""


def add(
    client: Client,
    output: Output,
    node_id: str,
    address: str,
    *,
    learner: bool = False,
    force: bool = False,
) -> Membership:
    """Add a node, and wait until it is a voter, or, with `learner`, a learner. Raises `RaftdbError`."""
    answer = client.add_member(node_id, address, learner=learner, force=force)
    return follow(client, output, answer, node_id) if answer.pending else answer


def replace(client: Client, output: Output, old: str, new: str, address: str) -> Membership:
    """Add `new`, unless that was begun already, and remove `old` once `new` is a voter. Raises `RaftdbError`."""
    if old == new:
        message = f"{old} cannot replace itself: a removed id is never used again"
        hint = f"name another id; if {old} has only moved: 'raftdb cluster address {old} {address}'"
        raise CommandError("cluster replace", message, exit_code=EXIT_USAGE, hint=hint)
    before = client.membership()
    if before.find(old) is None:
        known = ", ".join(member.id for member in before.members)
        message = f"{old} is not a member: {known} are"
        raise CommandError("cluster replace", message, exit_code=EXIT_CONFLICT, code="conflict")
    if _is_at(before, new, address):
        follow(client, output, before, new)
    else:
        try:
            add(client, output, new, address)
        except RaftdbError as error:
            # It may have joined by itself in between, and then it is what was asked for.
            now = client.membership() if error.code == "conflict" else before
            if not _is_at(now, new, address):
                raise
            follow(client, output, now, new)
    output.notice(f"{new} is a voter; {old} is removed now")
    return client.remove_member(old)


def _is_at(membership: Membership, node_id: str, address: str) -> bool:
    member = membership.find(node_id)
    return member is not None and member.http == parse_member_address(address)


def follow(
    client: Client,
    output: Output,
    answer: Membership,
    node_id: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Membership:
    """Wait until the new node is a voter, and show its progress; returns the members then.

    Raises `CommandError` if it makes no progress for `STALL_S`, or is removed meanwhile.
    """
    moved_s = noticed_s = clock()
    furthest = -1
    while True:
        member = answer.find(node_id)
        if member is None:
            message = f"{node_id} was removed before it had caught up"
            raise CommandError("cluster add", message, exit_code=EXIT_CONFLICT, code="conflict")
        if member.voter:
            return answer
        now_s = clock()
        if (member.match_index or 0) > furthest:
            furthest, moved_s = member.match_index or 0, now_s
        if now_s - moved_s >= STALL_S:
            raise _stalled(member)
        if now_s - noticed_s >= NOTICE_S:
            noticed_s = now_s
            output.notice(progress(member, answer.last_index))
        sleep(POLL_S)
        answer = client.membership()


def progress(member: Member, last_index: int) -> str:
    """One line about the progress of a new node."""
    if not member.alive:
        return (
            f"{member.id} is a learner, and not reached at {member.http}: {member.problem or 'no answer yet'}"
        )
    held = member.match_index or 0
    share = 100 * held // max(last_index, 1)
    return f"{member.id} is a learner, and holds {held} of {last_index} entries ({share} %)"


def _stalled(member: Member) -> CommandError:
    """The error for a node that makes no progress: the reason, what to do, and how to undo the change."""
    if member.alive:
        message = f"{member.id} comes no further than entry {member.match_index or 0}"
    else:
        message = f"it is not reached at {member.http}: {member.problem or 'no answer'}"
    return CommandError(
        "cluster add",
        f"{member.id} is a learner, which costs the cluster nothing, but {message}",
        exit_code=EXIT_UNAVAILABLE,
        code="outcome_unknown",
        hint=f"start it with 'raftdb serve --id {member.id} --join ...', and it joins by itself; "
        f"undo it with 'raftdb cluster remove {member.id}', which uses the id up; "
        f"correct the address with 'raftdb cluster address {member.id} HOST:PORT'",
    )


def show_members(membership: Membership, output: Output) -> None:
    """Show the members as the leader knows them: which are voters, up to which index their logs agree with the
    leader's, and which are silent."""
    headers = ("member", "http", "redis", "redis-cluster", "voter", "match", "alive", "contact", "suspicion")
    rows = [
        (
            member.id,
            member.http,
            member.redis or "-",
            member.redis_cluster or "-",
            "put back"
            if member.put_back
            else "yes"
            if member.voter
            else "joining"
            if member.joining
            else "no",
            "-" if member.match_index is None else str(member.match_index),
            {None: "-", True: "yes", False: "no"}[member.alive],
            "-" if member.last_contact_seconds is None else f"{member.last_contact_seconds:.2f} s",
            "-" if member.suspicion is None else f"{member.suspicion:.1f}",
        )
        for member in membership.members
    ]
    output.table(headers, rows, membership.body)
    for member in membership.members if output.format == "table" else ():
        if member.alive is False and member.problem is not None:
            output.notice(f"{member.id} is not reached at {member.http}: {member.problem}")


def show_change(answer: Membership, output: Output) -> None:
    """Show the members after a change."""
    fields = {
        "members": " ".join(
            member.id if member.voter else f"{member.id} (learner)" for member in answer.members
        ),
        "removed": " ".join(answer.removed) or "-",
    }
    output.fields(fields, answer.body)


def show_leader(leader: LeaderHint, output: Output) -> None:
    """Show the new leader."""
    body = {"leader": leader.named()}
    output.fields({"leader": f"{leader.id} {leader.http}"}, body)
