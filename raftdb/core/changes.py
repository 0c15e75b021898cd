"""Changing the members, one at a time (thesis 4.1, 4.2).

Changes are safe because each one adds or removes one voter at most, so that a majority before it and a majority
after it share a node; and that none begins before the last one is committed, nor before the leader has committed an
entry of its own term. Without the last rule, two leaders of different terms can each append a change that the other
does not know, with majorities that share no node (the correction of 2015; hazard B38).

The rules on top of that keep people from mistakes, and `force` overrides them: no change may leave fewer voters alive
than a majority. A new node begins as a learner, which costs the cluster nothing if it never comes up (hazard B44), and
becomes a voter when it has caught up (`Progress.tick`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raftdb.core import doubts, leader, quorum, timing
from raftdb.core.events import (
    AddMember,
    Change,
    ConfigurationChangeAsked,
    PromoteMember,
    RemoveMember,
    UpdateAddresses,
)
from raftdb.core.membership import MEMBERS_MAX, Configuration
from raftdb.core.model import EntryId, EntryKind, Member, NodeId
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import Refusal


def ask(state: RaftState, event: ConfigurationChangeAsked) -> None:
    """Append the configuration that follows from the change, or say why not."""
    leadership = state.leadership
    if leadership is None:
        state.output.refusal = Refusal("no_leader", f"{state.id} does not lead")
        return
    state.output.refusal = why_not_now(state, leadership)
    if state.output.refusal is None:
        rule = _RULES[type(event.change)]
        outcome = rule(state, leadership, event.change, event.force)
        if isinstance(outcome, Configuration):
            state.output.refusal = _append(state, leadership, outcome)
        else:
            state.output.refusal = outcome


def why_not_now(state: RaftState, leadership: Leadership) -> Refusal | None:
    """The reason why this leader cannot change the members at all at the moment, or None."""
    if state.hands_over:
        return Refusal("busy", "the leadership is being handed over", hint="try again in a second")
    if state.commit_index < leadership.term_start_index:
        reason = f"{state.id} was just elected, and has committed nothing in its term"
        return Refusal("busy", reason, hint="try again in a second")
    if state.configurations.latest_index > state.commit_index:
        reason = f"another change of the members is under way, entry {state.configurations.latest_index}"
        return Refusal("busy", reason, hint="try again when it is committed")
    return None


def tick(state: RaftState, leadership: Leadership) -> None:
    """Promote a learner that is to join and has caught up (thesis 4.2.1), one at a time; and write down that a folder
    was put back, so that it counts again once that is committed without it."""
    if doubts.unsettled(state) and why_not_now(state, leadership) is None:
        _append(state, leadership, state.configurations.latest)
    for member in state.configurations.latest.members:
        if member.joining and why_not_now(state, leadership) is None:
            promoted = _promote(state, leadership, PromoteMember(member.id), force=False)
            if isinstance(promoted, Configuration):
                state.trace("learner has caught up", learner=member.id, last_index=state.log.last_index)
                _append(state, leadership, promoted)


def _append(state: RaftState, leadership: Leadership, configuration: Configuration) -> Refusal | None:
    """Append the new configuration as an entry; it counts from here on.

    The entry also names the members' folders and starts that the leader knows, so that a node that joins later learns
    them from the log (hazard B36).
    """
    members = tuple(_as_met(state, member) for member in configuration.members)
    form = state.configurations.form
    data = form.encode(replace(configuration, members=members))
    if len(data) > form.bytes_max:
        return Refusal(
            "conflict",
            f"members and removed ids would take {len(data)} bytes, at most {form.bytes_max} are possible",
            hint="make a new cluster of a backup",
        )
    index = state.append_as_leader((data,), EntryKind.CONFIGURATION)
    state.output.accepted = EntryId(index, state.term)
    leader.broadcast_entries(state, leadership)
    return None


def _as_met(state: RaftState, member: Member) -> Member:
    """The member with its folder, once it votes, and with the start that it was last met in."""
    uuid = state.folders.get(member.id) if member.voter and member.uuid is None else member.uuid
    return replace(member, uuid=uuid, start=state.starts.get(member.id, member.start))


def _add(state: RaftState, leadership: Leadership, change: AddMember, force: bool) -> Configuration | Refusal:
    configuration, new = state.configurations.latest, change.member
    if new.id in configuration.removed:
        reason = f"{new.id} was removed from this cluster, and a removed id is never used again"
        return Refusal("conflict", reason, hint="give the node another id and an empty folder")
    known = configuration.find(new.id)
    if known is not None:
        kind = "voter" if known.voter else "learner"
        return Refusal("conflict", f"{new.id} is a member already: a {kind} at {known.http}")
    if len(configuration.members) >= MEMBERS_MAX:
        return Refusal("conflict", f"the cluster has {MEMBERS_MAX} members, and cannot have more")
    joined = Member(new.id, new.http, new.redis, voter=False, joining=not change.stay_learner)
    return _address_taken(configuration, joined) or _with(configuration, joined)


def _update_addresses(
    state: RaftState, leadership: Leadership, change: UpdateAddresses, force: bool
) -> Configuration | Refusal:
    """One entry changes all addresses: members that have swapped addresses could not take them one after the other."""
    configuration = state.configurations.latest
    for new in change.moved:
        known = configuration.find(new.id)
        if known is None:
            return _unknown(configuration, new.id)
        configuration = _with(configuration, replace(known, http=new.http, redis=new.redis))
    for new in change.moved:
        taken = _address_taken(configuration, Member(*new))
        if taken is not None:
            return taken
    return configuration


def _promote(
    state: RaftState, leadership: Leadership, change: PromoteMember, force: bool
) -> Configuration | Refusal:
    """`force` skips the rules that protect people from mistakes. It does not skip that the node's folder must be known,
    which is a matter of safety: the entry that lets the node vote names its folder, so that an empty folder never votes
    in its place."""
    configuration, node = state.configurations.latest, change.id
    known = configuration.find(node)
    if known is None:
        return _unknown(configuration, node)
    if known.voter:
        return Refusal("conflict", f"{node} is a voter already")
    progress = leadership.progress[node]
    if node not in state.folders or not progress.has_answered:
        return Refusal("conflict", f"{node} was not reached yet at {known.http}", hint="see whether it runs")
    if not progress.is_alive(timing.patience_ticks(state, leadership)) and not force:
        return Refusal("conflict", f"{node} does not answer any more", hint="bring it back, or force it")
    if not progress.is_caught_up and not force:
        reason = (
            f"{node} has not caught up: it holds {progress.match_index} of {state.log.last_index} entries"
        )
        return Refusal("conflict", reason, hint="wait until it has, or force it")
    promoted = _with(configuration, replace(known, voter=True, joining=False))
    refusal = None if force else _too_few_alive(state, leadership, promoted, f"with {node}")
    return refusal or promoted


def _remove(
    state: RaftState, leadership: Leadership, change: RemoveMember, force: bool
) -> Configuration | Refusal:
    configuration, node = state.configurations.latest, change.id
    known = configuration.find(node)
    if known is None:
        return _unknown(configuration, node)
    remaining = replace(
        configuration,
        members=tuple(member for member in configuration.members if member.id != node),
        removed=tuple(sorted((*configuration.removed, node))),
    )
    if not remaining.voters:
        return Refusal("conflict", f"{node} is the only voter", hint="add another node first")
    refusal = None
    if known.voter and not force:
        refusal = _too_few_alive(state, leadership, remaining, f"without {node}")
    return refusal or remaining


def _too_few_alive(
    state: RaftState, leadership: Leadership, configuration: Configuration, what: str
) -> Refusal | None:
    """Refuse a change after which fewer voters would answer than a majority needs."""
    timeout_ticks = timing.patience_ticks(state, leadership)
    voters = configuration.voters
    alive = [
        voter
        for voter in voters
        if voter not in state.doubts
        and (voter == state.id or leadership.progress[voter].is_alive(timeout_ticks))
    ]
    needed = quorum.majority(voters)
    if len(alive) >= needed:
        return None
    silent = [voter for voter in voters if voter not in alive]
    return Refusal(
        "conflict",
        f"{what} the cluster has {len(voters)} voters and needs {needed} of them, but only {len(alive)} "
        f"({', '.join(alive) or 'none'}) would be alive: {', '.join(silent)} not heard from",
        hint=f"bring {silent[0]} back first, or force the change",
    )


def _unknown(configuration: Configuration, node: NodeId) -> Refusal:
    was = ": it was removed" if node in configuration.removed else ""
    members = ", ".join(configuration.ids)
    return Refusal("not_found", f"{node} is not a member of this cluster{was}", hint=f"members: {members}")


def _address_taken(configuration: Configuration, new: Member) -> Refusal | None:
    """Refuse an address that another member has: two members at one address would be one node counted twice."""
    for member in configuration.members:
        for address in (new.http, *new.redis.known):
            if member.id != new.id and address in (member.http, *member.redis.known):
                return Refusal("conflict", f"{address} is the address of {member.id}")
    return None


def _with(configuration: Configuration, new: Member) -> Configuration:
    """The configuration with this member, in the place of the one of its id."""
    others = [member for member in configuration.members if member.id != new.id]
    members = sorted((*others, new), key=lambda member: member.id)
    return replace(configuration, members=tuple(members))


Rule = Callable[[RaftState, Leadership, Any, bool], Configuration | Refusal]

_RULES: dict[type[Change], Rule] = {
    AddMember: _add,
    RemoveMember: _remove,
    PromoteMember: _promote,
    UpdateAddresses: _update_addresses,
}
"""What follows from each change."""
