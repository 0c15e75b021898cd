"""Planted bugs of membership and transfer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raftdb.core import changes, leader, parting, quorum, reads, transfer
from raftdb.core.events import AddMember, RemoveMember, TransferAsked
from raftdb.core.membership import Configuration, ConfigurationHistory
from raftdb.core.model import Index, NodeId, Role
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import Refusal
from raftdb.node import persist
from raftdb.node.membership import MembershipRequests
from raftdb.simulation import peers
from tests.sim.mutations.planting import Mutation, Patches

# --- configurations


def truncated_configuration_stays() -> Patches:
    return [(ConfigurationHistory, "truncated_from", lambda self, index: False)]


def counts_only_once_committed() -> Patches:
    plain = ConfigurationHistory._refresh

    def refresh(self: ConfigurationHistory) -> None:
        latest = self._history[-1:]
        if len(self._history) > 1:
            del self._history[-1:]
        plain(self)
        self._history += latest if latest != self._history[-1:] else []

    return [(ConfigurationHistory, "_refresh", refresh)]


def changes_before_the_no_op_is_committed() -> Patches:
    plain = changes.why_not_now

    def why_not_now(state: RaftState, leadership: Leadership) -> Refusal | None:
        return plain(state, replace(leadership, term_start_index=0))

    return [(changes, "why_not_now", why_not_now)]


def two_changes_at_a_time() -> Patches:
    def why_not_now(state: RaftState, leadership: Leadership) -> Refusal | None:
        is_ready = state.commit_index >= leadership.term_start_index and not state.hands_over
        return None if is_ready else Refusal("busy", "not yet")

    return [(changes, "why_not_now", why_not_now)]


def configuration_in_the_log_is_not_found_by_a_start() -> Patches:
    return [(persist, "RECOVERED_KINDS", frozenset())]


def removed_leader_counts_itself() -> Patches:
    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[state.id] = state.log.persisted_index
        index = quorum.reached_by_majority({*state.configurations.voters, state.id}, held)
        if index > state.commit_index and state.log.term_at(index) == state.term:
            state.commit_to(index)
            reads.serve_held(state, leadership)

    return [(leader, "advance_commit", advance_commit)]


def removed_leader_stays() -> Patches:
    return [(transfer, "leave_if_removed", lambda state: None)]


def removed_follower_counts() -> Patches:
    plain = leader.advance_commit

    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        voters = state.configurations.voters
        state.configurations.voters = tuple(sorted({*voters, *leadership.parting}))
        plain(state, leadership)
        state.configurations.voters = voters

    return [(leader, "advance_commit", advance_commit)]


def removed_ids_are_forgotten() -> Patches:
    plain = changes._with

    def with_member(configuration: Configuration, new: Any) -> Configuration:
        return replace(plain(configuration, new), removed=configuration.removed[1:])

    return [(changes, "_with", with_member)]


def removed_id_is_added_again() -> Patches:
    plain = changes._add

    def add(state: RaftState, leadership: Leadership, change: AddMember, force: bool) -> Any:
        configuration = state.configurations.latest
        left = tuple(node for node in configuration.removed if node != change.member.id)
        state.configurations.latest = replace(configuration, removed=left)
        outcome = plain(state, leadership, change, force)
        state.configurations.latest = configuration
        return outcome

    return [(changes._RULES, AddMember, add)]  # type: ignore[list-item]


def new_node_votes_at_once() -> Patches:
    plain = changes._add

    def add(state: RaftState, leadership: Leadership, change: AddMember, force: bool) -> Any:
        outcome = plain(state, leadership, change, force)
        if isinstance(outcome, Refusal):
            return outcome
        joined = outcome.find(change.member.id)
        assert joined is not None
        return changes._with(outcome, replace(joined, voter=True, joining=False))

    return [(changes._RULES, AddMember, add)]  # type: ignore[list-item]


def learner_counts() -> Patches:
    return [(Configuration, "voters", property(lambda self: self.ids))]


def folders_are_not_written_down() -> Patches:
    plain = changes._append

    def append(state: RaftState, leadership: Leadership, configuration: Configuration) -> Any:
        members = tuple(
            replace(member, uuid=state.folders[member.id]) if member.voter and member.uuid is None else member
            for member in configuration.members
        )
        del members
        folders, state.folders = state.folders, {}
        try:
            return plain(state, leadership, configuration)
        finally:
            state.folders = folders

    return [(changes, "_append", append)]


def removal_needs_no_majority_alive() -> Patches:
    return [(changes, "_too_few_alive", lambda *arguments: None)]


def removed_nodes_are_not_told() -> Patches:
    class Nobody(dict[NodeId, Any]):
        def __setitem__(self, node: NodeId, value: Any) -> None: ...

    return [
        (Leadership, "parting", Nobody()),
        (peers.Peers, "why_not", lambda self, peer, uuid: None),
    ]


# --- transfers


def takes_writes_during_a_transfer() -> Patches:
    return [
        (RaftState, "hands_over", property(lambda self: False)),
        (MembershipRequests, "pass_on", lambda self, writes: (writes, [])),
    ]


def transfer_has_no_end() -> Patches:
    return [(transfer, "tick", lambda state: None)]


def step_down_answers_no_transfer() -> Patches:
    def settle(state: RaftState) -> None:
        if state.leadership is None:
            state.transfer = None

    return [(transfer, "settle", settle)]


def transfer_is_said_to_be_done_at_once() -> Patches:
    plain = transfer.ask

    def ask(state: RaftState, event: TransferAsked) -> None:
        plain(state, event)
        if state.transfer is not None and event.request_id in state.transfer.request_ids:
            state.transfer.request_ids.remove(event.request_id)
            transfer._answer(state, event.request_id, None)

    return [(transfer, "ask", ask)]


MUTATIONS: Sequence[Mutation] = ()
