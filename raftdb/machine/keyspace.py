"""How the services share one ordered key space, and how a value is stored.

A key is a one-byte prefix that names the service, then the service's own key; prefixes keep services apart
and the order within each. Prefix b"k" is the key-value service; others are given out here, once and for ever.

A value is a header (kind, revision, expiry) and the data. The kind lets a later service keep other things
under the same names and answer an error of type, as Redis does.
"""

from struct import Struct
from typing import NamedTuple

from raftdb.errors import Fatal

KEY_VALUE_PREFIX = b"k"
"""Keys of the key-value service. Next free: any other byte."""

KEY_VALUE_END = b"l"
"""First key behind the key-value service: for scans."""

CONFIGURATION_KEY = b"c"
"""The one key of the configuration in force at the applied index: `pack_configuration` of it."""

KIND_STRING = 1
"""A value that is a byte string. Kinds are stored: never reuse one."""

NEVER_EXPIRES = 0
"""The expiry, in milliseconds of the cluster clock, of a value that has none."""

_HEADER = Struct(">BQq")
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from

HEADER_BYTES = _HEADER.size
"""Bytes in front of the data of a stored value: kind (1), revision (8), expiry (8), all big-endian."""


_INDEX = Struct(">Q")


def pack_configuration(index: int, data: bytes) -> bytes:
    """Return the stored form of the CONFIGURATION entry at `index`: so that a checkpoint or snapshot carries the last
    *committed* configuration, and no other (hazard B35)."""
    return _INDEX.pack(index) + data


def unpack_configuration(record: bytes) -> tuple[int, bytes]:
    """Return the index and the data of the CONFIGURATION entry in `record`."""
    return _INDEX.unpack_from(record)[0], record[_INDEX.size :]


class StoredValue(NamedTuple):
    """A value as it is stored: `revision` is the index of the entry that last changed it (from 1)."""

    kind: int
    revision: int
    expires_ms: int
    data: bytes


def encode_string(data: bytes, *, revision: int, expires_ms: int = NEVER_EXPIRES) -> bytes:
    """Return the stored form of the byte string `data`."""
    return _pack_header(KIND_STRING, revision, expires_ms) + data


def decode_value(record: bytes) -> StoredValue:
    """Return the parts of a stored value, or raise `Fatal` if no version known to this node has written it."""
    if len(record) < HEADER_BYTES or record[0] != KIND_STRING:
        raise Fatal(
            "a stored value has a form that this node does not know",
            hint="if a newer raftdb wrote this data folder, start that one; otherwise run: raftdb doctor DIR",
        )
    kind, revision, expires_ms = _unpack_header(record)
    return StoredValue(kind, revision, expires_ms, record[HEADER_BYTES:])
