"""Linearizable reads without a log entry: ReadIndex (thesis 6.4).

A read may be served from a state that has applied everything committed when the read arrived. The leader knows
that index once an entry of its own term is committed (hazard B49), and knows that it still leads once a majority
has answered a heartbeat round begun after the read arrived (hazard B50). Many reads share a round: while one is
on its way, later reads gather for the next.
"""

from raftdb.core import parting
from raftdb.core.events import ReadRequested
from raftdb.core.messages import Heartbeat
from raftdb.core.model import Role
from raftdb.core.state import Leadership, PendingRead, RaftState
from raftdb.core.update import ReadReleased


def request(state: RaftState, event: ReadRequested) -> None:
    """Clients' reads have arrived: begin a round for them, or let them wait for one."""
    leadership = state.leadership
    if state.role is not Role.LEADER or leadership is None:
        state.output.reads_dropped.extend(event.request_ids)
        return
    leadership.reads_held.extend(event.request_ids)
    serve_held(state, leadership)


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
    answered = {node: progress.acknowledged_round for node, progress in leadership.progress.items()}
    answered[state.id] = leadership.round
    confirmed = state.reached_by_majority(answered)
    waiting = []
    for read in leadership.reads_pending:
        if read.round <= confirmed:
            state.output.reads.extend(
                ReadReleased(request_id, read.read_index) for request_id in read.request_ids
            )
        else:
            waiting.append(read)
    leadership.reads_pending = waiting
    serve_held(state, leadership)


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
    """The leadership ends: drop its reads, so that no old confirmation answers them."""
    for read in leadership.reads_pending:
        state.output.reads_dropped.extend(read.request_ids)
    state.output.reads_dropped.extend(leadership.reads_held)


def _begin_round(state: RaftState, leadership: Leadership) -> None:
    """Note the commit index for all held reads and start the round that will confirm them."""
    start_round(state, leadership)
    leadership.reads_pending.append(
        PendingRead(leadership.round, state.commit_index, tuple(leadership.reads_held))
    )
    leadership.reads_held.clear()
