"""A whole cluster in one process: cores, their disks and the network between them, all moved by hand.

Nothing happens by itself but the disk, which is quick unless it is held: a write is done right after the step that
asked for it. Messages stay in flight until they are delivered, lost or doubled. After every step the invariants of
`raftdb.core.invariants` hold, and so do those that need more than one node, or the disk, to be seen:

* no two different entries are ever committed at one index (State Machine Safety, thesis 3.6.3);
* logs that share a name share everything before it (Log Matching, thesis 3.5);
* a vote, or an acknowledgement, that is on its way is on the sender's disk (thesis 3.8).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raftdb.core import invariants
from raftdb.core.block import entries_of
from raftdb.core.describe import describe_trace
from raftdb.core.events import (
    Compacted,
    EntriesLoaded,
    Event,
    PeerMet,
    Persisted,
    Received,
    SnapshotFetched,
    SnapshotMade,
    Ticked,
)
from raftdb.core.log import Log
from raftdb.core.membership import Configuration, ConfigurationHistory, Form
from raftdb.core.messages import AppendEntriesReply, InstallSnapshot, Message, RequestVoteReply
from raftdb.core.model import (
    NO_START,
    ORIGIN,
    Entry,
    EntryId,
    EntryKind,
    HardState,
    Index,
    Member,
    NodeId,
    StartId,
    Term,
)
from raftdb.core.raft import Raft
from raftdb.core.state import RaftSettings
from raftdb.core.update import EntriesWanted, Persist, Update
from tests.addresses import at
from tests.blocks import blocks
from tests.core.words import describe_message

DELIVERIES_MAX = 10_000
"""More deliveries than this in one go mean that the cluster talks in a circle."""
FIRST_TERM = 1
LIFE = "life"
"""The birth of every cluster of these tests: it was written down before they begin."""


def encode_members(
    voters: Iterable[NodeId], learners: Iterable[NodeId] = (), removed: Iterable[NodeId] = ()
) -> bytes:
    """A configuration as these tests write it: `n1,n2/n3+,n4/n5`: voters, learners (with a plus: those that are to
    join), removed ids. An address that is not the id stands behind `@`, a folder behind `#`, a start that is
    not the first behind `~`."""
    parts = [",".join(sorted(part)) for part in (voters, learners, removed)]
    return "/".join(parts if parts[2] else parts[:2]).encode()


def decode_members(data: bytes) -> Configuration:
    """The inverse of `encode_members`."""
    voters, learners, removed = (*data.decode().split("/"), "")[:3]
    members = [decode_member(word, voter=True) for word in voters.split(",") if word]
    members += [decode_member(word, voter=False) for word in learners.split(",") if word]
    ordered = sorted(members, key=lambda member: member.id)
    return Configuration(tuple(ordered), tuple(node for node in removed.split(",") if node), birth=LIFE)


def decode_member(word: str, *, voter: bool) -> Member:
    """One member of `encode_members`."""
    word, _, nonce = word.partition("~")
    word, _, uuid = word.partition("#")
    word, _, http = word.partition("@")
    node = word.removesuffix("+")
    return Member(
        node,
        at(http or node),
        voter=voter,
        joining=word.endswith("+"),
        uuid=uuid or None,
        start=start_of(nonce),
    )


def start_of(nonce: str) -> StartId | None:
    """The start whose nonce ends with its number."""
    return StartId(int(nonce.rpartition(" ")[2]), nonce) if nonce else None


def encode_configuration(configuration: Configuration) -> bytes:
    """The inverse of `decode_members`."""

    def word(member: Member) -> str:
        text = member.id + "+" * member.joining
        text += f"@{member.http}" if member.http != at(member.id) else ""
        text += f"#{member.uuid}" if member.uuid else ""
        return text + (f"~{member.start.nonce}" if member.start else "")

    voters = [word(member) for member in configuration.members if member.voter]
    learners = [word(member) for member in configuration.members if not member.voter]
    return encode_members(voters, learners, configuration.removed)


FORM = Form(encode_configuration, decode_members, 1000)


@dataclass
class Disk:
    """What survives a crash. The state is the entries that made it, so `entries` begin at index 1 for ever; a node
    is told of the log behind `base`, and that it has a state up to there."""

    hard_state: HardState
    entries: list[Entry]
    base: EntryId = ORIGIN
    start: StartId = NO_START
    """In which the node is: a new one each time that its disk was put back. Here no other start is numbered."""
    known: dict[NodeId, tuple[StartId, tuple[str, ...]]] = field(default_factory=dict)
    """The start in which each node was met, and those since it was found out that it was put back; see `meet`."""

    def write(self, persist: Persist, received: Sequence[Entry] = ()) -> None:
        """Carry out one write, whole. `received` is the state that a snapshot brought."""
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.install is not None:
            assert received, "a snapshot that never came"
            assert received[-1].name == persist.install, "another snapshot came"
            self.entries = list(received)
            self.base = persist.install
        if persist.truncate_from is not None:
            del self.entries[persist.truncate_from - 1 :]
        assert not persist.blocks or persist.blocks[0].first_index == len(self.entries) + 1, "a gap on disk"
        self.entries.extend(entries_of(persist.blocks))

    def copy(self) -> "Disk":
        """The same content, to be changed apart."""
        return Disk(self.hard_state, list(self.entries), self.base, self.start, dict(self.known))

    def boot(self, node: NodeId, settings: RaftSettings, randrange: Callable[[int, int], int]) -> Raft:
        """A node that knows what the disk knows, and nothing else."""
        starts: list[tuple[Index, Term]] = []
        for entry in self.entries[self.base.index :]:
            if not starts or starts[-1][1] != entry.term:
                starts.append((entry.index, entry.term))
        recovered = [
            (entry.index, decode_members(entry.data))
            for entry in self.entries
            if entry.kind is EntryKind.CONFIGURATION
        ]
        history = ConfigurationHistory(FORM, recovered)
        history.compacted_to(self.base.index)
        return Raft(
            node,
            settings=settings,
            randrange=randrange,
            hard_state=self.hard_state,
            log=Log(
                base=self.base,
                last_index=len(self.entries),
                term_starts=starts,
                cache_bytes_max=settings.cache_bytes_max,
            ),
            configurations=history,
        )


@dataclass
class Node:
    """One server: what it thinks, what its disk holds, and what waits between the two."""

    raft: Raft
    disk: Disk
    memory: Disk
    """What the disk will hold when all writes are done."""
    is_up: bool = True
    disk_is_held: bool = False
    loads_are_held: bool = False
    waiting: deque[tuple[Persist | None, tuple[Message, ...]]] = field(default_factory=deque)
    """Writes that are not done, each with the messages that must wait for it, in order."""
    loads: deque[EntriesLoaded] = field(default_factory=deque)
    """Entries that were read from disk for a follower, and that the core has not been given yet."""
    snapshots_wanted: list[NodeId] = field(default_factory=list)
    """Followers for which a snapshot is being made."""
    snapshot_offered: InstallSnapshot | None = None
    """The snapshot that it was offered last, and fetches."""


class Cluster:
    """Nodes `n1..nN`, all with the same first entry: the configuration that names them.

    `tell` is called with each line of the story. Timeouts are drawn without chance: the node at position p (from
    0) waits p ticks longer than the least, so that n1 is the first to stand for election.
    """

    def __init__(
        self,
        voters: Sequence[NodeId],
        *,
        learners: Sequence[NodeId] = (),
        settings: RaftSettings,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.tell = tell
        self.settings = settings
        self.first_entry = Entry(1, FIRST_TERM, EntryKind.CONFIGURATION, encode_members(voters, learners))
        self.in_flight: list[Message] = []
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.leaders: dict[Term, NodeId] = {}
        self.committed: dict[Index, Entry] = {}
        self.received: dict[NodeId, tuple[Entry, ...]] = {}
        """The state that each node received last, beside its disk: it outlives a crash."""
        self.nodes: dict[NodeId, Node] = {}
        self._copies: dict[NodeId, Disk] = {}
        self._starts: dict[int, StartId] = {}
        """In which start each message in flight was said, by its identity."""
        for node in sorted((*voters, *learners)):
            self.install(node, Disk(HardState(FIRST_TERM), [self.first_entry]))

    @property
    def ids(self) -> tuple[NodeId, ...]:
        """All nodes that there are, members or not, sorted."""
        return tuple(sorted(self.nodes))

    def install(self, node: NodeId, disk: Disk) -> None:
        """Start a node from a disk; one of that name that runs is gone, with all that was not on its disk."""

        def randrange(low: int, high: int) -> int:
            return min(low + int(node[1:]) - 1, high - 1)

        raft = disk.boot(node, self.settings, randrange)
        raft.step(PeerMet(node, folder_of(node), disk.start))
        for peer, (start, doubted) in sorted(disk.known.items()):
            if doubted:
                raft.step(PeerMet(peer, folder_of(peer), start, doubted))
        self.nodes[node] = Node(raft, disk, disk.copy())
        self.check()

    def join(self, node: NodeId) -> None:
        """A new server starts: a cluster's name on its disk, and nothing else."""
        assert node not in self.nodes, node
        self.install(node, Disk(HardState(0), []))

    def step(self, node: NodeId, event: Event) -> Update | None:
        """One step of one node, and all that follows from it on that node alone. None if it is down."""
        here = self.nodes[node]
        if not here.is_up:
            return None
        before = invariants.snapshot(here.raft.state)
        update = here.raft.step(event)
        for trace in update.traces:
            if trace.level != "heartbeat":
                self.tell(f"  {node}: {describe_trace(trace)}")
        if update.persist is not None:
            here.memory.write(update.persist, self.received.get(node, ()))
            if here.disk_is_held:
                self.tell(f"  {node}: waits for its disk{describe_persist(update.persist)}")
        invariants.check_state(here.raft.state)
        invariants.check_step(before, here.raft.state)
        self.check()
        self.send(update.messages)
        if update.persist is not None or update.messages_after_persist:
            here.waiting.append((update.persist, update.messages_after_persist))
        for released in update.reads:
            self.tell(
                f"  {node}: read {released.request_id} may be served from index {released.read_index} on"
            )
        for request_id in update.reads_dropped:
            self.tell(f"  {node}: read {request_id} is turned away: ask the leader")
        for request_id, refusal in update.transfers:
            outcome = "has succeeded" if refusal is None else f"has failed ({refusal.code}): {refusal.reason}"
            self.tell(f"  {node}: transfer {request_id} {outcome}")
        for wanted in update.entries_wanted:
            self.load(node, wanted)
        here.snapshots_wanted.extend(update.snapshots_wanted)
        if update.snapshot_offered is not None:
            here.snapshot_offered = update.snapshot_offered
        if not here.disk_is_held:
            self.persist(node)
        if not here.loads_are_held:
            self.give_loads(node)
        return update

    def persist(self, node: NodeId, writes_max: int | None = None) -> int:
        """Do the oldest waiting writes, release the messages that waited, tell the core; returns how many."""
        here = self.nodes[node]
        done = 0
        sequence = 0
        while here.waiting and (writes_max is None or done < writes_max or here.waiting[0][0] is None):
            persist, messages = here.waiting.popleft()
            if persist is not None:
                here.disk.write(persist, self.received.get(node, ()))
                sequence = persist.sequence
                done += 1
            self.send(messages)
        if sequence:
            self.step(node, Persisted(sequence))
        return done

    def load(self, node: NodeId, wanted: EntriesWanted) -> None:
        """Read from disk what the core asks for: at least one entry, then as many as fit."""
        found: list[Entry] = []
        size = 0
        assert wanted.first > self.nodes[node].disk.base.index, f"{wanted} is compacted"
        for entry in self.nodes[node].disk.entries[wanted.first - 1 : wanted.last]:
            size += len(entry.data)
            if found and size > wanted.bytes_max:
                break
            found.append(entry)
        self.tell(f"  {node}: reads {found[0].index}..{found[-1].index} from its disk for {wanted.target}")
        self.nodes[node].loads.append(EntriesLoaded(wanted.target, blocks(found)))

    def give_loads(self, node: NodeId) -> int:
        """Give the core what was read from disk; returns how many answers that were."""
        count = 0
        while self.nodes[node].loads:
            count += 1
            self.step(node, self.nodes[node].loads.popleft())
        return count

    def compact(self, node: NodeId, index: Index) -> EntryId:
        """The state of the node is durable up to `index`; returns where its log begins now."""
        here = self.nodes[node]
        self.step(node, Compacted(index))
        here.disk.base = here.memory.base = here.raft.state.log.base
        return here.disk.base

    def make_snapshot(self, source: NodeId, target: NodeId, *, fails: bool = False) -> None:
        """`source` has made a snapshot for `target` of the state behind which its log begins, or cannot."""
        here = self.nodes[source]
        here.snapshots_wanted.remove(target)
        if fails:
            self.step(source, SnapshotMade(target, None))
            return
        base = here.disk.base
        content = here.disk.entries[: base.index]
        configuration = [entry for entry in content if entry.kind is EntryKind.CONFIGURATION][-1]
        self.step(
            source,
            SnapshotMade(target, base, configuration.index, configuration.data, base.index, bytes(32)),
        )

    def fetch_snapshot(self, node: NodeId) -> EntryId:
        """The snapshot that `node` was offered is there; returns where it ends."""
        here = self.nodes[node]
        offer, here.snapshot_offered = here.snapshot_offered, None
        assert offer is not None, f"{node} fetches nothing"
        self.received[node] = tuple(self.nodes[offer.source].disk.entries[: offer.last_index])
        self.step(node, SnapshotFetched(offer))
        return EntryId(offer.last_index, offer.last_term)

    def send(self, messages: Iterable[Message]) -> None:
        """Put messages on the network, and see that what they promise is on disk."""
        for message in messages:
            self._starts[id(message)] = self.nodes[message.source].disk.start
            disk = self.nodes[message.source].disk
            assert message.term <= disk.hard_state.term or not speaks_for_itself(message), message
            if isinstance(message, RequestVoteReply) and message.granted:
                assert disk.hard_state == HardState(message.term, message.target), "a vote not on disk"
            is_current = message.term == self.nodes[message.source].raft.state.term
            if isinstance(message, AppendEntriesReply) and message.success and is_current:
                held = self.nodes[message.source].memory.entries[: message.match_index]
                assert disk.entries[: message.match_index] == held, "acknowledged, but not on disk"
            self.in_flight.append(message)

    def deliver(self, message: Message) -> None:
        """Take one message from the network to its target, unless the way there is cut or the target is down."""
        self.in_flight.remove(message)
        if self.is_lost(message):
            self.tell(describe_message(message).replace(" -> ", " -x ", 1))
            return
        self.tell(describe_message(message))
        self.meet(message.target, message.source)
        self.meet(message.source, message.target)
        start = self._starts[id(message)]
        self.step(message.target, Received(message, start.nonce))

    def meet(self, here: NodeId, there: NodeId) -> None:
        """The two shake hands, and `here` learns in which start the other is; what it learns is on its disk at once.

        A start other than the one that is known was put back, and is told so by whoever knows.
        """
        known, start = self.nodes[here].disk.known, self.nodes[there].disk.start
        before, doubted = known.get(there, (start, ()))
        is_found = before != start
        if is_found:
            doubted = (start.nonce,)
        known[there] = (start, doubted)
        if is_found and self.nodes[there].is_up and there not in self.nodes[there].disk.known:
            self.nodes[there].disk.known[there] = (start, doubted)
            self.step(there, PeerMet(there, folder_of(there), start, doubted, put_back=True))
        self.step(here, PeerMet(there, folder_of(there), start, doubted, is_found))

    def is_lost(self, message: Message) -> bool:
        """True if the message cannot arrive as things are."""
        target = self.nodes.get(message.target)
        return (message.source, message.target) in self.cuts or target is None or not target.is_up

    def settle(self) -> None:
        """Deliver everything, in the order it was sent, and what follows from it, until all is quiet."""
        for _ in range(DELIVERIES_MAX):
            if not self.in_flight:
                return
            self.deliver(self.in_flight[0])
        raise AssertionError(f"not quiet after {DELIVERIES_MAX} deliveries")

    def tick(self, node: NodeId) -> None:
        """One tick of one node's clock."""
        self.step(node, Ticked())

    def crash(self, node: NodeId) -> None:
        """The node is gone, with everything that was not on its disk; what it has said travels on."""
        here = self.nodes[node]
        here.is_up = False
        here.waiting.clear()
        here.loads.clear()
        here.snapshots_wanted.clear()
        here.snapshot_offered = None

    def restart(self, node: NodeId) -> None:
        """The node comes back with what its disk holds."""
        self.install(node, self.nodes[node].disk.copy())

    def keep(self, node: NodeId) -> None:
        """Make a copy of the disk of a node, for `put_back`. All nodes have met it by then, and it them."""
        self._copies[node] = self.nodes[node].disk.copy()
        for peer in self.ids:
            if peer != node:
                self.meet(peer, node)
                self.meet(node, peer)

    def put_back(self, node: NodeId) -> None:
        """The node starts again, on the copy that was made of its disk."""
        disk = self._copies[node].copy()
        number = self.nodes[node].disk.start.number + 1
        disk.start = StartId(number, f"{node} put back {number}")
        disk.known.pop(node, None)
        self.install(node, disk)

    def check(self) -> None:
        """The invariants that need more than one node to be seen."""
        up = [here for here in self.nodes.values() if here.is_up]
        self.leaders = invariants.check_cluster([here.raft.state for here in up], self.leaders)
        for here in up:
            entries = here.memory.entries
            for entry in entries[: here.raft.state.commit_index]:
                ghost = self.committed.setdefault(entry.index, entry)
                assert ghost == entry, f"{entry.name} was committed where {ghost.name} already is"
        for position, here in enumerate(up):
            for other in up[position + 1 :]:
                check_log_matching(here.memory.entries, other.memory.entries)

    def change_settings(self, **changes: Any) -> None:
        """Settings for all nodes, from now on (a node that runs starts again)."""
        self.settings = replace(self.settings, **changes)
        for node in self.ids:
            self.restart(node)


def folder_of(node: NodeId) -> str:
    """The name of its disk."""
    return f"{node}'s"


def speaks_for_itself(message: Message) -> bool:
    """False for what concerns the term after the sender's, which nobody has started: pre-votes."""
    return "PreVote" not in type(message).__name__


def check_log_matching(log: Sequence[Entry], other: Sequence[Entry]) -> None:
    """From the last name that two logs share downwards, they are the same (thesis 3.5)."""
    shared = [index for index in range(min(len(log), len(other))) if log[index].name == other[index].name]
    if shared:
        agreed = shared[-1] + 1
        assert log[:agreed] == other[:agreed], f"logs share {log[agreed - 1].name}, but not all before it"


def describe_persist(persist: Persist) -> str:
    """What one write holds, each part after a space."""
    parts = ""
    if persist.hard_state is not None:
        parts += f" term={persist.hard_state.term} vote={persist.hard_state.voted_for or 'nobody'}"
    if persist.install is not None:
        parts += f" install={persist.install.index}@{persist.install.term}"
    if persist.truncate_from is not None:
        parts += f" truncate_from={persist.truncate_from}"
    if persist.blocks:
        parts += f" entries={persist.blocks[0].first_index}..{persist.blocks[-1].last_index}"
    return parts
