"""Snapshots between simulated nodes: a leader makes them, and a follower fetches them, late, damaged, or not at all.

This module stands for `raftdb.server.outgoing` and `raftdb.server.incoming`. The pieces of a file are not simulated,
because the transport has tests of its own. Only the time at which the whole file arrives is, and whether it is still
the snapshot that was offered.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftdb.core.events import SnapshotFetched, SnapshotMade
from raftdb.core.messages import InstallSnapshot
from raftdb.core.model import EntryId, Index, NodeId, Term
from raftdb.errors import required
from raftdb.machine.keyspace import CONFIGURATION_KEY, unpack_configuration
from raftdb.simulation.scheduler import MILLISECOND
from storage import DIGEST_BYTES, Describe, Manifest, MemoryDisk, MemoryStateStore, SnapshotDamaged

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World

CLUSTER_ID = "simulated"
RETAIN_US = 300 * MILLISECOND
"""How long the entries after an offered snapshot are kept in the log."""


class Courier:
    """Makes and fetches the snapshots of one host. Its content is lost with the process."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self.started()

    def started(self) -> None:
        """Begin anew with a new process."""
        self._current: tuple[Manifest, bytes] | None = None
        self._retained: dict[NodeId, tuple[Index, int]] = {}
        self._offers = 0
        self._fetching: tuple[Term, int] | None = None
        """The term of the offer whose snapshot is being fetched, and the number of that download."""
        self._fetches = 0
        self._received: bytes | None = None

    def make(self, target: NodeId) -> None:
        """Make a snapshot for a follower after a while, and tell the host."""
        delay_us = self._world.chance.around(self._world.options.sync_us)
        self._world.scheduler.after(delay_us, self._make, self._host.epoch, target)

    def _make(self, epoch: int, target: NodeId) -> None:
        if epoch != self._host.epoch:
            return
        if self._current is None or self._current[0].index < self._host.replica.raft.state.log.base.index:
            self._current = self._host.state.export(cluster_id=CLUSTER_ID, describe=describe)
        manifest, data = self._current
        self._offers += 1
        self._retained[target] = manifest.index, self._offers
        self._retain()
        self._world.scheduler.after(RETAIN_US, self._release, epoch, target, self._offers)
        end = EntryId(manifest.index, manifest.term)
        digest = data[-DIGEST_BYTES:]
        configuration = manifest.configuration_index, manifest.configuration
        self._host.runner.snapshot_is_there(SnapshotMade(target, end, *configuration, len(data), digest))

    def _release(self, epoch: int, target: NodeId, offer: int) -> None:
        if epoch == self._host.epoch and self._retained[target][1] == offer:
            del self._retained[target]
            self._retain()

    def _retain(self) -> None:
        indexes = (index for index, _offer in self._retained.values())
        self._host.replica.retained_index = min(indexes, default=None)

    def file(self, digest: bytes) -> bytes | None:
        """The snapshot with this digest, if it is the one that is kept; else None."""
        data = self._current[1] if self._current is not None else b""
        return data if data[-DIGEST_BYTES:] == digest else None

    def fetch(self, offer: InstallSnapshot) -> None:
        """Fetch the offered snapshot, unless a snapshot of the same or a later term is being fetched. The host is told
        when it is here."""
        if self._fetching is not None and offer.term <= self._fetching[0]:
            return
        if not self._host.replica.give_up_received():
            return
        self._received = None
        self._fetches += 1
        self._fetching = offer.term, self._fetches
        delay_us = self._world.chance.around(self._world.options.transfer_us)
        self._world.scheduler.after(delay_us, self._arrive, self._host.epoch, self._fetches, offer)

    def _arrive(self, epoch: int, number: int, offer: InstallSnapshot) -> None:
        """Take the whole snapshot, or give up if it cannot be had. Does nothing if another one is being fetched by
        now."""
        if epoch != self._host.epoch or self._fetching != (offer.term, number):
            return
        if self._host.is_paused:
            self._world.scheduler.after(self._world.options.transfer_us, self._arrive, epoch, number, offer)
            return
        self._fetching = None
        data = self._world.fetch(self._host.id, offer.source, offer.digest)
        if data is None:
            return
        try:
            manifest = MemoryStateStore.install(MemoryDisk(), data)
        except SnapshotDamaged:
            return
        self._received = data
        self._host.replica.snapshot_received(manifest.index, manifest.term)
        self._host.runner.snapshot_is_there(SnapshotFetched(offer))

    def install(self, state_disk: MemoryDisk) -> None:
        """Replace the state by the fetched snapshot."""
        MemoryStateStore.install(state_disk, required(self._received, "received snapshot"))
        self._received = None


def _configuration_in(read: Callable[[bytes], bytes | None]) -> tuple[int, bytes]:
    record = read(CONFIGURATION_KEY)
    return (0, b"") if record is None else unpack_configuration(record)


describe: Describe = _configuration_in
"""The configuration as of a state."""
