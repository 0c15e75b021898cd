"""Compaction and InstallSnapshot: a log that does not grow for ever (thesis 5).

What is applied lives in the state; once the state is on disk up to an index, the log may begin after it. A follower
that needs what is gone gets the state instead. The bytes of the state travel beside the log; the core decides when
that is needed, and what a received state means for the log.
"""

from raftdb.core.events import Compacted, SnapshotDelivered
from raftdb.core.messages import AppendEntriesReply, InstallSnapshot
from raftdb.core.model import EntryId
from raftdb.core.progress import Pace
from raftdb.core.state import RaftState


def on_compacted(state: RaftState, event: Compacted) -> None:
    """Begin the log after `event.index`, if it reaches so far on this disk and is not there already."""
    index = min(event.index, state.log.persisted_index, state.commit_index)
    if index <= state.log.base.index:
        return
    state.log.compact_to(index)
    state.configurations.compacted_to(index)
    state.trace("log compacted", first_index=index + 1, last_index=state.log.last_index)


def on_snapshot_delivered(state: RaftState, event: SnapshotDelivered) -> None:
    """The follower holds the state now, or the transfer failed: say so, and find out where it stands.

    If what is said gets lost, the follower still rejects what comes next, and the state is asked for again; a
    receiver that has it whole already says so at once.
    """
    leadership = state.leadership
    progress = leadership.progress.get(event.target) if leadership is not None else None
    if leadership is None or progress is None or progress.pace is not Pace.SNAPSHOT:
        return
    if event.snapshot is None:
        # Not at once again: the next heartbeat's answer shows that the follower is there.
        progress.probe_from(progress.next_index)
        progress.await_answer(round_=leadership.round)
        return
    state.trace("snapshot delivered", follower=event.target, last_index=event.snapshot.index)
    state.say(
        InstallSnapshot(
            state.id,
            event.target,
            state.term,
            event.snapshot.index,
            event.snapshot.term,
            event.configuration_index,
            event.configuration,
        )
    )
    progress.probe_from(max(progress.match_index, event.snapshot.index) + 1)
    progress.await_answer(round_=leadership.round)


def on_install_snapshot(state: RaftState, message: InstallSnapshot) -> None:
    """Take the received state if it is ahead of what is committed here; never go back (hazard B26).

    If the log holds the snapshot's last entry, it holds everything before it, too: the entries behind it stay, and
    only the commit index moves. Otherwise the whole log goes: it conflicts, or ends before (thesis 5, figure 5.3;
    hazards B25, B34).
    """
    end = EntryId(message.last_index, message.last_term)
    if end.index <= state.commit_index:
        state.trace("snapshot not needed", last_index=end.index, commit_index=state.commit_index)
    elif state.log.term_at(end.index) == end.term:
        state.trace("snapshot not needed, the log holds it", last_index=end.index)
        state.commit_to(end.index)
    else:
        state.trace("installs a snapshot", last_index=end.index, term=end.term, leader=message.source)
        state.install_snapshot(end, message.configuration_index, message.configuration)
    match_index = max(end.index, state.commit_index)
    state.promise(AppendEntriesReply(state.id, message.source, state.term, end.index, True, match_index))
