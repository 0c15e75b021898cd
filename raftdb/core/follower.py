"""Following: entries and heartbeats from the leader of the term (thesis 3.5)."""

from collections.abc import Sequence

from raftdb.core import timing
from raftdb.core.block import Block
from raftdb.core.log import Log
from raftdb.core.messages import AppendEntries, AppendEntriesReply, Heartbeat, HeartbeatReply
from raftdb.core.model import Index
from raftdb.core.state import RaftState


def on_append_entries(state: RaftState, message: AppendEntries) -> None:
    """Take the leader's entries if they follow the log (thesis 3.5); say up to where the logs agree."""
    log = state.log
    if message.previous_index < state.commit_index:
        _accept_beyond_commit(state, message)
        return
    if log.term_at(message.previous_index) != message.previous_term:
        agree_at_most = log.last_not_above(message.previous_index, message.previous_term)
        state.trace(
            "append refused",
            level="debug",
            from_leader=message.source,
            previous=message.previous_index,
            why=_why_refused(log, message.previous_index),
            hint=agree_at_most.index,
        )
        state.say(
            AppendEntriesReply(
                state.id,
                message.source,
                state.term,
                message.previous_index,
                False,
                0,
                hint_index=agree_at_most.index,
                hint_term=agree_at_most.term,
            )
        )
        return
    _store(state, message.blocks)
    state.commit_to(min(message.commit_index, message.last_index))
    _acknowledge(state, message, message.last_index)


def on_heartbeat(state: RaftState, message: Heartbeat) -> None:
    """The leader lives. Its commit index is capped at what it knows to be here (hazard B14)."""
    state.commit_to(min(message.commit_index, state.log.last_index))
    state.trace("heartbeat received", level="heartbeat", leader=message.source, round=message.round)
    timing.heard_heartbeat(state, message)
    state.say(heartbeat_reply(state, message, round_=message.round))


def heartbeat_reply(state: RaftState, message: Heartbeat, *, round_: int) -> HeartbeatReply:
    """The answer to a heartbeat, which says how long this node waits for the next."""
    timeout_ms = timing.election_timeout_ticks(state) * state.settings.tick_ms
    return HeartbeatReply(state.id, message.source, state.term, round_, election_timeout_ms=timeout_ms)


def _accept_beyond_commit(state: RaftState, message: AppendEntries) -> None:
    """Take a message that starts before the commit index: it is late, doubled, or reaches into what was compacted.

    What is committed here equals the leader's log, so that part needs no comparison; only the rest of the message is
    looked at (hazards B18, B20).
    """
    _store(state, _after(message.blocks, state.commit_index))
    last_verified = max(state.commit_index, message.last_index)
    state.commit_to(min(message.commit_index, last_verified))
    _acknowledge(state, message, last_verified)


def _store(state: RaftState, blocks: Sequence[Block]) -> None:
    """Keep what is already here, drop the local log from the first real conflict on, add the rest (thesis 3.5).

    A shorter message that comes late conflicts with nothing and so removes nothing (hazard B15).
    """
    for block in blocks:
        known_index = min(state.log.last_of_term(block.first_index, block.term), block.last_index)
        if known_index == block.last_index:
            continue
        local_term = state.log.term_at(known_index + 1)
        if local_term is not None:
            state.trace(
                "conflict, truncates", from_index=known_index + 1, was_term=local_term, leader_term=block.term
            )
            state.truncate_log_from(known_index + 1)
        new = _after(blocks, known_index)
        first, last = new[0], new[-1]
        state.append_to_log(new)
        state.trace("appended", first_index=first.first_index, last_index=last.last_index, term=last.term)
        return


def _after(blocks: Sequence[Block], index: Index) -> list[Block]:
    """The entries after `index` of neighbouring blocks."""
    return [
        block.part(max(block.first_index, index + 1), block.last_index)
        for block in blocks
        if block.last_index > index
    ]


def _why_refused(log: Log, previous_index: Index) -> str:
    """In words, why entries cannot follow the entry at `previous_index`."""
    term = log.term_at(previous_index)
    return f"log ends at {log.last_index}" if term is None else f"has {previous_index}@{term}"


def _acknowledge(state: RaftState, message: AppendEntries, match_index: Index) -> None:
    """Promise that the log up to `match_index` is the leader's, and on disk by the time this is said."""
    state.promise(
        AppendEntriesReply(state.id, message.source, state.term, message.previous_index, True, match_index)
    )
