"""The journal in front of the log: torn tails, damage, crashes at each step, and reads over it and LMDB."""

import errno
import itertools
import os
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import lmdb
import pytest

from storage import FolderDamaged, LmdbLogStore, LogBatch, MemoryLogStore, WriteFailed, examine
from storage.contract import LogStore
from storage.env import DATA_FILE
from storage.errors import Missing, Misused
from storage.journal import (
    APPEND_BYTES_MAX,
    JOURNAL_BYTES,
    JOURNAL_FILE,
    PAGE_BYTES,
    RECORD_PAGES,
    SECTOR_BYTES,
    Replayed,
    encode_header,
    encode_record,
    replay,
)
from tests.storage.media import blocks, scratch_folder

IDENTITY = b"sixteen bytes id"
SEED = crc32(IDENTITY)
OLD = 5
"""Records of a time before, over which the journal is written again."""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = scratch_folder()
    yield made
    shutil.rmtree(made)


def journal(records: dict[int, tuple[int, list[bytes]]], *, pages: int = 8) -> bytearray:
    """A journal with records by their page: (sequence, blocks), over older ones that filled all of it."""
    content = bytearray(encode_header(IDENTITY).ljust(pages * PAGE_BYTES, b"\0"))
    older = {page: (page, [b"older" * 700]) for page in range(1, OLD)}
    for page, (sequence, data) in [*older.items(), *records.items()]:
        record = encode_record(data, sequence=sequence, page=page, seed=SEED)
        content[page * PAGE_BYTES : page * PAGE_BYTES + len(record)] = record
    return content


LONG = [b"x" * 700, b"", b"y" * 900]
"""Four sectors."""
TWO_PAGES = [b"z" * 4500]
RECORDS = {1: (OLD, [b"one"]), 2: (OLD + 1, TWO_PAGES), 4: (OLD + 2, LONG)}
ALL = [b"one", *TWO_PAGES, *LONG]


def test_records_come_back_as_they_were_written() -> None:
    assert replay(bytes(journal(RECORDS)), sequence=OLD, seed=SEED) == Replayed(ALL, OLD + 3)
    assert replay(bytes(journal({})), sequence=OLD, seed=SEED) == Replayed([], OLD)
    assert replay(encode_header(IDENTITY).ljust(4 * PAGE_BYTES, b"\0"), sequence=1, seed=SEED) == Replayed(
        [], 1
    )


def test_what_lmdb_has_already_is_not_given_again() -> None:
    assert replay(bytes(journal(RECORDS)), sequence=OLD + 3, seed=SEED) == Replayed([], OLD + 3)


@pytest.mark.parametrize("over", ["older records", "nothing"])
def test_an_append_cut_off_anywhere_is_as_if_it_had_not_begun_and_its_number_is_not_used_again(
    over: str,
) -> None:
    """Any of its sectors may have reached the disk, in any order."""
    before = journal({1: (OLD, [b"one"])})
    last = encode_record(LONG, sequence=OLD + 1, page=2, seed=SEED)
    if over == "nothing":
        before[2 * PAGE_BYTES :] = bytes(len(before) - 2 * PAGE_BYTES)
    sectors = range(len(last) // SECTOR_BYTES)
    for kept in itertools.product((False, True), repeat=len(sectors)):
        content = bytearray(before)
        for sector in itertools.compress(sectors, kept):
            place = 2 * PAGE_BYTES + sector * SECTOR_BYTES
            content[place : place + SECTOR_BYTES] = last[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
        found = replay(bytes(content), sequence=OLD, seed=SEED)
        if all(kept):
            assert found == Replayed([b"one", *LONG], OLD + 2)
        else:
            assert found == Replayed([b"one"], OLD + 1 + any(kept))


def test_a_flipped_byte_anywhere_in_a_record_is_damage() -> None:
    """Also in the last one: it may have been acknowledged (hazard B79)."""
    content = journal({1: (OLD, [b"one"]), 2: (OLD + 1, LONG)}, pages=4)
    for page, sectors in ((1, 1), (2, 4)):
        for place in range(page * PAGE_BYTES, page * PAGE_BYTES + sectors * SECTOR_BYTES):
            content[place] ^= 1 << place % 8
            with pytest.raises(FolderDamaged, match="checksum"):
                replay(bytes(content), sequence=OLD, seed=SEED)
            content[place] ^= 1 << place % 8
    assert replay(bytes(content), sequence=OLD, seed=SEED) == Replayed([b"one", *LONG], OLD + 2)


def test_what_is_behind_the_records_may_be_damaged() -> None:
    """LMDB has it, or it was never written."""
    content = journal({1: (OLD, [b"one"])}, pages=4)
    for place in range(PAGE_BYTES + SECTOR_BYTES, 4 * PAGE_BYTES, 251):
        if place // SECTOR_BYTES != 2 * PAGE_BYTES // SECTOR_BYTES:
            content[place] ^= 255
    assert replay(bytes(content), sequence=OLD, seed=SEED) == Replayed([b"one"], OLD + 1)


def test_a_record_that_is_gone_while_a_later_one_is_there_is_damage() -> None:
    for page in (1, 2):
        content = journal(RECORDS)
        content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
        with pytest.raises(FolderDamaged, match=f"record {OLD + page - 1} is missing, but {OLD + 2}"):
            replay(bytes(content), sequence=OLD, seed=SEED)


def test_a_record_in_another_place_or_of_another_log_is_damage() -> None:
    content = journal({})
    content[PAGE_BYTES : 2 * PAGE_BYTES] = journal({2: (OLD, [b"one"])})[2 * PAGE_BYTES : 3 * PAGE_BYTES]
    with pytest.raises(FolderDamaged, match="checksum"):
        replay(bytes(content), sequence=OLD, seed=SEED)
    with pytest.raises(FolderDamaged, match="checksum"):
        replay(bytes(journal(RECORDS)), sequence=OLD, seed=crc32(b"another identity"))


def crash(log: LogStore) -> None:
    """End `log` as the end of its process would."""
    assert isinstance(log, LmdbLogStore)
    log._journal.close()
    log._environment.close()


def stored_index(log: LmdbLogStore) -> int:
    """The last entry that LMDB has."""
    with log._environment.read("log") as transaction:
        return log._range(transaction)[2]


def append(log: LogStore, first: int, last: int, *, data: bytes | None = None) -> None:
    log.write([LogBatch(blocks=blocks(first, last, data=data))])


@pytest.mark.parametrize("other", ["hard state", "truncation", "long append", "trim", "close"])
def test_a_short_append_stays_in_the_journal_until_anything_else_is_written(folder: Path, other: str) -> None:
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    append(log, 2, 2)
    log.put_meta("fact", b"value")
    assert stored_index(log) == 0
    assert log.load().last_index == 2
    if other == "hard state":
        log.write([LogBatch(b"hard state")])
    elif other == "truncation":
        log.write([LogBatch(None, 2, blocks(2, 2, term=2))])
    elif other == "long append":
        append(log, 3, 3, data=b"x" * APPEND_BYTES_MAX)
    elif other == "trim":
        log.trim(1, 1)
    else:
        log.close()
        log = LmdbLogStore(folder, create=False)
    assert stored_index(log) == log.load().last_index == (3 if other == "long append" else 2)
    assert log.get_meta("fact") == b"value"


def test_a_full_journal_is_taken_to_lmdb_with_what_no_longer_fits(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    for index in range(1, RECORD_PAGES + 1):
        append(log, index, index)
    assert stored_index(log) == 0
    append(log, RECORD_PAGES + 1, RECORD_PAGES + 1)
    assert stored_index(log) == RECORD_PAGES + 1
    append(log, RECORD_PAGES + 2, RECORD_PAGES + 2)
    assert stored_index(log) == RECORD_PAGES + 1
    assert os.path.getsize(folder / JOURNAL_FILE) == JOURNAL_BYTES
    crash(log)
    assert LmdbLogStore(folder, create=False).load().last_index == RECORD_PAGES + 2


def test_what_waits_in_the_journal_counts_as_used_space(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    before = log.usage()
    append(log, 1, 1, data=b"x" * 3000)
    after = log.usage()
    assert after.used_bytes - before.used_bytes >= 4096
    assert after.file_bytes == before.file_bytes


def random_step(log: LogStore, chance: random.Random, step: int) -> None:
    """One write of any kind, the same on every store that holds the same."""
    held = log.load()
    first, last = held.base_index + 1, held.last_index
    kind = chance.choice(["append"] * 6 + ["large", "truncate", "hard", "trim", "reset"])
    of = chance.randrange(1, 4)
    term = step
    if kind == "append":
        data = b"x" * chance.choice([0, 10, 500, 5000, 9000])
        log.write(
            [
                LogBatch(
                    None, None, blocks(last + 1, last + chance.randrange(1, 4), term=term, of=of, data=data)
                )
            ]
        )
    elif kind == "large":
        log.write([LogBatch(None, None, blocks(last + 1, last + 2, term=term, data=b"x" * 40_000))])
    elif kind == "truncate" and first <= last:
        at = chance.randrange(first, last + 1)
        log.write([LogBatch(b"%d" % step, at, blocks(at, at + 2, term=term))])
    elif kind == "hard":
        log.write([LogBatch(b"%d" % step)])
    elif kind == "trim" and first <= last:
        at = chance.randrange(first, last + 1)
        log.trim(at, max(start for start in held.term_starts if start[0] <= at)[1])
    elif kind == "reset" and chance.random() < 0.3:
        log.reset(last + 3, term)


@pytest.mark.parametrize("seed", range(6))
def test_after_a_crash_at_any_time_the_log_is_what_was_written(folder: Path, seed: int) -> None:
    """And so it is after a crash while it is opened again, and for a reader that must not change it."""
    chance, same = random.Random(seed), random.Random(seed)
    twin = MemoryLogStore()
    log = LmdbLogStore(folder, create=True)
    for step in range(1, 120):
        random_step(log, chance, step)
        random_step(twin, same, step)
        if step % 3 == seed % 3:
            crash(log)
            reader = LmdbLogStore(folder, create=False, read_only=True)
            assert reader.load() == twin.load()
            reader.close()
            log = LmdbLogStore(folder, create=False)
        held = log.load()
        assert held == twin.load()
        assert log.read(held.base_index + 1, held.last_index, bytes_max=1 << 30) == twin.read(
            held.base_index + 1, held.last_index, bytes_max=1 << 30
        )
    log.close()


def test_a_crash_before_or_after_the_journal_was_taken_over_leaves_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal may be read again after LMDB has got all of it."""
    log = LmdbLogStore(folder, create=True)
    for index in (1, 2, 3):
        append(log, index, index)
    held = log.load()
    crash(log)
    before = (folder / JOURNAL_FILE).read_bytes()

    class Dead(BaseException):
        pass

    def die(*_arguments: object) -> None:
        raise Dead

    for name in ("_put_range", "_begin_journal"):
        with monkeypatch.context() as patch:
            patch.setattr(LmdbLogStore, name, die)
            with pytest.raises(Dead):
                LmdbLogStore(folder, create=False)
        assert (folder / JOURNAL_FILE).read_bytes() == before
        log = LmdbLogStore(folder, create=False, read_only=True)
        assert log.load() == held
        log.close()
    log = LmdbLogStore(folder, create=False)
    append(log, 4, 4)
    crash(log)
    assert LmdbLogStore(folder, create=False).load().last_index == 4


def torn(folder: Path) -> None:
    """A log whose process ended while it appended entry 3, after 2 of 4 sectors."""
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    append(log, 2, 2)
    append(log, 3, 3, data=b"x" * 1700)
    crash(log)
    with (folder / JOURNAL_FILE).open("r+b") as file:
        file.seek(3 * PAGE_BYTES + 2 * SECTOR_BYTES)
        file.write(bytes(2 * SECTOR_BYTES))


def test_a_torn_append_is_forgotten_for_good(folder: Path) -> None:
    """What is left of it never meets parts of a later one."""
    torn(folder)
    log = LmdbLogStore(folder, create=False)
    assert log.load().last_index == 2
    crash(log)
    log = LmdbLogStore(folder, create=False)
    for index in (3, 4, 5):
        append(log, index, index, data=b"new")
        crash(log)
        log = LmdbLogStore(folder, create=False)
        assert log.load().last_index == index
        assert b"new" in log.read(index, index, bytes_max=0)[0]


def test_examination_reads_the_journal_and_changes_nothing(folder: Path) -> None:
    torn(folder / "log")
    before = {path.name: path.read_bytes() for path in (folder / "log").iterdir()}
    found = {finding.name: finding for finding in examine(folder)}
    assert found["log last"].value == 2
    assert {path.name: path.read_bytes() for path in (folder / "log").iterdir()} == before
    with (folder / "log" / JOURNAL_FILE).open("r+b") as file:
        file.seek(2 * PAGE_BYTES + 100)
        file.write(b"?")
    found = {finding.name: finding for finding in examine(folder)}
    assert not found["log"].ok
    assert "checksum of record 2" in str(found["log"].value)


@pytest.mark.parametrize("cut_bytes", [0, 100, PAGE_BYTES, JOURNAL_BYTES - SECTOR_BYTES])
def test_a_journal_cut_short_is_damage(folder: Path, cut_bytes: int) -> None:
    LmdbLogStore(folder, create=True).close()
    os.truncate(folder / JOURNAL_FILE, cut_bytes)
    with pytest.raises(FolderDamaged, match=f"{cut_bytes} bytes of"):
        LmdbLogStore(folder, create=False)


def test_a_missing_journal_is_damage_and_is_not_made_anew(folder: Path) -> None:
    LmdbLogStore(folder, create=True).close()
    (folder / JOURNAL_FILE).unlink()
    for create in (False, True):
        with pytest.raises(FolderDamaged, match="missing"):
            LmdbLogStore(folder, create=create)
        assert not (folder / JOURNAL_FILE).exists()


def test_the_journal_of_another_log_is_refused(folder: Path) -> None:
    for name in ("a", "b"):
        log = LmdbLogStore(folder / name, create=True)
        append(log, 1, 1)
        crash(log)
    shutil.copy(folder / "a" / JOURNAL_FILE, folder / "b" / JOURNAL_FILE)
    with pytest.raises(FolderDamaged, match="belongs to another log"):
        LmdbLogStore(folder / "b", create=False)
    with (folder / "b" / JOURNAL_FILE).open("r+b") as file:
        file.write(b"?")
    with pytest.raises(FolderDamaged, match="first page"):
        LmdbLogStore(folder / "b", create=False)


def test_an_older_copy_of_lmdb_under_a_newer_journal_is_damage(folder: Path) -> None:
    """What was taken over since the copy was made is gone."""
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    log.write([LogBatch(b"hard state")])
    shutil.copy(folder / DATA_FILE, folder / "copy")
    append(log, 2, 2)
    append(log, 3, 3)
    log.write([LogBatch(b"hard state")])
    append(log, 4, 4)
    crash(log)
    shutil.copy(folder / "copy", folder / DATA_FILE)
    with pytest.raises(FolderDamaged, match="record 2 is missing, but 4 was written"):
        LmdbLogStore(folder, create=False)


def test_an_older_journal_under_a_newer_lmdb_brings_nothing_back(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 3)
    shutil.copy(folder / JOURNAL_FILE, folder / "copy")
    log.write([LogBatch(b"hard state", 2, blocks(2, 2, term=2))])
    held = log.load()
    log.close()
    shutil.copy(folder / "copy", folder / JOURNAL_FILE)
    assert LmdbLogStore(folder, create=False).load() == held


def test_a_write_of_the_journal_that_fails_is_the_last_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying again does not write what the kernel has dropped (hazard B83)."""
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    plain = os.pwrite

    def fail(*_arguments: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    def write_a_part(file: int, data: bytes, place: int) -> int:
        return plain(file, data[:100], place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(WriteFailed, match="journal"):
            append(log, 2, 2)
    for batch in (LogBatch(blocks=blocks(2, 2)), LogBatch(b"hard state")):
        with pytest.raises(WriteFailed, match="no write since one failed"):
            log.write([batch])
    assert log.load().last_index == 1
    log.close()
    log = LmdbLogStore(folder, create=False)
    assert log.load().last_index == 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write_a_part)
        with pytest.raises(WriteFailed, match="100 bytes of 512"):
            append(log, 2, 2)


@pytest.mark.parametrize("name", [DATA_FILE, JOURNAL_FILE])
def test_an_append_to_a_log_with_a_deleted_file_fails(folder: Path, name: str) -> None:
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    (folder / name).unlink()
    with pytest.raises(WriteFailed, match="deleted while in use"):
        append(log, 2, 2)


def test_a_foreign_thread_does_not_append(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    refused: list[str] = []

    def try_it() -> None:
        try:
            append(log, 1, 1)
        except Misused as error:
            refused.append(error.message)
        # This leaves the journal as it is.
        log.close()

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert len(refused) == 1
    assert "does not own the writes" in refused[0]


def test_readers_see_every_durable_entry_while_the_journal_is_taken_over(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1, data=b"1")
    durable, is_over = [1], threading.Event()
    faults: list[str] = []

    def look() -> None:
        chance = random.Random(1)
        while not is_over.is_set():
            last = durable[0]
            first = chance.randrange(max(1, last - 40), last + 1)
            found = log.read(first, last, bytes_max=1 << 20)
            texts = [block[29:].decode() for block in found]
            if texts != [str(index) for index in range(first, last + 1)]:
                faults.append(f"{first} to {last}: {texts}")

    reader = threading.Thread(target=look)
    reader.start()
    for index in range(2, 3000):
        append(log, index, index, data=b"%d" % index)
        if index % 7 == 0:
            log.write([LogBatch(b"hard state")])
        durable[0] = index
    is_over.set()
    reader.join()
    assert faults == []


@pytest.mark.parametrize("when", ["before the transaction", "within the transaction"])
@pytest.mark.parametrize("what", ["more", "other"])
def test_a_read_sees_the_log_before_a_write_or_after_it_and_no_mixture(
    folder: Path, monkeypatch: pytest.MonkeyPatch, when: str, what: str
) -> None:
    """The write takes the journal to LMDB while a reader is between the two."""
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 1)
    for index in (2, 3, 4):
        append(log, index, index, data=b"old")
    plain = log._environment.read

    def write() -> None:
        monkeypatch.undo()
        if what == "more":
            log.write([LogBatch(b"hard state", None, blocks(5, 5, data=b"new"))])
        else:
            log.write([LogBatch(None, 3, blocks(3, 3, term=2, data=b"new"))])
            append(log, 4, 4, data=b"new")

    @contextmanager
    def read(name: str) -> Iterator["lmdb.Transaction[memoryview]"]:
        if when == "before the transaction":
            write()
        with plain(name) as transaction:
            if when == "within the transaction":
                write()
            yield transaction

    monkeypatch.setattr(log._environment, "read", read)
    if what == "other" and when == "before the transaction":
        # Entry 4 was written after the read began, and so need not be seen.
        with pytest.raises(Missing, match="the log holds 1 to 3"):
            log.read(2, 4, bytes_max=1 << 20)
    else:
        found = log.read(2, 4, bytes_max=1 << 20)
        assert [block[-3:] for block in found] == [b"old"] * 3
    expected = ["old", "old", "old", "new"] if what == "more" else ["old", "new", "new"]
    last = len(expected) + 1
    assert [block[-3:].decode() for block in log.read(2, last, bytes_max=1 << 20)] == expected


def test_a_truncated_entry_is_not_read_from_the_journal(folder: Path) -> None:
    log = LmdbLogStore(folder, create=True)
    append(log, 1, 5)
    log.write([LogBatch(None, 3, [])])
    with pytest.raises(Missing):
        log.read(3, 3, bytes_max=0)
    assert log.load().last_index == 2
