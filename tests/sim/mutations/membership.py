"""Planted bugs of changes of the members and transfers of the leadership."""

from dataclasses import replace
from typing import Any

from raftdb.core import changes, leader, parting, quorum, raft, reads, transfer
from raftdb.core.events import AddMember, TransferAsked
from raftdb.core.membership import Configuration, ConfigurationHistory
from raftdb.core.state import Leadership, RaftState
from raftdb.core.update import Refusal
from raftdb.node import stored
from raftdb.node.membership import MembershipRequests
from raftdb.node.standing import standing_of
from raftdb.simulation import peers
from raftdb.simulation.planting import Patches
from tests.sim.mutations.planting import Mutation

# --- configurations


def truncated_configuration_stays() -> Patches:
    return [(ConfigurationHistory, "truncated_from", lambda self, index: False)]


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
    return [(stored, "LOADED_KINDS", frozenset())]


def also_counted(*others: str) -> Patches:
    """Of what is committed, besides the voters: the leader itself, or those that it has removed."""

    def advance_commit(state: RaftState, leadership: Leadership) -> None:
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[state.id] = state.log.persisted_index
        more = {"leader": {state.id}, "parting": set(leadership.parting)}
        voters = set(state.configurations.voters).union(*(more[other] for other in others))
        index = quorum.reached_by_majority(voters, held)
        if index > state.commit_index and state.log.term_at(index) == state.term:
            state.commit_to(index)
            reads.serve_held(state, leadership)

    return [(leader, "advance_commit", advance_commit)]


def removed_leader_stays() -> Patches:
    return [(transfer, "leave_if_removed", lambda state: None)]


def removed_nodes_are_not_told() -> Patches:
    def tick(state: RaftState, leadership: Leadership) -> None:
        for node in list(leadership.parting):
            parting._forget(state, leadership, node, "why not")

    plain = standing_of

    def blind(core: RaftState, node: str) -> Any:
        return plain(core, node)._replace(is_removed=False)

    return [(parting, "tick", tick), (peers, "standing_of", blind)]


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


def learners_count() -> Patches:
    plain = ConfigurationHistory._refresh

    def refresh(self: ConfigurationHistory) -> None:
        plain(self)
        self.voters = self.ids

    return [(ConfigurationHistory, "_refresh", refresh)]


def folders_are_not_written_down() -> Patches:
    plain = changes._append

    def append(state: RaftState, leadership: Leadership, configuration: Configuration) -> Any:
        folders, state.folders = state.folders, {}
        outcome = plain(state, leadership, configuration)
        state.folders = folders
        return outcome

    return [(changes, "_append", append)]


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

    return [(raft.STEPS, TransferAsked, ask)]  # type: ignore[list-item]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B36b", "folders of voters are not in the log", folders_are_not_written_down),
    Mutation("B37", "a truncated configuration stays in force", truncated_configuration_stays),
    Mutation(
        "B38", "members change before the leader's no-op is committed", changes_before_the_no_op_is_committed
    ),
    Mutation("B38b", "two changes of the members at a time", two_changes_at_a_time),
    Mutation(
        "B39",
        "a start does not find the configuration in its log",
        configuration_in_the_log_is_not_found_by_a_start,
    ),
    Mutation("B40", "a removed leader counts itself", lambda: also_counted("leader")),
    Mutation("B40b", "a removed leader goes on leading", removed_leader_stays),
    Mutation("B40c", "a removed follower counts", lambda: also_counted("parting", "leader")),
    Mutation("B40d", "a removed node is not told", removed_nodes_are_not_told),
    Mutation("B41", "removed ids are forgotten", removed_ids_are_forgotten),
    Mutation("B41b", "a removed id is added again", removed_id_is_added_again),
    Mutation("B44", "a new node votes at once", new_node_votes_at_once),
    Mutation("B44b", "learners count", learners_count),
    Mutation("B45", "writes are taken while another is to take over", takes_writes_during_a_transfer),
    Mutation("B46", "a transfer has no end", transfer_has_no_end),
    Mutation("B46b", "stepping down answers no transfer", step_down_answers_no_transfer),
    Mutation("B46c", "a transfer is said to be done at once", transfer_is_said_to_be_done_at_once),
)
