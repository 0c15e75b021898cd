"""Growing writes are refused before the disk or the map is full, and taken again when there is space."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import LmdbLogStore, LmdbStateStore, LogBatch, SpaceGuard, Usage
from tests.storage.media import blocks
from tests.storage.snapshots import checkpoint

MIB = 1 << 20
DISK_BYTES = 48 * MIB


class Fixed:
    """A store that occupies what a test says."""

    def __init__(self, usage: Usage) -> None:
        self.found = usage

    def usage(self) -> Usage:
        return self.found


def test_refusing_begins_at_the_reserve_and_ends_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [100 * MIB]

    class Space:
        f_frsize = 1
        f_blocks = 1000 * MIB

        @property
        def f_bavail(self) -> int:
            return free[0]

    monkeypatch.setattr(os, "statvfs", lambda _path: Space())
    store = Fixed(Usage(10 * MIB, 10 * MIB, 10 * MIB, 1 << 40))
    guard = SpaceGuard(tmp_path, {"log": store})
    assert guard.refresh() is None
    # Five hundredths of the disk are kept, and what is pending needs room as well.
    assert guard.refresh(pending_bytes=60 * MIB) is not None
    free[0] = 70 * MIB
    assert guard.refresh() is None
    free[0] = 49 * MIB
    assert "for the log" in str(guard.refresh())
    for free[0] in (51 * MIB, 60 * MIB):
        assert guard.refresh() == guard.reason is not None
    free[0] = 63 * MIB
    assert guard.refresh() is None
    # Pages to write again are room for the store that has them.
    free[0] = 1 * MIB
    store.found = Usage(100 * MIB, 100 * MIB, 30 * MIB, 1 << 40)
    assert guard.refresh() is None
    # But not what the disk has never set aside.
    store.found = Usage(100 * MIB, 40 * MIB, 30 * MIB, 1 << 40)
    assert guard.refresh() is not None


def test_the_last_bytes_are_counted_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a follower writes for its leader's sake, and what it must have left for itself."""
    free = [100 * MIB]

    class Space:
        f_frsize = 1
        f_blocks = 1000 * MIB

        @property
        def f_bavail(self) -> int:
            return free[0]

    monkeypatch.setattr(os, "statvfs", lambda _path: Space())
    guard = SpaceGuard(tmp_path, {"log": Fixed(Usage(0, 0, 0, 1 << 40))})
    guard.refresh(pending_bytes=10 * MIB)
    assert (guard.headroom_bytes, guard.last_headroom_bytes) == (40 * MIB, 82 * MIB)
    free[0] = 20 * MIB
    guard.refresh(pending_bytes=10 * MIB)
    assert (guard.headroom_bytes, guard.last_headroom_bytes) == (0, 2 * MIB)
    # Gone, it comes back only with a quarter more, as the reserve does.
    for free[0], left in ((18 * MIB, 0), (19 * MIB, 0), (21 * MIB, 1 * MIB), (19 * MIB, 1 * MIB)):
        guard.refresh(pending_bytes=10 * MIB)
        assert guard.last_headroom_bytes == left
    small = SpaceGuard(tmp_path, {"log": Fixed(Usage(0, 0, 0, 1 << 40))}, reserve_bytes=2 * MIB)
    small.refresh()
    assert small.last_headroom_bytes == 18 * MIB


def test_a_map_is_refused_before_it_is_full_and_recovers_by_deletes(tmp_path: Path) -> None:
    """A map that is full kills its transaction, and with it the store (hazard B84)."""
    state = LmdbStateStore(tmp_path / "state", create=True, map_bytes=8 * MIB)
    guard = SpaceGuard(tmp_path, {"state": state}, reserve_bytes=MIB)
    index = 0
    while guard.refresh(pending_bytes=100_000) is None:
        index += 1
        state.write({b"%d %d" % (index, number): bytes(1000) for number in range(50)}, index=index, term=1)
        checkpoint(state)
    assert index > 50
    assert "map of the state" in str(guard.reason)
    keys = [key for key, _value in state.scan(b"", None, limit=1 << 30)]
    for start in range(0, len(keys), 50):
        index += 1
        state.write(dict.fromkeys(keys[start : start + 50]), index=index, term=1)
        checkpoint(state)
    assert guard.refresh(pending_bytes=100_000) is None
    state.close()


def test_usage_tells_used_from_reusable(tmp_path: Path) -> None:
    log = LmdbLogStore(tmp_path / "log", create=True)
    empty = log.usage()
    log.write([LogBatch(blocks=blocks(1, 4000, data=bytes(1000), of=10))])
    full = log.usage()
    assert full.used_bytes > 4_000_000 > empty.used_bytes
    while log.trim(4000, 1):
        pass
    trimmed = log.usage()
    assert trimmed.file_bytes >= full.file_bytes
    assert trimmed.used_bytes < 100_000
    assert trimmed.reusable_bytes > 4_000_000
    log.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(path)]
    try:
        done = subprocess.run(options, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_small_disk_is_never_filled_and_serves_again_when_there_is_space(small_disk: Path) -> None:
    state = LmdbStateStore(small_disk / "state", create=True)
    log = LmdbLogStore(small_disk / "log", create=True)
    guard = SpaceGuard(small_disk, {"log": log, "state": state}, reserve_bytes=12 * MIB)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(8 * MIB))
    index = 0

    def grow() -> None:
        nonlocal index
        index += 1
        log.write([LogBatch(blocks=blocks(index, index, data=bytes(20_000)))])
        state.write({b"%d" % index: bytes(20_000)}, index=index, term=1)
        checkpoint(state)

    while guard.refresh(pending_bytes=state.change_bytes) is None:
        grow()
    refused_at = index
    assert refused_at > 100
    assert "disk is nearly full" in str(guard.reason)
    # What must go on goes on: reads, deletes, checkpoints, trims, hard states.
    assert state.get(b"1") == bytes(20_000)
    log.write([LogBatch(b"term and vote")])
    while log.trim(index - 10, 1, blocks_max=20):
        pass
    assert guard.refresh() is not None, "the log has room now, the state has not"
    ballast.unlink()
    assert guard.refresh() is None
    for _ in range(30):
        grow()
    log.close()
    state.close()
    log = LmdbLogStore(small_disk / "log", create=False)
    assert log.load().last_index == index == refused_at + 30
    log.close()
