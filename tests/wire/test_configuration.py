"""Configurations in the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.model import Member
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.configuration import MEMBERS_MAX, VERSION, decode_configuration, encode_configuration
from tests.wire.strategies import MEMBERS, PLAIN_VALUES, exactly_equal

GOOD = ["n1", "127.0.0.1:8001", None, True]


@given(MEMBERS)
def test_members_come_back_in_order(members: tuple[Member, ...]) -> None:
    data = encode_configuration(members)
    assert exactly_equal(decode_configuration(data), members)
    assert encode_configuration(decode_configuration(data)) == data


def test_the_bytes_never_change() -> None:
    members = (Member("n1", "h:1", "h:2"), Member("n2", "h:3", None, voter=False))
    assert encode_configuration(members) == bytes.fromhex(
        "8201 82 84 626e31 63683a31 63683a32 f5 84 626e32 63683a33 f6 f4"
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [VERSION],
        [VERSION + 1, [GOOD]],
        [True, [GOOD]],
        [VERSION, [GOOD], 1],
        [VERSION, {"n1": GOOD}],
        [VERSION, [GOOD, GOOD]],
        [VERSION, [GOOD[:3]]],
        [VERSION, [[*GOOD, 1]]],
        [VERSION, [["", *GOOD[1:]]]],
        [VERSION, [["n" * 65, *GOOD[1:]]]],
        [VERSION, [["n\n", *GOOD[1:]]]],
        [VERSION, [[b"n1", *GOOD[1:]]]],
        [VERSION, [["n1", "", None, True]]],
        [VERSION, [["n1", "h" * 321, None, True]]],
        [VERSION, [["n1", "h:1", False, True]]],
        [VERSION, [["n1", "h:1", None, 1]]],
    ],
    ids=lambda value: repr(value)[:60],
)
def test_other_forms_are_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_configuration(cbor.encode(value))


@given(PLAIN_VALUES | st.binary())
def test_noise_is_refused(value: object) -> None:
    for data in (value if isinstance(value, bytes) else cbor.encode(value), cbor.encode([VERSION, value])):
        try:
            members = decode_configuration(data)
        except RemoteProtocolError:
            continue
        assert members == ()


def test_the_number_of_members_is_limited_on_both_sides() -> None:
    members = tuple(Member(f"n{number}", "h" * 320, "h" * 320) for number in range(MEMBERS_MAX))
    assert decode_configuration(encode_configuration(members)) == members
    with pytest.raises(LocalProtocolError):
        encode_configuration((*members, Member("more", "h:1")))


def test_what_could_not_be_decoded_is_not_encoded() -> None:
    for members in ((Member("", "h:1"),), (Member("n1", "h:1"), Member("n1", "h:2")), (Member("n1", ""),)):
        with pytest.raises(LocalProtocolError):
            encode_configuration(members)
