"""Leading: replication, commitment, heartbeats, and stepping down in time (thesis 3.5, 3.6.2, 6.2, 10.2.1)."""

from dataclasses import replace

from raftdb.core import parting, reads, snapshots, timing, transfer
from raftdb.core.block import Block
from raftdb.core.events import EntriesLoaded
from raftdb.core.messages import AppendEntries, AppendEntriesReply, HeartbeatReply
from raftdb.core.model import EntryId, EntryKind, NodeId, Role, Term
from raftdb.core.progress import Pace, Progress
from raftdb.core.roles import become_follower
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import EntriesWanted
from raftdb.errors import required

BIRTHS = 1 << 63
"""The number of names that the life of a cluster can have."""


def become_leader(state: RaftState) -> None:
    """Take over the term. Its first entry is a no-op, for only an entry of the own term commits by counting, and
    everything before it commits with it (thesis 3.6.2, 6.4)."""
    state.role = Role.LEADER
    state.leader_id = state.id
    state.candidacy = None
    first_index = state.log.last_index + 1
    state.leadership = Leadership(
        progress={
            node: Progress(next_index=first_index) for node in state.configurations.ids if node != state.id
        },
        term_start_index=first_index,
    )
    state.trace("became leader", term=state.term, last_index=state.log.last_index)
    _open_term(state)
    broadcast_entries(state, state.leadership)


def _open_term(state: RaftState) -> None:
    """Append the entry that opens the term: a no-op. The first leader of a cluster names the cluster's life instead, in
    a configuration that changes nothing else, and so does not wait until the entries before it are committed."""
    configurations = state.configurations
    if configurations.latest.birth is not None or not configurations.latest.members:
        state.append_as_leader((b"",), EntryKind.NOOP)
        return
    born = replace(configurations.latest, birth=f"{state.randrange(0, BIRTHS):016x}")
    state.append_as_leader((configurations.form.encode(born),), EntryKind.CONFIGURATION)


def propose(state: RaftState, payloads: tuple[bytes, ...]) -> None:
    """Append clients' payloads and send them on, in parallel with the own disk (thesis 10.2.1)."""
    leadership = state.leadership
    if leadership is None or state.hands_over:
        return
    if _waiting_bytes(state) > state.settings.uncommitted_bytes_max:
        return
    first_index = state.append_as_leader(payloads, EntryKind.COMMAND)
    state.output.accepted = EntryId(first_index, state.term)
    broadcast_entries(state, leadership)


def _waiting_bytes(state: RaftState) -> int:
    """Bytes of entries that wait for a majority, or for the own disk: both are held in memory."""
    return state.log.cached_bytes_above(min(state.commit_index, state.log.persisted_index))


def tick(state: RaftState, leadership: Leadership) -> None:
    """One tick of a leader: heartbeats, and stepping down when it no longer reaches a majority."""
    patience_ticks = timing.patience_ticks(state, leadership)
    for progress in leadership.progress.values():
        progress.tick(last_index=state.log.last_index, round_ticks_max=patience_ticks)
    reason = None
    if not heard_from_majority(state, leadership, 2 * patience_ticks):
        reason = "lost contact with a majority, steps down"
    elif _disk_is_stuck(state, leadership):
        reason = "the disk does not answer, steps down"
    if reason is not None:
        state.trace(reason, level="warning", term=state.term)
        become_follower(state, state.term, None)
        return
    leadership.heartbeat_elapsed_ticks += 1
    if leadership.heartbeat_elapsed_ticks >= timing.heartbeat_ticks(state, leadership):
        reads.start_round(state, leadership)


def _disk_is_stuck(state: RaftState, leadership: Leadership) -> bool:
    """Count the ticks that a write has been under way; True once that is too long for a leader.

    Its followers could go on committing without it, but what it keeps in memory for its own disk would grow, and a node
    that cannot write cannot vote either (hazard B85).
    """
    moved = state.persisted_sequence > leadership.persisted_sequence_seen
    leadership.persisted_sequence_seen = state.persisted_sequence
    if moved or state.sequence == state.persisted_sequence:
        leadership.disk_waits_ticks = 0
    else:
        leadership.disk_waits_ticks += 1
    return leadership.disk_waits_ticks > state.settings.disk_patience_ticks


def heard_from_majority(state: RaftState, leadership: Leadership, within_ticks: int) -> bool:
    """True if a majority, this node included, answered within so many ticks (CheckQuorum, thesis 6.2)."""
    heard = {node for node, progress in leadership.progress.items() if progress.silent_ticks < within_ticks}
    heard.add(state.id)
    return state.is_majority(heard)


def broadcast_entries(state: RaftState, leadership: Leadership) -> None:
    """Send every follower what it lacks, as far as its window allows; count the own log."""
    for node, progress in leadership.progress.items():
        send_entries(state, node, progress)
    advance_commit(state, leadership)


def send_entries(state: RaftState, node: NodeId, progress: Progress, *, even_if_empty: bool = False) -> None:
    """Send entries from `next_index` on, batch after batch, until the window is full (pipelining, thesis 10.2.1).

    `even_if_empty`: send one message without entries if there is nothing new, to learn whether the logs agree.
    """
    settings = state.settings
    while not progress.is_paused(
        in_flight_bytes_max=settings.in_flight_bytes_max,
        in_flight_messages_max=settings.in_flight_messages_max,
    ):
        if progress.next_index > state.log.last_index and not even_if_empty:
            return
        if not _send_one_batch(state, node, progress):
            return
        even_if_empty = False


def _send_one_batch(state: RaftState, node: NodeId, progress: Progress) -> bool:
    """Send one AppendEntries at `next_index`; False if the bodies or the place are not in memory."""
    log = state.log
    previous_index = progress.next_index - 1
    previous_term = log.term_at(previous_index)
    if previous_term is None:
        state.trace("follower needs a snapshot", follower=node, next_index=progress.next_index)
        snapshots.want(state, node, progress)
        return False
    blocks: tuple[Block, ...] = ()
    if progress.next_index <= log.last_index:
        last = min(log.last_index, previous_index + state.settings.batch_entries_max)
        cached = log.cached(progress.next_index, last, bytes_max=state.settings.batch_bytes_max)
        if cached is None:
            progress.loading = True
            state.output.entries_wanted.append(
                EntriesWanted(
                    node, progress.next_index, min(last, log.cache_first - 1), state.settings.batch_bytes_max
                )
            )
            return False
        blocks = cached
    _send(state, node, progress, previous_term, blocks)
    return True


def _send(
    state: RaftState, node: NodeId, progress: Progress, previous_term: Term, blocks: tuple[Block, ...]
) -> None:
    """Send one AppendEntries that starts at `next_index`."""
    previous_index = progress.next_index - 1
    message = AppendEntries(
        state.id, node, state.term, previous_index, previous_term, state.commit_index, blocks
    )
    state.say(message)
    leadership = required(state.leadership, "leadership")
    size_bytes = sum(block.size_bytes for block in blocks)
    progress.sent(message.last_index, size_bytes, round_=leadership.round)


def on_entries_loaded(state: RaftState, event: EntriesLoaded) -> None:
    """Bodies read from disk for one follower: send them, if they are still what it needs.

    A slow read may come back to a later leadership, whose log holds other entries at these indexes. The name of the
    last entry shows that: two logs that share it share everything before it (Log Matching, thesis 3.5).
    """
    node, blocks, leadership = event.target, event.blocks, state.leadership
    progress = leadership.progress.get(node) if leadership else None
    if progress is None:
        return
    progress.loading = False
    previous_term = state.log.term_at(progress.next_index - 1)
    wanted = (
        bool(blocks)
        and blocks[0].first_index == progress.next_index
        and state.log.term_at(blocks[-1].last_index) == blocks[-1].term
    )
    window_is_open = not progress.is_paused(
        in_flight_bytes_max=state.settings.in_flight_bytes_max,
        in_flight_messages_max=state.settings.in_flight_messages_max,
    )
    if wanted and window_is_open and previous_term is not None:
        _send(state, node, progress, previous_term, blocks)
    send_entries(state, node, progress)


def on_append_entries_reply(state: RaftState, message: AppendEntriesReply) -> None:
    """A follower holds more, or refused: move its place in the log and send on (thesis 3.5)."""
    leadership = required(state.leadership, "leadership")
    progress = leadership.progress.get(message.source)
    if progress is None:
        return
    progress.heard()
    if message.success:
        if progress.acknowledged(message.match_index):
            advance_commit(state, leadership)
        send_entries(state, message.source, progress)
        transfer.proceed(state, leadership, message.source, again=False)
        return
    agree_at_most = state.log.last_not_above(message.hint_index, message.hint_term)
    if progress.rejected(message.previous_index, agree_at_most.index):
        state.trace(
            "follower's log differs, backs up",
            level="debug",
            follower=message.source,
            next_index=progress.next_index,
        )
        send_entries(state, message.source, progress, even_if_empty=True)


def on_heartbeat_reply(state: RaftState, message: HeartbeatReply) -> None:
    """A follower confirmed a round. If it lacks entries and nothing has moved for long, ask where it stands.

    For a probe, long is one heartbeat; for entries sent ahead, it is an election timeout: a follower's disk may be
    slow, and entries that it has received but not acknowledged must not be sent again for that. Nor must a long way
    cause it: only messages that were sent before the heartbeat that this answers can be missing.
    """
    leadership = required(state.leadership, "leadership")
    progress = leadership.progress.get(message.source)
    if progress is None:
        return
    progress.heard()
    progress.election_timeout_ms = message.election_timeout_ms
    if message.round > progress.acknowledged_round:
        progress.acknowledged_round = message.round
        reads.release_confirmed(state, leadership)
        transfer.proceed(state, leadership, message.source, again=True)
    is_stuck = _is_stuck(state, leadership, progress)
    if is_stuck and progress.pace is Pace.SNAPSHOT:
        snapshots.offer_again(state, message.source, progress)
    elif is_stuck:
        progress.probe_from(progress.match_index + 1 if progress.in_flight else progress.next_index)
        progress.unmoved_ticks = 0
        send_entries(state, message.source, progress, even_if_empty=True)
    parting.answered(state, leadership, message.source, message.round)


def _is_stuck(state: RaftState, leadership: Leadership, progress: Progress) -> bool:
    """True if a follower lacks entries, and nothing has moved for long."""
    if not progress.unmoved_ticks or not progress.answer_is_due:
        # Most answers are those of followers that lack nothing; what long is takes time to find out.
        return False
    if progress.pace is Pace.PROBE:
        return progress.unmoved_ticks >= timing.heartbeat_ticks(state, leadership)
    return progress.unmoved_ticks >= timing.patience_ticks(state, leadership)


def advance_commit(state: RaftState, leadership: Leadership) -> None:
    """Commit what a majority holds on disk, if it is of this term: an older entry commits only with one of this
    term above it (thesis 3.6.2, figure 3.7; hazard B11)."""
    held = {node: progress.match_index for node, progress in leadership.progress.items()}
    held[state.id] = state.log.persisted_index
    index = state.reached_by_majority(held)
    if index > state.commit_index and state.log.term_at(index) == state.term:
        state.commit_to(index)
        reads.serve_held(state, leadership)
