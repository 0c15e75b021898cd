"""The one thread that writes the log: everything that queued up while it synced goes into its next transaction.

Group commit without a timer: a lone batch is written at once, and under load the groups grow by themselves. The
event loop only puts into a queue; it does not wait for the disk. After the first failure nothing is written and
nothing acknowledged any more (hazard B83): the queue is still emptied, so that no caller waits for ever.

There is one exception. To hand a batch to the thread and to be told takes two changes of threads, more than the rest of
a short write: 50 us of processor time and 190 us until it is done, measured on a file system in memory. So an owner
whom nobody needs meanwhile may write a short batch itself (`write_here`), but only while the disk is quick, and the
thread has nothing to do. A disk that is slow once is not waited for again for a good while.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeVar

from storage.blocks import span_of
from storage.contract import LogBatch, LogStore
from storage.errors import Misused, WriteFailed

GROUP_BLOCKS_MAX = 16_384
"""Blocks in one transaction. A group ends after the batch that reaches this number, so one batch may be larger."""
GROUP_BYTES_MAX = 32 << 20
"""Bytes of blocks in one transaction; as above."""

QUICK_MS = 2.0
"""A disk is quick while each sync takes less than this."""
QUICK_SYNCS_MIN = 64
"""Nobody waits for a disk before so many syncs in a row were quick."""
STALL_MS = 20.0
STALLED_SYNCS_MIN = 10_000
"""The same after a sync that took `STALL_MS` or more: some ten seconds of writes, if they come one after the other."""
HERE_BYTES_MAX = 4096
"""Bytes of a batch that `write_here` takes."""

Result = TypeVar("Result")


class _Batch(NamedTuple):
    """A batch with the number under which its durability is reported."""

    sequence: int
    batch: LogBatch


class _Call(NamedTuple):
    """Other work for the writing thread."""

    run: Callable[[], None]
    fail: Callable[[BaseException], None]


class _Stop:
    """The last item of a queue."""


_STOP: Final = _Stop()
_Item = _Batch | _Call | _Stop


class LogWriter:
    """Owns every write transaction of a log store, from its start to `close`. All methods are called on one thread.

    `last_sync_ms` is how long the last transaction took, fsync included; 0.0 before the first.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        on_synced: Callable[[float, int], None] = lambda seconds, entries: None,
        name: str = "log-writer",
    ) -> None:
        """Start the thread; it claims the writes of `store`.

        `on_durable(sequence)`: this batch and all before it are durable. `on_failure(error)`: once, at the first
        error, also of `on_durable` itself. Both run on the writing thread and must not block. `on_synced(seconds,
        entries)`: a transaction with so many entries took so long, fsync included; on the thread that wrote it.
        """
        self.last_sync_ms = 0.0
        self._store = store
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._on_synced = on_synced
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._failure: BaseException | None = None
        self._closed = False
        self._put_count = self._done_count = 0
        """Items that were queued, and items that are done. Each is counted by one thread."""
        self._quick_syncs = 0
        """How many syncs in a row were quick; below 0 after a stall."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended all writing, None while there was none."""
        return self._failure

    @property
    def is_idle(self) -> bool:
        """True if the writing thread has nothing to do."""
        return self._put_count == self._done_count

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Queue `batch` after everything queued before; never blocks. `sequence` grows from call to call.

        After a failure it is dropped without an error, because `on_failure` has reported the failure. Raises `Misused`
        after `close`.
        """
        self._put(_Batch(sequence, batch))

    def write_here(self, batch: LogBatch) -> bool:
        """Write `batch` on the calling thread, and wait for the disk. Returns whether it is durable.

        If not, it is to be submitted: it is no short append, the disk is not known to be quick, the writing thread has
        something to do, or nothing is written any more.
        """
        if self._quick_syncs < QUICK_SYNCS_MIN or not self.is_idle:
            return False
        is_append = batch.hard_state is None and batch.truncate_from is None
        if not is_append or _size(batch)[1] > HERE_BYTES_MAX or self._failure is not None or self._closed:
            return False
        self._store.claim_writes()
        try:
            self._sync([batch])
        except BaseException as error:  # noqa: BLE001 - whatever it was, going on could break a promise
            self._fail(error)
        return self._failure is None

    def call(self, work: Callable[[], Result]) -> "Future[Result]":
        """Run `work`, which writes to this store (a trim, a fact), on the writing thread, in its turn.

        What it raises goes into the future; `WriteFailed` also ends all writing. After a failure the future fails.
        """
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
                raise
            future.set_result(result)

        def fail(error: BaseException) -> None:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

        self._put(_Call(run, fail))
        return future

    def close(self) -> None:
        """Write what is queued, stop the thread and give the writes to the calling thread. Idempotent."""
        if not self._closed:
            self._closed = True
            self._put_count += 1
            self._queue.put(_STOP)
        self._thread.join()
        self._store.claim_writes()

    def _put(self, item: _Item) -> None:
        if self._closed:
            raise Misused("the log writer is closed")
        self._put_count += 1
        self._queue.put(item)

    def _run(self) -> None:
        item = self._queue.get()
        while not isinstance(item, _Stop):
            # The owner may have written in the meantime.
            self._store.claim_writes()
            if isinstance(item, _Call):
                self._perform(item)
                self._done_count += 1
                item = self._queue.get()
                continue
            group, following = self._gather(item)
            self._write(group)
            self._done_count += len(group)
            item = following if following is not None else self._queue.get()

    def _gather(self, first: _Batch) -> tuple[list[_Batch], _Item | None]:
        """The batches that go with `first`, and the item taken from the queue that does not, if any."""
        group = [first]
        blocks, block_bytes = _size(first.batch)
        while blocks < GROUP_BLOCKS_MAX and block_bytes < GROUP_BYTES_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(item, _Batch):
                return group, item
            group.append(item)
            more_blocks, more_bytes = _size(item.batch)
            blocks += more_blocks
            block_bytes += more_bytes
        return group, None

    def _write(self, group: list[_Batch]) -> None:
        if self._failure is not None:
            return
        try:
            self._sync([item.batch for item in group])
            self._on_durable(group[-1].sequence)
        except BaseException as error:  # noqa: BLE001 - whatever it was, going on could break a promise
            self._fail(error)

    def _sync(self, batches: list[LogBatch]) -> None:
        """Write these in one transaction, and note how long the disk took."""
        started = time.perf_counter()
        self._store.write(batches)
        seconds = time.perf_counter() - started
        self._on_synced(seconds, _entries(batches))
        self.last_sync_ms = seconds * 1000
        if self.last_sync_ms < QUICK_MS:
            self._quick_syncs += 1
        elif self.last_sync_ms < STALL_MS:
            self._quick_syncs = min(self._quick_syncs, 0)
        else:
            self._quick_syncs = QUICK_SYNCS_MIN - STALLED_SYNCS_MIN

    def _perform(self, call: _Call) -> None:
        if self._failure is not None:
            call.fail(WriteFailed(f"nothing is written since a write failed: {self._failure}"))
            return
        try:
            call.run()
        except WriteFailed as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - the caller has it
            # The future carries the error. A refused request leaves the log sound; a damaged log refuses the next write
            # itself.
            return

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._on_failure(error)


def _entries(batches: list[LogBatch]) -> int:
    """Entries in the blocks of these."""
    spans = [span_of(block) for batch in batches for block in batch.blocks]
    return sum(span.last_index - span.first_index + 1 for span in spans)


def _size(batch: LogBatch) -> tuple[int, int]:
    """Blocks in `batch`, and their bytes."""
    return len(batch.blocks), sum(map(len, batch.blocks))
