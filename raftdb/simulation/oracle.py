"""The oracle: it checks the safety properties of the whole cluster over all of its history.

`raftdb.core.invariants` checks the present states of nodes; the oracle also knows their past ones, across crashes. It
is told of every step of every core, every synced write, every applied entry and every sent message, and raises
`InvariantBroken` at the first that breaks a property:

* Election Safety: one leader per term, ever.
* Log Matching: an (index, term) names one entry with one predecessor, whoever holds it.
* State Machine Safety: a committed entry stays. Leaders commit it first, when it is on the disks of a majority of the
  voters that their own log names, and no node ever truncates it.
* Leaders commit by counting only entries of their own term (3.6.2), and so the older ones below.
* Leader Completeness: a leader has everything that was committed in terms before its own.
* No message is sent before what it says is synced (`promises`), and a restart finds exactly what was synced.
* A read is served from a state that has all entries that were committed when the node was asked (6.4), and a core
  answers every read that it was asked for, or still knows of it (hazard B52).
* Entries are applied in order, once they are committed, and change every state as each does if it is applied alone.
* A node is elected by a majority of the voters that its own log names last, and a change of the members follows the
  rules (`electorate`). The nodes that decide have not forgotten what an earlier majority said (`forgetting`; hazard
  B108).
* The cluster clock never runs ahead of the time that has passed (`timeline`).
* A leader that has told another to take over appends nothing until it gives that up (hazard B45).
* A snapshot is installed only if needed; an opened state is the result of the committed entries; the configuration in
  force is the last one in state and log. No log begins after the end of its durable state.
"""

from collections.abc import Iterable, Sequence

from raftdb.core import invariants
from raftdb.core.block import Block, entries_of
from raftdb.core.log import Log
from raftdb.core.membership import Configuration
from raftdb.core.messages import Message
from raftdb.core.model import Entry, EntryId, EntryKind, HardState, Index, NodeId, Role, Term
from raftdb.core.quorum import majority
from raftdb.core.raft import Raft
from raftdb.core.state import RaftState
from raftdb.core.update import Update
from raftdb.errors import InvariantBroken, required
from raftdb.node.stored import BOOTSTRAP_TERM
from raftdb.simulation.disk import Reset, Submitted, Write
from raftdb.simulation.electorate import Electorate
from raftdb.simulation.forgetting import Forgetting
from raftdb.simulation.promises import check_promise
from raftdb.simulation.reference import Changes, Reference
from raftdb.simulation.shadow import Shadow, reads_known
from raftdb.simulation.timeline import Timeline
from raftdb.wire.configuration import decode_configuration

CACHE_ENTRIES_CHEAP = 64
"""The blocks of a log with no more cached entries are checked with every step that wrote to it."""
LOG_CHECK_STEPS = 32
"""The blocks of every log are checked every so many steps, whatever a step did."""


class Oracle:
    """The oracle of a run. `committed[i]` is the term of the committed entry at index i (0 at index 0)."""

    ends_runs = (
        True  # Else nothing is raised; a node that notices a fault itself stops, and the others go on.
    )

    def __init__(self, nodes: Sequence[NodeId], first: Entry, timeline: Timeline) -> None:
        self.electorate = Electorate()
        self._timeline = timeline
        self._configurations = [(first.index, decode_configuration(first.data))]
        self.leaders: dict[Term, NodeId] = {}
        self.leader_logs: dict[Term, list[Term]] = {}
        self.committed: list[Term] = [0]
        self._committed_in: list[Term] = [0]
        self._names = {(first.index, first.term): (0, first.kind, first.data)}
        """For each (index, term): its predecessor's term, its kind and its data."""
        self._reference = Reference(self.entry)
        self.shadows = {node: self._new_shadow(joins=False) for node in nodes}
        self._witnesses = dict(self.shadows)
        """The disks that count: for a wiped node, which votes no more, the one from which it acknowledged entries."""
        self._asked: dict[tuple[NodeId, int], Index] = {}
        """The commit index of the cluster when each read reached a core."""
        self._open_reads: dict[NodeId, int] = {}
        """The number of reads that each core has not answered."""
        self.forgetting = Forgetting(self._witnesses)
        self._steps = self.installs = self.trims = 0

    @property
    def commit_index(self) -> Index:
        """The last index that is known to be committed."""
        return len(self.committed) - 1

    @property
    def configuration(self) -> tuple[Index, Configuration]:
        """The last committed configuration, with its index."""
        return self._configurations[-1]

    def entry(self, index: Index) -> tuple[Term, EntryKind, bytes]:
        """Term, kind and data of a committed entry."""
        term = self.committed[index]
        _, kind, data = self._names[index, term]
        return term, kind, data

    def joins(self, node: NodeId) -> None:
        """Take in a new node, with an empty folder."""
        self.shadows[node] = self._witnesses[node] = self._new_shadow(joins=True)

    def started(self, node: NodeId, raft: Raft) -> None:
        """Check that a node starts with exactly what it had synced."""
        shadow, state = self.shadows[node], raft.state
        end, shadow.installing = shadow.swapped, None
        if end is not None and shadow.synced[end.index : end.index + 1] != [end.term]:
            shadow.reset(self.committed[: end.index + 1])
        shadow.swapped = None
        shadow.spoken = list(shadow.synced)
        found = (HardState(state.term, state.voted_for), state.log.last_index)
        if found != (shadow.hard_state, len(shadow.synced) - 1):
            raise InvariantBroken(
                f"{node} came back with {found}, synced were {shadow.hard_state}, {len(shadow.synced) - 1}"
            )
        if state.log.base != (shadow.base, shadow.synced[shadow.base]):
            raise InvariantBroken(f"{node} came back with a log after {state.log.base}, not {shadow.base}")
        self._open_reads[node] = 0
        self._begin_electorate(node)
        self.electorate.check(node, state)

    def opened(self, node: NodeId, checkpoint: EntryId, content: Changes) -> None:
        """Check that a node has opened a state that is the result of the committed entries (hazards B29, B30)."""
        index, term = checkpoint
        if index > self.commit_index or self.committed[index] != term or content != self.state_at(index):
            raise InvariantBroken(
                f"{node} has a state of {checkpoint} that the committed entries do not make"
            )
        self.shadows[node].applied = index

    def checkpoints(self, node: NodeId, end: EntryId) -> None:
        """Check that a node makes its state durable only up to an entry in its log on the disk."""
        if self.shadows[node].synced[end.index : end.index + 1] != [end.term]:
            raise InvariantBroken(f"{node} makes a checkpoint at {end}, ahead of its log's disk")

    def covers(self, node: NodeId, index: Index, wanted: Index, *, durable: Index) -> None:
        """Check that a checkpoint has all entries that were there when it was asked for, and is durable."""
        if not wanted <= index <= durable:
            raise InvariantBroken(
                f"{node} answers with a checkpoint up to {index}: {wanted} was asked for, {durable} is durable"
            )

    def trims_to(self, node: NodeId, base: EntryId, *, checkpoint_index: Index) -> None:
        """Check that the entries that a node trims are in its durable state."""
        if base.index > checkpoint_index:
            raise InvariantBroken(
                f"{node} compacts to {base}, but its state is durable up to {checkpoint_index}"
            )

    def swapped(self, node: NodeId, end: EntryId) -> None:
        """Note that a fetched snapshot is the state, which the log does not follow yet."""
        self.shadows[node].swapped = end
        self.installs += 1

    def wiped(self, node: NodeId, *, joins: bool) -> None:
        """Note that a node has a new folder, as a first member, or as a node that `joins`."""
        self.shadows[node] = self._new_shadow(joins=joins)

    def put_back(self, node: NodeId, shadow: Shadow) -> None:
        """Note that a node's folder was replaced by an older copy of itself, whose content is `shadow`."""
        self.forgetting.put_back(node, self.shadows[node])
        self.shadows[node] = self._witnesses[node] = shadow

    def synced(self, node: NodeId, writes: Iterable[Write]) -> None:
        """Note that writes have become durable, in order."""
        shadow = self.shadows[node]
        for write in writes:
            if isinstance(write, Submitted):
                shadow.sync(write.batch)
            elif isinstance(write, Reset):
                shadow.reset(self.committed[: write.end.index + 1])
            else:
                shadow.base += write.entries
                self.trims += 1

    def asked(self, node: NodeId, request_ids: Iterable[int]) -> None:
        """Note that a core is about to be asked for these reads."""
        for request_id in request_ids:
            self._asked[node, request_id] = self.commit_index
            self._open_reads[node] += 1

    def stepped(
        self,
        node: NodeId,
        before: invariants.Snapshot,
        before_persisted: Index,
        state: RaftState,
        update: Update,
    ) -> None:
        """Check a step of a core, which took its log for durable up to `before_persisted` before it."""
        invariants.check_step(before, state)
        self._steps += 1
        invariants.check_state(state, looks_at_blocks=self._is_worth_a_look(state.log, update))
        shadow = self.shadows[node]
        if update.persist is not None:
            if update.persist.install is not None:
                self._installs(node, shadow, before, state, update.persist.install)
            if update.persist.truncate_from is not None:
                self._truncated(node, shadow, update.persist.truncate_from)
            self._register(node, update.persist.blocks)
        self.electorate.check(node, state)
        log, spoken = state.log, shadow.spoken
        if log.last != (len(spoken) - 1, spoken[-1]) or log.base != (log.base.index, spoken[log.base.index]):
            raise InvariantBroken(f"{node} has a log {log.base}..{log.last}, not what it was given")
        pending = shadow.installing is not None and log.persisted_index == shadow.installing.index
        if log.persisted_index != before_persisted and not pending:
            self._check_persisted(node, state.log.persisted_index)
        if state.role is Role.LEADER:
            self.electorate.check_leads(node, state.commit_index)
            self._leading(node, before, state, update)
        for request_id, read_index in update.reads:
            if read_index < self._asked[node, request_id]:
                raise InvariantBroken(
                    f"{node} may serve a read from {read_index}, when it was asked {self._asked[node, request_id]} was "
                    "committed"
                )
        self._open_reads[node] -= len(update.reads) + len(update.reads_dropped)
        if self._open_reads[node] != reads_known(state):
            raise InvariantBroken(
                f"{node} has {self._open_reads[node]} reads to answer, and does not know of all"
            )
        if update.commit_index is not None:
            self._committed(node, before, state)

    def _is_worth_a_look(self, log: Log, update: Update) -> bool:
        """Tell whether a step may have changed the blocks of a log, or it was not looked at for long."""
        if self._steps % LOG_CHECK_STEPS == 0:
            return True
        return update.persist is not None and log.last_index - log.cache_first < CACHE_ENTRIES_CHEAP

    def said(self, node: NodeId, messages: Sequence[Message]) -> None:
        """Check messages that a node sends."""
        shadow = self.shadows[node]
        for message in messages:
            check_promise(message, shadow)

    def applied(self, node: NodeId, index: Index, term: Term, changes: Changes) -> None:
        """Check the entries up to `index`, which a node has applied, by what they have changed together."""
        if index > self.commit_index or self.committed[index] != term:
            raise InvariantBroken(f"{node} applied {index}@{term}, which is not committed")
        shadow = self.shadows[node]
        first, shadow.applied = shadow.applied + 1, index
        if first > index:
            raise InvariantBroken(f"{node} applied {index} after {first - 1}")
        if self._reference.changes(first, index) != changes:
            raise InvariantBroken(
                f"{node} applied {first}..{index}@{term} with another effect than one by one"
            )

    def state_at(self, index: Index) -> dict[bytes, bytes]:
        """The key space after the entry at `index`."""
        state = self._reference.changes(1, index)
        return {key: value for key, value in sorted(state.items()) if value is not None}

    def _new_shadow(self, *, joins: bool) -> Shadow:
        if joins:
            return Shadow([0], [0], HardState(), self.leader_logs)
        first, log = HardState(BOOTSTRAP_TERM, None), [0, BOOTSTRAP_TERM]
        return Shadow(log, list(log), first, self.leader_logs, held={(1, 1)})

    def _begin_electorate(self, node: NodeId) -> None:
        spoken = self.shadows[node].spoken
        names = ((index, spoken[index]) for index in range(1, len(spoken)))
        self.electorate.begins(node, ((name[0], *self._names[name][1:]) for name in names))

    def _truncated(self, node: NodeId, shadow: Shadow, index: Index) -> None:
        if (
            index < min(len(shadow.spoken), len(self.committed))
            and shadow.spoken[index] == self.committed[index]
        ):
            raise InvariantBroken(f"{node} truncates the committed entry {index}@{self.committed[index]}")
        del shadow.spoken[index:]
        self.electorate.truncated(node, index)

    def _installs(
        self, node: NodeId, shadow: Shadow, before: invariants.Snapshot, state: RaftState, end: EntryId
    ) -> None:
        """Check that a core installs a snapshot of committed entries that its log does not have (hazard B26)."""
        index, term = end
        if index > self.commit_index or self.committed[index] != term:
            raise InvariantBroken(f"{node} installs {end}, which is not committed")
        if index <= before.commit_index:
            raise InvariantBroken(f"{node} installs {end}, and had committed {before.commit_index}")
        if shadow.spoken[index : index + 1] == [term]:
            raise InvariantBroken(f"{node} installs {end}, and had it in its log")
        shadow.spoken = self.committed[: index + 1]
        shadow.installing = end
        self._begin_electorate(node)

    def _register(self, node: NodeId, blocks: Sequence[Block]) -> None:
        """Check Log Matching by induction: an (index, term) has one content and one predecessor."""
        spoken = self.shadows[node].spoken
        entries = list(entries_of(blocks))
        for entry in entries:
            index, term, kind, data = entry
            if index != len(spoken):
                raise InvariantBroken(f"{node} appends {index}@{term} behind index {len(spoken) - 1}")
            content = (spoken[-1], kind, data)
            if (index, term) not in self._names:
                self._timeline.appended(entry)
            if self._names.setdefault((index, term), content) != content:
                raise InvariantBroken(f"{node} holds another {index}@{term}: {content}")
            spoken.append(term)
        self.electorate.appended(node, entries)

    def _check_persisted(self, node: NodeId, index: Index) -> None:
        """Check that an entry that a core takes for durable is on its disk (hazard B17)."""
        shadow = self.shadows[node]
        if index >= len(shadow.synced) or shadow.synced[index] != shadow.spoken[index]:
            raise InvariantBroken(f"{node} takes entry {index} for durable, and it is not")

    def _leading(self, node: NodeId, before: invariants.Snapshot, state: RaftState, update: Update) -> None:
        spoken = self.shadows[node].spoken
        if before.role is not Role.LEADER or before.term != state.term:
            self.leaders = invariants.check_cluster([state], self.leaders)
            due = sum(1 for term in self._committed_in if term < state.term)
            if spoken[:due] != self.committed[:due]:
                raise InvariantBroken(
                    f"{node}, leader of term {state.term}, lacks committed entries up to {due - 1}"
                )
            self._check_elected(node, state.term, state)
            self.leader_logs[state.term] = list(spoken)
            return
        leadership = required(state.leadership, "leadership")
        for peer, progress in leadership.progress.items():
            if progress.acknowledged_round > leadership.round:
                raise InvariantBroken(f"{node} believes that {peer} has answered a round that was not begun")
        if update.persist is not None and update.persist.blocks:
            self._check_appends(node, before, state, update.persist.blocks)
            terms = [entry.term for entry in entries_of(update.persist.blocks)]
            self.leader_logs[state.term].extend(terms)

    def _check_elected(self, node: NodeId, term: Term, state: RaftState) -> None:
        """Check that a majority of the voters in its own log has a vote for the new leader on disk (3.4)."""
        voters = self.electorate.in_force(node)[1].voters
        votes = self.forgetting.who(voters, state, lambda disk: disk.synced_vote(term) == node)
        if len(votes) < majority(voters):
            raise InvariantBroken(
                f"{node} leads term {term} with the votes of {votes}, its voters are {voters}"
            )
        self._check_sound(node, state, votes)

    def _check_appends(
        self, node: NodeId, before: invariants.Snapshot, state: RaftState, blocks: Sequence[Block]
    ) -> None:
        """Check that a leader appends nothing after it told another to take over, and makes one change at a time."""
        transfer = state.transfer
        if transfer is not None and transfer.is_said and transfer.term == state.term:
            raise InvariantBroken(
                f"{node} told {transfer.target} to take over, and appends {blocks[0].first_index}"
            )
        if blocks[0].kind is EntryKind.CONFIGURATION:
            commits_in_own_term = self.shadows[node].spoken[before.commit_index] == state.term
            self.electorate.check_made(node, before.commit_index, commits_in_own_term)

    def _committed(self, node: NodeId, before: invariants.Snapshot, state: RaftState) -> None:
        spoken, committed = self.shadows[node].spoken, self.committed
        before_index = before.commit_index
        known = min(state.commit_index + 1, len(committed))
        if spoken[before_index:known] != committed[before_index:known]:
            raise InvariantBroken(
                f"{node} committed other entries up to {known - 1} than were committed before"
            )
        if state.commit_index < len(committed):
            return
        # A leader that was removed steps down as it commits that.
        if Role.LEADER not in (before.role, state.role):
            raise InvariantBroken(f"{node} follows, and committed {state.commit_index} before any leader did")
        last_term = spoken[state.commit_index]
        if last_term != state.term:
            raise InvariantBroken(
                f"{node} committed {state.commit_index}@{last_term} by counting in term {state.term}"
            )
        new = range(len(committed), state.commit_index + 1)
        changes = [index for index in new if self._names[index, spoken[index]][1] is EntryKind.CONFIGURATION]
        for index in sorted({*changes, state.commit_index}):
            self._commits(node, state, index)

    def _commits(self, node: NodeId, state: RaftState, end: Index) -> None:
        """Check that a leader may commit up to `end`, and note the entries; other voters may count from each
        configuration on."""
        spoken, committed = self.shadows[node].spoken, self.committed
        voters, term = self.electorate.in_force(node)[1].voters, spoken[end]
        disks = self.forgetting.who(voters, state, lambda disk: disk.vouches_for(end, term, state.term))
        if len(disks) < majority(voters):
            raise InvariantBroken(f"{node} committed {end}@{term}, of {voters} only {disks} have it")
        self._check_sound(node, state, disks)
        for index in range(len(committed), end + 1):
            _, kind, data = self._names[index, spoken[index]]
            self._timeline.committed(Entry(index, spoken[index], kind, data))
            if kind is EntryKind.CONFIGURATION and index > self._configurations[-1][0]:
                self._configurations.append((index, decode_configuration(data)))
                self.forgetting.named(self._configurations[-1][1])
            committed.append(spoken[index])
            self._committed_in.append(state.term)

    def _check_sound(self, node: NodeId, state: RaftState, counted: Sequence[NodeId]) -> None:
        """Check that the counted nodes that forgot nothing overlap with every earlier majority (hazard B108)."""
        for voters in self.electorate.possible_at(node, self.commit_index):
            self.forgetting.check(state, voters, counted)
