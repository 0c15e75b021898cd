"""One node's disk: writes become durable after a while, and a crash decides what of the unsynced is kept.

It does what `storage.writer.LogWriter` does, on virtual time: what is submitted while a sync runs goes into the next
one. The stores are the twins in memory; their bytes, checksums and refusals are those of the real ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from raftdb.core.model import EntryId
from raftdb.simulation.options import Faults, Options
from raftdb.simulation.scheduler import SECOND, Chance, Scheduler
from storage.contract import LogBatch
from storage.errors import FolderDamaged, WriteFailed
from storage.memory import MemoryLogStore
from storage.memory_disk import MemoryDisk

SLOW_FACTOR = 100
"""How many times longer than the mean a slow sync takes, at most."""
STALL_US_MAX = 1 * SECOND
TRIM_BLOCKS = 40
"""Blocks that one step of a trim deletes, at most."""


class Submitted(NamedTuple):
    """A write of the replica: what is to be durable before `sequence` is reported."""

    sequence: int
    batch: LogBatch


class Trim(NamedTuple):
    """Begin the log after `base`; `entries` is how many of its entries went in this step, as it is carried out."""

    base: EntryId
    entries: int = 0


class Reset(NamedTuple):
    """Begin the log anew after `end`: what it held is gone."""

    sequence: int
    end: EntryId
    hard_state: bytes | None


Write = Submitted | Trim | Reset
"""What the log's writer is asked for, in order."""


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
        """In the order in which they were committed, not synced yet: what each holds."""
        self._epoch = 0
        self.syncs = 0

    def open(self) -> MemoryLogStore:
        """The log store of a starting process, which writes at once until `begin`. Raises `FolderDamaged`."""
        self.log_disk.auto_sync = True
        self.log = MemoryLogStore(self.log_disk)
        return self.log

    def begin(self) -> None:
        """The process has started: from now on, what is written is durable later."""
        self.log_disk.auto_sync = False

    def submit(self, write: Write) -> None:
        """Write soon, in order."""
        self._queue.append(write)
        if len(self._queue) == 1 and not self._transactions:
            self._scheduler.after(0, self._begin, self._epoch)

    def crash(self) -> list[Write]:
        """The process dies: lose what is not synced, all or all but the first few; returns what was kept."""
        keep = self._chance.below(len(self._transactions) + 1) if self._chance.happens(0.5) else 0
        kept = [write for transaction in self._transactions[:keep] for write in transaction]
        self.log_disk.crash(keep=keep)
        self.state_disk.crash()
        self._queue.clear()
        self._transactions.clear()
        self._epoch += 1
        return kept

    def put_back(self, log: Mapping[bytes, bytes], state: Mapping[bytes, bytes]) -> None:
        """The folder holds what it once held. Only while no process uses it."""
        self.log_disk = MemoryDisk(content=log, auto_sync=True)
        self.state_disk = MemoryDisk(content=state, auto_sync=True)

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
        """One transaction of batches."""
        if run:
            self.log.write([write.batch for write in run])
            self._transactions.append(list(run))

    def _begin_later(self, write: Trim | Reset) -> None:
        """Let the log begin later: a step of a trim, which goes on behind what is written meanwhile, or anew."""
        if isinstance(write, Reset):
            self.log.reset(*write.end, hard_state=write.hard_state)
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
