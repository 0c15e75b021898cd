"""Requests of the Redis protocol: however they were cut, the same is read, and refused as Redis does."""

import itertools
import tracemalloc

import hiredis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raftdb.wire.resp import LINE_BYTES_MAX, RequestLimits, RequestReader, split_words

SMALL = RequestLimits(arguments_max=70, argument_bytes_max=3000, request_bytes_max=6000)


def encoded(arguments: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in arguments)


def read_in_pieces(
    data: bytes, cuts: list[int], limits: RequestLimits = SMALL
) -> tuple[list[list[bytes]], str | None]:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = RequestReader(limits)
    found = [item for begin, end in itertools.pairwise(places) for item in reader.feed(data[begin:end])]
    return found, reader.error


ARGUMENTS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"", b"\r\n", b"a\r\n$1\r\nb", b"*1\r\n$4\r\nPING\r\n", b"x" * 2047, b"x" * 2048]),
)
REQUESTS = st.lists(st.lists(ARGUMENTS, min_size=1, max_size=5).filter(lambda it: sum(map(len, it)) < 5000))
CUTS = st.lists(st.integers(0, 3000), max_size=10)
BITS = rb"* $ : + - 0 1 2 70 71 3001 a ' \ \x41".split()
LINES = [b"\r", b"\n", b"\r\n", b" ", b'"', b"\0", b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$1\r\na\r\n", b"PING\r\n"]
HOSTILE = st.lists(st.sampled_from(BITS + LINES), max_size=30).map(b"".join)


@given(REQUESTS, CUTS)
def test_requests_are_read_as_they_were_written_however_they_arrive(
    requests: list[list[bytes]], cuts: list[int]
) -> None:
    assert read_in_pieces(b"".join(map(encoded, requests)), cuts) == (requests, None)


@given(REQUESTS, CUTS)
def test_the_library_of_redis_reads_the_same(requests: list[list[bytes]], cuts: list[int]) -> None:
    data = b"".join(map(encoded, requests))
    oracle = hiredis.Reader()
    oracle.feed(data)
    read = list(iter(oracle.gets, False))
    assert read_in_pieces(data, cuts)[0] == read


@given(HOSTILE, CUTS)
@example(b"*1\rX$4\rXPING\r\n", [3, 4, 5])
@example(b"*-1\r\n*0\r\n\r\nPING\r\n", [])
def test_what_is_read_and_refused_does_not_depend_on_the_pieces(data: bytes, cuts: list[int]) -> None:
    byte_by_byte = read_in_pieces(data, list(range(len(data))))
    assert read_in_pieces(data, cuts) == byte_by_byte
    assert read_in_pieces(data, []) == byte_by_byte


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*71\r\n", "invalid multibulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$3001\r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b'SET a "x\r\n', "unbalanced quotes in request"),
        (b"p" * (LINE_BYTES_MAX + 1), "too big inline request"),
        (b"p" * (LINE_BYTES_MAX + 1) + b"\n", "too big inline request"),
        (b"*" + b"1" * LINE_BYTES_MAX, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * LINE_BYTES_MAX, "too big bulk count string"),
        (encoded([b"x" * 2990, b"x" * 2990]), "too big request"),
    ],
)
def test_what_cannot_be_read_is_refused_in_the_words_of_redis(data: bytes, error: str) -> None:
    before = b"*1\r\n$4\r\nPING\r\n"
    assert read_in_pieces(before + data, []) == ([[b"PING"]], f"Protocol error: {error}")


def test_nothing_is_read_after_an_error() -> None:
    reader = RequestReader()
    assert reader.feed(b"*x\r\n*1\r\n$4\r\nPING\r\n") == []
    assert reader.feed(b"PING\r\n") == []
    assert reader.buffered_bytes == 0


def test_an_announced_length_takes_no_memory() -> None:
    reader = RequestReader()
    tracemalloc.start()
    try:
        assert reader.feed(b"*1000000\r\n$5000000\r\n") == []
        assert tracemalloc.get_traced_memory()[1] < 10_000
        assert reader.buffered_bytes < 100, "nor is it counted as taken"
    finally:
        tracemalloc.stop()


def test_what_is_held_of_a_request_that_is_not_all_there_is_bounded() -> None:
    reader = RequestReader(SMALL)
    reader.feed(b"*70\r\n")
    while reader.error is None:
        reader.feed(b"$100\r\n" + b"x" * 100 + b"\r\n")
        assert reader.buffered_bytes <= SMALL.request_bytes_max
    assert reader.error == "Protocol error: too big request"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"  set  a\tb ", [b"set", b"a", b"b"]),
        (b"set a ''", [b"set", b"a", b""]),
        (b'set a "b c"', [b"set", b"a", b"b c"]),
        (b"get a'b'", [b"get", b"ab"]),
        (rb'"\x41\n\r\t\b\a\q\xzz\\\""', [b'A\n\r\t\b\aqxzz\\"']),
        (rb"'\'\n'", [rb"'\n"]),
        (b"'a'b", None),
        (b'"a', None),
        (b'"a\\', None),
        (b"", []),
    ],
)
def test_words_of_a_line_are_split_as_redis_does(line: bytes, words: list[bytes] | None) -> None:
    assert split_words(line) == words
