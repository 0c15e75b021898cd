"""Replies of the Redis protocol: a client's library reads what was meant, in both versions."""

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.wire.resp_replies import NULL_ARRAY, OK, Error, Unordered, Verbatim, encode

PLAIN = st.recursive(
    st.one_of(st.none(), st.binary(max_size=20), st.integers(-(2**63), 2**63 - 1), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.binary(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


def read(data: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(data)
    value: object = reader.gets()
    assert reader.gets() is False
    return value


def flat(value: object) -> object:
    """What version 2 makes of a value: maps are arrays, and truth is a number."""
    if isinstance(value, dict):
        return [flat(part) for pair in value.items() for part in pair]
    if isinstance(value, list):
        return [flat(part) for part in value]
    return int(value) if isinstance(value, bool) else value


@given(PLAIN)
def test_version_3_is_read_as_it_was_meant(value: object) -> None:
    assert read(encode(value, 3)) == value


@given(PLAIN)
def test_version_2_is_read_as_far_as_it_can_say_it(value: object) -> None:
    assert read(encode(value, 2)) == flat(value)


@pytest.mark.parametrize(
    ("value", "version_2", "version_3"),
    [
        ("OK", OK, OK),
        ("two\r\nlines", b"+two  lines\r\n", b"+two  lines\r\n"),
        (Error("ERR no\r\nmore"), b"-ERR no  more\r\n", b"-ERR no  more\r\n"),
        (Error(b"ERR '\xff'".decode(errors="surrogateescape")), b"-ERR '\xff'\r\n", b"-ERR '\xff'\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        ([], b"*0\r\n", b"*0\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (Unordered([1]), b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (Verbatim("hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        ([None, [NULL_ARRAY]], b"*2\r\n$-1\r\n*1\r\n*-1\r\n", b"*2\r\n_\r\n*1\r\n_\r\n"),
    ],
)
def test_each_kind_of_reply_in_both_versions(value: object, version_2: bytes, version_3: bytes) -> None:
    assert encode(value, 2) == version_2
    assert encode(value, 3) == version_3
