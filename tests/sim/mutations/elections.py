"""Planted bugs of terms, votes and elections."""

from dataclasses import replace
from typing import Any

from raftdb.core import elections, follower, leader, quorum, raft
from raftdb.core.messages import (
    AppendEntries,
    Message,
)
from raftdb.core.model import NodeId, Role
from raftdb.core.roles import become_follower
from raftdb.core.state import Candidacy, RaftState
from raftdb.node.replica import Replica
from raftdb.node.stored import encode_hard_state
from raftdb.node.turn import PersistJob
from raftdb.simulation.broken_rules import any_log_may_lead, term_is_not_stored, votes_twice
from raftdb.simulation.planting import Patches, handlers
from storage.contract import LogBatch
from tests.sim.mutations.planting import Mutation


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
        (elections, "Candidacy", lambda **given: Candidacy(granted=Tally(), **given)),  # type: ignore[arg-type]
        (quorum, "is_majority", by_number),
    ]


def shorter_log_of_equal_term_may_lead() -> Patches:
    plain = elections._refusal_of_candidate

    def refusal(state: RaftState, message: Any) -> str | None:
        if message.last_term == state.log.last_term:
            message = replace(message, last_index=max(message.last_index, state.log.last_index))
        return plain(state, message)

    return [(elections, "_refusal_of_candidate", refusal)]


def newer_term_in_an_answer_is_not_heard() -> Patches:
    plain = raft._enter_term_of

    def deaf(state: RaftState, message: Message) -> bool:
        if state.role is Role.LEADER and message.term > state.term:
            return False
        return plain(state, message)

    return [(raft, "_enter_term_of", deaf), (leader, "heard_from_majority", lambda *_: True)]


def wiped_node_votes() -> Patches:
    from raftdb.simulation.links import Links

    plain = Links._answer

    def answer(self: Links, callee: Any, hello: Any) -> Any:
        callee.peers.pins[hello.source] = hello.node_uuid
        return plain(self, callee, hello)

    def answered(self: Links, node: NodeId, epoch: int, peer: NodeId, data: bytes, began_us: int) -> None:
        self._hosts[node].peers.pins.pop(peer, None)
        plain_answered(self, node, epoch, peer, data, began_us)

    plain_answered = Links._answered
    return [
        (Links, "_answer", answer),
        (Links, "_answered", answered),
        (Replica, "is_unproven", property(lambda self: False)),
    ]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B01", "term and vote are not stored", term_is_not_stored),
    Mutation("B02", "speaks before its disk has synced", speaks_before_sync),
    Mutation("B03", "vote and term in two writes", vote_before_term),
    Mutation("B04", "vote forgotten when stepping back", vote_forgotten_on_step_back),
    Mutation("B05", "votes counted by number, not by voter", votes_counted_by_number),
    Mutation(
        "B10", "newer term in an answer not heard, no quorum check", newer_term_in_an_answer_is_not_heard
    ),
    Mutation("B36", "a wiped node votes", wiped_node_votes),
    Mutation("3.4", "a node votes twice in a term", votes_twice),
    Mutation("3.6.1", "any log may lead", any_log_may_lead),
    Mutation("3.6.1b", "a shorter log of equal term may lead", shorter_log_of_equal_term_may_lead),
)
