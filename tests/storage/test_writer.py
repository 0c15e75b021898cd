"""The writing thread: order, group commit, one failure for ever, and who may write meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import (
    LmdbLogStore,
    LogBatch,
    LogStore,
    LogWriter,
    MemoryDisk,
    MemoryLogStore,
    StorageError,
    WriteFailed,
)
from storage import writer as writer_module
from storage.errors import Misused
from storage.writer import GROUP_BLOCKS_MAX, HERE_BYTES_MAX
from tests.storage.media import Medium, blocks

SECONDS_MAX = 10


class GatedStore(MemoryLogStore):
    """A log whose writes wait at a gate and are noted, one list of batches per transaction."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        super().__init__(disk)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.groups: list[list[LogBatch]] = []

    def write(self, batches: Sequence[LogBatch]) -> None:
        self.entered.set()
        assert self.gate.wait(SECONDS_MAX)
        self.groups.append(list(batches))
        super().write(batches)


class Reports:
    """What a writer reported, and a way to wait for it."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.failures: list[BaseException] = []
        self.threads: set[int] = set()
        self._changed = threading.Condition()

    def on_durable(self, sequence: int) -> None:
        with self._changed:
            self.durable.append(sequence)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()

    def on_failure(self, error: BaseException) -> None:
        with self._changed:
            self.failures.append(error)
            self._changed.notify_all()

    def wait_durable(self, sequence: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: sequence in self.durable, SECONDS_MAX)

    def wait_failure(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.failures), SECONDS_MAX)


def one(index: int) -> LogBatch:
    return LogBatch(blocks=blocks(index, index))


@contextmanager
def writing(store: LogStore, reports: Reports) -> Iterator[LogWriter]:
    writer = LogWriter(store, on_durable=reports.on_durable, on_failure=reports.on_failure)
    try:
        yield writer
    finally:
        writer.close()


def test_batches_become_durable_in_order(medium: Medium) -> None:
    log, reports = medium.log(), Reports()
    writer = LogWriter(log, on_durable=reports.on_durable, on_failure=reports.on_failure)
    for index in range(1, 201):
        writer.submit(index, one(index))
    writer.close()
    assert reports.durable[-1] == 200
    assert reports.durable == sorted(reports.durable)
    assert threading.get_ident() not in reports.threads
    assert writer.last_sync_ms > 0
    assert not reports.failures
    assert log.read(1, 200, bytes_max=1 << 30) == blocks(1, 200, of=1)


def test_what_queues_during_a_sync_goes_in_one_transaction() -> None:
    store, reports = GatedStore(), Reports()
    with writing(store, reports) as writer:
        writer.submit(1, one(1))
        assert store.entered.wait(SECONDS_MAX)
        for index in range(2, 101):
            writer.submit(index, one(index))
        store.gate.set()
        reports.wait_durable(100)
    assert [len(group) for group in store.groups] == [1, 99]
    assert reports.durable == [1, 100]


def test_a_group_is_bounded() -> None:
    store, reports = GatedStore(), Reports()
    half = GROUP_BLOCKS_MAX // 2
    with writing(store, reports) as writer:
        writer.submit(0, LogBatch(hard_state=b"first"))
        assert store.entered.wait(SECONDS_MAX)
        for number in range(5):
            new = blocks(number * half + 1, (number + 1) * half, data=b"", of=1)
            writer.submit(number + 1, LogBatch(blocks=new))
        store.gate.set()
        reports.wait_durable(5)
    assert [len(group) for group in store.groups] == [1, 2, 2, 1]


def test_calls_run_in_their_turn_on_the_writing_thread() -> None:
    store, reports = GatedStore(), Reports()
    with writing(store, reports) as writer:
        for index in range(1, 6):
            writer.submit(index, one(index))
        trimmed = writer.call(lambda: (store.trim(3, 1), threading.get_ident()))
        writer.submit(6, one(6))
        refused = writer.call(lambda: store.trim(99, 1))
        cancelled = writer.call(lambda: store.put_meta("never", b""))
        assert cancelled.cancel()
        store.gate.set()
        reports.wait_durable(6)
        count, thread = trimmed.result(SECONDS_MAX)
        assert isinstance(refused.exception(SECONDS_MAX), Misused)
        assert (count, thread) == (3, next(iter(reports.threads)))
        writer.submit(7, one(7))
        reports.wait_durable(7)
    assert store.load()[1:4] == (3, 1, 7)
    assert store.get_meta("never") is None
    assert not reports.failures


def test_after_one_failure_nothing_is_written_or_acknowledged() -> None:
    """The next fsync would succeed, without the pages that the failed one lost (hazard B83)."""
    disk = MemoryDisk()
    store, reports = GatedStore(disk), Reports()
    with writing(store, reports) as writer:
        writer.submit(1, one(1))
        store.gate.set()
        reports.wait_durable(1)
        disk.fail_next_sync(OSError("Input/output error"))
        writer.submit(2, one(2))
        reports.wait_failure()
        writer.submit(3, one(3))
        late = writer.call(lambda: store.put_meta("a", b""))
        assert isinstance(late.exception(SECONDS_MAX), WriteFailed)
        assert writer.failure is reports.failures[0]
    assert reports.durable == [1]
    assert [type(error) for error in reports.failures] == [WriteFailed]
    assert len(store.groups) == 2


def test_a_failing_call_ends_all_writing_too() -> None:
    disk = MemoryDisk()
    store, reports = MemoryLogStore(disk), Reports()
    with writing(store, reports) as writer:
        disk.fail_next_sync(OSError("Input/output error"))
        assert isinstance(writer.call(lambda: store.put_meta("a", b"")).exception(SECONDS_MAX), WriteFailed)
        writer.submit(1, one(1))
    assert (reports.durable, len(reports.failures)) == ([], 1)


def test_a_gap_from_the_caller_is_a_failure_too() -> None:
    store, reports = MemoryLogStore(), Reports()
    with writing(store, reports) as writer:
        writer.submit(1, one(2))
        writer.submit(2, one(1))
    assert [type(error) for error in reports.failures] == [Misused]
    assert reports.durable == []


def test_an_error_of_the_callback_is_a_failure() -> None:
    failures: list[BaseException] = []

    def on_durable(_sequence: int) -> None:
        raise ZeroDivisionError

    writer = LogWriter(MemoryLogStore(), on_durable=on_durable, on_failure=failures.append)
    writer.submit(1, one(1))
    writer.close()
    assert [type(error) for error in failures] == [ZeroDivisionError]


def test_close_writes_what_is_queued_and_gives_the_writes_back(tmp_path: Path) -> None:
    log, reports = LmdbLogStore(tmp_path / "log", create=True), Reports()
    writer = LogWriter(log, on_durable=reports.on_durable, on_failure=reports.on_failure)
    writer.call(lambda: None).result(SECONDS_MAX)
    with pytest.raises(StorageError, match="does not own"):
        log.write([one(1)])
    for index in range(1, 51):
        writer.submit(index, one(index))
    writer.close()
    writer.close()
    assert reports.durable[-1] == 50
    with pytest.raises(Misused):
        writer.submit(51, one(51))
    with pytest.raises(Misused):
        writer.call(lambda: None)
    log.write([one(51)])
    assert log.load().last_index == 51


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sync counts as quick, and a few of them are enough."""
    monkeypatch.setattr(writer_module, "QUICK_MS", float("inf"))
    monkeypatch.setattr(writer_module, "QUICK_SYNCS_MIN", 3)


def write_some(writer: LogWriter, reports: Reports, last: int) -> None:
    """Have the thread write batches up to `last`, one after the other, and be done with them."""
    for index in range(1, last + 1):
        writer.submit(index, one(index))
        reports.wait_durable(index)
    writer.call(lambda: None).result(SECONDS_MAX)
    while not writer.is_idle:
        threading.Event().wait(0.001)


@pytest.mark.usefixtures("quick")
def test_the_owner_writes_a_short_batch_itself_once_the_disk_is_known_to_be_quick(medium: Medium) -> None:
    log, reports = medium.log(), Reports()
    with writing(log, reports) as writer:
        assert not writer.write_here(one(1))
        write_some(writer, reports, 3)
        assert writer.write_here(one(4))
        assert log.read(4, 4, bytes_max=1) == blocks(4, 4)
        writer.submit(5, one(5))
        reports.wait_durable(5)
    assert reports.durable == [1, 2, 3, 5]
    assert log.read(1, 5, bytes_max=1 << 20) == blocks(1, 5, of=1)


@pytest.mark.usefixtures("quick")
def test_the_owner_writes_nothing_while_the_thread_has_something_to_do() -> None:
    store, reports = GatedStore(), Reports()
    store.gate.set()
    with writing(store, reports) as writer:
        write_some(writer, reports, 3)
        store.gate.clear()
        writer.submit(4, one(4))
        assert not writer.write_here(one(5))
        store.gate.set()
        reports.wait_durable(4)
    assert not writer.write_here(one(5))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "batch",
    [
        LogBatch(hard_state=b"vote"),
        LogBatch(truncate_from=3),
        LogBatch(blocks=blocks(4, 4, data=b"v" * HERE_BYTES_MAX)),
    ],
)
def test_the_owner_writes_short_appends_and_nothing_else(batch: LogBatch) -> None:
    with writing(MemoryLogStore(), reports := Reports()) as writer:
        write_some(writer, reports, 3)
        assert not writer.write_here(batch)
        assert writer.write_here(one(4))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("stall_ms", "further"), [(float("inf"), 3), (-1.0, 10)])
def test_a_disk_that_was_slow_once_is_not_waited_for_again_soon(
    stall_ms: float, further: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short delay is forgotten sooner than a stall."""
    with writing(MemoryLogStore(), reports := Reports()) as writer:
        monkeypatch.setattr(writer_module, "STALLED_SYNCS_MIN", 10)
        write_some(writer, reports, 3)
        with monkeypatch.context() as slow:
            slow.setattr(writer_module, "QUICK_MS", -1.0)
            slow.setattr(writer_module, "STALL_MS", stall_ms)
            assert writer.write_here(one(4))
        for index in range(5, 5 + further):
            assert not writer.write_here(one(index))
            writer.submit(index, one(index))
            reports.wait_durable(index)
            while not writer.is_idle:
                threading.Event().wait(0.001)
        assert writer.write_here(one(5 + further))


@pytest.mark.usefixtures("quick")
def test_a_failure_of_the_owner_s_own_write_ends_all_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, reports = MemoryLogStore(), Reports()
    with writing(store, reports) as writer:
        write_some(writer, reports, 3)

        def fail(batches: Sequence[LogBatch]) -> None:
            raise WriteFailed("the disk is gone")

        monkeypatch.setattr(store, "write", fail)
        assert not writer.write_here(one(4))
        reports.wait_failure()
        writer.submit(4, one(4))
    assert reports.durable == [1, 2, 3]
    assert [str(error) for error in reports.failures] == ["the disk is gone"]
