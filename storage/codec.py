"""The bytes of a sealed value: LMDB has no checksums, so each value carries its own (hazard B81).

    any key;  value = crc32 (4) + data

The checksum covers the key too: a value that turns up under another key is damage, not data. Indexes as keys are
big-endian, so that they sort as the numbers do. Numbers within values are big-endian. What the log's records hold is in
`storage.blocks`.
"""

from struct import Struct
from zlib import crc32

from storage.errors import FolderDamaged

INDEX_KEY = Struct(">Q")
CHECKSUM = Struct(">I")

CHECKSUM_BYTES = CHECKSUM.size

HEAD_VERIFIED_BYTES = 4096
"""Longest value whose checksum is verified when only its first bytes are asked for: a caller that wants the beginnings
of many long values must not have to read them all."""


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
