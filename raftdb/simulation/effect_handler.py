"""How a simulated node carries out the effects of a turn; the oracle is told of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.node.turn import PersistJob
from raftdb.simulation.disk import Submitted, Trim
from storage import FrozenChanges

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World


class SimulatedEffectHandler:
    """Implements `raftdb.node.effects.EffectHandler`."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host

    def write_log(self, job: PersistJob) -> None:
        """Submit the batch to the disk, which loses it if the process ends too early."""
        self._host.disk.submit(Submitted(job.sequence, job.batch))

    def install(self, job: PersistJob, end: EntryId) -> None:
        """Have the thread that writes the state install the fetched snapshot."""
        self._host.states.install(job.sequence, end)

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """End the links to all other nodes."""
        self._host.peers.keep_only(addresses)

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Send one frame by the network, which may lose it."""
        self._world.oracle.said(self._host.id, messages)
        uuid = self._world.uuids[self._host.id]
        self._host.peers.send(self._world.network, uuid, target, messages)
        if self._host.pauses_once_it_has_spoken:
            self._host.pause()

    def tell(self, traces: Sequence[Trace]) -> None:
        """Add the traces to the trace of the run."""
        self._world.tell_traces(self._host.id, traces)

    def flush(self, frozen: FrozenChanges) -> None:
        """Have the thread that writes the state make a checkpoint."""
        self._world.oracle.checkpoints(self._host.id, EntryId(frozen.index, frozen.term))
        self._host.states.flush(frozen)

    def trim(self, base: EntryId) -> None:
        """Submit the trim to the disk, after the writes that are under way."""
        checkpoint_index = self._host.state.checkpoint[0]
        self._world.oracle.trims_to(self._host.id, base, checkpoint_index=checkpoint_index)
        self._host.disk.submit(Trim(base))

    def make_snapshot(self, target: NodeId) -> None:
        """Have the courier make a snapshot, after a while."""
        self._host.courier.make(target)

    def fetch_snapshot(self, offer: InstallSnapshot) -> None:
        """Have the courier fetch the snapshot, which may come late, damaged, or not at all."""
        self._host.courier.fetch(offer)
