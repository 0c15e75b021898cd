"""What a node knows, for the parts that only read it: frontends, status, and the parts of the server around the driver.

The consensus state belongs to the replica, and only its turns change it. Other parts read it here, so that all that
they may depend on is in one place, and none of them changes by accident what the core decides. Each result is a value,
or may be read until the next turn.
"""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from raftdb.core.membership import Configuration
from raftdb.core.model import Index, Member, NodeId, Role, Term
from raftdb.core.timing import election_timeout_ticks
from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.sessions import session_count
from raftdb.machine.values import value_count
from raftdb.node import starts
from raftdb.node.counts import NodeCounts
from raftdb.node.history import History
from raftdb.node.replica import Replica
from raftdb.node.standing import Standing, is_cast_out, standing_of
from raftdb.wire.handshake import Hello, Welcome


class Followed(NamedTuple):
    """How far a leader knows another member to be."""

    match_index: Index
    is_caught_up: bool


class NodeView:
    """A read-only view of a node. It keeps nothing but the `replica`."""

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    @property
    def id(self) -> NodeId:
        """The id of this node."""
        return self._replica.raft.state.id

    @property
    def term(self) -> Term:
        """The term that this node is in."""
        return self._replica.raft.state.term

    @property
    def role(self) -> Role:
        """The role of this node in its term."""
        return self._replica.raft.state.role

    @property
    def is_leader(self) -> bool:
        """True while this node leads, as far as it knows."""
        return self._replica.raft.state.role is Role.LEADER

    @property
    def leader(self) -> LeaderHint | None:
        """Where the leader is, if this node knows."""
        return self._replica.leader_hint()

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the latest one in the log, committed or not."""
        return self._replica.raft.state.configurations.latest

    @property
    def configuration_index(self) -> Index:
        """Index of the entry that holds it; 0 if there is none."""
        return self._replica.raft.state.configurations.latest_index

    @property
    def committed_configuration(self) -> Configuration:
        """The last one that is known to be committed; an empty one if none is."""
        core = self._replica.raft.state
        return core.configurations.committed_at(core.commit_index)[1]

    def find(self, node: NodeId) -> Member | None:
        """The member with that id; also one that was just removed."""
        return self._replica.raft.state.configurations.find(node)

    def peers(self) -> dict[NodeId, Endpoint]:
        """The nodes that this node talks to, and where each is reached."""
        return {node: member.http for node, member in self._replica.raft.peers().items()}

    @property
    def followed(self) -> Mapping[NodeId, Followed]:
        """What a leader knows of the others; empty where this node does not lead."""
        leadership = self._replica.raft.state.leadership
        if leadership is None:
            return {}
        return {
            node: Followed(progress.match_index, progress.is_caught_up)
            for node, progress in leadership.progress.items()
        }

    @property
    def links(self) -> Set[NodeId]:
        """The peers that messages can reach now."""
        return self._replica.links

    @property
    def first_index(self) -> Index:
        """The first entry that the log still has, or will have."""
        return self._replica.raft.state.log.base.index + 1

    @property
    def last_index(self) -> Index:
        """The last entry of the log, on disk or not; 0 if there was none."""
        return self._replica.raft.state.log.last_index

    def term_runs(self, limit: int) -> list[tuple[Index, Term]]:
        """Where each of the newest `limit` terms begins in the log."""
        return self._replica.raft.state.log.term_runs(limit)

    @property
    def election_timer_ms(self) -> tuple[int, int] | None:
        """How long this node has heard no leader, and after how long it stands for election; None while it leads."""
        core = self._replica.raft.state
        if core.role is Role.LEADER:
            return None
        tick_ms = core.settings.tick_ms
        return core.election_elapsed_ticks * tick_ms, core.election_deadline_ticks * tick_ms

    @property
    def persisted_index(self) -> Index:
        """The last entry that is on this node's disk."""
        return self._replica.raft.state.log.persisted_index

    @property
    def commit_index(self) -> Index:
        """The last entry that is known to be committed."""
        return self._replica.raft.state.commit_index

    @property
    def applied_index(self) -> Index:
        """The last entry in the state."""
        return self._replica.applied_index

    @property
    def checkpoint_index(self) -> Index:
        """The last entry in the durable state."""
        return self._replica.checkpoint_index

    @property
    def pending_count(self) -> int:
        """Requests that wait for their answer."""
        return self._replica.pending_count

    @property
    def waiting_count(self) -> int:
        """Requests that are held until they can be served."""
        return self._replica.waiters.count

    @property
    def receivers_count(self) -> int:
        """Of those that are held, how many wait for messages of queues."""
        return self._replica.waiters.count_below(QUEUE_PREFIX)

    @property
    def readable_state(self) -> KeyValueView | None:
        """The state as it is applied here; None while a snapshot is put in place."""
        return self._replica.readable_state

    @property
    def clock_ms(self) -> int | None:
        """The cluster clock as it is applied here; None while a snapshot is put in place."""
        state = self._replica.readable_state
        return None if state is None else read_clock(state)

    @property
    def latest_time_ms(self) -> int:
        """The time of the cluster as far as this node knows it, which may be ahead of `clock_ms`; 0 before any."""
        return self._replica.clock.latest_ms(self._replica.raft.state)

    @property
    def session_count(self) -> int | None:
        """How many sessions there are here; None while a snapshot is put in place."""
        state = self._replica.readable_state
        return None if state is None else session_count(state)

    @property
    def key_count(self) -> int | None:
        """How many keys have a value here, those included whose time is up and which are not swept yet; None while a
        snapshot is put in place."""
        state = self._replica.readable_state
        return None if state is None else value_count(state)

    @property
    def counts(self) -> NodeCounts:
        """What the node counts of itself."""
        return self._replica.counts

    @property
    def proposals_count(self) -> int:
        """Writes that wait until they are committed and applied."""
        return self._replica.proposals_count

    def trip_seconds(self, node: NodeId) -> float | None:
        """How long a small message takes to that node and back; None if it was not measured."""
        trip_ms = self._replica.raft.state.measured.trip_ms(node)
        return None if trip_ms is None else trip_ms / 1000

    @property
    def entries_memory_bytes(self) -> int:
        """Memory that entries of the log take."""
        return self._replica.raft.state.log.memory_bytes

    @property
    def changes_memory_bytes(self) -> int:
        """Memory that changes take which are not yet durable in the state."""
        return self._replica.changes_memory_bytes

    @property
    def history(self) -> History:
        """The changes that were applied here lately."""
        return self._replica.history

    @property
    def election_timeout_s(self) -> float:
        """How long a follower here waits for a leader, at least."""
        core = self._replica.raft.state
        return election_timeout_ticks(core) * core.settings.tick_ms / 1000

    @property
    def is_voter(self) -> bool:
        """True if the configuration in force lets this node vote."""
        return self._replica.raft.state.is_voter

    @property
    def is_removed(self) -> bool:
        """True if this node is no member any more, by its own log or by a peer's word."""
        return self._replica.is_removed

    @property
    def is_new(self) -> bool:
        """True while this node has never taken part in the cluster, or has lost all memory of it."""
        return self._replica.is_new

    def is_put_back(self, node: NodeId) -> bool:
        """True if the folder of that node is an older copy of itself, so that the node does not count for now."""
        return node in self._replica.raft.state.doubts

    def folder_of(self, node: NodeId) -> str | None:
        """The data folder that a node was last met as, this one included."""
        return self._replica.raft.state.folders.get(node)

    def standing_of(self, node: NodeId) -> Standing:
        """Which folder a peer that says this id has to be: see `raftdb.node.standing`."""
        return standing_of(self._replica.raft.state, node)

    def is_cast_out(self, by: Set[NodeId]) -> bool:
        """True if this node can have no majority without these: see `raftdb.node.standing`."""
        return is_cast_out(self._replica.raft.state, by)

    def is_in_doubt(self, node: NodeId, doubted: Sequence[str]) -> bool:
        """True if a folder with these starts does not count yet: see `raftdb.node.starts`."""
        return starts.is_in_doubt(self._replica.raft.state, node, doubted)

    def meet(
        self, known: starts.KnownStarts | None, introduction: Hello | Welcome
    ) -> tuple[starts.KnownStarts, bool]:
        """The record to write of a node that introduces itself: see `raftdb.node.starts`."""
        return starts.meet(self._replica.raft.state, known, introduction)
