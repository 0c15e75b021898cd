"""Elections: how a node comes to lead, and how it stops (thesis 3.4, 3.6.1, 6.2, 9.6).

A follower that hears no leader for its randomised timeout first asks whether it *would* be elected (pre-vote);
only a majority's yes lets it start a new term. So a node that was cut off comes back without disturbing anyone.
"""

from raftdb.core import leader, quorum, reads, timing
from raftdb.core.messages import (
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import NodeId, Role
from raftdb.core.roles import become_follower, restart_election_timer
from raftdb.core.state import Candidacy, RaftState
from raftdb.errors import required


def tick_without_leadership(state: RaftState) -> None:
    """One tick of a node that does not lead: stand for election when the timeout has passed (thesis 3.4).

    A node that may not stand forgets the silent leader; otherwise it would go on refusing candidates for the leader's
    sake. Its vote may be needed, for it may have become a voter without knowing it yet (hazard B09).
    """
    reads.tick_inquiry(state)
    state.election_elapsed_ticks += 1
    if state.election_elapsed_ticks < state.election_deadline_ticks:
        if state.candidacy is not None and state.election_elapsed_ticks % timing.repeat_ticks(state) == 0:
            _ask_for_votes(state, state.candidacy)
        return
    if state.may_stand:
        start_pre_vote(state)
    else:
        if state.leader_id is not None:
            state.trace("hears no leader", was=state.leader_id, term=state.term)
        state.leader_id = None
        restart_election_timer(state)


def start_pre_vote(state: RaftState) -> None:
    """Ask whether an election could be won. The term stays, the vote stays (thesis 9.6)."""
    state.role = Role.PRE_CANDIDATE
    state.leader_id = None
    state.candidacy = Candidacy()
    restart_election_timer(state)
    state.trace("asks for pre-votes", term=state.term + 1, last_index=state.log.last_index)
    _ask_for_votes(state, state.candidacy)
    _count(state, state.id, granted=True)


def start_election(state: RaftState, *, transfer: bool = False) -> None:
    """Start a new term and vote for oneself in it. The own vote counts once it is on disk (thesis 3.4)."""
    state.set_hard_state(state.term + 1, state.id)
    state.role = Role.CANDIDATE
    state.leader_id = None
    state.candidacy = Candidacy(transfer=transfer)
    restart_election_timer(state)
    state.trace("became candidate", term=state.term, last_index=state.log.last_index)
    _ask_for_votes(state, state.candidacy)


def _ask_for_votes(state: RaftState, candidacy: Candidacy) -> None:
    """Ask the voters that have not answered, also repeatedly (thesis 3.1).

    The request may be lost with a link, and so may the answer. Over TCP neither is lost for good, but a loss is
    repaired soon only when another packet follows, and a link between followers carries hardly any other packets:
    without one, the sender waits for a timeout that doubles with each loss (hazard B110).
    """
    last, term, asked_ticks = state.log.last, state.term, state.measured.now_ticks
    for voter in state.configurations.voters:
        if voter == state.id or voter in candidacy.granted or voter in candidacy.refused:
            continue
        if state.role is Role.PRE_CANDIDATE:
            state.say(RequestPreVote(state.id, voter, term + 1, last.index, last.term, asked_ticks))
        else:
            transfer = candidacy.transfer
            state.say(RequestVote(state.id, voter, term, last.index, last.term, transfer, asked_ticks))


def on_timeout_now(state: RaftState, message: TimeoutNow) -> None:
    """The leader wants this node to lead: stand at once, without asking whether it would be elected (thesis 3.10).

    It does not stand if its log has grown since: then the leader has gone on, too, and the message is late.
    """
    if state.log.last != (message.last_index, message.last_term) or not state.may_stand:
        state.trace("does not take over", from_leader=message.source, last_index=message.last_index)
        return
    state.trace("is to take over", from_leader=message.source, term=state.term)
    start_election(state, transfer=True)


def own_vote_persisted(state: RaftState) -> None:
    """The candidate's vote for itself is on disk: now it counts."""
    if state.role is Role.CANDIDATE and state.hard_state_is_durable:
        _count(state, state.id, granted=True)


def on_request_pre_vote(state: RaftState, message: RequestPreVote) -> None:
    """Say whether the vote would be given; no term and no vote changes here (thesis 9.6)."""
    refusal = _refusal_of_candidate(state, message)
    _tell_answer(state, message, "pre-vote", refusal)
    if refusal is None:
        _give_way(state, message)
    term = state.term if refusal else message.term
    state.say(message.answered(term, granted=not refusal))


def on_request_vote(state: RaftState, message: RequestVote) -> None:
    """Give the one vote of this term, if it is free and the candidate's log ends no earlier (thesis 3.4, 3.6.1).

    A candidate that asks again gets the same answer again, and this node does not wait for it any longer. Whether the
    voter takes *itself* for a voter does not matter (hazard B09).
    """
    refusal = _refusal_of_candidate(state, message)
    if refusal is None and state.voted_for not in (None, message.source):
        refusal = f"voted for {state.voted_for}"
    _tell_answer(state, message, "vote", refusal)
    if refusal:
        state.say(message.answered(state.term, granted=False))
        return
    if state.voted_for is None:
        state.set_hard_state(state.term, message.source)
        if state.role is Role.PRE_CANDIDATE:
            become_follower(state, state.term, None)
        restart_election_timer(state)
        state.has_given_way = False
    state.promise(message.answered(state.term, granted=True))


def _tell_answer(
    state: RaftState, message: RequestPreVote | RequestVote, what: str, refusal: str | None
) -> None:
    """Log the answer to a candidate; at debug level if the candidate gets the same answer again."""
    words = f"{what} {'refused' if refusal else 'granted'}"
    answer = (words, message.term, refusal)
    level = "debug" if state.answers_told.get(message.source) == answer else "info"
    why = {"why": refusal} if refusal else {}
    state.trace(words, level=level, to=message.source, term=message.term, **why)
    if message.source in state.configurations.ids:
        state.answers_told[message.source] = answer


def _give_way(state: RaftState, message: RequestPreVote) -> None:
    """A candidate was told that it would get this node's vote: let it ask for the vote before this node stands.

    Over long ways many timeouts pass while a pre-vote and a vote travel, and votes that are split cost another timeout.
    So a follower waits a little longer; and of two that ask for pre-votes at the same time one steps back: the one with
    the older log or, of equal logs, the greater name. It does so only once until there is a leader or another term, so
    that a node that asks for ever and is never elected keeps no other from standing.
    """
    if state.role is Role.FOLLOWER:
        timing.wait_for_candidate(state)
    elif state.role is Role.PRE_CANDIDATE and not state.has_given_way:
        log_is_newer = (message.last_term, message.last_index) > (state.log.last_term, state.log.last_index)
        if log_is_newer or message.source < state.id:
            state.trace("gives way", to=message.source, term=message.term)
            state.has_given_way = True
            state.role = Role.FOLLOWER
            state.candidacy = None
            state.election_deadline_ticks = state.election_elapsed_ticks + 1
            timing.wait_for_candidate(state)


def on_pre_vote_reply(state: RaftState, message: RequestPreVoteReply) -> None:
    """Count an answer to the pre-vote of the term after this one."""
    if message.granted and message.term == state.term + 1:
        _count(state, message.source, granted=True)
    elif not message.granted:
        _count(state, message.source, granted=False)


def on_vote_reply(state: RaftState, message: RequestVoteReply) -> None:
    """Count an answer to the election of this term."""
    _count(state, message.source, granted=message.granted)


def leader_is_alive(state: RaftState) -> bool:
    """True if a leader was heard within the minimum election timeout (thesis 6.2): then a vote would only disturb.

    A leader judges by its own contact with a majority.
    """
    if state.leadership is not None:
        patience_ticks = timing.patience_ticks(state, state.leadership)
        return leader.heard_from_majority(state, state.leadership, patience_ticks)
    return state.leader_id is not None and state.election_elapsed_ticks < timing.stickiness_ticks(state)


def _refusal_of_candidate(state: RaftState, message: RequestPreVote | RequestVote) -> str | None:
    """Why this candidate cannot be elected, or None (thesis 3.6.1: the log; 6.2, 9.6: a living leader).

    A candidate whose folder was put back may not know it yet, and would count its own vote.
    """
    if message.term < state.term or (isinstance(message, RequestPreVote) and message.term <= state.term):
        return f"already in term {state.term}"
    if (message.last_term, message.last_index) < (state.log.last_term, state.log.last_index):
        return f"log is behind {state.log.last_index}@{state.log.last_term}"
    if message.source in state.doubts:
        return "its folder was put back"
    if isinstance(message, RequestPreVote) and leader_is_alive(state):
        return f"leader {state.leader_id} is alive"
    return None


def _count(state: RaftState, voter: NodeId, *, granted: bool) -> None:
    """Note one voter's answer, once (hazard B05), and act when the outcome is certain."""
    candidacy = required(state.candidacy, "candidacy")
    (candidacy.granted if granted else candidacy.refused).add(voter)
    voters = state.configurations.voters
    if state.is_majority(candidacy.granted):
        if state.role is Role.PRE_CANDIDATE:
            start_election(state)
        else:
            leader.become_leader(state)
    elif quorum.is_majority(voters, candidacy.refused):
        lost = "pre-vote lost" if state.role is Role.PRE_CANDIDATE else "election lost"
        state.trace(lost, term=state.term, refused_by=tuple(sorted(candidacy.refused)))
        state.role = Role.FOLLOWER
        state.candidacy = None
