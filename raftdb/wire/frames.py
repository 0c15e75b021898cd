"""The seal around everything that peers send: a CRC over the rest, checked before the rest is looked at
(hazard B94).

TCP's own checksum lets corruption through when a box on the way rewrites it. The CRC guards against accidents, not
against attackers: the handshake keeps those out.
"""

from struct import Struct
from zlib import crc32

from raftdb.errors import RemoteProtocolError

_CRC = Struct(">I")

SEAL_BYTES = _CRC.size
"""Bytes that `seal` adds."""


def seal(body: bytes) -> bytes:
    """Return the CRC-32 of `body` (four bytes, big-endian), followed by `body`."""
    return _CRC.pack(crc32(body)) + body


def unseal(data: bytes, *, bytes_max: int) -> bytes:
    """Return the body of sealed `data`, or raise `RemoteProtocolError` if it is too long, too short or damaged."""
    if len(data) > bytes_max:
        raise RemoteProtocolError(f"a frame has {len(data)} bytes: the limit is {bytes_max}")
    if len(data) < SEAL_BYTES:
        raise RemoteProtocolError(f"a frame has {len(data)} bytes: it cannot even hold a checksum")
    body = data[SEAL_BYTES:]
    if crc32(body) != _CRC.unpack_from(data)[0]:
        raise RemoteProtocolError(
            "a frame does not match its checksum", hint="something between the nodes damages data"
        )
    return body
