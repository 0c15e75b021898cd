"""Rules of Raft that can be broken, to see what each of them is good for: planted bugs, and the promise that breaks.

The tests of the simulator plant these, too, among many others.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from raftdb.core import elections, follower, leader, quorum, raft, reads
from raftdb.core.elections import leader_is_alive
from raftdb.core.messages import AppendEntries, RequestVote, RequestVoteReply
from raftdb.core.model import HardState, Role
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import Output
from raftdb.node import stored
from raftdb.simulation.planting import Patches, PlantBug, handlers


def term_is_not_stored() -> Patches:
    """A restart forgets term and vote."""

    def has_something(self: Output) -> bool:
        self.hard_state = None
        return self.truncate_from is not None or self.install is not None or bool(self.blocks)

    return [
        (Output, "has_something_to_persist", property(has_something)),
        (RaftState, "hard_state_is_durable", property(lambda self: True)),
    ]


def restarts_forget() -> Patches:
    """A start takes no notice of the term and the vote that were stored."""
    return [(stored, "decode_hard_state", lambda _data: HardState(stored.BOOTSTRAP_TERM, None))]


def votes_twice() -> Patches:
    """A vote does not keep a node from voting for another one in the same term."""

    def on_request_vote(state: RaftState, message: RequestVote) -> None:
        refusal = elections._refusal_of_candidate(state, message)
        if refusal is None:
            state.voted_for = message.source
            state.output.hard_state = replace(HardState(), term=state.term, voted_for=message.source)
        state.promise(RequestVoteReply(state.id, message.source, state.term, granted=refusal is None))

    return handlers(RequestVote, on_request_vote, Role.FOLLOWER, Role.PRE_CANDIDATE)


def any_log_may_lead() -> Patches:
    """Votes are given whatever the candidate has in its log."""

    def refusal(state: RaftState, message: Any) -> str | None:
        if message.term < state.term or (not isinstance(message, RequestVote) and message.term <= state.term):
            return "old"
        return None if isinstance(message, RequestVote) or not leader_is_alive(state) else "alive"

    return [(elections, "_refusal_of_candidate", refusal)]


def old_terms_are_counted() -> Patches:
    """A leader commits entries of earlier terms by counting who has them."""

    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[state.id] = state.log.persisted_index
        index = quorum.reached_by_majority(state.configurations.voters, held)
        if index > state.commit_index:
            state.commit_to(index)
            reads.serve_held(state, leadership)

    return [(leader, "advance_commit", advance_commit)]


def previous_entry_is_not_compared() -> Patches:
    """A follower appends entries without looking whether the one before them is the leader's."""
    plain = follower.on_append_entries

    def on_append_entries(state: RaftState, message: AppendEntries) -> None:
        local = state.log.term_at(message.previous_index)
        plain(state, message if local is None else replace(message, previous_term=local))

    return handlers(AppendEntries, raft.hear_then(on_append_entries), Role.FOLLOWER)


def reads_are_not_confirmed() -> Patches:
    """A leader answers reads without asking whether it still leads."""

    def release_confirmed(state: RaftState, leadership: Leadership) -> None:
        pending, leadership.reads_pending = leadership.reads_pending, []
        for read in pending:
            reads._release(state, read)
        if leadership.reads_held:
            reads.serve_held(state, leadership)

    return [(reads, "release_confirmed", release_confirmed)]


class BrokenRule(NamedTuple):
    """A rule that is broken: what is wrong, the section of the thesis that has the rule, the promise that does not hold
    without it, the chapter that shows that, and how to plant it."""

    title: str
    section: str
    promise: str
    chapter: str
    patches: PlantBug


RULES: dict[str, BrokenRule] = {
    "vote_not_stored": BrokenRule(
        "a restart forgets term and vote", "3.8", "election safety", "restart", restarts_forget
    ),
    "two_votes": BrokenRule("a node votes twice in a term", "3.4", "election safety", "split", votes_twice),
    "any_log_leads": BrokenRule(
        "votes are given to any log", "3.6.1", "leader completeness", "partition", any_log_may_lead
    ),
    "old_terms_counted": BrokenRule(
        "entries of old terms are committed by counting",
        "3.6.2",
        "leader completeness",
        "commitment",
        old_terms_are_counted,
    ),
    "previous_not_compared": BrokenRule(
        "the entry before is not compared", "3.5", "log matching", "repair", previous_entry_is_not_compared
    ),
    "reads_not_confirmed": BrokenRule(
        "reads are not confirmed", "6.4", "linearizable reads", "clients", reads_are_not_confirmed
    ),
}
"""The rules that can be broken, by name."""
