"""One node's disk: writes become durable after a while, and a crash decides what of the unsynced is kept.

It does what `storage.writer.LogWriter` does, on virtual time: what is submitted while a sync runs goes into the next
one. The stores are the twins in memory; their bytes, checksums and refusals are those of the real ones.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from raftdb.simulation.options import Faults, Options
from raftdb.simulation.scheduler import SECOND, Chance, Scheduler
from storage.contract import LogBatch
from storage.errors import WriteFailed
from storage.memory import MemoryLogStore
from storage.memory_disk import MemoryDisk

SLOW_FACTOR = 100
"""How many times longer than the mean a slow sync takes, at most."""
STALL_US_MAX = 1 * SECOND


class Submitted(NamedTuple):
    """A write of the replica: what is to be durable before `sequence` is reported."""

    sequence: int
    batch: LogBatch


class SimulatedDisk:
    """The folder of one node. It outlives the node's process; `open` begins a new one's use of it.

    `on_synced(writes)` and `on_failed(error)` are called at some later virtual time, never from within `submit`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        chance: Chance,
        options: Options,
        *,
        on_synced: Callable[[Sequence[Submitted]], None],
        on_failed: Callable[[WriteFailed], None],
    ) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._sync_us = options.sync_us
        self.faults = options.faults
        self._on_synced = on_synced
        self._on_failed = on_failed
        self.log_disk = MemoryDisk(auto_sync=True)
        self.state_disk = MemoryDisk(auto_sync=True)
        self.is_damaged = False
        self.stalled_until_us = 0
        self.fails_next_sync = False
        self._queue: list[Submitted] = []
        self._transactions: list[list[Submitted]] = []
        """In the order in which they were committed, not synced yet: what each holds."""
        self._epoch = 0
        self.syncs = 0

    def open(self) -> MemoryLogStore:
        """The log store of a starting process. Raises `FolderDamaged`."""
        self.log_disk.auto_sync = True
        self.log = MemoryLogStore(self.log_disk)
        self.log_disk.auto_sync = False
        return self.log

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Write soon, in order."""
        self._queue.append(Submitted(sequence, batch))
        if len(self._queue) == 1 and not self._transactions:
            self._scheduler.after(0, self._begin, self._epoch)

    def crash(self) -> list[Submitted]:
        """The process dies: lose what is not synced, all or all but the first few; returns what was kept."""
        keep = self._chance.below(len(self._transactions) + 1) if self._chance.happens(0.5) else 0
        kept = [write for transaction in self._transactions[:keep] for write in transaction]
        self.log_disk.crash(keep=keep)
        self.state_disk.crash()
        self._queue.clear()
        self._transactions.clear()
        self._epoch += 1
        return kept

    def recover(self) -> None:
        """From now on a healthy disk with room; a slow sync under way returns soon."""
        self.faults = Faults()
        self.stalled_until_us = 0
        self.fails_next_sync = False
        self.make_room()
        self._scheduler.after(self._chance.around(self._sync_us), self._end_early, self._epoch)

    def _end_early(self, epoch: int) -> None:
        if self._transactions:
            self._end(epoch, self.syncs)

    def fill(self) -> None:
        """No space is left for anything that grows."""
        self.log_disk.bytes_max = self.log_disk.bytes_used

    def make_room(self) -> None:
        """There is space again."""
        self.log_disk.bytes_max = None

    def flip_bit(self) -> str:
        """Damage some stored value of the log; returns which."""
        key: bytes = self._chance.choose(sorted(self.log_disk.content))
        self.log_disk.flip_bit(key, bit=self._chance.below(1 << 16))
        self.is_damaged = True
        return key[1:].hex() if key[:1] == b"d" else key.decode()

    def _begin(self, epoch: int) -> None:
        """Hand the queue to the disk as one transaction, or one each, and start the sync."""
        if epoch != self._epoch or not self._queue:
            return
        writes, self._queue = self._queue, []
        groups = [writes] if self._chance.happens(0.5) else [[write] for write in writes]
        try:
            for group in groups:
                self.log.write([write.batch for write in group])
                self._transactions.append(group)
        except WriteFailed as error:
            self._on_failed(error)
            return
        self._scheduler.after(self._sync_duration(), self._end, epoch, self.syncs)

    def _sync_duration(self) -> int:
        duration_us = self._chance.around(self._sync_us)
        if self._chance.happens(self.faults.slow_sync):
            duration_us *= 10 + self._chance.below(SLOW_FACTOR - 10)
        return max(duration_us, self.stalled_until_us - self._scheduler.now_us)

    def _end(self, epoch: int, number: int) -> None:
        """The sync returns."""
        if epoch != self._epoch or number != self.syncs:
            return
        if self.stalled_until_us > self._scheduler.now_us:
            self._scheduler.after(self.stalled_until_us - self._scheduler.now_us, self._end, epoch, number)
            return
        if self.fails_next_sync:
            self.fails_next_sync = False
            self.log_disk.fail_next_sync(OSError("Input/output error"))
        try:
            self.log_disk.sync()
        except WriteFailed as error:
            self._on_failed(error)
            return
        self.syncs += 1
        writes = [write for transaction in self._transactions for write in transaction]
        self._transactions.clear()
        self._on_synced(writes)
        if self._queue:
            self._begin(epoch)
