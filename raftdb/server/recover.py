"""`raftdb recover`: the way back from a lost majority, with the data of one remaining node.

The other nodes are gone for good, and with them the majority without which nothing is ever committed again. So the
data folder of a node that is left becomes that of a new cluster:

    cluster id     of the members, of the old cluster and of where this node's log ends; nodes of the old cluster are
                   refused by it, whatever their addresses
    state          with all that the log holds applied, moved on by `INDEX_STEP` indexes
    log            begins after the state, with one entry in a term of its own: the new members, and the ids of all
                   others, which are used up

The step is there for revisions, which are indexes, as when a backup is restored: writes that the lost nodes had
acknowledged without this one had indexes, too, and none of those may ever be given to another write.

This node cannot know which writes the lost nodes had acknowledged without it. Those are lost, and the caller has to say
so clearly.

Several nodes that are left may be recovered as members of one cluster only if their logs end alike: then they come to
the same id (two logs that share their last entry share all of them; thesis 3.5). If they do not, they refuse each
other, which is safe. Recovering one folder and adding new nodes always works.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from raftdb.core.block import Block
from raftdb.core.membership import Configuration
from raftdb.core.model import EntryId, EntryKind, HardState, NodeId
from raftdb.core.state import RaftSettings
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal
from raftdb.machine.machine import Machine
from raftdb.node.execution import apply_slice
from raftdb.node.stored import encode_hard_state, load_raft
from raftdb.server.config import BadSetting
from raftdb.server.facts import forget_peers
from raftdb.server.folder import EXIT_FOLDER, cluster_id_of, storage_errors
from raftdb.server.restore import INDEX_STEP
from raftdb.wire.configuration import encode_configuration
from storage import DataFolder, Identity, LogBatch, LogStore, StateStore, read_identity, recover_folder

APPLY_ENTRIES = 4096
APPLY_BYTES = 16 << 20
"""Applied between two checkpoints."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recovery will do: `entry` names the new configuration, `last` the end of the log as it is.

    `committed_index`: entries up to here are known to have been committed; for those after it, up to `entry`, that is
    unknown. `lost`: the members that cannot come back.
    """

    node_id: NodeId
    old_cluster_id: str
    cluster_id: str
    origin: str
    configuration: Configuration
    last: EntryId
    entry: EntryId
    committed_index: int
    lost: tuple[NodeId, ...]


class Recovery:
    """A locked folder, and the plan for it. Nothing is written before `carry_out`."""

    def __init__(self, folder: DataFolder, log: LogStore, state: StateStore, plan: Plan) -> None:
        self.plan = plan
        self._folder = folder
        self._log = log
        self._state = state

    def carry_out(self) -> None:
        """Make the folder one of the new cluster; durable when it returns. Raises `Fatal`."""
        plan = self.plan
        with storage_errors():
            recover_folder(
                self._folder,
                cluster_id=plan.cluster_id,
                origin=plan.origin,
                change_log=self._begin_anew,
            )

    def _begin_anew(self) -> None:
        """Apply the whole log, move the state on, and begin the log after it. If this is cut short, it is done once
        more: a log that does not go on from its state is begun anew after it by the next program that opens them."""
        plan, log, state = self.plan, self._log, self._state
        machine = Machine()
        while state.applied[0] < plan.last.index:
            first = state.applied[0] + 1
            last = min(first + APPLY_ENTRIES - 1, plan.last.index)
            blocks = map(Block.read, log.read(first, last, bytes_max=APPLY_BYTES))
            apply_slice(blocks, first, last, state, machine, bytes_max=APPLY_BYTES)
            _flush(state)
        base = EntryId(plan.entry.index - 1, plan.last.term)
        state.write({}, index=base.index, term=base.term)
        _flush(state)
        log.reset(*base)
        data = encode_configuration(plan.configuration)
        block = Block.of(*plan.entry, EntryKind.CONFIGURATION, (data,))
        log.write([LogBatch(encode_hard_state(HardState(block.term, None)), None, (block.encoded,))])
        forget_peers(log, plan.configuration.ids)


def _flush(state: StateStore) -> None:
    frozen = state.freeze()
    if frozen is not None:
        state.flush(frozen)
        state.thaw(frozen)


@contextmanager
def recovery(data: Path, members: Mapping[str, Endpoint]) -> Iterator[Recovery]:
    """Lock the folder `data` of a stopped node, and plan a recovery with `members` (id to address).

    Raises `Fatal`: exit code 4 for a folder that is in use, damaged or no node's; 2 for impossible members.
    """
    with storage_errors():
        identity = read_identity(data)
        if identity is None or not identity.bootstrapped:
            raise Fatal(f"{data} is not the data folder of a node that has run", exit_code=EXIT_FOLDER)
        with DataFolder(data, node_id=identity.node_id, recovering=True) as folder:
            log, state = folder.open_log(), folder.open_state()
            try:
                raft = load_raft(
                    identity.node_id, log, state, settings=RaftSettings(), randrange=lambda low, high: low
                )
                core = raft.state
                configuration = _configuration(identity, core.configurations.latest, members)
                last = EntryId(core.log.last_index, core.log.last_term)
                term = max(core.term, last.term) + 1
                yield Recovery(
                    folder, log, state, _plan(identity, configuration, last, term, core.commit_index)
                )
            finally:
                state.close()
                log.close()


def _plan(
    identity: Identity, configuration: Configuration, last: EntryId, term: int, committed_index: int
) -> Plan:
    origin = f"{identity.cluster_id}@{last.index}.{last.term}.{term}"
    members = {member.id: member.http for member in configuration.members}
    return Plan(
        node_id=identity.node_id,
        old_cluster_id=identity.cluster_id,
        cluster_id=cluster_id_of(members, origin),
        origin=origin,
        configuration=configuration,
        last=last,
        entry=EntryId(last.index + INDEX_STEP + 1, term),
        committed_index=committed_index,
        lost=configuration.removed,
    )


def _configuration(identity: Identity, old: Configuration, members: Mapping[str, Endpoint]) -> Configuration:
    """The new configuration: the remaining members, all of them voters; the ids of the others count as removed."""
    if identity.node_id not in members:
        raise BadSetting(
            f"the members {', '.join(members)} do not name the node of this folder, {identity.node_id}",
            hint="name the nodes that are left, this one included",
        )
    kept = []
    for name, address in sorted(members.items()):
        known = old.find(name)
        if known is None:
            raise BadSetting(
                f"{name} was not a member of this cluster: those were {', '.join(old.ids)}",
                hint="name the nodes that are left; add new ones when the cluster runs",
            )
        uuid = identity.node_uuid if name == identity.node_id else known.uuid
        kept.append(replace(known, http=address, voter=True, joining=False, uuid=uuid, start=None))
    removed = {*old.removed, *old.ids}.difference(members)
    return Configuration(tuple(kept), tuple(sorted(removed)))
