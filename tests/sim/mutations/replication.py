"""Planted bugs of the log: replication and commitment."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

from raftdb.core import follower, leader, quorum, raft, reads
from raftdb.core.block import Block, entries_of
from raftdb.core.log import Log
from raftdb.core.messages import (
    AppendEntries,
    Heartbeat,
    HeartbeatReply,
)
from raftdb.core.model import Index, Role
from raftdb.core.progress import Pace, Progress
from raftdb.core.state import Leadership, RaftState
from raftdb.node.bodies import Bodies
from raftdb.simulation.broken_rules import old_terms_are_counted, previous_entry_is_not_compared
from raftdb.simulation.planting import Patches, handlers
from tests.sim.mutations.planting import Mutation


def commit_goes_back() -> Patches:
    def commit_to(self: RaftState, index: Index) -> None:
        self.commit_index = index
        self.output.commit_index = index

    return [(RaftState, "commit_to", commit_to)]


def match_goes_back() -> Patches:
    plain = Progress.acknowledged

    def acknowledged(self: Progress, match_index: Index) -> bool:
        news = plain(self, match_index)
        self.match_index = match_index
        return news

    return [(Progress, "acknowledged", acknowledged)]


def commits_what_was_not_compared() -> Patches:
    def on_heartbeat(state: RaftState, message: Heartbeat) -> None:
        state.commit_to(min(message.commit_index, state.log.last_index))
        state.say(HeartbeatReply(state.id, message.source, state.term, message.round))

    def start_round(state: RaftState, leadership: Leadership) -> None:
        leadership.round += 1
        leadership.heartbeat_elapsed_ticks = 0
        for node in leadership.progress:
            state.say(Heartbeat(state.id, node, state.term, state.commit_index, leadership.round))

    return [
        (reads, "start_round", start_round),
        *handlers(Heartbeat, raft.hear_then(on_heartbeat), Role.FOLLOWER),
    ]


def append_commits_the_whole_log() -> Patches:
    plain = follower.on_append_entries

    def on_append_entries(state: RaftState, message: AppendEntries) -> None:
        plain(state, message)
        if state.log.term_at(message.previous_index) == message.previous_term:
            state.commit_to(min(message.commit_index, state.log.last_index))

    return handlers(AppendEntries, raft.hear_then(on_append_entries), Role.FOLLOWER)


def late_append_truncates() -> Patches:
    plain = follower._store

    def store(state: RaftState, blocks: Sequence[Block]) -> None:
        plain(state, blocks)
        if blocks and blocks[-1].last_index < state.log.last_index and not state.output.blocks:
            state.truncate_log_from(max(blocks[-1].last_index, state.commit_index) + 1)

    return [(follower, "_store", store)]


def tail_survives_a_conflict() -> Patches:
    def store(state: RaftState, blocks: Sequence[Block]) -> None:
        log = state.log
        for entry in entries_of(blocks):
            local = log.term_at(entry.index)
            if local is not None and local != entry.term:
                first = blocks[-1].last_index + 1
                tail: Sequence[Block] = ()
                if log.cache_first <= first <= log.last_index:
                    tail = log.cached(first, log.last_index, bytes_max=1 << 60) or ()
                state.truncate_log_from(entry.index)
                state.append_to_log([*follower._after(blocks, entry.index - 1), *tail])
                return
            if local is None:
                state.append_to_log(follower._after(blocks, entry.index - 1))
                return

    return [(follower, "_store", store)]


def write_in_flight_counts_for_its_successor() -> Patches:
    plain = Log.truncate_from

    def truncate_from(self: Log, index: Index) -> None:
        writes = deque(self._writes)
        plain(self, index)
        self._writes = writes

    return [(Log, "truncate_from", truncate_from)]


def known_entries_are_appended_again() -> Patches:
    def store(state: RaftState, blocks: Sequence[Block]) -> None:
        last = state.log.last_index
        new = follower._after(blocks, last)
        if blocks and not new and last == blocks[-1].last_index:
            following = itertools.count(last + 1)
            new = [
                Block.of(next(following), entry.term, entry.kind, [entry.data])
                for entry in entries_of(blocks)
            ]
        if new:
            state.append_to_log(new)

    return [(follower, "_store", store)]


def what_is_below_the_commit_is_ignored() -> Patches:
    return [(follower, "_accept_beyond_commit", lambda state, message: None)]


def own_disk_is_not_waited_for() -> Patches:
    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[state.id] = state.log.last_index
        index = quorum.reached_by_majority(state.configurations.voters, held)
        if index > state.commit_index and state.log.term_at(index) == state.term:
            state.commit_to(index)
            reads.serve_held(state, leadership)

    return [(leader, "advance_commit", advance_commit)]


def window_is_never_given_back() -> Patches:
    def acknowledged(self: Progress, match_index: Index) -> bool:
        news = match_index > self.match_index
        self.match_index = max(self.match_index, match_index)
        self.next_index = max(self.next_index, self.match_index + 1)
        self.pace, self.probe_in_flight = Pace.REPLICATE, False
        return news

    def on_heartbeat_reply(state: RaftState, message: HeartbeatReply) -> None:
        assert state.leadership is not None
        progress = state.leadership.progress[message.source]
        progress.silent_ticks = 0
        progress.acknowledged_round = max(progress.acknowledged_round, message.round)
        reads.release_confirmed(state, state.leadership)

    return [
        (Progress, "acknowledged", acknowledged),
        *handlers(HeartbeatReply, on_heartbeat_reply, Role.LEADER),
    ]


def refusal_of_an_old_probe_counts() -> Patches:
    def rejected(self: Progress, previous_index: Index, agree_at_most: Index) -> bool:
        self.probe_from(min(agree_at_most, previous_index - 1) + 1)
        self.match_index = min(self.match_index, self.next_index - 1)
        return True

    return [(Progress, "rejected", rejected)]


def what_was_dropped_is_applied() -> Patches:
    plain = Bodies.whole_blocks

    def whole_blocks(
        self: Bodies, first: Index, last: Index, bytes_max: int
    ) -> tuple[Iterator[Block], Index]:
        return plain(self, first, last, bytes_max)[0], last

    return [(Bodies, "whole_blocks", whole_blocks)]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B11", "entries of old terms are counted", old_terms_are_counted),
    Mutation("B12", "commit index goes back", commit_goes_back),
    Mutation("B13", "match index goes back", match_goes_back),
    Mutation("B14", "heartbeat commits an unverified tail", commits_what_was_not_compared),
    Mutation("B14b", "append commits an unverified tail", append_commits_the_whole_log),
    Mutation("B15", "a late append truncates", late_append_truncates),
    Mutation("B16", "the old tail survives a conflict", tail_survives_a_conflict),
    Mutation("B16b", "what a conflict has dropped is applied from the disk", what_was_dropped_is_applied),
    Mutation("B17", "a write in flight counts for its successor", write_in_flight_counts_for_its_successor),
    Mutation("B18", "known entries are appended again", known_entries_are_appended_again),
    Mutation("B20", "an append below the commit is ignored", what_is_below_the_commit_is_ignored),
    Mutation("B21", "the window is never given back", window_is_never_given_back),
    Mutation("B24", "the leader does not wait for its own disk", own_disk_is_not_waited_for),
    Mutation("3.5", "the previous entry is not compared", previous_entry_is_not_compared),
    Mutation("3.5b", "a late refusal moves the follower back", refusal_of_an_old_probe_counts),
)
