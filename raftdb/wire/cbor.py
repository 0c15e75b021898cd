"""Strict encoding to CBOR and back, of plain values only: None, bool, 64-bit int, float, bytes, str, list, dict.

The library decodes far more than our formats use: tags that build cycles, big numbers, regular expressions;
maps whose keys collide; strings without an end (hazard B96). All of that is switched off or denied here, the only place
where CBOR is decoded.
"""

from collections.abc import Callable
from io import BytesIO
from typing import NoReturn

import cbor2

from raftdb.errors import LocalProtocolError, RemoteProtocolError

DEPTH_MAX = 32
"""Deepest nesting of arrays and maps. Our own formats need five levels."""

_BUILT_IN_TAGS = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54),
    *(100, 256, 258, 260, 261, 1004, 43000, 55799),
)
"""The tags that the library decodes by itself, without asking the tag hook: each is denied by number."""

_LENGTH_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of an item's argument, by the low five bits of its first byte; below 24 they are the argument
itself."""


def encode(value: object) -> bytes:
    """Return the canonical encoding of a plain `value`: one value, one string of bytes; tuples become arrays.

    Raises `LocalProtocolError` for a value that CBOR cannot hold, such as half of a surrogate pair.
    """
    try:
        return cbor2.dumps(value, canonical=True)
    except (cbor2.CBOREncodeError, ValueError) as error:
        raise LocalProtocolError(f"a value cannot be encoded: {error}") from error


def array_head(count: int) -> bytes:
    """Return the bytes before the encodings of `count` values (below 65,536) in an array of them."""
    if count < 24:
        return bytes((0x80 + count,))
    return b"\x98" + count.to_bytes(1) if count < 256 else b"\x99" + count.to_bytes(2)


def decode(data: bytes, *, bytes_max: int, items_max: int) -> object:
    """Return the one value that `data` holds. Arrays become lists; map keys are text or byte strings.

    Raises `RemoteProtocolError` if `data` has more than `bytes_max` bytes or `items_max` items (every array,
    map, key, string or number is one), is malformed, nested too deeply, tagged, of indefinite length, or
    longer than its value.
    """
    if len(data) > bytes_max:
        raise RemoteProtocolError(f"{len(data)} bytes of CBOR: the limit is {bytes_max}")
    # An item takes at least one byte, so short data needs no count.
    if len(data) > items_max:
        _check_item_count(data, items_max)
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_deny,
        semantic_decoders=_DENIED_TAGS,
        max_depth=DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        value: object = decoder.decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise RemoteProtocolError(f"malformed CBOR: {error}") from error
    if stream.tell() != len(data):
        raise RemoteProtocolError(f"{len(data) - stream.tell()} bytes after the end of the CBOR value")
    return value


def _deny(*_: object) -> NoReturn:
    raise ValueError("tags are not accepted")


_DENIED_TAGS: dict[int, Callable[..., NoReturn]] = dict.fromkeys(_BUILT_IN_TAGS, _deny)


def _check_item_count(data: bytes, items_max: int) -> None:
    """Count the items of `data` without building any: raise if there are more than `items_max`.

    Malformed data ends the count early: the decoder stops there too.
    """
    position = 0
    items = 0
    end = len(data)
    while position < end:
        items += 1
        if items > items_max:
            raise RemoteProtocolError(f"more than {items_max} items of CBOR")
        major, argument = divmod(data[position], 32)
        position += 1
        if argument >= 24:
            length_bytes = _LENGTH_BYTES.get(argument)
            if length_bytes is None:
                return
            argument = int.from_bytes(data[position : position + length_bytes])
            position += length_bytes
        # A string carries as many bytes as its argument says; all other items are only their heads.
        if major in (2, 3):
            position += argument
