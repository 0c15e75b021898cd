"""Bugs that other systems have had, planted one at a time into ours: what the simulator must find to be believed.

Each mutation is a small patch of the product, undone on leaving; none of them is in the product. The hazard ids are
those of the catalogue of bugs that the project was built against.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

from raftdb.commands.model import Ping
from raftdb.core import elections, follower, leader, quorum, raft, reads
from raftdb.core.elections import leader_is_alive as _leader_is_alive
from raftdb.core.events import Proposed
from raftdb.core.log import Log
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raftdb.core.model import Entry, EntryId, EntryKind, HardState, Index, NodeId, Role
from raftdb.core.progress import Pace, Progress
from raftdb.core.roles import become_follower
from raftdb.core.state import Candidacy, Leadership, RaftState
from raftdb.core.update import Output, ReadReleased
from raftdb.errors import Unavailable
from raftdb.node import persist, replica
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.pending import Pending
from raftdb.node.persist import encode_hard_state
from raftdb.node.replica import Replica
from raftdb.node.turn import PersistJob
from raftdb.wire import commands as wire_commands
from storage import memory
from storage.contract import FrozenChanges, LogBatch
from storage.manifest import Manifest
from storage.memory import MemoryStateStore
from storage.memory_disk import MemoryDisk

Patches = Sequence[tuple[object, str, object]]
"""What to replace: (owner, attribute, replacement)."""


class Mutation(NamedTuple):
    """A planted bug: the hazard it comes from, what it does, and how to plant it."""

    hazard: str
    title: str
    patches: Callable[[], Patches]


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """The product with one bug in it."""
    with ExitStack() as stack:
        for owner, name, replacement in mutation.patches():
            if isinstance(owner, dict):
                stack.enter_context(patch.dict(owner, {name: replacement}))
            else:
                stack.enter_context(patch.object(owner, name, replacement))
        yield


def handlers(message: type[Message], handler: Callable[..., Any], *roles: Role) -> Patches:
    """Replace the handler of a message in some roles."""
    return [(raft.HANDLERS, (role, message), handler) for role in roles]  # type: ignore[misc]


# --- terms, votes, elections


def term_is_not_stored() -> Patches:
    def has_something(self: Output) -> bool:
        self.hard_state = None
        return self.truncate_from is not None or self.install is not None or bool(self.entries)

    return [
        (Output, "has_something_to_persist", property(has_something)),
        (RaftState, "hard_state_is_durable", property(lambda self: True)),
    ]


def speaks_before_sync() -> Patches:
    def now(self: RaftState, message: Message) -> None:
        self.output.messages.append(message)

    return [(RaftState, "promise", now), (RaftState, "say", now)]


def vote_before_term() -> Patches:
    plain = Replica._carry_out

    def in_two_writes(self: Replica, update: Any) -> None:
        count = len(self._effects.persist)
        plain(self, update)
        if update.persist is not None and update.persist.hard_state is not None:
            job = self._effects.persist.pop()
            half = replace(update.persist.hard_state, term=max(1, update.persist.hard_state.term - 1))
            self._effects.persist.append(PersistJob(job.sequence, LogBatch(encode_hard_state(half)), None))
            self._effects.persist.append(job)
            assert len(self._effects.persist) == count + 2

    return [(Replica, "_carry_out", in_two_writes)]


def vote_forgotten_on_step_back() -> Patches:
    def forgetful(state: RaftState, message: Message) -> None:
        state.voted_for = None
        become_follower(state, state.term, message.source)
        follower.on_append_entries(state, message)  # type: ignore[arg-type]

    return handlers(AppendEntries, forgetful, Role.CANDIDATE)


def votes_counted_by_number() -> Patches:
    class Tally(list[NodeId]):
        add = list.append

    plain = quorum.is_majority

    def by_number(voters: Any, nodes: Any) -> bool:
        return len(nodes) >= quorum.majority(voters) if isinstance(nodes, Tally) else plain(voters, nodes)

    return [
        (elections, "Candidacy", lambda: Candidacy(granted=Tally(), refused=set())),  # type: ignore[arg-type]
        (quorum, "is_majority", by_number),
    ]


def any_log_may_lead() -> Patches:
    def refusal(state: RaftState, message: Any) -> str | None:
        if message.term < state.term or (not isinstance(message, RequestVote) and message.term <= state.term):
            return "old"
        return None if isinstance(message, RequestVote) or not _leader_is_alive(state) else "alive"

    return [(elections, "_refusal_of_candidate", refusal)]


def shorter_log_of_equal_term_may_lead() -> Patches:
    plain = elections._refusal_of_candidate

    def refusal(state: RaftState, message: Any) -> str | None:
        if message.last_term == state.log.last_term:
            message = replace(message, last_index=max(message.last_index, state.log.last_index))
        return plain(state, message)

    return [(elections, "_refusal_of_candidate", refusal)]


def votes_twice() -> Patches:
    def on_request_vote(state: RaftState, message: RequestVote) -> None:
        refusal = elections._refusal_of_candidate(state, message)
        if refusal is None:
            state.voted_for = message.source
            state.output.hard_state = replace(HardState(), term=state.term, voted_for=message.source)
        state.promise(RequestVoteReply(state.id, message.source, state.term, granted=refusal is None))

    return handlers(RequestVote, on_request_vote, Role.FOLLOWER, Role.PRE_CANDIDATE)


def newer_term_in_an_answer_is_not_heard() -> Patches:
    plain = raft._enter_term_of

    def deaf(state: RaftState, message: Message) -> bool:
        if state.role is Role.LEADER and message.term > state.term:
            return False
        return plain(state, message)

    return [(raft, "_enter_term_of", deaf), (leader, "heard_from_majority", lambda *_: True)]


# --- replication and commitment


def old_terms_are_counted() -> Patches:
    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[state.id] = state.log.persisted_index
        index = quorum.reached_by_majority(state.configurations.voters, held)
        if index > state.commit_index:
            state.commit_to(index)
            reads.serve_held(state, leadership)

    return [(leader, "advance_commit", advance_commit)]


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

    def store(state: RaftState, entries: Sequence[Entry]) -> None:
        plain(state, entries)
        if entries and entries[-1].index < state.log.last_index and not state.output.entries:
            state.truncate_log_from(max(entries[-1].index, state.commit_index) + 1)

    return [(follower, "_store", store)]


def tail_survives_a_conflict() -> Patches:
    def store(state: RaftState, entries: Sequence[Entry]) -> None:
        log = state.log
        for position, entry in enumerate(entries):
            local = log.term_at(entry.index)
            if local is not None and local != entry.term:
                first = entries[-1].index + 1
                tail: Sequence[Entry] = ()
                if log.cache_first <= first <= log.last_index:
                    tail = log.cached(first, log.last_index, bytes_max=1 << 60) or ()
                state.truncate_log_from(entry.index)
                state.append_to_log([*entries[position:], *tail])
                return
            if local is None:
                state.append_to_log(entries[position:])
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
    def store(state: RaftState, entries: Sequence[Entry]) -> None:
        new = [entry for entry in entries if entry.index > state.log.last_index]
        again = [entry for entry in entries if entry.index <= state.log.last_index]
        if again and not new and state.log.last_index == again[-1].index:
            last = state.log.last_index
            new = [entry._replace(index=last + 1 + offset) for offset, entry in enumerate(again)]
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


def previous_entry_is_not_compared() -> Patches:
    plain = follower.on_append_entries

    def on_append_entries(state: RaftState, message: AppendEntries) -> None:
        local = state.log.term_at(message.previous_index)
        plain(state, message if local is None else replace(message, previous_term=local))

    return handlers(AppendEntries, raft.hear_then(on_append_entries), Role.FOLLOWER)


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


# --- reads, answers


def reads_before_the_no_op() -> Patches:
    def serve_held(state: RaftState, leadership: Leadership) -> None:
        if not leadership.reads_pending and leadership.reads_held:
            reads._begin_round(state, leadership)
            reads.release_confirmed(state, leadership)

    return [(reads, "serve_held", serve_held)]


def old_answers_confirm_reads() -> Patches:
    plain = leader.on_heartbeat_reply

    def on_heartbeat_reply(state: RaftState, message: HeartbeatReply) -> None:
        assert state.leadership is not None
        plain(state, replace(message, round=state.leadership.round))

    return handlers(HeartbeatReply, on_heartbeat_reply, Role.LEADER)


def old_rounds_are_answered_in_the_new_term() -> Patches:
    plain = raft._answer_old_term

    def answer(state: RaftState, message: Message) -> None:
        if isinstance(message, Heartbeat):
            state.say(HeartbeatReply(state.id, message.source, state.term, message.round))
        else:
            plain(state, message)

    return [(raft, "_answer_old_term", answer)]


def reads_are_not_confirmed() -> Patches:
    def release_confirmed(state: RaftState, leadership: Leadership) -> None:
        pending, leadership.reads_pending = leadership.reads_pending, []
        for read in pending:
            state.output.reads.extend(ReadReleased(one, read.read_index) for one in read.request_ids)
        if leadership.reads_held:
            reads.serve_held(state, leadership)

    return [(reads, "release_confirmed", release_confirmed)]


def only_the_last_read_is_answered() -> Patches:
    plain = reads._begin_round

    def begin_round(state: RaftState, leadership: Leadership) -> None:
        del leadership.reads_held[:-1]
        plain(state, leadership)

    return [(reads, "_begin_round", begin_round)]


def reads_do_not_wait_for_apply() -> Patches:
    plain = Pending.next_read

    def next_read(self: Pending, applied_index: Index) -> Any:
        return plain(self, 1 << 62)

    # A leader applies all it has in one turn unless there is very much: make that little, so that there is a lag.
    return [(Pending, "next_read", next_read), (replica, "APPLY_ENTRIES_MAX", 1)]


def unknown_is_called_failed() -> Patches:
    def out_of_time(self: Replica, is_write: bool) -> Unavailable:
        return Unavailable("no_quorum", "surely not executed")

    return [(Replica, "_out_of_time", out_of_time)]


def answers_a_write_that_was_overwritten() -> Patches:
    plain = Pending.writes_at

    def writes_at(self: Pending, index: Index) -> Any:
        waiting = plain(self, index)
        return [(self.__dict__.get("_term", term), request) for term, request in waiting]

    plain_apply = Replica._apply_entry

    def apply_entry(self: Replica, entry: Entry) -> int:
        self._pending.__dict__["_term"] = entry.term
        return plain_apply(self, entry)

    return [(Pending, "writes_at", writes_at), (Replica, "_apply_entry", apply_entry)]


def write_is_executed_twice() -> Patches:
    plain = Replica._propose

    def propose(self: Replica, writes: Any) -> None:
        plain(self, writes)
        if self.raft.state.role is Role.LEADER and len(writes) > 1:
            self._carry_out(self.raft.step(Proposed((writes[0].payload,))))

    return [(Replica, "_propose", propose)]


def apply_depends_on_the_node() -> Patches:
    plain = Replica._apply_entry

    def apply_entry(self: Replica, entry: Entry) -> int:
        if entry.kind is EntryKind.COMMAND and self.raft.state.id == "n1":
            entry = entry._replace(data=wire_commands.encode(Ping()))
        return plain(self, entry)

    return [(Replica, "_apply_entry", apply_entry)]


def wiped_node_votes() -> Patches:
    from raftdb.simulation.links import Links

    plain = Links._answer

    def answer(self: Links, callee: Any, hello: Any) -> Any:
        callee.pins[hello.source] = hello.node_uuid
        return plain(self, callee, hello)

    def answered(self: Links, node: NodeId, epoch: int, peer: NodeId, data: bytes) -> None:
        self._hosts[node].pins.pop(peer, None)
        plain_answered(self, node, epoch, peer, data)

    plain_answered = Links._answered
    return [
        (Links, "_answer", answer),
        (Links, "_answered", answered),
        (Replica, "is_unproven", property(lambda self: False)),
    ]


# --- compaction, checkpoints, snapshots


def compacted_entries_have_term_0() -> Patches:
    plain = Log.term_at

    def term_at(self: Log, index: Index) -> int | None:
        return 0 if index < self.base.index else plain(self, index)

    return [(Log, "term_at", term_at)]


def install_keeps_a_conflicting_tail() -> Patches:
    plain = RaftState.install_snapshot

    def install_snapshot(self: RaftState, end: EntryId, index: Index, data: bytes) -> None:
        first = max(end.index + 1, self.log.cache_first)
        tail: Sequence[Entry] = ()
        if first == end.index + 1 <= self.log.last_index:
            tail = self.log.cached(first, self.log.last_index, bytes_max=1 << 60) or ()
        plain(self, end, index, data)
        self.log.append(tail)

    return [(RaftState, "install_snapshot", install_snapshot)]


def install_drops_a_matching_tail() -> Patches:
    def on_install_snapshot(state: RaftState, message: InstallSnapshot) -> None:
        end = EntryId(message.last_index, message.last_term)
        if end.index > state.commit_index:
            state.install_snapshot(end, message.configuration_index, message.configuration)
        state.promise(AppendEntriesReply(state.id, message.source, state.term, end.index, True, end.index))

    return handlers(InstallSnapshot, raft.hear_then(on_install_snapshot), Role.FOLLOWER)


def appends_behind_a_snapshot_are_refused() -> Patches:
    plain = follower.on_append_entries

    def on_append_entries(state: RaftState, message: AppendEntries) -> None:
        base = state.log.base
        if message.previous_index == base.index > 1:
            reply = AppendEntriesReply(state.id, message.source, state.term, base.index, False, 0)
            state.say(replace(reply, hint_index=base.index - 1, hint_term=base.term))
        else:
            plain(state, message)

    return handlers(AppendEntries, raft.hear_then(on_append_entries), Role.FOLLOWER)


def applies_while_it_installs() -> Patches:
    plain = Replica._apply

    def apply(self: Replica) -> None:
        installing, self._installing = self._installing, False
        plain(self)
        self._installing = installing

    return [(Replica, "_apply", apply)]


def installed_state_is_merged() -> Patches:
    plain = MemoryStateStore.install

    def install(disk: MemoryDisk, snapshot: bytes) -> Manifest:
        before = dict(disk.content)
        manifest = plain(disk, snapshot)
        kept = {key: value for key, value in before.items() if key not in disk.content}
        marker = memory._applied_at(manifest.index, manifest.term, len(kept) + len(disk.content) - 1)
        disk.commit(kept | marker)
        return manifest

    return [(MemoryStateStore, "install", staticmethod(install))]


def applied_index_lags_behind_the_data() -> Patches:
    plain = MemoryStateStore.flush

    def flush(self: MemoryStateStore, frozen: FrozenChanges) -> None:
        plain(self, replace(frozen, index=max(1, frozen.index - 1)))

    return [(MemoryStateStore, "flush", flush)]


def any_snapshot_is_installed() -> Patches:
    def has_received(self: Replica, message: InstallSnapshot) -> bool:
        return not self._installing and self.received_snapshot is not None

    return [(Replica, "_has_received", has_received)]


def log_is_not_connected_after_a_crash() -> Patches:
    return [(persist, "_connects", lambda recovered, checkpoint: True)]


def compacts_what_is_not_durable() -> Patches:
    plain = CompactionPolicy.base_after

    def base_after(self: CompactionPolicy, log: Log, *, checkpoint_index: Index, **others: Any) -> Index:
        return plain(self, log, checkpoint_index=checkpoint_index + 1, **others)

    return [(CompactionPolicy, "base_after", base_after)]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B01", "term and vote are not stored", term_is_not_stored),
    Mutation("B02", "speaks before its disk has synced", speaks_before_sync),
    Mutation("B03", "vote and term in two writes", vote_before_term),
    Mutation("B04", "vote forgotten when stepping back", vote_forgotten_on_step_back),
    Mutation("B05", "votes counted by number, not by voter", votes_counted_by_number),
    Mutation(
        "B10", "newer term in an answer not heard, no quorum check", newer_term_in_an_answer_is_not_heard
    ),
    Mutation("B11", "entries of old terms are counted", old_terms_are_counted),
    Mutation("B12", "commit index goes back", commit_goes_back),
    Mutation("B13", "match index goes back", match_goes_back),
    Mutation("B14", "heartbeat commits an unverified tail", commits_what_was_not_compared),
    Mutation("B14b", "append commits an unverified tail", append_commits_the_whole_log),
    Mutation("B15", "a late append truncates", late_append_truncates),
    Mutation("B16", "the old tail survives a conflict", tail_survives_a_conflict),
    Mutation("B17", "a write in flight counts for its successor", write_in_flight_counts_for_its_successor),
    Mutation("B18", "known entries are appended again", known_entries_are_appended_again),
    Mutation("B19", "compacted entries have term 0", compacted_entries_have_term_0),
    Mutation("B20", "an append below the commit is ignored", what_is_below_the_commit_is_ignored),
    Mutation("B21", "the window is never given back", window_is_never_given_back),
    Mutation("B24", "the leader does not wait for its own disk", own_disk_is_not_waited_for),
    Mutation("B25", "an install keeps a conflicting tail", install_keeps_a_conflicting_tail),
    Mutation("B26", "an install drops a matching tail", install_drops_a_matching_tail),
    Mutation("B27", "appends right behind a snapshot are refused", appends_behind_a_snapshot_are_refused),
    Mutation("B28", "applies while it installs", applies_while_it_installs),
    Mutation("B29", "an installed state is merged", installed_state_is_merged),
    Mutation("B30", "the applied index lags behind the data", applied_index_lags_behind_the_data),
    Mutation("B30b", "compacts what is not durable in the state", compacts_what_is_not_durable),
    Mutation("B33", "any snapshot is installed", any_snapshot_is_installed),
    Mutation("B34", "the log does not follow the state after a crash", log_is_not_connected_after_a_crash),
    Mutation("B36", "a wiped node votes", wiped_node_votes),
    Mutation("B49", "reads before the no-op is committed", reads_before_the_no_op),
    Mutation("B50", "old heartbeat answers confirm reads", old_answers_confirm_reads),
    Mutation("B50b", "old rounds are answered in the new term", old_rounds_are_answered_in_the_new_term),
    Mutation("B52", "only the last of the waiting reads is answered", only_the_last_read_is_answered),
    Mutation("B53", "a write is executed twice", write_is_executed_twice),
    Mutation("B54", "an unknown outcome is called failed", unknown_is_called_failed),
    Mutation("B54b", "success for an overwritten entry", answers_a_write_that_was_overwritten),
    Mutation("B64", "apply depends on the node", apply_depends_on_the_node),
    Mutation("3.4", "a node votes twice in a term", votes_twice),
    Mutation("3.6.1", "any log may lead", any_log_may_lead),
    Mutation("3.6.1b", "a shorter log of equal term may lead", shorter_log_of_equal_term_may_lead),
    Mutation("3.5", "the previous entry is not compared", previous_entry_is_not_compared),
    Mutation("3.5b", "a late refusal moves the follower back", refusal_of_an_old_probe_counts),
    Mutation("6.4", "reads are not confirmed at all", reads_are_not_confirmed),
    Mutation("6.4b", "reads do not wait for apply", reads_do_not_wait_for_apply),
)
"""Every planted bug. Ids that are numbers are sections of the thesis, for rules that no catalogued bug is about."""

RARE: dict[str, str] = {
    "B25": "needs a leader cut off with a longer uncommitted tail than all that the others commit, compact and send "
    "as a snapshot before it hears of them",
    "B14b": "needs a leader that sends, late, a part of what it has committed to a follower with another tail; "
    "followers' hints nearly always lead straight to where the logs part",
}
"""Mutations that CI does not wait for, and why they take so many seeds."""
