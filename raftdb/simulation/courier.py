"""Snapshots on their way between simulated nodes: exported bytes that arrive late, damaged, twice, or not at all.

It does what the courier and the receiver of the server do. The pieces of a transfer are not simulated: they are a
matter of the transport, which has tests of its own. What counts here is when the whole arrives, at whom, and what the
sender believes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftdb.core.events import SnapshotDelivered
from raftdb.core.model import EntryId, Index, NodeId
from raftdb.errors import required
from raftdb.machine.keyspace import CONFIGURATION_KEY, unpack_configuration
from raftdb.simulation.scheduler import MILLISECOND
from storage.contract import Describe
from storage.errors import SnapshotDamaged
from storage.manifest import Manifest
from storage.memory import MemoryStateStore
from storage.memory_disk import MemoryDisk

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World

CLUSTER_ID = "simulated"
RETAIN_US = 300 * MILLISECOND
"""How long the log is kept from a delivered snapshot on."""
STRAY_FACTOR = 20
"""How much longer than the first a second arrival of the same snapshot takes, at most."""
LINGERING_SHARE = 0.5
"""Of the snapshots that arrive twice, how many do so right behind another one."""


class Courier:
    """Sends and receives for one host. What it holds is lost with the process."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self.started()

    def started(self) -> None:
        """A new process: nothing is under way."""
        self._current: tuple[Manifest, bytes] | None = None
        self._retained: dict[NodeId, Index] = {}
        self._received: bytes | None = None
        self._lingering: dict[NodeId, tuple[str, bytes]] = {}
        """What goes to a follower a second time, right behind the next that it takes: its folder, and the bytes."""

    def deliver(self, target: NodeId) -> None:
        """Bring the state to a follower; the host learns what became of it."""
        delay_us = self._world.chance.around(self._world.options.sync_us)
        self._world.scheduler.after(delay_us, self._send, self._host.epoch, target)

    def _send(self, epoch: int, target: NodeId) -> None:
        if epoch != self._host.epoch:
            return
        world, chance = self._world, self._world.chance
        uuid = self._host.peers.link_of(target)
        if uuid is None or chance.happens(world.network.faults.loss):
            world.scheduler.after(chance.around(world.options.transfer_us), self._report, epoch, target, None)
            return
        manifest, data = self._snapshot()
        self._retained[target] = manifest.index
        self._retain()
        if chance.happens(world.network.faults.damage):
            place = chance.below(len(data))
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        delay_us = chance.around(world.options.transfer_us)
        world.scheduler.after(delay_us, self._arrive, epoch, target, uuid, manifest, data)
        if chance.happens(world.network.faults.duplication):
            if chance.happens(LINGERING_SHARE):
                self._lingering.setdefault(target, (uuid, data))
            else:
                delay_us *= 1 + chance.below(STRAY_FACTOR)
                world.scheduler.after(delay_us, self._stray, target, uuid, data)

    def _snapshot(self) -> tuple[Manifest, bytes]:
        """A snapshot behind which the log goes on: the present one, or a new one of the checkpoint on the disk."""
        if self._current is None or self._current[0].index < self._host.replica.raft.state.log.base.index:
            self._current = self._host.state.export(cluster_id=CLUSTER_ID, describe=describe)
        return self._current

    def _arrive(self, epoch: int, target: NodeId, uuid: str, manifest: Manifest, data: bytes) -> None:
        """The whole has been transferred, unless the sender is gone; the receiver's word may get lost."""
        if epoch != self._host.epoch:
            return
        world = self._world
        was_taken = world.hand_over(self._host.id, target, uuid, data)
        is_heard = was_taken and not world.chance.happens(world.network.faults.loss)
        lingering = self._lingering.get(target)
        if was_taken and lingering is not None and lingering[1] != data:
            # It takes the place of what the sender is about to speak of (hazard B33).
            del self._lingering[target]
            world.scheduler.after(world.network.delay(), self._stray, target, *lingering)
        world.scheduler.after(
            world.network.delay(), self._report, epoch, target, manifest if is_heard else None
        )
        world.scheduler.after(RETAIN_US, self._release, epoch, target, manifest.index)

    def _stray(self, target: NodeId, uuid: str, data: bytes) -> None:
        """The same bytes once more, perhaps long after, and behind newer ones."""
        self._world.hand_over(self._host.id, target, uuid, data)

    def _report(self, epoch: int, target: NodeId, manifest: Manifest | None) -> None:
        if epoch != self._host.epoch:
            return
        delivery = SnapshotDelivered(target, None)
        if manifest is not None:
            end = EntryId(manifest.index, manifest.term)
            delivery = SnapshotDelivered(target, end, manifest.configuration_index, manifest.configuration)
        self._host.snapshot_sent(delivery)

    def _release(self, epoch: int, target: NodeId, index: Index) -> None:
        if epoch == self._host.epoch and self._retained.get(target) == index:
            del self._retained[target]
            self._retain()

    def _retain(self) -> None:
        self._host.replica.retained_index = min(self._retained.values(), default=None)

    def take(self, snapshot: bytes) -> bool:
        """A snapshot has arrived, and replaces an earlier one; True if it is whole, and none is being put in place."""
        if self._host.held_jobs is not None:
            return False
        try:
            manifest = MemoryStateStore.install(MemoryDisk(), snapshot)
        except SnapshotDamaged:
            return False
        self._received = snapshot
        self._host.replica.snapshot_received(manifest.index, manifest.term)
        return True

    def install(self, state_disk: MemoryDisk) -> None:
        """Put what was received in the place of the state."""
        MemoryStateStore.install(state_disk, required(self._received, "received snapshot"))
        self._received = None


def _configuration_in(read: Callable[[bytes], bytes | None]) -> tuple[int, bytes]:
    record = read(CONFIGURATION_KEY)
    return (0, b"") if record is None else unpack_configuration(record)


describe: Describe = _configuration_in
"""The configuration as of a state."""
