"""Handing the leadership over (thesis 3.10).

The leader takes no new proposals, brings the target up to date, and tells it to stand for election at once
(`TimeoutNow`). It wins, because it has the whole log and voters consider its request although a leader lives. If it
does not lead after an election timeout the leader goes on as before. `TimeoutNow` is sent again with each answer to a
heartbeat, in case it was lost (hazard B46); one that comes late is ignored, for the log has grown since. Whoever asked
is always answered: also after stepping down, as soon as the new leader is known, or when no leader is known for long.
"""

from raftdb.core import timing
from raftdb.core.events import TransferAsked
from raftdb.core.messages import TimeoutNow
from raftdb.core.model import NodeId
from raftdb.core.roles import become_follower
from raftdb.core.state import Leadership, RaftState, Transfer
from raftdb.core.update import Refusal, TransferEnded
from raftdb.errors import required

OUTCOME_TIMEOUTS = 4
"""So many election timeouts after the request, a node that led and sees no leader answers that it does not know."""


def ask(state: RaftState, event: TransferAsked) -> None:
    """Somebody wants another node to lead: begin a transfer, join the one under way, or say why not."""
    leadership = state.leadership
    if leadership is None:
        _answer(state, event.request_id, Refusal("no_leader", f"{state.id} does not lead"))
        return
    if event.target == state.id:
        _answer(state, event.request_id, None)
        return
    under_way = state.transfer
    if under_way is not None and under_way.term == state.term:
        if event.target in (None, under_way.target):
            under_way.request_ids.append(event.request_id)
        else:
            reason = f"the leadership is being handed over to {under_way.target}"
            _answer(state, event.request_id, Refusal("busy", reason))
        return
    target = event.target or best_target(state, leadership)
    refusal = _unfit(state, leadership, target)
    if refusal is not None or target is None:
        _answer(state, event.request_id, refusal)
        return
    state.transfer = Transfer(target, state.term, [event.request_id])
    state.trace("hands the leadership over", to=target, term=state.term)
    proceed(state, leadership, target, again=False)


def best_target(state: RaftState, leadership: Leadership) -> NodeId | None:
    """The voter that answers and holds most of the log; the first of those, by id. None: there is no other."""
    patience_ticks = timing.patience_ticks(state, leadership)
    alive = [
        (-progress.match_index, node)
        for node, progress in leadership.progress.items()
        if node in state.configurations.voters
        and node not in state.doubts
        and progress.is_alive(patience_ticks)
    ]
    return min(alive)[1] if alive else None


def _unfit(state: RaftState, leadership: Leadership, target: NodeId | None) -> Refusal | None:
    """Why `target` cannot take over, as far as this leader knows; None if it can (hazard B48)."""
    if not state.is_voter:
        return Refusal("busy", f"{state.id} is being removed, another node leads soon")
    if target is None:
        return Refusal("conflict", f"no voter but {state.id} answers", hint="start another node")
    member = state.configurations.latest.find(target)
    if member is None:
        was = ", it was removed" if target in state.configurations.latest.removed else ""
        return Refusal("not_found", f"{target} is not a member of this cluster{was}")
    if not member.voter:
        return Refusal("conflict", f"{target} is a learner and cannot lead", hint=f"promote {target} first")
    if target in state.doubts:
        return Refusal("busy", f"the folder of {target} was put back", hint="try again in a second")
    if not leadership.progress[target].is_alive(timing.patience_ticks(state, leadership)):
        return Refusal("conflict", f"{target} does not answer", hint=f"see whether {target} runs")
    return None


def proceed(state: RaftState, leadership: Leadership, node: NodeId, *, again: bool) -> None:
    """`node` has answered: if it is the target, and holds everything, tell it to take over; with `again` also if it was
    told before."""
    transfer = state.transfer
    if transfer is None or transfer.target != node or (transfer.is_said and not again):
        return
    if leadership.progress[node].match_index == state.log.last_index:
        transfer.is_said = True
        say_timeout_now(state, transfer.target)


def say_timeout_now(state: RaftState, target: NodeId) -> None:
    """Tell a voter that holds the whole log to stand for election at once."""
    state.trace("tells to take over", to=target, last_index=state.log.last_index)
    state.say(TimeoutNow(state.id, target, state.term, *state.log.last))


def tick(state: RaftState) -> None:
    """A tick has passed, in whatever role this node is by now: end a transfer that has taken too long (hazard B46)."""
    transfer = state.transfer
    if transfer is None:
        return
    transfer.ticks += 1
    if state.leadership is not None:
        if transfer.ticks >= timing.patience_ticks(state, state.leadership):
            # A target that was told may still be elected by voters that this leader does not reach.
            code = "outcome_unknown" if transfer.is_said else "busy"
            reason = f"{transfer.target} did not take over in time, {state.id} leads on as far as it knows"
            _end(state, Refusal(code, reason, hint=f"see whether {transfer.target} runs, then try again"))
    elif transfer.ticks >= OUTCOME_TIMEOUTS * timing.election_timeout_ticks(state):
        reason = f"{state.id} stepped down for {transfer.target}, and sees no leader since"
        _end(state, Refusal("outcome_unknown", reason, hint="ask another node who leads"))


def settle(state: RaftState) -> None:
    """After any step: if a leader of a later term is known, the outcome is known, too."""
    transfer = state.transfer
    if transfer is None or state.term == transfer.term or state.leader_id is None:
        return
    refusal = None
    if state.leader_id != transfer.target:
        refusal = Refusal("busy", f"{state.leader_id} was elected, and not {transfer.target}")
    _end(state, refusal)


def leave_if_removed(state: RaftState) -> None:
    """After any step: a leader whose own removal is committed steps down, not before (hazard B40).

    It tells the voter with the longest log to take over; otherwise the others would wait for their timeouts.
    """
    leadership = state.leadership
    if (
        leadership is None
        or state.id in state.configurations.voters
        or state.configurations.latest_index > state.commit_index
    ):
        return
    heir = best_target(state, leadership)
    if heir is not None and leadership.progress[heir].match_index == state.log.last_index:
        say_timeout_now(state, heir)
    state.trace("is removed, steps down", term=state.term)
    become_follower(state, state.term, None)


def _end(state: RaftState, refusal: Refusal | None) -> None:
    """The transfer is over: answer everybody who asked for it."""
    transfer, state.transfer = required(state.transfer, "transfer"), None
    state.trace(
        "transfer failed" if refusal else "transfer done",
        to=transfer.target,
        why=refusal.reason if refusal else None,
    )
    for request_id in transfer.request_ids:
        _answer(state, request_id, refusal)


def _answer(state: RaftState, request_id: int, refusal: Refusal | None) -> None:
    state.output.transfers.append(TransferEnded(request_id, refusal))
