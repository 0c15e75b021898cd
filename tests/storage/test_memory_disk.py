"""The disk in memory: what its hooks lose, keep, tear, fail and flip, as the stores on it then see."""

import pytest

from storage import (
    FolderDamaged,
    LoadedLog,
    LogBatch,
    MemoryDisk,
    MemoryLogStore,
    MemoryStateStore,
    WriteFailed,
)
from storage.errors import Misused
from tests.storage.media import blocks


def lazy_log() -> tuple[MemoryDisk, MemoryLogStore]:
    """A log of records 1 to 3, synced, and two writes that are not: up to 6, then from 5 anew."""
    disk = MemoryDisk(auto_sync=False)
    log = MemoryLogStore(disk)
    log.write([LogBatch(b"a", None, blocks(1, 3))])
    disk.sync()
    log.write([LogBatch(b"b", None, blocks(4, 6))])
    log.write([LogBatch(b"c", 5, blocks(5, 9, term=2))])
    assert disk.unsynced_count == 2
    assert log.load().last_index == 9
    return disk, log


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0, LoadedLog(b"a", 0, 0, 3, ((1, 1),))),
        (1, LoadedLog(b"b", 0, 0, 6, ((1, 1),))),
        (2, LoadedLog(b"c", 0, 0, 9, ((1, 1), (5, 2)))),
        (9, LoadedLog(b"c", 0, 0, 9, ((1, 1), (5, 2)))),
    ],
)
def test_a_crash_keeps_a_prefix_of_what_was_not_synced(keep: int, expected: LoadedLog) -> None:
    disk, _log = lazy_log()
    disk.crash(keep=keep)
    assert MemoryLogStore(disk).load() == expected
    assert disk.unsynced_count == 0


@pytest.mark.parametrize("keep", [0, 1])
def test_a_torn_write_is_noticed(keep: int) -> None:
    disk, _log = lazy_log()
    disk.crash(keep=keep, torn=True)
    with pytest.raises(FolderDamaged):
        MemoryLogStore(disk).load()


def test_a_torn_flush_is_noticed() -> None:
    disk = MemoryDisk(auto_sync=False)
    state = MemoryStateStore(disk)
    state.write({b"%d" % number: b"" for number in range(9)}, index=1, term=1)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    disk.crash(torn=True)
    with pytest.raises(FolderDamaged, match="keys"):
        MemoryStateStore(disk)


def test_a_crashed_process_cannot_touch_the_disk_any_more() -> None:
    disk, log = lazy_log()
    disk.crash()
    for work in (log.load, lambda: log.write([LogBatch(hard_state=b"ghost")])):
        with pytest.raises(Misused):
            work()
    MemoryLogStore(disk).write([LogBatch(blocks=blocks(4, 4))])


def test_a_failed_sync_is_final_until_the_crash_that_decides_what_was_kept() -> None:
    disk, log = lazy_log()
    disk.fail_next_sync(OSError("Input/output error"))
    with pytest.raises(WriteFailed, match="Input/output"):
        disk.sync()
    with pytest.raises(WriteFailed):
        disk.sync()
    with pytest.raises(WriteFailed):
        log.write([LogBatch(hard_state=b"d")])
    disk.crash(keep=1)
    log = MemoryLogStore(disk)
    assert log.load().hard_state == b"b"
    log.write([LogBatch(hard_state=b"e")])
    disk.sync()


def test_a_write_syncs_by_itself_by_default() -> None:
    disk = MemoryDisk()
    log = MemoryLogStore(disk)
    log.write([LogBatch(blocks=blocks(1, 2))])
    disk.crash()
    assert MemoryLogStore(disk).load().last_index == 2
    disk.fail_next_sync(OSError("Input/output error"))
    log = MemoryLogStore(disk)
    with pytest.raises(WriteFailed):
        log.write([LogBatch(blocks=blocks(3, 3))])
    with pytest.raises(WriteFailed):
        log.write([LogBatch(blocks=blocks(3, 3))])


def test_a_full_disk_refuses_growth_and_keeps_what_it_has() -> None:
    disk = MemoryDisk()
    log = MemoryLogStore(disk)
    log.write([LogBatch(blocks=blocks(1, 5, data=b"x" * 100))])
    disk.bytes_max = disk.bytes_used + 50
    log.write([LogBatch(truncate_from=5)])
    assert log.trim(1, 1) == 1
    with pytest.raises(WriteFailed, match="no space"):
        log.write([LogBatch(blocks=blocks(5, 9, data=b"x" * 100))])
    disk.crash()
    disk.bytes_max = None
    log = MemoryLogStore(disk)
    assert log.load() == LoadedLog(None, 1, 1, 4, ((2, 1),))
    assert disk.bytes_used == sum(len(key) + len(value) for key, value in disk.content.items())
    log.write([LogBatch(blocks=blocks(5, 9))])


def test_every_flipped_bit_of_a_record_is_noticed() -> None:
    disk = MemoryDisk()
    log = MemoryLogStore(disk)
    log.write([LogBatch(blocks=blocks(1, 3, of=1))])
    for bit in range(8 * len(blocks(2, 2)[0])):
        log.flip_record_bit(2, bit=bit)
        with pytest.raises(FolderDamaged, match="record 2"):
            log.load()
        log.flip_record_bit(2, bit=bit)
    log.load()


def test_every_flipped_bit_of_the_range_is_noticed() -> None:
    disk = MemoryDisk()
    log = MemoryLogStore(disk)
    log.write([LogBatch(blocks=blocks(1, 3))])
    for bit in range(8 * 28):
        disk.flip_bit(b"mrange", bit=bit)
        with pytest.raises(FolderDamaged):
            log.load()
        disk.flip_bit(b"mrange", bit=bit)
