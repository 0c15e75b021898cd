"""The five safety properties of Raft (thesis, figure 3.2), watched and not enforced: for worlds with a broken rule.

The oracle ends a run at the first check that fails, which is often a promise that was given too early, long before it
does harm. Whoever wants to see the harm lets the run go on: `Onlooker` stands in the oracle's place, and each property
that does not hold any more is told once, with the nodes and the entries that show it.

A property is judged by what entries are, not by their names: with two leaders in one term, an index and a term may name
two entries.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from raftdb.core import invariants
from raftdb.core.block import Block, entries_of
from raftdb.core.membership import Configuration
from raftdb.core.messages import Message
from raftdb.core.model import Entry, EntryId, EntryKind, Index, NodeId, Role, Term
from raftdb.core.raft import Raft
from raftdb.core.state import RaftState
from raftdb.core.update import Persist, Update
from raftdb.node.stored import BOOTSTRAP_TERM
from raftdb.simulation.disk import Reset, Submitted, Write
from raftdb.simulation.entry_words import entry_words
from raftdb.simulation.oracle import Oracle
from raftdb.simulation.reference import Changes
from raftdb.simulation.timeline import Timeline
from raftdb.wire.configuration import decode_configuration

PROPERTIES = {
    "election safety": "at most one leader in a term",
    "leader append-only": "a leader never changes or drops an entry of its log",
    "log matching": "two logs with the same entry are the same up to it",
    "leader completeness": "what is committed is in the logs of all later leaders",
    "state machine safety": "no two servers apply different entries at an index",
}
"""The properties by name, each in a sentence."""

Place = tuple[NodeId, Index]
"""An entry in the log of a node."""


class Violation(NamedTuple):
    """A property that does not hold, in words, and what shows it."""

    name: str
    text: str
    nodes: tuple[NodeId, ...]
    places: tuple[Place, ...] = ()


class Held(NamedTuple):
    """What stands at an index of a log: two are the same entry if all of it is equal."""

    term: Term
    kind: EntryKind
    data: bytes


class Committed(NamedTuple):
    """A committed entry: in which term, and by which leader."""

    held: Held
    term: Term
    leader: NodeId


OnViolation = Callable[[Violation], None]
Log = dict[Index, Held]


class Safety:
    """All that was seen of the nodes. `on_violation` is called once for each property, when it breaks first."""

    def __init__(self, nodes: Iterable[NodeId], first: Entry, on_violation: OnViolation) -> None:
        held = Held(first.term, first.kind, first.data)
        self._on_violation = on_violation
        self._told: set[str] = set()
        self._logs: dict[NodeId, Log] = {node: {first.index: held} for node in nodes}
        self._disks: dict[NodeId, Log] = {node: dict(log) for node, log in self._logs.items()}
        self._leaders: dict[Term, list[NodeId]] = {}
        self._applied: dict[NodeId, Index] = dict.fromkeys(self._logs, 0)
        self._applied_first: dict[Index, tuple[NodeId, Held]] = {}
        self.committed: dict[Index, Committed] = {first.index: Committed(held, BOOTSTRAP_TERM, "")}

    def joins(self, node: NodeId) -> None:
        """A node has a new, empty folder."""
        self._logs[node], self._disks[node], self._applied[node] = {}, {}, 0

    def started(self, node: NodeId) -> None:
        """A process begins with what its disk has."""
        self._logs[node] = dict(self._disks[node])

    def opened(self, node: NodeId, applied: Index) -> None:
        """A node has a state with all entries up to `applied`."""
        self._applied[node] = applied

    def synced(self, node: NodeId, writes: Iterable[Write]) -> None:
        """Writes have become durable, in order."""
        disk = self._disks[node]
        for write in writes:
            if isinstance(write, Submitted):
                _write(disk, write.batch.truncate_from, map(Block.read, write.batch.blocks))
            elif isinstance(write, Reset):
                self._install(disk, write.end)

    def stepped(self, node: NodeId, before: invariants.Snapshot, state: RaftState, update: Update) -> None:
        """A core has made a step."""
        was_leader = before.role is Role.LEADER and before.term == state.term
        if update.persist is not None:
            self._persists(node, update.persist, state.term if was_leader else None)
        if state.role is Role.LEADER and not was_leader:
            self._elected(node, state.term)
        if update.commit_index is not None and Role.LEADER in (before.role, state.role):
            self._commits(node, state.term, update.commit_index)

    def applied(self, node: NodeId, last: Index) -> None:
        """A node has applied its entries up to `last`."""
        first, self._applied[node] = self._applied[node] + 1, last
        for index in range(first, last + 1):
            held = self._logs[node].get(index)
            if held is None:
                continue
            other, other_held = self._applied_first.setdefault(index, (node, held))
            if other_held != held:
                self._tell(
                    "state machine safety",
                    f"{other} has applied {_named(index, other_held)}, and {node} {_named(index, held)}",
                    (other, node),
                    ((other, index), (node, index)),
                )

    def _persists(self, node: NodeId, persist: Persist, leads_in: Term | None) -> None:
        log = self._logs[node]
        if persist.install is not None:
            self._install(log, persist.install)
            return
        if persist.truncate_from is not None and leads_in is not None:
            self._tell(
                "leader append-only",
                f"{node} leads term {leads_in}, and drops the entries of its log from index {persist.truncate_from} on",
                (node,),
                tuple((node, index) for index in sorted(log) if index >= persist.truncate_from),
            )
        _write(log, persist.truncate_from, persist.blocks)
        for entry in entries_of(persist.blocks):
            self._match(node, entry.index)

    def _install(self, log: Log, end: EntryId) -> None:
        log.clear()
        log.update((index, one.held) for index, one in self.committed.items() if index <= end.index)

    def _match(self, node: NodeId, index: Index) -> None:
        """Compare a new entry, and all before it, with the logs that have one of that name."""
        own = self._logs[node]
        for other, log in sorted(self._logs.items()):
            if other == node or index not in log or log[index].term != own[index].term:
                continue
            different = [at for at in range(index, 0, -1) if at in own and at in log and own[at] != log[at]]
            if not different:
                continue
            at = different[0]
            words = f"as {_named(at, own[at])} and as {_named(at, log[at])}"
            if at == index:
                text = f"index {at} of term {own[at].term} is there twice, {words}: in the logs of {node} and {other}"
            else:
                text = (
                    f"{node} and {other} have the same entry at index {index}, and before it they differ: "
                    f"index {at} is there {words}"
                )
            places = {at, index}
            self._tell(
                "log matching",
                text,
                (node, other),
                tuple((who, place) for who in (node, other) for place in sorted(places)),
            )

    def _elected(self, node: NodeId, term: Term) -> None:
        leaders = self._leaders.setdefault(term, [])
        if node not in leaders:
            leaders.append(node)
        if len(leaders) > 1:
            text = f"{' and '.join(leaders)} were both elected leader of term {term}"
            self._tell("election safety", text, tuple(leaders))
        for index, one in sorted(self.committed.items()):
            if one.term < term:
                self._complete(node, term, index, one)

    def _commits(self, node: NodeId, term: Term, last: Index) -> None:
        """Note what a leader commits; what others commit after it has been said by it."""
        log = self._logs[node]
        for index in sorted(log):
            if index > last or index in self.committed:
                continue
            one = self.committed[index] = Committed(log[index], term, node)
            for later, leaders in sorted(self._leaders.items()):
                for leader in leaders if later > term else ():
                    self._complete(leader, later, index, one)

    def _complete(self, leader: NodeId, term: Term, index: Index, one: Committed) -> None:
        held = self._logs[leader].get(index)
        if held == one.held:
            return
        has = "nothing there" if held is None else f"{_named(index, held)} there"
        holders = [node for node, log in sorted(self._logs.items()) if log.get(index) == one.held]
        self._tell(
            "leader completeness",
            f"{one.leader or 'a leader'} has committed {_named(index, one.held)} in term {one.term}, "
            f"and {leader}, leader of term {term}, has {has}",
            tuple(dict.fromkeys(filter(None, (one.leader, leader, *holders)))),
            ((leader, index), *((node, index) for node in holders)),
        )

    def _tell(self, name: str, text: str, nodes: tuple[NodeId, ...], places: tuple[Place, ...] = ()) -> None:
        if name not in self._told:
            self._told.add(name)
            self._on_violation(Violation(name, text, nodes, places))


class Onlooker(Oracle):
    """Stands where the oracle stands, and ends nothing. Nodes that notice themselves that something is wrong stop, as
    in production."""

    ends_runs = False

    def __init__(
        self, nodes: Sequence[NodeId], first: Entry, timeline: Timeline, *, on_violation: OnViolation
    ) -> None:
        super().__init__(nodes, first, timeline)
        self._safety = Safety(nodes, first, on_violation)

    @property
    def commit_index(self) -> Index:
        """See `Oracle`."""
        return max(self._safety.committed)

    @property
    def configuration(self) -> tuple[Index, Configuration]:
        """See `Oracle`."""
        return max(
            (index, decode_configuration(one.held.data))
            for index, one in self._safety.committed.items()
            if one.held.kind is EntryKind.CONFIGURATION
        )

    def joins(self, node: NodeId) -> None:
        """See `Oracle`."""
        super().joins(node)
        self._safety.joins(node)

    def started(self, node: NodeId, raft: Raft) -> None:
        """See `Oracle`."""
        self._safety.started(node)

    def opened(self, node: NodeId, checkpoint: EntryId, content: Changes) -> None:
        """See `Oracle`."""
        self._safety.opened(node, checkpoint.index)

    def synced(self, node: NodeId, writes: Iterable[Write]) -> None:
        """See `Oracle`."""
        self._safety.synced(node, writes)

    def stepped(
        self,
        node: NodeId,
        before: invariants.Snapshot,
        before_persisted: Index,
        state: RaftState,
        update: Update,
    ) -> None:
        """See `Oracle`."""
        self._safety.stepped(node, before, state, update)

    def applied(self, node: NodeId, index: Index, term: Term, changes: Changes) -> None:
        """See `Oracle`."""
        self._safety.applied(node, index)

    # What the oracle forbids and nobody shows:

    def checkpoints(self, node: NodeId, end: EntryId) -> None:
        """See `Oracle`."""

    def covers(self, node: NodeId, index: Index, wanted: Index, *, durable: Index) -> None:
        """See `Oracle`."""

    def trims_to(self, node: NodeId, base: EntryId, *, checkpoint_index: Index) -> None:
        """See `Oracle`."""

    def asked(self, node: NodeId, request_ids: Iterable[int]) -> None:
        """See `Oracle`."""

    def said(self, node: NodeId, messages: Sequence[Message]) -> None:
        """See `Oracle`."""


def _write(log: Log, truncate_from: Index | None, blocks: Iterable[Block]) -> None:
    """Change a log as a step did, or a write to the disk."""
    if truncate_from is not None:
        for index in [index for index in log if index >= truncate_from]:
            del log[index]
    log.update((entry.index, Held(entry.term, entry.kind, entry.data)) for entry in entries_of(blocks))


def _named(index: Index, held: Held) -> str:
    words = entry_words(Entry(index, held.term, held.kind, held.data))
    return f"“{words}” (index {index}, term {held.term})"
