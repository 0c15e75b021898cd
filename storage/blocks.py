"""The bytes of a block: neighbouring entries of one term and kind, which are one record of the log.

    checksum  4 bytes   CRC-32 of all that follows
    first     8         index of the first entry, as in the record's key
    term      8
    count     4         entries, at least one
    kind      1
    sizes     4 each    bytes of each entry's data
    data                of all entries, one after another

Numbers are big-endian. The layer above makes the blocks and has the same layout (`raftdb.core.block`); this package
knows nothing of raftdb, and stores and returns the very bytes. It reads the header, and it cuts a block when the log is
truncated inside one. LMDB has no checksums, so each block carries its own (hazard B81). It covers the index, so a block
that turns up under another key is damage, not data.
"""

from struct import Struct, unpack_from
from typing import NamedTuple
from zlib import crc32

from storage.codec import CHECKSUM, CHECKSUM_BYTES, INDEX_KEY
from storage.contract import INDEX_MAX
from storage.errors import FolderDamaged, Misused

HEADER = Struct(">IQQIB")
HEADER_BYTES = HEADER.size
SIZE_BYTES = 4


class Span(NamedTuple):
    """What is in a block: entries `first_index` to `last_index`, all of one term and kind."""

    first_index: int
    last_index: int
    term: int
    kind: int


def span_of(block: bytes | memoryview) -> Span:
    """What is in a block that is to be stored. Raises `Misused` if it cannot be one; its checksum is not looked at."""
    if len(block) < HEADER_BYTES:
        raise Misused(f"a block has {len(block)} bytes: that is not even a header")
    _checksum, first_index, term, count, kind = HEADER.unpack_from(block)
    span = Span(first_index, first_index + count - 1, term, kind)
    if not count or len(block) < HEADER_BYTES + SIZE_BYTES * count or span.last_index > INDEX_MAX:
        raise Misused(f"a block of {len(block)} bytes cannot have {count} entries from {first_index} on")
    return span


def verify(key: bytes | memoryview, block: bytes | memoryview) -> Span:
    """What is in the block that is stored under `key`. Raises `FolderDamaged`."""
    if len(key) != INDEX_KEY.size or len(block) < HEADER_BYTES:
        raise FolderDamaged(f"log record {bytes(key).hex()}", f"it has {len(block)} bytes")
    checksum, first_index, term, count, kind = HEADER.unpack_from(block)
    if (
        key != block[CHECKSUM_BYTES : CHECKSUM_BYTES + INDEX_KEY.size]
        or crc32(block[CHECKSUM_BYTES:]) != checksum
    ):
        raise FolderDamaged(f"log record {INDEX_KEY.unpack(key)[0]}", "its checksum does not match")
    return Span(first_index, first_index + count - 1, term, kind)


def cut_before(block: bytes, index: int) -> bytes:
    """The entries of `block` before `index`, at least one and not all, as a block of their own."""
    _checksum, first_index, term, count, kind = HEADER.unpack_from(block)
    kept = index - first_index
    sizes_end = HEADER_BYTES + SIZE_BYTES * kept
    data_start = HEADER_BYTES + SIZE_BYTES * count
    data_bytes = sum(unpack_from(f">{kept}I", block, HEADER_BYTES))
    header = HEADER.pack(0, first_index, term, kept, kind)[CHECKSUM_BYTES:]
    rest = header + block[HEADER_BYTES:sizes_end] + block[data_start : data_start + data_bytes]
    return CHECKSUM.pack(crc32(rest)) + rest
