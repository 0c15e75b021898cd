"""One node, driven directly: for tests of a single rule.

The node is `n1`, its peers `n2`, `n3` and so on. Its disk is done with every write at once unless `disk_is_quick` is
False, and every message that it sends, now or after the disk, is in `sent` until `take` empties it.
"""

from collections.abc import Sequence

from raftdb.core import invariants
from raftdb.core.events import Event, Persisted, Proposed, Received, SnapshotFetched, Ticked
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    RequestPreVoteReply,
    RequestVoteReply,
)
from raftdb.core.model import ORIGIN, Entry, EntryKind, HardState, NodeId, Role, Term
from raftdb.core.raft import Raft
from raftdb.core.state import RaftSettings, RaftState
from raftdb.core.update import Update
from tests.blocks import blocks
from tests.core.cluster import FIRST_TERM, Disk, encode_members

ME = "n1"
SNAPSHOT_BYTES = 70_000
SNAPSHOT_DIGEST = bytes(range(32))
SETTINGS = RaftSettings(election_timeout_ticks=10, heartbeat_ticks=2)


def log_of(terms: Sequence[Term], nodes: int = 3) -> list[Entry]:
    """Entries with these terms; the first is the configuration of a cluster of so many voters."""
    data = encode_members(f"n{number}" for number in range(1, nodes + 1))
    first = Entry(1, terms[0], EntryKind.CONFIGURATION, data)
    return [
        first,
        *(Entry(index, term, EntryKind.COMMAND, b"old") for index, term in enumerate(terms[1:], start=2)),
    ]


def command(index: int, term: Term, data: bytes = b"new") -> Entry:
    """An entry that a leader sends."""
    return Entry(index, term, EntryKind.COMMAND, data)


def offer(leader: NodeId, term: Term, end: tuple[int, Term], configuration: bytes) -> InstallSnapshot:
    """The offer of a snapshot that ends there, with the configuration of entry 1."""
    return InstallSnapshot(leader, ME, term, *end, 1, configuration, SNAPSHOT_BYTES, SNAPSHOT_DIGEST)


def state_of(message: InstallSnapshot) -> list[Entry]:
    """The entries that made the state which the message speaks of: commands, but for the configuration."""
    entries = [command(index, FIRST_TERM, b"state") for index in range(1, message.last_index)]
    entries.append(command(message.last_index, message.last_term, b"state"))
    at = message.configuration_index - 1
    entries[at] = entries[at]._replace(kind=EntryKind.CONFIGURATION, data=message.configuration)
    return entries


class Direct:
    """See the module. `terms` are those of the entries that its disk begins with; the log begins behind
    `base_index`."""

    def __init__(
        self,
        *,
        terms: Sequence[Term] = (1,),
        term: Term | None = None,
        voted_for: NodeId | None = None,
        nodes: int = 3,
        settings: RaftSettings = SETTINGS,
        disk_is_quick: bool = True,
        base_index: int = 0,
    ) -> None:
        hard_state = HardState(terms[-1] if term is None else term, voted_for)
        entries = log_of(terms, nodes)
        self.disk = Disk(hard_state, entries, entries[base_index - 1].name if base_index else ORIGIN)
        self.raft: Raft = self.disk.boot(ME, settings, lambda low, high: low)
        self.peers = tuple(f"n{number}" for number in range(2, nodes + 1))
        self.disk_is_quick = disk_is_quick
        self.sent: list[Message] = []
        self.waiting: list[Update] = []
        self.received: list[Entry] = []

    @property
    def state(self) -> RaftState:
        """What the node thinks."""
        return self.raft.state

    def is_a(self, role: Role) -> bool:
        """True if the node is in this role now."""
        return self.state.role is role

    def step(self, event: Event) -> Update:
        """One step, with the invariants checked, and the disk after it."""
        before = invariants.snapshot(self.state)
        if isinstance(event, SnapshotFetched):
            self.received = state_of(event.offer)
        update = self.raft.step(event)
        invariants.check_state(self.state)
        invariants.check_step(before, self.state)
        self.sent.extend(update.messages)
        if update.persist is not None or update.messages_after_persist:
            self.waiting.append(update)
        if self.disk_is_quick:
            self.persist()
        return update

    def persist(self) -> None:
        """The disk is done with everything that waits for it."""
        waiting, self.waiting = self.waiting, []
        sequence = 0
        for update in waiting:
            if update.persist is not None:
                self.disk.write(update.persist, self.received)
                sequence = update.persist.sequence
            self.sent.extend(update.messages_after_persist)
        if sequence:
            self.step(Persisted(sequence))

    def receive(self, message: Message) -> list[Message]:
        """A message arrives; returns what is sent because of it."""
        self.take()
        self.step(Received(message))
        return self.take()

    def tick(self, times: int = 1) -> list[Message]:
        """So many ticks pass; returns what is sent meanwhile."""
        self.take()
        for _ in range(times):
            self.step(Ticked())
        return self.take()

    def propose(self, *payloads: bytes) -> Update:
        """Clients' payloads arrive."""
        return self.step(Proposed(payloads))

    def take(self) -> list[Message]:
        """Everything sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def become_candidate(self) -> None:
        """Its timeout passes, and all would elect it."""
        self.tick(self.state.election_deadline_ticks - self.state.election_elapsed_ticks)
        for peer in self.peers:
            self.receive(RequestPreVoteReply(peer, ME, self.state.term + 1, True))
            if self.state.role is not Role.PRE_CANDIDATE:
                break
        if len(self.peers) > 0:
            assert self.state.role is Role.CANDIDATE

    def become_leader(self, *, agreed: bool = True) -> None:
        """All elect it and (if `agreed`) hold what it holds, its no-op included."""
        self.become_candidate()
        for peer in self.peers:
            self.receive(RequestVoteReply(peer, ME, self.state.term, True))
        assert self.state.role is Role.LEADER
        if agreed:
            for peer in self.peers:
                self.acknowledge(peer, self.state.log.last_index)

    def acknowledge(self, peer: NodeId, match_index: int) -> list[Message]:
        """A peer says that it holds everything up to `match_index`."""
        return self.receive(AppendEntriesReply(peer, ME, self.state.term, match_index, True, match_index))

    def refuse(
        self, peer: NodeId, previous_index: int, hint_index: int = 0, hint_term: Term = 0
    ) -> list[Message]:
        """A peer refuses a message that began after `previous_index`."""
        reply = AppendEntriesReply(peer, ME, self.state.term, previous_index, False, 0, hint_index, hint_term)
        return self.receive(reply)

    def confirm_round(self, peer: NodeId, number: int) -> Update:
        """A peer answers a heartbeat round."""
        return self.step(Received(HeartbeatReply(peer, ME, self.state.term, number)))

    def hear_leader(self, leader: NodeId, term: Term, commit_index: int = 0) -> list[Message]:
        """A heartbeat of a leader arrives."""
        return self.receive(Heartbeat(leader, ME, term, commit_index, 1))

    def hear_entries(
        self,
        leader: NodeId,
        term: Term,
        previous: tuple[int, Term],
        terms: Sequence[Term],
        commit_index: int = 0,
    ) -> list[Message]:
        """Entries of a leader arrive: of these terms, after `previous`."""
        entries = blocks(
            command(previous[0] + offset, entry_term) for offset, entry_term in enumerate(terms, start=1)
        )
        return self.receive(AppendEntries(leader, ME, term, *previous, commit_index, entries))

    def hear_snapshot(
        self, leader: NodeId, term: Term, end: tuple[int, Term], nodes: int = 3
    ) -> list[Message]:
        """A leader offers its state up to `end`, which is fetched if it is needed; the configuration in it has so many
        voters."""
        data = encode_members(f"n{number}" for number in range(1, nodes + 1))
        self.take()
        self.fetch(offer(leader, term, end, data))
        return self.take()

    def fetch(self, message: InstallSnapshot) -> Update:
        """A snapshot is offered, and fetched if it is needed; returns what the last of the two brings."""
        update = self.step(Received(message))
        if update.snapshot_offered is None:
            return update
        return self.step(SnapshotFetched(update.snapshot_offered))

    def log_terms(self) -> list[Term | None]:
        """The terms of all entries of its log; None for those that are only in the state."""
        log = self.state.log
        return [log.term_at(index) for index in range(1, log.last_index + 1)]
