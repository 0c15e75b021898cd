"""All that a node knows about consensus, and the few ways in which every rule may change it.

The rules themselves are functions over this state: `elections`, `follower`, `leader`, `reads`. What is on disk is
a copy of `term`, `voted_for` and the log; everything else is volatile and starts anew (thesis figure 3.1).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raftdb.core import quorum
from raftdb.core.block import Block, blocks_of
from raftdb.core.log import Log
from raftdb.core.measured import Measured
from raftdb.core.membership import ConfigurationHistory
from raftdb.core.messages import Message
from raftdb.core.model import EntryId, EntryKind, HardState, Index, Member, NodeId, Role, StartId, Term
from raftdb.core.progress import Progress
from raftdb.core.update import Output, Trace
from raftdb.errors import InvariantBroken

RandomRange = Callable[[int, int], int]
"""`randrange(low, high)`: an integer, `low <= n < high`. Injected, so that a seed gives one run."""


@dataclass(frozen=True, slots=True)
class RaftSettings:
    """Limits and timings of the core; times in ticks of the driver's clock.

    The election timeout is drawn from [election_timeout_ticks, 2 * election_timeout_ticks) (thesis 3.4). A leader
    that hears from no majority for 2 * election_timeout_ticks steps down (thesis 6.2). On a network that is slower than
    these settings allow, both times are longer and heartbeats rarer (`raftdb.core.timing`).
    """

    election_timeout_ticks: int = 12
    heartbeat_ticks: int = 3
    tick_ms: int = 25
    """How long a tick is, to convert what peers say in milliseconds and bounds that are the same on all nodes."""
    disk_patience_ticks: int = 120
    """A leader whose disk has not finished a write for so long steps down."""
    batch_bytes_max: int = 1 << 20
    """One AppendEntries carries no more than this, but for one larger entry (hazard B23)."""
    batch_entries_max: int = 8192
    """Nor more entries than this."""
    in_flight_bytes_max: int = 4 << 20
    """Sent to one follower ahead of its acknowledgements (hazard B92)."""
    in_flight_messages_max: int = 256
    uncommitted_bytes_max: int = 24 << 20
    """Proposals are refused while so much waits for a majority, or for the own disk."""
    cache_bytes_max: int = 64 << 20
    """Memory for entries that are kept beside those not yet on disk or not committed."""
    reads_anywhere: bool = False
    """Clients' reads are served where they come, and not only where this node leads."""

    def __post_init__(self) -> None:
        if self.tick_ms < 1:
            raise ValueError("tick_ms must be at least 1")
        if not 1 <= self.heartbeat_ticks < self.election_timeout_ticks:
            raise ValueError("heartbeat_ticks must be at least 1 and below election_timeout_ticks")
        for name in (
            "batch_bytes_max",
            "in_flight_bytes_max",
            "in_flight_messages_max",
            "uncommitted_bytes_max",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


@dataclass(slots=True)
class Candidacy:
    """The answers that a pre-candidate or candidate has gathered."""

    granted: set[NodeId] = field(default_factory=set)
    refused: set[NodeId] = field(default_factory=set)
    transfer: bool = False
    """The leader asked for this election."""


class PeersRead(NamedTuple):
    """The reads behind question `number` of a node that does not lead."""

    node: NodeId
    number: int


@dataclass(slots=True)
class PendingRead:
    """Reads that wait for `round` to be confirmed; any state that has applied `read_index` may serve them."""

    round: int
    read_index: Index
    reads: tuple[int | PeersRead, ...]


@dataclass(slots=True)
class Inquiry:
    """The reads of a node that does not lead, for which it asks the leader. One question is on its way at a time."""

    leader_id: NodeId | None = None
    term: Term = 0
    """Whom it asks, in which term: with either the reads end."""
    held: list[int] = field(default_factory=list)
    """Reads that came after the question was asked."""
    asked: tuple[int, ...] = ()
    number: int = 0
    """The number of the last question, 0 before the first."""
    waits_ticks: int = 0


@dataclass(slots=True)
class Parting:
    """A member that the leader has removed, and that still gets the log until it knows."""

    member: Member
    index: Index
    """The configuration that removes it."""
    round: int | None = None
    """The heartbeat round that told the member that its removal is committed."""
    ticks: int = 0


@dataclass(slots=True)
class Transfer:
    """The leadership is being handed over, or was, and the callers that asked for it wait for the outcome."""

    target: NodeId
    term: Term
    """The term in which the transfer was asked for, and in which this node led."""
    request_ids: list[int]
    is_said: bool = False
    """The target was told to take over."""
    ticks: int = 0


@dataclass(slots=True)
class Leadership:
    """What only a leader knows, from the day it is elected until it steps down."""

    progress: dict[NodeId, Progress]
    """One per other member, in sorted order of id; and one per parting member."""
    term_start_index: Index
    """Index of the no-op that opened the term: once it is committed, the leader knows which entries are committed
    (thesis 3.6.2, 6.4)."""
    heartbeat_elapsed_ticks: int = 0
    disk_waits_ticks: int = 0
    """Ticks in which the own disk had something to write and finished nothing."""
    persisted_sequence_seen: int = 0
    round: int = 0
    """The last heartbeat round begun; with the term it names a round for ever (hazard B50)."""
    reads_held: list[int | PeersRead] = field(default_factory=list)
    """Reads that wait for the next round, or for the no-op to commit."""
    reads_pending: list[PendingRead] = field(default_factory=list)
    parting: dict[NodeId, Parting] = field(default_factory=dict)


@dataclass(slots=True)
class RaftState:
    """One node's consensus state."""

    id: NodeId
    settings: RaftSettings
    randrange: RandomRange
    log: Log
    configurations: ConfigurationHistory
    term: Term = 0
    voted_for: NodeId | None = None
    role: Role = Role.FOLLOWER
    leader_id: NodeId | None = None
    commit_index: Index = 0
    election_elapsed_ticks: int = 0
    election_deadline_ticks: int = 0
    measured: Measured = field(default_factory=Measured)
    candidacy: Candidacy | None = None
    has_given_way: bool = False
    """This node has stepped back for another that asked for pre-votes, and no leader or term has come since."""
    answers_told: dict[NodeId, tuple[str, Term, str | None]] = field(default_factory=dict)
    """The answer that each member got last as a candidate: what it was, in which term, and why it was refused."""
    leadership: Leadership | None = None
    inquiry: Inquiry = field(default_factory=Inquiry)
    transfer: Transfer | None = None
    folders: dict[NodeId, str] = field(default_factory=dict)
    """The data folder that each node was last met as, this one included."""
    starts: dict[NodeId, StartId] = field(default_factory=dict)
    """The start that each node was last met in, this one included."""
    doubts: dict[NodeId, tuple[str, ...]] = field(default_factory=dict)
    """Nodes whose folder was put back, this one included: their votes and acknowledgements do not count. The nonces of
    the starts in which each was met since that was found out (`raftdb.core.doubts`)."""
    unlearned: int = 0
    """How often a match index was unlearned, because a follower's folder was put back."""
    was_told_removed: bool = False
    sequence: int = 0
    """Number of the last `Persist` handed out."""
    hard_state_sequence: int = 0
    """Number of the last `Persist` that carried a hard state."""
    persisted_sequence: int = 0
    output: Output = field(default_factory=Output)

    @property
    def is_voter(self) -> bool:
        """True if the configuration in force lets this node vote and stand for election."""
        return self.id in self.configurations.voters

    @property
    def may_stand(self) -> bool:
        """True if this node may be needed as a leader (thesis 4.2.2).

        A node that its latest configuration leaves out may stand until it knows that this configuration is committed:
        it may be the only node that has the entry and that the others' votes can elect. A node that has forgotten what
        it promised never stands: neither its own vote nor what it remembers of others can be relied on (hazard B40).
        """
        if self.was_told_removed or self.id in self.doubts:
            return False
        possible = self.configurations.possible_at(self.commit_index)
        return any(self.id in configuration.voters for configuration in possible)

    @property
    def is_removed(self) -> bool:
        """True if this node knows for certain that it is no member any more."""
        return (
            self.was_told_removed or self.id in self.configurations.committed_at(self.commit_index)[1].removed
        )

    @property
    def hands_over(self) -> bool:
        """True while this node leads and takes nothing new, because another node is to lead soon: the leadership is
        being transferred, or this node's own removal waits to be committed."""
        if self.leadership is None:
            return False
        is_transferred = self.transfer is not None and self.transfer.term == self.term
        return is_transferred or not self.is_voter

    @property
    def hard_state_is_durable(self) -> bool:
        """True if a crash now would bring back this very term and vote."""
        return self.output.hard_state is None and self.hard_state_sequence <= self.persisted_sequence

    @property
    def awaits_disk(self) -> bool:
        """False if nothing follows yet from the own log being on disk up to its end: this node leads, and not even with
        itself a majority holds more than what is committed. It is never wrong to say True."""
        leadership = self.leadership
        if leadership is None or not self.hard_state_is_durable:
            return True
        held = {node: progress.match_index for node, progress in leadership.progress.items()}
        held[self.id] = self.log.last_index
        return self.reached_by_majority(held) > self.commit_index

    def is_majority(self, nodes: Collection[NodeId]) -> bool:
        """True if these nodes may decide: they are a majority of the voters, also without relying on nodes in doubt."""
        if not quorum.is_majority(self.configurations.voters, nodes):
            return False
        return not self.doubts or quorum.is_sound(self._electorates(), nodes, self.doubts)

    def reached_by_majority(self, values: Mapping[NodeId, int]) -> int:
        """The highest value that was reached by nodes that may decide (`is_majority`)."""
        reached = quorum.reached_by_majority(self.configurations.voters, values)
        if not self.doubts:
            return reached
        return min(reached, quorum.reached_soundly(self._electorates(), values, self.doubts))

    def _electorates(self) -> list[tuple[NodeId, ...]]:
        """The voters of each configuration by whose majority something may have been decided without this node's
        knowing: the last one, and the one before it. Earlier ones are out of force, because a change begins only once
        the one before it is committed."""
        possible = self.configurations.possible_at(self.commit_index)
        return [configuration.voters for configuration in possible[-2:]]

    def say(self, message: Message) -> None:
        """Send now, unless the term or the vote it speaks in is not on disk yet (thesis 3.8, hazard B02)."""
        if self.hard_state_is_durable:
            self.output.messages.append(message)
        else:
            self.output.messages_after_persist.append(message)

    def promise(self, message: Message) -> None:
        """Send votes and acknowledgements, once everything so far is on disk."""
        self.output.messages_after_persist.append(message)

    def trace(self, event: str, *, level: str = "info", **details: object) -> None:
        """Tell people what happened."""
        self.output.traces.append(Trace(event, tuple(details.items()), level))

    def set_hard_state(self, term: Term, voted_for: NodeId | None) -> None:
        """Change term and vote, as one record (hazard B03). The term never goes back; a vote is given once in it."""
        if term < self.term or (term == self.term and self.voted_for not in (None, voted_for)):
            raise InvariantBroken(
                f"vote for {voted_for!r} in term {term} after {self.voted_for!r} in {self.term}"
            )
        self.term = term
        self.voted_for = voted_for
        self.output.hard_state = HardState(term, voted_for)

    def append_to_log(self, blocks: Sequence[Block]) -> None:
        """Add blocks after the last entry, to be persisted with this step."""
        self.log.append(blocks)
        self.output.blocks.extend(blocks)
        if self.configurations.appended(blocks):
            self.configuration_changed()

    def truncate_log_from(self, index: Index) -> None:
        """Drop entries that conflict with the leader's. A committed one never does (State Machine Safety, 3.6.3)."""
        if index <= self.commit_index:
            raise InvariantBroken(f"truncation from {index} would undo commit {self.commit_index}")
        if self.output.blocks:
            raise InvariantBroken("a step truncates after it has appended")
        self.log.truncate_from(index)
        self.output.truncate_from = index
        if self.configurations.truncated_from(index):
            self.configuration_changed()

    def install_snapshot(self, end: EntryId, configuration_index: Index, configuration: bytes) -> None:
        """Let a received snapshot replace state and log: everything up to `end` is committed, everything else is
        gone."""
        if end.index <= self.commit_index:
            raise InvariantBroken(f"snapshot to {end} would undo commit {self.commit_index}")
        self.log.reset(end)
        self.configurations.reset(configuration_index, configuration)
        self.output.install = end
        self.commit_index = end.index
        self.output.commit_index = end.index
        self.configuration_changed()

    def configuration_changed(self) -> None:
        """Follow a new configuration: a leader starts to track new members, and parts from removed ones."""
        latest = self.configurations.latest
        self.trace(
            "configuration in force",
            index=self.configurations.latest_index,
            voters=latest.voters,
            learners=tuple(member.id for member in latest.members if not member.voter) or None,
        )
        self.output.peers_changed = True
        if self.leadership is None:
            return
        known, parting = self.leadership.progress, self.leadership.parting
        for node in known:
            member = self.configurations.find(node)
            if node not in latest.ids and node not in parting and member is not None:
                parting[node] = Parting(member, self.configurations.latest_index)
        self.leadership.progress = {
            node: known.get(node) or Progress(next_index=self.log.last_index)
            for node in sorted({*latest.ids, *parting})
            if node != self.id
        }

    def commit_to(self, index: Index) -> None:
        """Entries up to `index` are committed. Never goes back (hazard B12)."""
        if index <= self.commit_index:
            return
        if index > self.log.last_index:
            raise InvariantBroken(f"commit {index} beyond the log's end {self.log.last_index}")
        self.commit_index = index
        self.output.commit_index = index
        self.trace("committed", level="info", commit_index=index)

    def append_as_leader(self, payloads: Sequence[bytes], kind: EntryKind) -> Index:
        """Append payloads as entries of this term; returns the index of the first."""
        first = self.log.last_index + 1
        self.append_to_log(blocks_of(first, self.term, kind, payloads))
        self.trace("appended", first_index=first, last_index=self.log.last_index, term=self.term)
        return first
