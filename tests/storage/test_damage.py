"""Damaged files: flipped, cut, zeroed, swapped, deleted. No wrong byte comes back, and nothing is mended."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import (
    FolderDamaged,
    LmdbLogStore,
    LmdbStateStore,
    LogBatch,
    MemoryLogStore,
    MemoryStateStore,
    WriteFailed,
)
from storage.env import DATA_FILE, META_PAGE, check_data_file
from tests.storage.media import Medium, blocks, run_child

PAGE_BYTES = 4096
SMALL_MAP_BYTES = 64 << 10


def make_log(folder: Path, *, count: int = 300) -> Path:
    """A closed log of `count` records and a hard state; returns its data file."""
    log = LmdbLogStore(folder, create=True)
    log.write(
        [
            LogBatch(
                b"the hard state", None, [*blocks(1, 1, data=b"the first record"), *blocks(2, count, of=7)]
            )
        ]
    )
    log.put_meta("peer", b"the fact")
    log.close()
    return folder / DATA_FILE


def flip(path: Path, place: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def flip_within(path: Path, text: bytes) -> None:
    """Flip a bit in each copy of `text` in the file: pages that are free may hold older ones."""
    content = path.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(text, place)]
    assert places
    for place in places:
        flip(path, place + len(text) - 1, 4)


@pytest.mark.parametrize(
    "text", [b"the first record", b"data of 150", b"data of 300", b"the hard state", b"the fact"]
)
def test_a_flipped_bit_anywhere_in_what_is_stored_is_found_at_recovery(tmp_path: Path, text: bytes) -> None:
    """LMDB would return the wrong value as a good one (hazards B79, B81)."""
    path = make_log(tmp_path / "log")
    flip_within(path, text)
    log = LmdbLogStore(tmp_path / "log", create=False)
    before = path.read_bytes()
    with pytest.raises(FolderDamaged, match="checksum"):
        log.load()
    log.close()
    assert path.read_bytes() == before


def test_a_flipped_bit_is_found_by_a_read_too(medium: Medium) -> None:
    log = medium.log()
    log.write([LogBatch(blocks=blocks(1, 9, of=1))])
    log.close()
    if medium.kind == "lmdb":
        flip_within(medium.folder / DATA_FILE, b"data of 5")
        log = medium.log()
    else:
        log = medium.log()
        assert isinstance(log, MemoryLogStore)
        log.flip_record_bit(5, bit=120)
    assert len(log.read(1, 4, bytes_max=1 << 20)) == 4
    for work in (lambda: log.read(1, 9, bytes_max=1 << 20), log.load):
        with pytest.raises(FolderDamaged, match="record 5"):
            work()


def test_a_flipped_bit_of_the_state_is_found_by_get_and_scan(medium: Medium) -> None:
    state = medium.state()
    state.write({b"key": b"a value to damage", b"other": b"good"}, index=1, term=1)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.close()
    if medium.kind == "lmdb":
        flip_within(medium.folder / DATA_FILE, b"a value to damage")
        state = medium.state()
    else:
        state = medium.state()
        assert isinstance(state, MemoryStateStore)
        state.flip_value_bit(b"key", bit=77)
    assert state.get(b"other") == b"good"
    for work in (lambda: state.get(b"key"), lambda: state.scan(b"", None, limit=9)):
        with pytest.raises(FolderDamaged, match="key"):
            work()


@pytest.mark.parametrize("opening", [LmdbLogStore, LmdbStateStore])
@pytest.mark.parametrize("size", [0, 10, 200, PAGE_BYTES, PAGE_BYTES + 100, "half", "less a page"])
def test_a_file_cut_short_is_refused_before_it_is_mapped(
    tmp_path: Path, size: int | str, opening: type[LmdbLogStore] | type[LmdbStateStore]
) -> None:
    """Mapped, it would end the process with SIGBUS (hazard B82)."""
    if opening is LmdbLogStore:
        path = make_log(tmp_path / "store")
    else:
        path = make_state(tmp_path / "store")
    used = used_bytes(path)
    cut = {"half": used // 2, "less a page": used - PAGE_BYTES}.get(str(size), size)
    assert isinstance(cut, int)
    os.truncate(path, cut)
    with pytest.raises(FolderDamaged):
        opening(tmp_path / "store", create=False)
    assert path.stat().st_size == cut


def used_bytes(path: Path) -> int:
    """Where the last page that the meta pages know of ends; the file goes on behind it with a hole."""
    content = path.read_bytes()
    last_page = max(META_PAGE.unpack(content[page:][: META_PAGE.size])[-2] for page in (0, PAGE_BYTES))
    return (int(last_page) + 1) * PAGE_BYTES


def make_state(folder: Path, *, count: int = 500) -> Path:
    """A closed state of `count` keys; returns its data file."""
    state = LmdbStateStore(folder, create=True)
    state.write({b"key %d" % number: b"value" for number in range(count)}, index=1, term=1)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.close()
    return folder / DATA_FILE


def test_a_file_is_never_shorter_than_its_meta_page_says(tmp_path: Path) -> None:
    """Pages that a transaction allocated last and gave back are not written: no sign of a file cut short."""
    log = LmdbLogStore(tmp_path / "log", create=True)
    with log._environment.write() as transaction:
        transaction.put(b"passing", b"x" * 1_000_000, db=log._meta)
        transaction.delete(b"passing", db=log._meta)
    log.close()
    path = tmp_path / "log" / DATA_FILE
    assert path.stat().st_size > used_bytes(path) > 1_000_000
    LmdbLogStore(tmp_path / "log", create=False).load()


MAGIC, VERSION, PAGE_SIZE, ROOT_FREE, ROOT_MAIN, LAST_PAGE, NUMBER = 16, 20, 40, 80, 128, 136, 144


def test_the_meta_pages_are_where_we_read_them(tmp_path: Path) -> None:
    path = make_log(tmp_path / "log")
    check_data_file(path)
    numbers = sorted(
        META_PAGE.unpack(path.read_bytes()[page:][: META_PAGE.size])[-1] for page in (0, PAGE_BYTES)
    )
    assert numbers[0] + 1 == numbers[1]


@pytest.mark.parametrize("page", [0, PAGE_BYTES])
@pytest.mark.parametrize("field", [MAGIC, VERSION, NUMBER])
@pytest.mark.parametrize("bit", [0, 1, 9, 31])
def test_a_flipped_bit_in_a_meta_page_is_refused(tmp_path: Path, page: int, field: int, bit: int) -> None:
    """A transaction number that lost a bit would show the tree before the last acknowledged write."""
    path = make_log(tmp_path / "log", count=5)
    flip(path, page + field + bit // 8, bit % 8)
    with pytest.raises(FolderDamaged):
        LmdbLogStore(tmp_path / "log", create=False)


@pytest.mark.parametrize("field", [PAGE_SIZE, ROOT_FREE, ROOT_MAIN, LAST_PAGE])
@pytest.mark.parametrize("bit", [12, 31])
def test_a_tree_or_an_end_past_the_file_is_refused(tmp_path: Path, field: int, bit: int) -> None:
    path = make_log(tmp_path / "log", count=5)
    for page in (0, PAGE_BYTES) if field != PAGE_SIZE else (0,):
        # A root of all ones says that the tree is empty: with a bit gone, it points nowhere.
        flip(path, page + field + bit // 8, bit % 8)
    with pytest.raises(FolderDamaged):
        check_data_file(path)


def test_a_last_page_that_went_back_is_refused(tmp_path: Path) -> None:
    """LMDB would hand out pages that hold records."""
    path = make_log(tmp_path / "log")
    content = path.read_bytes()
    metas = {page: META_PAGE.unpack(content[page:][: META_PAGE.size]) for page in (0, PAGE_BYTES)}
    newer = max(metas, key=lambda page: int(metas[page][-1]))
    bit = int(metas[newer][-2]).bit_length() - 1
    flip(path, newer + LAST_PAGE + bit // 8, bit % 8)
    with pytest.raises(FolderDamaged, match=r"went back|past the last page"):
        check_data_file(path)


def test_a_log_that_lost_its_tail_is_damaged(tmp_path: Path) -> None:
    """The file of an hour ago in place of the log: sound by itself, except that it does not hold what was written.

    The records come from the old file, the range from the new one: what a lost page write would leave.
    """
    log = LmdbLogStore(tmp_path / "log", create=True)
    log.write([LogBatch(b"not only an append", None, blocks(1, 9, of=1))])
    with log._environment.write() as transaction:
        for index in (8, 9):
            transaction.delete(index.to_bytes(8), db=log._records)
    log.close()
    log = LmdbLogStore(tmp_path / "log", create=False)
    with pytest.raises(FolderDamaged, match="ends at record 7, but 9"):
        log.load()
    with pytest.raises(FolderDamaged, match="missing"):
        log.read(7, 9, bytes_max=1 << 20)


def test_a_hole_in_the_log_is_damaged(tmp_path: Path) -> None:
    log = LmdbLogStore(tmp_path / "log", create=True)
    log.write([LogBatch(b"not only an append", None, blocks(1, 9, of=1))])
    with log._environment.write() as transaction:
        transaction.delete((4).to_bytes(8), db=log._records)
    with pytest.raises(FolderDamaged, match="record 4 is missing"):
        log.load()
    with pytest.raises(FolderDamaged, match="4 is damaged: it is missing"):
        log.read(3, 9, bytes_max=1 << 20)


def test_a_record_under_another_index_is_damaged(tmp_path: Path) -> None:
    log = LmdbLogStore(tmp_path / "log", create=True)
    log.write([LogBatch(b"not only an append", None, blocks(1, 2, of=1))])
    with log._environment.write() as transaction:
        first, second = (number.to_bytes(8, "big") for number in (1, 2))
        value = transaction.get(second, db=log._records)
        assert value is not None
        transaction.put(first, value, db=log._records)
    with pytest.raises(FolderDamaged, match=r"record 1 .*checksum"):
        log.load()


def test_an_empty_environment_where_a_log_should_be_is_damaged(tmp_path: Path) -> None:
    """What LMDB makes of a missing file, put back in place of a log (hazard B89)."""
    make_log(tmp_path / "log")
    make_state(tmp_path / "state")
    shutil.copy(tmp_path / "state" / DATA_FILE, tmp_path / "log" / DATA_FILE)
    with pytest.raises(FolderDamaged, match="missing"):
        LmdbLogStore(tmp_path / "log", create=False)


def test_a_state_with_fewer_keys_than_were_written_is_damaged(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    state = LmdbStateStore(tmp_path / "state", create=False)
    with state._environment.write() as transaction:
        transaction.delete(b"key 7", db=state._values)
    state.close()
    with pytest.raises(FolderDamaged, match="499 keys, but 500"):
        LmdbStateStore(tmp_path / "state", create=False)


@pytest.mark.parametrize(
    "loss", [os.unlink, lambda path: os.replace(shutil.copy(path, f"{path}.copy"), path)]
)
def test_a_write_into_a_file_that_is_gone_is_not_acknowledged(
    tmp_path: Path, loss: Callable[[Path], None]
) -> None:
    """LMDB goes on committing into the deleted file (hazard B89)."""
    log = LmdbLogStore(tmp_path / "log", create=True)
    log.write([LogBatch(blocks=blocks(1, 1))])
    loss(tmp_path / "log" / DATA_FILE)
    for index in (2, 2):
        with pytest.raises(WriteFailed):
            log.write([LogBatch(blocks=blocks(index, index))])


def test_a_full_map_fails_the_write_and_all_later_ones(tmp_path: Path) -> None:
    log = LmdbLogStore(tmp_path / "log", create=True, map_bytes=SMALL_MAP_BYTES)
    log.write([LogBatch(b"a", None, blocks(1, 9))])
    with pytest.raises(WriteFailed, match="MAP_FULL"):
        log.write([LogBatch(b"b", None, blocks(10, 10, data=b"x" * SMALL_MAP_BYTES))])
    with pytest.raises(WriteFailed, match="since one failed"):
        log.write([LogBatch(b"c")])
    assert log.load()[::3] == (b"a", 9)
    log.close()
    log = LmdbLogStore(tmp_path / "log", create=False)
    assert log.load()[::3] == (b"a", 9)
    log.write([LogBatch(b"d")])


def test_a_full_map_fails_a_flush_and_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    state = LmdbStateStore(tmp_path / "state", create=True, map_bytes=SMALL_MAP_BYTES)
    state.write({b"a": b"x" * SMALL_MAP_BYTES, b"b": b"small"}, index=1, term=1)
    frozen = state.freeze()
    assert frozen is not None
    for _ in range(2):
        with pytest.raises(WriteFailed):
            state.flush(frozen)
    assert state.get(b"b") == b"small"
    assert state.checkpoint == (0, 0)
    state.close()
    assert LmdbStateStore(tmp_path / "state", create=False).scan(b"", None, limit=9) == []


REFUSED_BY_THE_SYSTEM = """
import pathlib, resource, sys
from storage import LmdbLogStore, LogBatch, WriteFailed
from tests.storage.media import blocks
log = LmdbLogStore(pathlib.Path(sys.argv[1]), create=True)
log.write([LogBatch(blocks=blocks(1, 1, data=b"acknowledged"))])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
def attempt(index):
    try:
        log.write([LogBatch(blocks=blocks(index, index, data=b"x" * 1_000_000))])
    except WriteFailed as error:
        return error.message
    return "written"
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
print(attempt(2))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(attempt(2))
"""


def test_a_write_that_the_system_refuses_once_is_never_tried_again(tmp_path: Path) -> None:
    """A real error of pwrite, and gone at the second attempt, which LMDB would take (hazard B83)."""
    child = run_child(REFUSED_BY_THE_SYSTEM, tmp_path / "log")
    first, second = child.stdout.splitlines()
    assert "Input/output error" in first
    assert "since one failed" in second
    assert LmdbLogStore(tmp_path / "log", create=False).load().last_index == 1


RECOVER = """
import pathlib, sys
from storage import LmdbLogStore
LmdbLogStore(pathlib.Path(sys.argv[1]), create=False).load()
print("recovered")
"""


def test_a_zeroed_page_never_passes_for_a_log(tmp_path: Path) -> None:
    """LMDB may abort the process (hazard B82); what it must not do is to go on with less."""
    path = make_log(tmp_path / "log")
    content = bytearray(path.read_bytes())
    page = content.index(b"data of 150") // PAGE_BYTES * PAGE_BYTES
    content[page : page + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)
    child = run_child(RECOVER, tmp_path / "log")
    assert child.returncode != 0
    assert "recovered" not in child.stdout
