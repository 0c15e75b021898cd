"""The handshake: exact in what it knows, patient with what it does not know, never believing what is damaged."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.model import StartId
from raftdb.endpoint import NO_REDIS
from raftdb.errors import RemoteProtocolError
from raftdb.wire import cbor
from raftdb.wire.frames import seal
from raftdb.wire.handshake import (
    HANDSHAKE_BYTES_MAX,
    HANDSHAKE_FIELDS,
    PROTOCOL_VERSION,
    Handshake,
    Hello,
    Refused,
    Welcome,
    decode_handshake,
    encode_handshake,
)
from tests.addresses import at
from tests.wire.strategies import (
    ADDRESSES,
    NODES,
    NONCES,
    NUMBERS,
    REDIS_ADDRESSES,
    STARTS,
    exactly_equal,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
INTRODUCTION = (
    *(NUMBERS, TEXTS, NODES, NODES, TEXTS),
    *(STARTS, st.none() | NONCES, st.booleans(), st.none() | STARTS),
    *(NUMBERS, NUMBERS, st.none() | NONCES, TEXTS, ADDRESSES, REDIS_ADDRESSES),
)
HANDSHAKES: st.SearchStrategy[Handshake] = st.one_of(
    st.builds(Hello, *INTRODUCTION), st.builds(Welcome, *INTRODUCTION), st.builds(Refused, TEXTS, TEXTS)
)
HELLO = Hello(
    *(PROTOCOL_VERSION, "c1", "n1", "n2", "u1", StartId(3, "c"), "b", False, StartId(7, "g"), 2, 9, "life"),
    *("secret", at("h:1"), NO_REDIS),
)
FACTS: dict[str, object] = {
    "type": "hello",
    **{field.name: getattr(HELLO, field.name) for field in fields(HELLO)},
    "start": [3, "c"],
    "remembered": [7, "g"],
    "http": "h:1",
    "redis": [None, None],
}


def test_every_field_of_every_handshake_is_checked() -> None:
    for type_, checks in HANDSHAKE_FIELDS.items():
        assert tuple(checks) == tuple(field.name for field in fields(type_))


@given(HANDSHAKES)
def test_handshakes_come_back(handshake: Handshake) -> None:
    assert exactly_equal(decode_handshake(encode_handshake(handshake)), handshake)


def test_facts_of_a_later_version_are_passed_over() -> None:
    facts = FACTS | {"protocol_version": 99, "proof": b"later"}
    hello = decode_handshake(seal(cbor.encode(facts)))
    assert isinstance(hello, Hello)
    assert hello.protocol_version == 99


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize(
    "value", [True, -1, 2**63, 1.5, b"x", [], {}, "x" * 2000, "\x00"], ids=lambda v: repr(v)[:20]
)
def test_a_bad_fact_is_refused(name: str, value: object) -> None:
    if (name in ("cluster_id", "node_uuid", "credential") and value == "\x00") or (
        name == "put_back" and value is True
    ):
        return
    with pytest.raises(RemoteProtocolError):
        decode_handshake(seal(cbor.encode(FACTS | {name: value})))


@pytest.mark.parametrize("name", FACTS)
def test_a_missing_fact_is_refused(name: str) -> None:
    facts = {key: value for key, value in FACTS.items() if key != name}
    with pytest.raises(RemoteProtocolError):
        decode_handshake(seal(cbor.encode(facts)))


def test_damage_is_refused() -> None:
    data = encode_handshake(HELLO)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(RemoteProtocolError, match="checksum"):
                decode_handshake(bytes(damaged))
        with pytest.raises(RemoteProtocolError):
            decode_handshake(data[:position])


def test_a_stranger_cannot_send_much() -> None:
    with pytest.raises(RemoteProtocolError, match="limit"):
        decode_handshake(seal(bytes(HANDSHAKE_BYTES_MAX)))
    with pytest.raises(RemoteProtocolError, match="items"):
        decode_handshake(seal(b"\x98\xff" + b"\xa0" * 255))
