"""The journal of the log: a short file that takes small appends at once, each by a single write.

A commit of LMDB writes five pages or more in two steps, each of which waits for the disk. Here an append is one write
of a few sectors to a file whose space was written before, so that the file system has nothing of its own to record.
LMDB gets the same blocks later, hundreds in one commit; then the journal begins anew from its first page.

    page 0        a mark, the identity of the log, a checksum
    other pages   records, one after the other, each from the beginning of a page on

A record is the blocks of one append: their count and, for each, its size and its bytes, cut into sectors of 512 bytes:

    checksum  4 bytes   CRC-32 of what follows, begun with the log's identity and the sector's place in the file
    sequence  8         number of the record; it only ever grows
    part      2         which sector of the record this is, from 0
    parts     2         how many it has
    payload   496       padded with zeros

LMDB's record of the range names the sequence with which the journal goes on: what has a lower one is in LMDB already.

What a crash leaves, and what is damage
---------------------------------------
A disk writes a sector as a whole or not at all. So of an append that was cut off each sector is the new one or the one
before, which is sound as well, or still empty. That is what a torn tail looks like, and nothing else is taken for one:
a sector in the place of the next record, or within it, that is neither is damage, as is any sound sector with a later
sequence than the next, because a record is written only after the one before it was durable (hazard B79). The record
that is torn was never acknowledged. Its number is not used again: its sectors are old ones from then on.

No page with a record that LMDB has not got is written again, so no append endangers one before it.

What is not noticed: a disk that loses the whole of the last write it has acknowledged and keeps what was there before.
"""

import errno
import os
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import NamedTuple
from zlib import crc32

from storage.codec import CHECKSUM
from storage.errors import MISSING_HINT, FolderDamaged
from storage.files import open_new, require_in_use, sync_folder
from storage.system_failures import mapped, system_failure, write_failure

JOURNAL_FILE = "journal"
IDENTITY_BYTES = 16
FIRST_SEQUENCE = 1
"""0 is that of a sector that was never written."""

SECTOR_BYTES = 512
"""The smallest unit that any disk writes as a whole."""
PAGE_BYTES = 4096
"""The unit in which disks and file systems write, whatever they are asked to."""
PAGE_SECTORS = PAGE_BYTES // SECTOR_BYTES
RECORD_PAGES = 255
"""Pages for records, so the most records that LMDB gets in one commit, and that are read when the log is opened."""
JOURNAL_BYTES = (1 + RECORD_PAGES) * PAGE_BYTES
APPEND_BYTES_MAX = 32 << 10
"""Bytes of blocks in one record. What is larger goes to LMDB, where it costs the less beside its commit."""

MARK = b"raftdb journal 1"
HEADER = Struct(f">{len(MARK)}s{IDENTITY_BYTES}s")
PART = Struct(">QHH")
PART_BYTES = SECTOR_BYTES - CHECKSUM.size - PART.size
COUNT = Struct(">I")
SIZE = Struct(">I")
EMPTY_SECTOR = bytes(SECTOR_BYTES)
EMPTY_PAGE = bytes(PAGE_BYTES)
CHECKSUM_MASK = 2**32 - 1


class Part(NamedTuple):
    """A sound sector: part `part` of the `parts` of record `sequence`; `sequence` 0 for one that was never written."""

    sequence: int
    part: int
    parts: int
    payload: bytes


class Replayed(NamedTuple):
    """The blocks that are in the journal and not in LMDB, and the sequence of the next record to write."""

    blocks: list[bytes]
    next_sequence: int


NEVER_WRITTEN = Part(0, 0, 0, b"")


def encode_header(identity: bytes) -> bytes:
    """Page 0 of the journal of the log with this identity."""
    header = HEADER.pack(MARK, identity)
    return (header + CHECKSUM.pack(crc32(header))).ljust(PAGE_BYTES, b"\0")


def encode_record(blocks: Sequence[bytes], *, sequence: int, page: int, seed: int) -> bytes:
    """The sectors of a record, to be written from the beginning of `page` on. `seed`: CRC-32 of the log's identity."""
    pieces = chain.from_iterable((SIZE.pack(len(block)), block) for block in blocks)
    payload = b"".join([COUNT.pack(len(blocks)), *pieces])
    parts = -(-len(payload) // PART_BYTES)
    sectors = []
    for part in range(parts):
        piece = payload[part * PART_BYTES : (part + 1) * PART_BYTES].ljust(PART_BYTES, b"\0")
        rest = PART.pack(sequence, part, parts) + piece
        sectors += [CHECKSUM.pack(crc32(rest, _start(seed, page * PAGE_SECTORS + part))), rest]
    return b"".join(sectors)


def replay(content: bytes, *, sequence: int, seed: int) -> Replayed:
    """What `content`, a whole journal, has from record `sequence` on. Raises `FolderDamaged`."""
    parts = [_part_at(content, sector, seed) for sector in range(PAGE_SECTORS, len(content) // SECTOR_BYTES)]
    blocks: list[bytes] = []
    place = 0
    while place < len(parts):
        record = _record_at(parts, place, sequence)
        if record is None:
            break
        blocks += _blocks_of(b"".join(part.payload for part in record), sequence)
        place += -(-len(record) // PAGE_SECTORS) * PAGE_SECTORS
        sequence += 1
    latest = max(part.sequence for part in parts if part is not None)
    if latest > sequence:
        raise _damaged(f"record {sequence} is missing, but {latest} was written")
    return Replayed(blocks, sequence + (latest == sequence))


def _start(seed: int, sector: int) -> int:
    """What the checksum of a sector begins with, so that one in another place or of another log does not match."""
    return (seed + sector) & CHECKSUM_MASK


def _part_at(content: bytes, sector: int, seed: int) -> Part | None:
    """The sector, None if it is not sound."""
    data = content[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
    if data == EMPTY_SECTOR:
        return NEVER_WRITTEN
    rest = data[CHECKSUM.size :]
    if CHECKSUM.unpack_from(data)[0] != crc32(rest, _start(seed, sector)):
        return None
    sequence, part, parts = PART.unpack_from(rest)
    return Part(sequence, part, parts, rest[PART.size :])


def _record_at(parts: Sequence[Part | None], place: int, sequence: int) -> list[Part] | None:
    """The parts of record `sequence`, which has its place at `place`; None if it is not there, or was cut off."""
    first = parts[place]
    if first is None:
        raise _damaged(f"the checksum of record {sequence} does not match")
    if first.sequence != sequence:
        return None
    record = []
    for number, part in enumerate(parts[place : place + first.parts]):
        if part is None:
            raise _damaged(f"the checksum of part {number} of record {sequence} does not match")
        if part.sequence != sequence:
            return None
        record.append(part)
    if [part[1:3] for part in record] != [(number, first.parts) for number in range(first.parts)]:
        raise _damaged(f"the parts of record {sequence} do not fit each other")
    return record


def _blocks_of(payload: bytes, sequence: int) -> list[bytes]:
    """The blocks in the payload of a record."""
    blocks = []
    try:
        (count,) = COUNT.unpack_from(payload)
        place = COUNT.size
        for _ in range(count):
            (size,) = SIZE.unpack_from(payload, place)
            place += SIZE.size
            blocks.append(payload[place : place + size])
            place += size
    except struct_error as error:
        raise _damaged(f"record {sequence} cannot be decoded: {error}") from error
    if place > len(payload):
        raise _damaged(f"record {sequence} is shorter than it says")
    return blocks


def _damaged(why: str) -> FolderDamaged:
    return FolderDamaged("the journal of the log", why)


def create_journal(path: Path, identity: bytes) -> None:
    """Make an empty journal, durable when it returns. Raises `OutOfSpace`, `SystemFailure`, `WriteFailed`."""
    try:
        descriptor = open_new(path)
        try:
            # Written and not only set aside: where a file system first has to note that a piece of a file is in use
            # now, each append would cost it a transaction of its own. And written page by page: the system may keep
            # what is written at once in one piece of memory, and looks through all of it at each append.
            os.write(descriptor, encode_header(identity))
            for _ in range(RECORD_PAGES):
                os.write(descriptor, EMPTY_PAGE)
            if os.fstat(descriptor).st_size != JOURNAL_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        raise write_failure(path, error) from error


class Journal:
    """The open journal of a log. Its owner sees to it that one thread writes, and none after a failure."""

    def __init__(self, path: Path, *, identity: bytes, read_only: bool) -> None:
        """Open the journal of the log with this identity. Raises `FolderDamaged`, `SystemFailure`."""
        self.path = path
        self.sequence = FIRST_SEQUENCE
        """That of the next record."""
        self._seed = crc32(identity)
        self._page = 1
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_DSYNC
        try:
            self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise FolderDamaged(str(path), "it is missing", hint=MISSING_HINT) from None
        except OSError as error:
            raise system_failure(path, "open", error) from error
        try:
            with mapped(path, "read"):
                found = os.fstat(self._descriptor)
                self._content = _read_pages(self._descriptor)
            self._inode = (found.st_dev, found.st_ino)
            self._check_frame(identity, found.st_size)
        except BaseException:
            self.close()
            raise

    def replay(self, sequence: int) -> list[bytes]:
        """The blocks from record `sequence` on, once after opening. Raises `FolderDamaged`."""
        content, self._content = self._content, b""
        blocks, self.sequence = replay(content, sequence=sequence, seed=self._seed)
        return blocks

    def takes(self, blocks: Sequence[bytes]) -> bool:
        """True if a record with these blocks is short enough, and fits into what is left until `restart`."""
        block_bytes = sum(map(len, blocks)) + SIZE.size * len(blocks)
        pages = -(-(COUNT.size + block_bytes) // (PART_BYTES * PAGE_SECTORS))
        return block_bytes <= APPEND_BYTES_MAX and self._page + pages <= 1 + RECORD_PAGES

    def append(self, blocks: Sequence[bytes]) -> None:
        """Make `blocks`, which it `takes`, durable: all of them or none. Raises `OSError`, `WriteFailed`."""
        record = encode_record(blocks, sequence=self.sequence, page=self._page, seed=self._seed)
        written = os.pwrite(self._descriptor, record, self._page * PAGE_BYTES)
        if written != len(record):
            raise OSError(f"{written} bytes of {len(record)} were written")
        require_in_use(self.path, self._inode)
        self._page += -(-len(record) // PAGE_BYTES)
        self.sequence += 1

    def restart(self) -> None:
        """LMDB has everything: go on from the first page."""
        self._page = 1

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check_frame(self, identity: bytes, size_bytes: int) -> None:
        if size_bytes != JOURNAL_BYTES or len(self._content) != JOURNAL_BYTES:
            raise FolderDamaged(str(self.path), f"it has {size_bytes} bytes of {JOURNAL_BYTES}")
        page = self._content[:PAGE_BYTES]
        if page == encode_header(identity):
            return
        _mark, found = HEADER.unpack_from(page)
        if page == encode_header(found):
            raise FolderDamaged(str(self.path), "it belongs to another log")
        raise FolderDamaged(str(self.path), "the checksum of its first page does not match")


def _read_pages(descriptor: int) -> bytes:
    """The whole file, read page by page and not ahead, for the reason for which it is written so."""
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    pages = (os.pread(descriptor, PAGE_BYTES, page * PAGE_BYTES) for page in range(1 + RECORD_PAGES))
    return b"".join(pages)
