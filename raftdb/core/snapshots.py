"""Compaction and InstallSnapshot: a log that does not grow for ever (thesis 5).

Applied entries live on in the state; once a checkpoint has the state on disk up to an index, compaction may let the log
begin after it. A follower that needs entries from before fetches a snapshot instead. Its bytes travel beside the log;
the core decides when a snapshot is needed, and what a fetched one means for the log.
"""

from raftdb.core.events import Compacted, SnapshotFetched, SnapshotMade
from raftdb.core.messages import AppendEntriesReply, InstallSnapshot
from raftdb.core.model import EntryId, NodeId, Role
from raftdb.core.progress import Pace, Progress
from raftdb.core.state import RaftState


def on_compacted(state: RaftState, event: Compacted) -> None:
    """Begin the log after `event.index`, if it reaches so far on this disk and is not there already."""
    index = min(event.index, state.log.persisted_index, state.commit_index)
    if index <= state.log.base.index:
        return
    state.log.compact_to(index)
    state.configurations.compacted_to(index)
    state.trace("log compacted", first_index=index + 1, last_index=state.log.last_index)


def want(state: RaftState, node: NodeId, progress: Progress) -> None:
    """Have a snapshot made for a follower."""
    progress.wait_for_snapshot()
    progress.unmoved_ticks = 0
    state.output.snapshots_wanted.append(node)


def offer_again(state: RaftState, node: NodeId, progress: Progress) -> None:
    """A follower was told of a snapshot and does not have it yet: it is fetching, or the offer was lost, or it has
    given up, or the file is gone by now. In each of these cases it helps to offer the present one."""
    if progress.probe_in_flight:
        want(state, node, progress)


def on_snapshot_made(state: RaftState, event: SnapshotMade) -> None:
    """Tell the follower of the snapshot, or find out where it stands if there is none."""
    leadership = state.leadership
    progress = leadership.progress.get(event.target) if leadership is not None else None
    if leadership is None or progress is None or progress.pace is not Pace.SNAPSHOT:
        return
    if event.snapshot is None:
        # Do not ask again at once: the next heartbeat's answer shows that the follower is there.
        progress.probe_from(progress.next_index)
    else:
        state.trace("snapshot offered", level="debug", follower=event.target, last_index=event.snapshot.index)
        state.say(
            InstallSnapshot(
                state.id,
                event.target,
                state.term,
                event.snapshot.index,
                event.snapshot.term,
                event.configuration_index,
                event.configuration,
                event.size_bytes,
                event.digest,
            )
        )
    progress.await_answer(round_=leadership.round)


def on_install_snapshot(state: RaftState, message: InstallSnapshot) -> None:
    """Ask for the offered snapshot if it is needed, else say how far this node is."""
    if _is_needed(state, message):
        state.output.snapshot_offered = message
    else:
        _answer(state, message)


def on_snapshot_fetched(state: RaftState, event: SnapshotFetched) -> None:
    """Install the fetched snapshot if it is still needed. All in it is committed, whichever node leads by now. A leader
    of another term than the one in which it was offered asks by itself how far this node is."""
    offer = event.offer
    if state.role is Role.LEADER:
        return
    if _is_needed(state, offer):
        end = EntryId(offer.last_index, offer.last_term)
        state.trace("installs a snapshot", last_index=end.index, term=end.term, leader=offer.source)
        state.install_snapshot(end, offer.configuration_index, offer.configuration)
    if offer.term == state.term:
        _answer(state, offer)


def _is_needed(state: RaftState, offer: InstallSnapshot) -> bool:
    """True if the snapshot is ahead of what is committed here, for the commit index never goes back (hazard B26).

    If the log holds the snapshot's last entry, it holds everything before it, too: the entries after it stay, and only
    the commit index moves. Otherwise the whole log has to go, because it conflicts or ends before (thesis 5, figure
    5.3; hazards B25, B34).
    """
    end = EntryId(offer.last_index, offer.last_term)
    if end.index <= state.commit_index:
        state.trace("snapshot not needed", last_index=end.index, commit_index=state.commit_index)
        return False
    if state.log.term_at(end.index) == end.term:
        state.trace("snapshot not needed, the log holds it", last_index=end.index)
        state.commit_to(end.index)
        return False
    return True


def _answer(state: RaftState, offer: InstallSnapshot) -> None:
    """Promise that everything up to the end of the snapshot is here, on disk."""
    match_index = max(offer.last_index, state.commit_index)
    state.promise(AppendEntriesReply(state.id, offer.source, state.term, offer.last_index, True, match_index))
