"""One node's disk: writes become durable after a while, and a crash keeps none or some of the unsynced ones.

It does what `storage.writer.LogWriter` does, in virtual time: writes that are submitted while a sync runs go into the
next one. The stores are those in memory, with the same bytes, checksums and refusals as the real ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from raftdb.core.model import EntryId
from raftdb.simulation.options import Faults, Options
from raftdb.simulation.scheduler import SECOND, Chance, Scheduler
from storage import FolderDamaged, LogBatch, MemoryDisk, MemoryLogStore, WriteFailed

SLOW_FACTOR = 100
"""A slow sync takes up to this many times the mean."""
STALL_US_MAX = 1 * SECOND
TRIM_BLOCKS = 40
"""Most blocks that one step of a trim deletes."""


class Submitted(NamedTuple):
    """A write of the replica, which must be durable before `sequence` is reported."""

    sequence: int
    batch: LogBatch


class Trim(NamedTuple):
    """Begin the log after `base`; `entries` is how many of them this step deleted, once it is carried out."""

    base: EntryId
    entries: int = 0


class Reset(NamedTuple):
    """Begin the log anew after `end`, without its old entries."""

    sequence: int
    end: EntryId


Write = Submitted | Trim | Reset
"""A request to the log's writer; they are carried out in order."""


class SimulatedDisk:
    """The folder of one node, which outlives the node's process. A new process begins with `open`.

    `on_synced(writes)` and `on_failed(error)` are called at some later virtual time, never from within `submit`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        chance: Chance,
        options: Options,
        *,
        on_synced: Callable[[Sequence[Write]], None],
        on_failed: Callable[[WriteFailed | FolderDamaged], None],
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
        self._queue: list[Write] = []
        self._transactions: list[list[Write]] = []
        """The writes of each transaction that is committed and not yet synced, in order."""
        self._epoch = 0
        self.syncs = 0

    def open(self) -> MemoryLogStore:
        """The log store of a starting process, whose writes are durable at once until `begin`. Raises
        `FolderDamaged`."""
        self.log_disk.auto_sync = True
        self.log = MemoryLogStore(self.log_disk)
        return self.log

    def begin(self) -> None:
        """Let writes become durable later from now on, because the process has started."""
        self.log_disk.auto_sync = False

    def submit(self, write: Write) -> None:
        """Carry out `write` soon, in order."""
        self._queue.append(write)
        if len(self._queue) == 1 and not self._transactions:
            self._scheduler.after(0, self._begin, self._epoch)

    def crash(self) -> list[Write]:
        """Lose the unsynced writes with the process, all of them or all but the first few; returns those that were
        kept."""
        keep = self._chance.below(len(self._transactions) + 1) if self._chance.happens(0.5) else 0
        kept = [write for transaction in self._transactions[:keep] for write in transaction]
        self.log_disk.crash(keep=keep)
        self.state_disk.crash()
        self._queue.clear()
        self._transactions.clear()
        self._epoch += 1
        return kept

    def put_back(self, log: Mapping[bytes, bytes], state: Mapping[bytes, bytes]) -> None:
        """Replace the content of the folder by an older one. No process may be using it."""
        self.log_disk = MemoryDisk(content=log, auto_sync=True)
        self.state_disk = MemoryDisk(content=state, auto_sync=True)

    def heal(self) -> None:
        """Be a healthy disk with free space from now on; a slow sync that is running ends soon."""
        self.faults = Faults()
        self.stalled_until_us = 0
        self.fails_next_sync = False
        self.make_room()
        self._scheduler.after(self._chance.around(self._sync_us), self._end_early, self._epoch)

    def _end_early(self, epoch: int) -> None:
        if self._transactions:
            self._end(epoch, self.syncs)

    def fill(self) -> None:
        """Leave no free space."""
        self.log_disk.bytes_max = self.log_disk.bytes_used

    def make_room(self) -> None:
        """Have free space again."""
        self.log_disk.bytes_max = None

    def flip_bit(self) -> str:
        """Flip a bit in a stored value of the log; returns the name of its key."""
        key: bytes = self._chance.choose(sorted(self.log_disk.content))
        self.log_disk.flip_bit(key, bit=self._chance.below(1 << 16))
        self.is_damaged = True
        return key[1:].hex() if key[:1] == b"d" else key.decode()

    def _begin(self, epoch: int) -> None:
        """Write the queue to the disk, batches in one transaction or in one each, and start the sync."""
        if epoch != self._epoch or not self._queue:
            return
        writes, self._queue = self._queue, []
        together = self._chance.happens(0.5)
        try:
            run: list[Submitted] = []
            for write in writes:
                if isinstance(write, Submitted) and (together or not run):
                    run.append(write)
                    continue
                self._write(run)
                run = [write] if isinstance(write, Submitted) else []
                if not isinstance(write, Submitted):
                    self._begin_later(write)
            self._write(run)
        except (WriteFailed, FolderDamaged) as error:
            self._on_failed(error)
            return
        self._scheduler.after(self._sync_duration(), self._end, epoch, self.syncs)

    def _write(self, run: Sequence[Submitted]) -> None:
        """Commit batches in one transaction."""
        if run:
            self.log.write([write.batch for write in run])
            self._transactions.append(list(run))

    def _begin_later(self, write: Trim | Reset) -> None:
        """Carry out a reset, or one step of a trim, which goes on after the writes that are submitted meanwhile."""
        if isinstance(write, Reset):
            self.log.reset(*write.end)
            self._transactions.append([write])
            return
        entries = self.log.trim(*write.base, blocks_max=1 + self._chance.below(TRIM_BLOCKS))
        if entries:
            self._transactions.append([write._replace(entries=entries)])
            self._queue.append(Trim(write.base))

    def _sync_duration(self) -> int:
        duration_us = self._chance.around(self._sync_us)
        if self._chance.happens(self.faults.slow_sync):
            duration_us *= 10 + self._chance.below(SLOW_FACTOR - 10)
        return max(duration_us, self.stalled_until_us - self._scheduler.now_us)

    def _end(self, epoch: int, number: int) -> None:
        """End the sync, and report its writes."""
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
