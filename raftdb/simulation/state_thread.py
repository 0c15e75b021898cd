"""The thread that writes the state of one simulated node: checkpoints and installations, one at a time.

Both take a while. A crash before the end leaves the old state. A crash right after it comes before the replica knows,
and perhaps before the log follows the state. Such crashes are rare, so they are made more likely here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftdb.core.model import EntryId
from raftdb.errors import InvariantBroken
from raftdb.simulation.disk import Reset
from raftdb.simulation.reference import Changes
from storage import FrozenChanges, MemoryStateStore

if TYPE_CHECKING:
    from raftdb.simulation.host import Host, World

CHECKPOINT_CRASH_SHARE = 0.05
INSTALL_CRASH_SHARE = 0.3
"""The rate of crashes is multiplied by these for the probability of one right after a checkpoint or an installation."""
INSTALL_CRASH_MAX = 0.6
"""Highest probability, so that an installation succeeds at times."""


class ObservedState(MemoryStateStore):
    """The state store, which tells the oracle of every write."""

    on_write: Callable[[int, int, Changes], None]

    def write(self, changes: Changes, *, index: int, term: int) -> None:
        """See `StateStore.write`."""
        super().write(changes, index=index, term=term)
        self.on_write(index, term, changes)


class StateThread:
    """The thread of one host. `present` is the state that is on the disk now."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self.present: ObservedState
        self._flushing: FrozenChanges | None = None

    def open(self) -> ObservedState:
        """Open the state on the disk, for a new process or after an installation. Raises `FolderDamaged`."""
        state = self.present = ObservedState(self._host.disk.state_disk)
        state.on_write = self._applied
        self._flushing = None
        return state

    def content(self) -> dict[bytes, bytes]:
        """The whole key space."""
        return dict(self.present.scan(b"", None, limit=1 << 60))

    def check(self) -> None:
        """Let the oracle look at a state that was just opened."""
        self._world.oracle.opened(self._host.id, EntryId(*self.present.checkpoint), self.content())

    def flush(self, frozen: FrozenChanges) -> None:
        """Make a checkpoint durable, and tell the host."""
        self._flushing = frozen
        self._later(self._flush, frozen)

    def install(self, sequence: int, end: EntryId) -> None:
        """Make the fetched snapshot the state, after a checkpoint that is being written; then the log follows."""
        self._later(self._install, sequence, end)

    def _flush(self, epoch: int, frozen: FrozenChanges) -> None:
        if epoch == self._host.epoch:
            self.present.flush(frozen)
            self._flushing = None
            self._host.runner.flushed(frozen)
            self._may_crash("power lost right after a checkpoint", CHECKPOINT_CRASH_SHARE)

    def _install(self, epoch: int, sequence: int, end: EntryId) -> None:
        if epoch != self._host.epoch:
            return
        if self._flushing is not None:
            self._later(self._install, sequence, end)
            return
        self.present.close()
        self._host.courier.install(self._host.disk.state_disk)
        checkpoint = self.open().checkpoint
        if checkpoint != end:
            raise InvariantBroken(f"{self._host.id} was to install {end}, not {checkpoint}")
        self._world.oracle.swapped(self._host.id, end)
        self._host.disk.submit(Reset(sequence, end))
        self._may_crash("power lost between state and log", INSTALL_CRASH_SHARE)

    def _may_crash(self, why: str, share: float) -> None:
        if self._world.chance.happens(min(INSTALL_CRASH_MAX, share * self._world.network.faults.crash)):
            delay_us = self._world.chance.below(self._world.options.sync_us)
            self._world.scheduler.after(delay_us, self._crash, self._host.epoch, why)

    def _crash(self, epoch: int, why: str) -> None:
        if epoch == self._host.epoch:
            self._host.crash(why)

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        """Make the call after a while, if the process is still the same."""
        delay_us = self._world.chance.around(2 * self._world.options.sync_us)
        self._world.scheduler.after(delay_us, call, self._host.epoch, *arguments)

    def _applied(self, index: int, term: int, changes: Changes) -> None:
        self._world.oracle.applied(self._host.id, index, term, changes)
