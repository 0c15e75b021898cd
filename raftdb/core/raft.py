"""`Raft`: one node's consensus as a function of its inputs, `step(event) -> Update`.

Every message first meets the rule of terms (thesis 3.3): a newer term is entered, and requests of an older one are
answered with the newer. Only pre-votes are judged by their handlers, because their term has not begun. Messages of the
node's own term are then looked up in one table by (role, message type).
"""

from collections.abc import Callable
from typing import Any

from raftdb.core import (
    changes,
    doubts,
    elections,
    follower,
    leader,
    parting,
    reads,
    snapshots,
    timing,
    transfer,
)
from raftdb.core.events import (
    Compacted,
    ConfigurationChangeAsked,
    EntriesLoaded,
    Event,
    PeerMet,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    RemovalTold,
    SnapshotFetched,
    SnapshotMade,
    Ticked,
    TransferAsked,
    TripMeasured,
)
from raftdb.core.log import Log
from raftdb.core.membership import MEMBERS_MAX, ConfigurationHistory
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raftdb.core.model import NO_START, HardState, Index, Member, NodeId, Role, Term
from raftdb.core.roles import become_follower, restart_election_timer
from raftdb.core.state import RaftSettings, RaftState, RandomRange
from raftdb.core.update import Output, Update

Handler = Callable[[RaftState, Any], None]


def ignore(state: RaftState, message: Message) -> None:
    """The message no longer concerns this role: an answer to a question that is settled."""


def follow_then(handle: Handler) -> Handler:
    """A candidate that hears the leader of its own term follows it and keeps its vote (thesis 3.4, hazard B04)."""

    def handler(state: RaftState, message: Message) -> None:
        become_follower(state, state.term, message.source)
        handle(state, message)

    return handler


def hear_then(handle: Handler) -> Handler:
    """A follower that hears its leader waits anew (thesis 3.4)."""

    def handler(state: RaftState, message: Message) -> None:
        if state.leader_id != message.source:
            become_follower(state, state.term, message.source)
        restart_election_timer(state)
        handle(state, message)

    return handler


def second_leader(state: RaftState, message: Message) -> None:
    """Another node claims to lead this term: Election Safety (thesis 3.4) is broken, or the sender lies. This node
    leads no longer in this term, but it goes on running: a message must not be able to stop a node."""
    state.trace(
        "another node claims to lead this term, steps down",
        level="warning",
        claimed_by=message.source,
        term=state.term,
    )
    become_follower(state, state.term, None)


HANDLERS: dict[tuple[Role, type[Message]], Handler] = {
    (Role.FOLLOWER, RequestPreVote): elections.on_request_pre_vote,
    (Role.FOLLOWER, RequestPreVoteReply): ignore,
    (Role.FOLLOWER, RequestVote): elections.on_request_vote,
    (Role.FOLLOWER, RequestVoteReply): ignore,
    (Role.FOLLOWER, AppendEntries): hear_then(follower.on_append_entries),
    (Role.FOLLOWER, AppendEntriesReply): ignore,
    (Role.FOLLOWER, Heartbeat): hear_then(follower.on_heartbeat),
    (Role.FOLLOWER, HeartbeatReply): ignore,
    (Role.PRE_CANDIDATE, RequestPreVote): elections.on_request_pre_vote,
    (Role.PRE_CANDIDATE, RequestPreVoteReply): elections.on_pre_vote_reply,
    (Role.PRE_CANDIDATE, RequestVote): elections.on_request_vote,
    (Role.PRE_CANDIDATE, RequestVoteReply): ignore,
    (Role.PRE_CANDIDATE, AppendEntries): follow_then(follower.on_append_entries),
    (Role.PRE_CANDIDATE, AppendEntriesReply): ignore,
    (Role.PRE_CANDIDATE, Heartbeat): follow_then(follower.on_heartbeat),
    (Role.PRE_CANDIDATE, HeartbeatReply): ignore,
    (Role.CANDIDATE, RequestPreVote): elections.on_request_pre_vote,
    (Role.CANDIDATE, RequestPreVoteReply): ignore,
    (Role.CANDIDATE, RequestVote): elections.on_request_vote,
    (Role.CANDIDATE, RequestVoteReply): elections.on_vote_reply,
    (Role.CANDIDATE, AppendEntries): follow_then(follower.on_append_entries),
    (Role.CANDIDATE, AppendEntriesReply): ignore,
    (Role.CANDIDATE, Heartbeat): follow_then(follower.on_heartbeat),
    (Role.CANDIDATE, HeartbeatReply): ignore,
    (Role.LEADER, RequestPreVote): elections.on_request_pre_vote,
    (Role.LEADER, RequestPreVoteReply): ignore,
    (Role.LEADER, RequestVote): elections.on_request_vote,
    (Role.LEADER, RequestVoteReply): ignore,
    (Role.LEADER, AppendEntries): second_leader,
    (Role.LEADER, AppendEntriesReply): leader.on_append_entries_reply,
    (Role.LEADER, Heartbeat): second_leader,
    (Role.LEADER, HeartbeatReply): leader.on_heartbeat_reply,
    (Role.FOLLOWER, InstallSnapshot): hear_then(snapshots.on_install_snapshot),
    (Role.PRE_CANDIDATE, InstallSnapshot): follow_then(snapshots.on_install_snapshot),
    (Role.CANDIDATE, InstallSnapshot): follow_then(snapshots.on_install_snapshot),
    (Role.LEADER, InstallSnapshot): second_leader,
    (Role.FOLLOWER, TimeoutNow): hear_then(elections.on_timeout_now),
    (Role.PRE_CANDIDATE, TimeoutNow): follow_then(elections.on_timeout_now),
    (Role.CANDIDATE, TimeoutNow): follow_then(elections.on_timeout_now),
    (Role.LEADER, TimeoutNow): second_leader,
    (Role.FOLLOWER, ReadIndex): ignore,
    (Role.PRE_CANDIDATE, ReadIndex): ignore,
    (Role.CANDIDATE, ReadIndex): ignore,
    (Role.LEADER, ReadIndex): reads.on_read_index,
    (Role.FOLLOWER, ReadIndexReply): reads.on_read_index_reply,
    (Role.PRE_CANDIDATE, ReadIndexReply): ignore,
    (Role.CANDIDATE, ReadIndexReply): ignore,
    (Role.LEADER, ReadIndexReply): ignore,
}
"""What each role does with each message of its own term. Total: `tests/core` checks that no pair is missing."""

FOLDERS_MAX = 4 * MEMBERS_MAX
"""For how many nodes their folders are remembered; beyond that, only those of members."""

FROM_LEADER = (AppendEntries, Heartbeat, InstallSnapshot, TimeoutNow)
"""Messages that only the leader of their term sends."""


TERM_LEAP_MAX = 2**32
"""By how much a message's term may be ahead: no cluster gets there, and a lying sender could otherwise use up all terms
at once."""


class Raft:
    """One node. Created from what its disk holds; afterwards everything happens through `step`.

    Not thread-safe; it never blocks, waits, reads a clock or draws randomness but through `randrange`.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        settings: RaftSettings,
        randrange: RandomRange,
        hard_state: HardState,
        log: Log,
        configurations: ConfigurationHistory,
        commit_index: Index = 0,
    ) -> None:
        self.state = RaftState(
            id=node,
            settings=settings,
            randrange=randrange,
            log=log,
            configurations=configurations,
            term=hard_state.term,
            voted_for=hard_state.voted_for,
            commit_index=max(commit_index, log.base.index),
        )
        restart_election_timer(self.state)

    def step(self, event: Event) -> Update:
        """Take in one event; return all that must be done about it, in the order that `Update` demands."""
        state = self.state
        STEPS[type(event)](state, event)
        if state.doubts:
            doubts.settle(state)
        if state.leadership is not None:
            transfer.leave_if_removed(state)
        reads.leave_inquiry(state)
        if state.transfer is not None:
            transfer.settle(state)
        output, state.output = state.output, Output()
        if output.has_something_to_persist:
            state.sequence += 1
            if output.hard_state is not None:
                state.hard_state_sequence = state.sequence
            if output.blocks or output.truncate_from is not None or output.install is not None:
                state.log.written(state.sequence)
        return output.freeze(state.sequence)

    def peers(self) -> dict[NodeId, Member]:
        """The nodes that this node talks to, by id: the other members, and those it has just removed and parts from."""
        state = self.state
        parting = state.leadership.parting.values() if state.leadership is not None else ()
        members = (*state.configurations.latest.members, *(one.member for one in parting))
        return {member.id: member for member in members if member.id != state.id}


def _on_ticked(state: RaftState, event: Ticked) -> None:
    """Time passes: towards an election, or towards the next heartbeat."""
    state.measured.tick(state.settings.tick_ms)
    transfer.tick(state)
    if state.leadership is None:
        elections.tick_without_leadership(state)
        return
    leader.tick(state, state.leadership)
    if state.leadership is not None:
        parting.tick(state, state.leadership)
        changes.tick(state, state.leadership)


def _on_received(state: RaftState, event: Received) -> None:
    """A message: first the rule of terms, then the table.

    A message of an earlier start of the sender is ignored: the folder that the sender has now may have forgotten it
    (hazard B95).
    """
    message = event.message
    if message.target != state.id or message.source == state.id:
        state.trace(
            "ignored a message for another node", level="warning", source=message.source, to=message.target
        )
        return
    if event.start != state.starts.get(message.source, NO_START).nonce:
        state.trace("ignored a message of an earlier start", level="debug", source=message.source)
        return
    if not is_heard(state, message.source, message.term):
        state.trace(
            "ignored a message that no member would send",
            level="debug",
            source=message.source,
            term=message.term,
        )
        return
    if isinstance(message, RequestPreVoteReply | RequestVoteReply):
        timing.heard_answer(state, message)
    if _enter_term_of(state, message):
        HANDLERS[state.role, type(message)](state, message)


def is_heard(state: RaftState, source: NodeId, term: Term) -> bool:
    """True if messages of `source` in `term` are handled.

    A leader, and a node that hears one, ignores senders that are no members: otherwise any process that knows the
    cluster's id could depose a leader by naming a newer term. Such a sender may have been added since, and even lead
    (thesis 4.1), so a node that hears nobody else listens to it.
    """
    if term > state.term + TERM_LEAP_MAX:
        return False
    if state.configurations.find(source) is not None or source == state.leader_id:
        return True
    is_sent_to = state.leadership is not None and source in state.leadership.progress
    return is_sent_to or not elections.leader_is_alive(state)


def _enter_term_of(state: RaftState, message: Message) -> bool:
    """The rule of terms (thesis 3.3). True if the message is to be handled in the (perhaps new) current term.

    A pre-vote belongs to a term that nobody has started: it is judged by its handler. While a leader lives, a
    request for a vote in a newer term is not heard at all (thesis 6.2), unless that leader asked for it.
    """
    if isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted):
        return True
    if message.term > state.term:
        if isinstance(message, RequestVote) and not message.transfer and elections.leader_is_alive(state):
            state.trace(
                "vote not considered", to=message.source, term=message.term, why="the leader is alive"
            )
            return False
        become_follower(state, message.term, message.source if isinstance(message, FROM_LEADER) else None)
        return True
    if message.term < state.term:
        _answer_old_term(state, message)
        return False
    return True


def _answer_old_term(state: RaftState, message: Message) -> None:
    """Tell a leader or a candidate of an older term that time has gone on, so that it steps down.

    The answer is in this term, and the same node may lead this term too: so it names no round of the older one, which
    would confirm rounds that were never begun (hazard B50).
    """
    if isinstance(message, RequestVote):
        state.say(message.answered(state.term, granted=False))
    elif isinstance(message, AppendEntries):
        state.say(AppendEntriesReply(state.id, message.source, state.term, message.previous_index, False, 0))
    elif isinstance(message, InstallSnapshot):
        state.say(AppendEntriesReply(state.id, message.source, state.term, message.last_index, False, 0))
    elif isinstance(message, Heartbeat):
        state.say(follower.heartbeat_reply(state, message, round_=0))


def _on_proposed(state: RaftState, event: Proposed) -> None:
    """Clients' payloads: only a leader takes them (thesis 3.5)."""
    if event.payloads:
        leader.propose(state, event.payloads)


def _on_persisted(state: RaftState, event: Persisted) -> None:
    """The disk has caught up to a sequence: the own vote and the own log count now (thesis 10.2.1)."""
    state.persisted_sequence = max(state.persisted_sequence, event.sequence)
    state.log.persisted(event.sequence, commit_index=state.commit_index)
    elections.own_vote_persisted(state)
    if state.leadership is not None:
        leader.advance_commit(state, state.leadership)


def _on_peer_met(state: RaftState, event: PeerMet) -> None:
    """A handshake was done: remember which folder a node is, and in which start. Of nodes that are no members only a
    limited number is remembered."""
    if event.uuid is not None:
        state.folders[event.node] = event.uuid
    if event.start != NO_START:
        state.starts[event.node] = event.start
    if len(state.folders) > FOLDERS_MAX:
        known = {state.id, *state.configurations.ids, event.node}
        state.folders = {node: uuid for node, uuid in state.folders.items() if node in known}
        state.starts = {node: start for node, start in state.starts.items() if node in known}
        state.doubts = {node: nonces for node, nonces in state.doubts.items() if node in known}
    doubts.met(state, event)


def _on_removal_told(state: RaftState, event: RemovalTold) -> None:
    """A peer knows that this node is no member, or says so (thesis 4.2.2)."""
    state.was_told_removed = event.holds


STEPS: dict[type[Event], Handler] = {
    Ticked: _on_ticked,
    Received: _on_received,
    Proposed: _on_proposed,
    ReadRequested: reads.request,
    Persisted: _on_persisted,
    EntriesLoaded: leader.on_entries_loaded,
    SnapshotMade: snapshots.on_snapshot_made,
    SnapshotFetched: snapshots.on_snapshot_fetched,
    Compacted: snapshots.on_compacted,
    ConfigurationChangeAsked: changes.ask,
    TransferAsked: transfer.ask,
    TripMeasured: timing.on_trip_measured,
    PeerMet: _on_peer_met,
    RemovalTold: _on_removal_told,
}
"""What each event does."""
