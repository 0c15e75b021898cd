"""Configurations in the log."""

import pytest
from hypothesis import given

from raftdb.core.membership import MEMBERS_MAX, Configuration
from raftdb.core.model import Member, StartId
from raftdb.endpoint import RedisAddresses
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.configuration import (
    CONFIGURATION_BYTES_MAX,
    VERSION,
    decode_configuration,
    encode_configuration,
)
from tests.addresses import at
from tests.wire.strategies import CONFIGURATIONS, LONGEST_HOST, exactly_equal

GOOD = ["n1", "127.0.0.1:8001", [None, "127.0.0.1:6391"], True, False, None, [3, "nonce"]]


@given(CONFIGURATIONS)
def test_configurations_come_back(configuration: Configuration) -> None:
    data = encode_configuration(configuration)
    assert exactly_equal(decode_configuration(data), configuration)
    assert encode_configuration(decode_configuration(data)) == data


def test_the_bytes_never_change() -> None:
    members = (
        Member("n1", at("h:1"), RedisAddresses(at("h:2")), uuid="u", start=StartId(7, "a")),
        Member("n2", at("h:3"), voter=False),
        Member("n3", at("h:4"), voter=False, joining=True),
    )
    assert encode_configuration(Configuration(members, ("n0",), "b")) == bytes.fromhex(
        "8405 83 87 626e31 63683a31 82 63683a32 f6 f5 f4 6175 82076161 87 626e32 63683a33 82f6f6 f4 f4 f6 f6"
        "87 626e33 63683a34 82f6f6 f4 f5 f6 f6 81 626e30 6162"
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [VERSION],
        [VERSION, [GOOD]],
        [VERSION + 1, [GOOD], [], None],
        [True, [GOOD], [], None],
        [VERSION, [GOOD], []],
        [VERSION, [GOOD], [], 1],
        [VERSION, [GOOD], [], None, 1],
        [VERSION, {"n1": GOOD}, [], None],
        [VERSION, [GOOD, GOOD], [], None],
        [VERSION, [["n2", *GOOD[1:]], GOOD], [], None],
        [VERSION, [GOOD[:6]], [], None],
        [VERSION, [[*GOOD, 1]], [], None],
        [VERSION, [["", *GOOD[1:]]], [], None],
        [VERSION, [["n" * 65, *GOOD[1:]]], [], None],
        [VERSION, [["n\n", *GOOD[1:]]], [], None],
        [VERSION, [[b"n1", *GOOD[1:]]], [], None],
        [VERSION, [["n1", "", *GOOD[2:]]], [], None],
        [VERSION, [["n1", "h" * 321, *GOOD[2:]]], [], None],
        [VERSION, [["n1", "0.0.0.0:1", *GOOD[2:]]], [], None],
        [VERSION, [["n1", "http://h:1", *GOOD[2:]]], [], None],
        [VERSION, [["n1", "::1:8001", *GOOD[2:]]], [], None],
        *(
            [VERSION, [["n1", "h:1", redis, *GOOD[3:]]], [], None]
            for redis in (None, False, "h:1", [], [None], [None, None, None], ["a..b:1", None], [None, 1])
        ),
        *(
            [VERSION, [[*GOOD[:3], *parts, GOOD[6]]], [], None]
            for parts in ((1, False, None), (True, 0, None), (True, True, None), (True, False, ""))
        ),
        [VERSION, [[*GOOD[:5], "u" * 65, GOOD[6]]], [], None],
        *([VERSION, [GOOD], removed, None] for removed in (["n1"], ["n3", "n2"], ["n2", "n2"], [1], "n2")),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_other_forms_are_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_configuration(cbor.encode(value))


def test_the_number_of_members_is_limited_on_both_sides() -> None:
    longest = at(f"{LONGEST_HOST}:65535")
    members = [
        Member(f"n{number:02}", longest, RedisAddresses(longest, longest), uuid="u" * 64)
        for number in range(MEMBERS_MAX)
    ]
    configuration = Configuration(tuple(members))
    assert decode_configuration(encode_configuration(configuration)) == configuration
    with pytest.raises(LocalProtocolError):
        encode_configuration(Configuration((*members, Member("n99", at("h:1")))))


def test_thousands_of_removed_ids_fit_and_there_is_an_end() -> None:
    removed = [f"node-{number:04}" for number in range(5_000)]
    configuration = Configuration((Member("n1", at("h:1")),), tuple(removed))
    assert decode_configuration(encode_configuration(configuration)) == configuration
    more = [f"x-{number:04}" for number in range(5_000)]
    data = encode_configuration(Configuration((Member("n1", at("h:1")),), (*removed, *more)))
    assert len(data) > CONFIGURATION_BYTES_MAX
    with pytest.raises(RemoteProtocolError):
        decode_configuration(data)


def test_what_could_not_be_decoded_is_not_encoded() -> None:
    for members in ((Member("", at("h:1")),), (Member("n1", at("")),), (Member("n1", at("h:1"), uuid=""),)):
        with pytest.raises(LocalProtocolError):
            encode_configuration(Configuration(members))
