"""The slot of a key, by which clients of a Redis cluster find a node: the CRC16 (XMODEM) of its name, or of the part
between its first braces."""

from binascii import crc_hqx

SLOTS = 16_384
"""The number of slots."""


def slot_of(key: bytes) -> int:
    """The slot of `key`, from 0."""
    _, brace, behind = key.partition(b"{")
    if brace:
        tag, closing, _ = behind.partition(b"}")
        if closing and tag:
            key = tag
    return crc_hqx(key, 0) % SLOTS
