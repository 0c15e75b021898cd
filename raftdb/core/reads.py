"""Linearizable reads without a log entry: ReadIndex (thesis 6.4).

A read may be served from a state that has applied everything committed when the read arrived. The leader knows
that index once an entry of its own term is committed (hazard B49), and knows that it still leads once a majority
has answered a heartbeat round begun after the read arrived (hazard B50). Many reads share a round: while one is
on its way, later reads gather for the next.

A node that does not lead may serve reads, too: it asks the leader, for which the question is a read like all others,
and serves them once it has applied the index in the answer. An answer counts for the question with its number only,
which was asked after the reads had come. Reads that gather meanwhile wait for the next question. If another node leads,
or the term is over, they are dropped.
"""

from raftdb.core import parting, timing
from raftdb.core.events import ReadRequested
from raftdb.core.messages import Heartbeat, ReadIndex, ReadIndexReply
from raftdb.core.model import Role
from raftdb.core.state import Leadership, PeersRead, PendingRead, RaftState
from raftdb.core.update import ReadReleased
from raftdb.errors import required

FIRST_NUMBER_MAX = 1 << 62
"""The first question of a start has a number below this."""


def request(state: RaftState, event: ReadRequested) -> None:
    """Clients' reads have arrived: begin a round for them, or let them wait for one."""
    leadership = state.leadership
    if leadership is not None:
        leadership.reads_held.extend(event.request_ids)
        serve_held(state, leadership)
    elif event.anywhere and state.role is Role.FOLLOWER and state.leader_id is not None:
        state.inquiry.leader_id, state.inquiry.term = state.leader_id, state.term
        state.inquiry.held.extend(event.request_ids)
        _ask_next(state)
    else:
        state.output.reads_dropped.extend(event.request_ids)


def _ask_next(state: RaftState) -> None:
    """Ask the leader on behalf of all reads that are held, unless an answer is awaited."""
    inquiry = state.inquiry
    if inquiry.asked or not inquiry.held:
        return
    # The first number is drawn, so that no answer to a question from before a restart can be taken for another.
    inquiry.number = inquiry.number + 1 if inquiry.number else state.randrange(1, FIRST_NUMBER_MAX)
    inquiry.asked, inquiry.held, inquiry.waits_ticks = tuple(inquiry.held), [], 0
    _ask(state)


def _ask(state: RaftState) -> None:
    leader_id = required(state.inquiry.leader_id, "leader to ask")
    state.say(ReadIndex(state.id, leader_id, state.term, state.inquiry.number))


def tick_inquiry(state: RaftState) -> None:
    """One tick of a node that does not lead: ask again if the question or the answer may be lost."""
    inquiry = state.inquiry
    if inquiry.asked:
        inquiry.waits_ticks += 1
        if inquiry.waits_ticks % timing.repeat_ticks(state) == 0:
            _ask(state)


def leave_inquiry(state: RaftState) -> None:
    """Drop the reads for which a leader was asked that is none any more."""
    inquiry = state.inquiry
    if not inquiry.asked and not inquiry.held:
        return
    if (state.role, state.leader_id, state.term) != (Role.FOLLOWER, inquiry.leader_id, inquiry.term):
        state.output.reads_dropped.extend((*inquiry.asked, *inquiry.held))
        inquiry.asked, inquiry.held = (), []


def on_read_index(state: RaftState, message: ReadIndex) -> None:
    """A node that does not lead has reads to serve: they wait for a round like this node's own."""
    leadership = required(state.leadership, "leadership")
    read = PeersRead(message.source, message.number)
    is_known = read in leadership.reads_held or any(read in one.reads for one in leadership.reads_pending)
    if not is_known:
        leadership.reads_held.append(read)
        serve_held(state, leadership)


def on_read_index_reply(state: RaftState, message: ReadIndexReply) -> None:
    """The leader knows from which index on the reads may be served."""
    inquiry = state.inquiry
    if message.number != inquiry.number or not inquiry.asked:
        return
    state.output.reads.extend(ReadReleased(request_id, message.read_index) for request_id in inquiry.asked)
    inquiry.asked = ()
    _ask_next(state)


def serve_held(state: RaftState, leadership: Leadership) -> None:
    """Begin a round for the reads that were held, if the commit index can be trusted and no round is on its way."""
    if (
        state.commit_index < leadership.term_start_index
        or leadership.reads_pending
        or not leadership.reads_held
    ):
        return
    _begin_round(state, leadership)
    release_confirmed(state, leadership)


def release_confirmed(state: RaftState, leadership: Leadership) -> None:
    """Release the reads whose round a majority has answered; then begin the next round, if reads gathered."""
    if leadership.reads_pending:
        answered = {node: progress.acknowledged_round for node, progress in leadership.progress.items()}
        answered[state.id] = leadership.round
        confirmed = state.reached_by_majority(answered)
        waiting = []
        for read in leadership.reads_pending:
            if read.round <= confirmed:
                _release(state, read)
            else:
                waiting.append(read)
        leadership.reads_pending = waiting
    serve_held(state, leadership)


def _release(state: RaftState, pending: PendingRead) -> None:
    """Serve the own reads, and answer the questions of others."""
    for read in pending.reads:
        if isinstance(read, PeersRead):
            state.say(ReadIndexReply(state.id, read.node, state.term, read.number, pending.read_index))
        else:
            state.output.reads.append(ReadReleased(read, pending.read_index))


def start_round(state: RaftState, leadership: Leadership) -> None:
    """Begin a heartbeat round: its answers keep the leadership and confirm reads (thesis 6.4)."""
    leadership.round += 1
    leadership.heartbeat_elapsed_ticks = 0
    parting.note_round(state, leadership)
    state.trace("heartbeat sent", level="heartbeat", round=leadership.round, to=tuple(leadership.progress))
    for node, progress in leadership.progress.items():
        known_commit = min(state.commit_index, progress.match_index)
        state.say(Heartbeat(state.id, node, state.term, known_commit, leadership.round))


def drop_all(state: RaftState, leadership: Leadership) -> None:
    """The leadership ends: drop its reads, so that no old confirmation answers them. Who has asked sees it end, too."""
    reads = [
        *(read for pending in leadership.reads_pending for read in pending.reads),
        *leadership.reads_held,
    ]
    state.output.reads_dropped.extend(read for read in reads if not isinstance(read, PeersRead))


def _begin_round(state: RaftState, leadership: Leadership) -> None:
    """Note the commit index for all held reads and start the round that will confirm them."""
    start_round(state, leadership)
    leadership.reads_pending.append(
        PendingRead(leadership.round, state.commit_index, tuple(leadership.reads_held))
    )
    leadership.reads_held.clear()
