"""What a simulated node does with the effects of a turn, while the oracle looks on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.node.turn import PersistJob
from raftdb.simulation.disk import Submitted, Trim
from storage.contract import FrozenChanges

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World


class SimulatedEffectHandler:
    """See `raftdb.node.effects.EffectHandler`, whose calls these are."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host

    def write_log(self, job: PersistJob) -> None:
        """To the disk, which forgets it if the process ends too early."""
        self._host.disk.submit(Submitted(job.sequence, job.batch))

    def install(self, job: PersistJob, end: EntryId) -> None:
        """By the thread that writes the state."""
        self._host.states.install(job.sequence, end, job.batch.hard_state)

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """Links to others end."""
        self._host.peers.keep_only(addresses)

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Into the network, which loses some of them."""
        self._world.oracle.said(self._host.id, messages)
        uuid = self._world.uuids[self._host.id]
        self._host.peers.send(self._world.network, uuid, target, messages)
        if self._host.pauses_once_it_has_spoken:
            self._host.pause()

    def tell(self, traces: Sequence[Trace]) -> None:
        """Lines of the story."""
        self._world.tell_traces(self._host.id, traces)

    def flush(self, frozen: FrozenChanges) -> None:
        """By the thread that writes the state."""
        self._world.oracle.checkpoints(self._host.id, EntryId(frozen.index, frozen.term))
        self._host.states.flush(frozen)

    def trim(self, base: EntryId) -> None:
        """On the disk, behind the writes that are under way."""
        checkpoint_index = self._host.state.checkpoint[0]
        self._world.oracle.trims_to(self._host.id, base, checkpoint_index=checkpoint_index)
        self._host.disk.submit(Trim(base))

    def make_snapshot(self, target: NodeId) -> None:
        """Later, perhaps."""
        self._host.courier.make(target)

    def fetch_snapshot(self, offer: InstallSnapshot) -> None:
        """Late, damaged, or not at all."""
        self._host.courier.fetch(offer)
