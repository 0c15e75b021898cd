"""The bytes of a record and of a sealed value: LMDB has no checksums, so each value carries its own (hazard B81).

record   key = index as 8 bytes, big-endian;  value = crc32 (4) + term (8) + kind (1) + data
sealed   any key;                             value = crc32 (4) + data

The checksum covers the key too: a value that turns up under another key is damage, not data. Big-endian keys sort
as the numbers do. Numbers within values are big-endian.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from zlib import crc32

from storage.contract import INDEX_MAX, Record
from storage.errors import FolderDamaged

INDEX_KEY = Struct(">Q")
RECORD_HEADER = Struct(">IQB")
RECORD_REST = Struct(">QB")
CHECKSUM = Struct(">I")

HEADER_BYTES = RECORD_HEADER.size
CHECKSUM_BYTES = CHECKSUM.size

HEAD_VERIFIED_BYTES = 4096
"""Longest value whose checksum is verified when only its first bytes are asked for: a caller that wants the beginnings
of many long values must not have to read them all."""


def encode_records(records: Iterable[Record]) -> Iterator[tuple[bytes, bytes]]:
    """Each record as the (key, value) that is stored. Raises `struct.error` for a number out of range."""
    pack_key, pack_rest, pack_checksum = INDEX_KEY.pack, RECORD_REST.pack, CHECKSUM.pack
    for index, term, kind, data in records:
        key = pack_key(index)
        rest = pack_rest(term, kind) + data
        yield key, pack_checksum(crc32(rest, crc32(key))) + rest


def decode_record(key: bytes | memoryview, value: bytes | memoryview) -> Record:
    """The record in `value`; its data is copied, so it may outlive the transaction. Raises `FolderDamaged`."""
    index, term, kind = verify_record(key, value)
    return index, term, kind, bytes(value[HEADER_BYTES:])


def verify_record(key: bytes | memoryview, value: bytes | memoryview) -> tuple[int, int, int]:
    """(index, term, kind) of the record in `value`, without copying its data. Raises `FolderDamaged`."""
    if len(key) != INDEX_KEY.size or len(value) < HEADER_BYTES:
        raise FolderDamaged(f"log record {bytes(key).hex()}", f"it has {len(value)} bytes")
    index: int = INDEX_KEY.unpack(key)[0]
    checksum, term, kind = RECORD_HEADER.unpack_from(value)
    if crc32(value[CHECKSUM_BYTES:], crc32(key)) != checksum or index > INDEX_MAX:
        raise FolderDamaged(f"log record {index}", "its checksum does not match")
    return index, term, kind


def seal(key: bytes, data: bytes) -> bytes:
    """`data` with the checksum of key and data before it."""
    return CHECKSUM.pack(crc32(data, crc32(key))) + data


def unseal(key: bytes | memoryview, sealed: bytes | memoryview, *, what: str) -> bytes:
    """The data of a sealed value, copied. Raises `FolderDamaged` naming `what` and the key."""
    data = sealed[CHECKSUM_BYTES:]
    if len(sealed) < CHECKSUM_BYTES or CHECKSUM.unpack_from(sealed)[0] != crc32(data, crc32(key)):
        raise FolderDamaged(f"{what} {bytes(key)!r}", "its checksum does not match")
    return bytes(data)


def unseal_head(key: bytes | memoryview, sealed: bytes | memoryview, length: int, *, what: str) -> bytes:
    """The first `length` bytes of a sealed value, copied. Raises `FolderDamaged` as `unseal` does, but for values over
    `HEAD_VERIFIED_BYTES`, whose checksum is not looked at."""
    if len(sealed) <= HEAD_VERIFIED_BYTES:
        return unseal(key, sealed, what=what)[:length]
    return bytes(sealed[CHECKSUM_BYTES : CHECKSUM_BYTES + length])
