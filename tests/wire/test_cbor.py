"""The strict CBOR helper: what it carries comes back as it was, and every known bomb is refused at once."""

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.wire import cbor
from tests.wire.strategies import PLAIN_VALUES, exactly_equal

BYTES_MAX = 4 * 1024 * 1024
ITEMS_MAX = 65_536

TAGS = (
    0,
    1,
    2,
    3,
    4,
    5,
    25,
    28,
    29,
    30,
    35,
    36,
    37,
    52,
    54,
    100,
    256,
    258,
    260,
    261,
    1004,
    43000,
    55799,
    305419896,
)


def head(major: int, argument: int) -> bytes:
    """The first bytes of an item, in the longest form."""
    return bytes([major * 32 + 27]) + argument.to_bytes(8, "big")


def decode(data: bytes) -> object:
    return cbor.decode(data, bytes_max=BYTES_MAX, items_max=ITEMS_MAX)


def colliding_map(count: int) -> bytes:
    """A map whose keys, big numbers, all have one hash: seconds of work for a decoder that takes them."""
    keys = (number * (2**61 - 1) for number in range(1, count + 1))
    return head(5, count) + b"".join(b"\xc2\x4a" + key.to_bytes(10) + b"\x00" for key in keys)


def seconds_to_refuse(decode_all: Callable[[bytes], object], data: bytes) -> float:
    """Processor time of the shortest of a few runs: what other processes do meanwhile does not count."""
    seconds = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(RemoteProtocolError):
            decode_all(data)
        seconds.append(time.thread_time() - started)
    return min(seconds)


BOMBS = {
    "colliding keys": colliding_map(30_000),
    "integer keys": b"\xa1\x01\x02",
    "float key": b"\xa1" + b"\xfb" + bytes(8) + b"\x00",
    "equal keys": b"\xa2\x41a\x01\x41a\x02",
    "shared reference cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
    "shared reference tree": b"\xd8\x1c\x82" + b"\xd8\x1c\x82" * 20 + b"\xd8\x1d\x00" * 21,
    "string references": b"\xd9\x01\x00\x82\x44long\xd8\x19\x00",
    "big number": b"\xc2" + head(2, 1_000_000) + b"\xff" * 1_000_000,
    "negative big number": b"\xc3\x41\x01",
    "big decimal": b"\xc4\x82\x1b" + b"\x7f" + b"\xff" * 7 + b"\x01",
    "regular expression": b"\xd8\x23\x66(a+)+$",
    "mime": b"\xd8\x24\x61a",
    "set": b"\xd9\x01\x02\x81\x01",
    "deep array": b"\x81" * 100_000 + b"\x00",
    "deep map": b"\xa1\x41a" * 100_000 + b"\x00",
    "deep tag": b"\xc1" * 100_000 + b"\x00",
    "endless array": b"\x9f" + b"\x00" * 100 + b"\xff",
    "endless map": b"\xbf\x41a\x00\xff",
    "endless bytes": b"\x5f\x41a\xff",
    "endless text": b"\x7f\x61a\xff",
    "long bytes announced": head(2, 2**62),
    "long text announced": head(3, 2**64 - 1),
    "long array announced": head(4, 2**62),
    "long map announced": head(5, 2**63),
    "many empty maps": head(4, 2_000_000) + b"\xa0" * 2_000_000,
    "many empty maps, not in an array": b"\xa0" * BYTES_MAX,
    "too many bytes": head(2, BYTES_MAX) + bytes(BYTES_MAX),
    "bad utf-8": b"\x61\xff",
    "surrogate": b"\x63\xed\xa0\x80",
    "reserved length": b"\x1c",
    "break alone": b"\xff",
    "bad simple value": b"\xf8\x01",
    "nothing": b"",
    "two values": b"\x01\x02",
    "a value and half of one": b"\x01\x5a",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    """Hazard B96: each is refused within 50 ms and 50 MB."""
    data = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            decode(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 50_000_000
    # Timed apart, for tracing memory takes its time.
    assert seconds_to_refuse(decode, data) < 0.05


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("content", [b"\x01", b"\x41a", b"\x61a", b"\x80", b"\x82\x01\x02", b"\xa0"])
def test_every_tag_is_refused(tag: int, content: bytes) -> None:
    for data in (head(6, tag) + content, b"\x81" + head(6, tag) + content):
        with pytest.raises(RemoteProtocolError):
            decode(data)


@given(PLAIN_VALUES)
@example([True, 1, 1.0, False, 0, 0.0, None, b"", "", [], {}])
@example({"a": {b"a": 1}, b"a": [2**64 - 1, -(2**64)]})
def test_plain_values_come_back_with_their_types(value: object) -> None:
    """Hazard B66: equal is not enough, True is not 1."""
    data = cbor.encode(value)
    back = decode(data)
    assert exactly_equal(back, value)
    assert cbor.encode(back) == data


@given(PLAIN_VALUES, st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(value: object, trailing: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode(value) + trailing)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 4095, 4096, 4097, 65_535, 65_536, 100_000])
def test_the_end_of_a_value_is_found_at_every_size(size: int) -> None:
    """The decoder reads ahead in blocks: bytes behind the value count from where the value ends."""
    data = cbor.encode([b"x" * size])
    assert decode(data) == [b"x" * size]
    for trailing in (b"\x00", b"\x00" * 5000):
        with pytest.raises(RemoteProtocolError, match="after the end"):
            decode(data + trailing)


@given(PLAIN_VALUES)
def test_truncated_values_are_refused(value: object) -> None:
    data = cbor.encode(value)
    for length in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            decode(data[:length])


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_items_are_counted_exactly(count: int) -> None:
    value = [[b"x" * 300, "text" * 100, {"k": number}] for number in range(count)]
    data = cbor.encode(value)
    items = 1 + 6 * count
    cbor.decode(data, bytes_max=BYTES_MAX, items_max=items)
    if count:
        with pytest.raises(RemoteProtocolError, match="items"):
            cbor.decode(data, bytes_max=BYTES_MAX, items_max=items - 1)


def test_bytes_are_limited() -> None:
    data = cbor.encode(b"x" * 100)
    cbor.decode(data, bytes_max=len(data), items_max=5)
    with pytest.raises(RemoteProtocolError, match="limit"):
        cbor.decode(data, bytes_max=len(data) - 1, items_max=5)


@pytest.mark.parametrize(
    "value", ["\ud800", object(), [lambda: None]], ids=["surrogate", "object", "function"]
)
def test_what_cbor_cannot_hold_is_our_error(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        cbor.encode(value)


def test_nesting_is_limited_however_short_the_data() -> None:
    decode(b"\x81" * cbor.DEPTH_MAX + b"\x00")
    for nested in (b"\x81", b"\xa1\x41a"):
        with pytest.raises(RemoteProtocolError, match="depth"):
            decode(nested * (cbor.DEPTH_MAX + 1) + b"\x00")
