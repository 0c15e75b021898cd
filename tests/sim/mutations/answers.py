"""Planted bugs of what clients are told: reads, answers, and what is applied."""

from dataclasses import replace
from typing import Any

from raftdb.core import leader, raft, reads
from raftdb.core.events import Proposed
from raftdb.core.messages import (
    Heartbeat,
    HeartbeatReply,
    Message,
    ReadIndex,
    ReadIndexReply,
)
from raftdb.core.model import Index, Role
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import ReadReleased
from raftdb.errors import Unavailable
from raftdb.machine.connection import Ping
from raftdb.machine.entries import encode, stamp
from raftdb.machine.layer import Layer
from raftdb.machine.machine import Applied, Machine
from raftdb.node import replica
from raftdb.node.execution import answer_of
from raftdb.node.pending import Pending
from raftdb.node.replica import Replica
from raftdb.simulation.broken_rules import reads_are_not_confirmed
from raftdb.simulation.planting import Patches, handlers
from tests.sim.mutations.planting import Mutation


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


def questions_of_others_are_answered_at_once() -> Patches:
    """A leader says its commit index to a node that asks, without a round: it may be deposed."""

    def on_read_index(state: RaftState, message: ReadIndex) -> None:
        answer = ReadIndexReply(state.id, message.source, state.term, message.number, state.commit_index)
        state.say(answer)

    return handlers(ReadIndex, on_read_index, Role.LEADER)


def answers_serve_later_reads() -> Patches:
    """A node takes any answer of the leader for the one to its last question, and for all reads that it has."""

    def on_reply(state: RaftState, message: ReadIndexReply) -> None:
        inquiry = state.inquiry
        for request_id in (*inquiry.asked, *inquiry.held):
            state.output.reads.append(ReadReleased(request_id, message.read_index))
        inquiry.asked, inquiry.held = (), []

    return handlers(ReadIndexReply, on_reply, Role.FOLLOWER)


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
    def answers_to(writes: Any, first: Index, replies: Any, *others: Any) -> Any:
        for start, _, request_ids, _ in writes:
            for request_id, (index, term, reply) in zip(request_ids, replies[start - first :], strict=False):
                yield request_id, answer_of(reply, index, term)

    return [(replica, "answers_to", answers_to)]


def write_is_executed_twice() -> Patches:
    plain = Replica._propose

    def propose(self: Replica, writes: Any) -> None:
        plain(self, writes)
        if self.raft.state.role is Role.LEADER and len(writes) > 1:
            self._carry_out(self.raft.step(Proposed((stamp(writes[0].payload, 0),))))

    return [(Replica, "_propose", propose)]


class _Deaf(Machine):
    """Does nothing that it is told."""

    def apply(self, index: int, term: int, data: bytes, layer: Layer) -> Applied:
        return super().apply(index, term, stamp(encode(Ping()), 0), layer)


def apply_depends_on_the_node() -> Patches:
    plain = Replica._apply

    def apply(self: Replica) -> None:
        if self.raft.state.id == "n1":
            self._machine = _Deaf()
        plain(self)

    return [(Replica, "_apply", apply)]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B49", "reads before the no-op is committed", reads_before_the_no_op),
    Mutation("B50", "old heartbeat answers confirm reads", old_answers_confirm_reads),
    Mutation("B50b", "old rounds are answered in the new term", old_rounds_are_answered_in_the_new_term),
    Mutation("B52", "only the last of the waiting reads is answered", only_the_last_read_is_answered),
    Mutation("B53", "a write is executed twice", write_is_executed_twice),
    Mutation("B54", "an unknown outcome is called failed", unknown_is_called_failed),
    Mutation("B54b", "success for an overwritten entry", answers_a_write_that_was_overwritten),
    Mutation("B64", "apply depends on the node", apply_depends_on_the_node),
    Mutation("6.4", "reads are not confirmed at all", reads_are_not_confirmed),
    Mutation("6.4b", "reads do not wait for apply", reads_do_not_wait_for_apply),
    Mutation("6.4c", "others' reads are not confirmed", questions_of_others_are_answered_at_once),
    Mutation("6.4d", "an answer serves reads that came later", answers_serve_later_reads),
)
