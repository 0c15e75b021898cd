"""The messages of a snapshot transfer: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import RemoteProtocolError
from raftdb.transport.snapshot_protocol import (
    MESSAGE_BYTES_MAX,
    PIECE_BYTES_MAX,
    Accepted,
    Complete,
    Declined,
    Misplaced,
    Offer,
    Progress,
    TransferLimits,
    TransferMessage,
    Verifying,
    decode_message,
    encode_message,
)
from raftdb.wire import cbor
from raftdb.wire.frames import seal
from raftdb.wire.peer import Hello, Welcome, encode_handshake
from tests.transport.support import identity

HELLO = identity("n1").introduce(Hello, "n2")
WELCOME = identity("n2").introduce(Welcome, "n1")
OFFER = Offer(HELLO, 3, 10, 2, 1000, bytes(32))
MESSAGES: list[TransferMessage] = [
    OFFER,
    Accepted(WELCOME, "token", 5),
    Progress(2**63 - 1),
    Misplaced(0),
    Verifying(),
    Complete(),
    Declined("busy", "not now"),
]
GOOD_OFFER = {
    "type": "offer",
    "hello": encode_handshake(HELLO),
    "leader_term": 3,
    "index": 10,
    "term": 2,
    "size_bytes": 1000,
    "sha256": bytes(32),
}
BAD = {
    "no map": [],
    "no type": {},
    "a type that is no text": {"type": 1},
    "an unknown type": {"type": "goodbye"},
    "a missing field": {name: value for name, value in GOOD_OFFER.items() if name != "sha256"},
    "a short digest": GOOD_OFFER | {"sha256": bytes(31)},
    "an empty snapshot": GOOD_OFFER | {"size_bytes": 0},
    "a negative size": GOOD_OFFER | {"size_bytes": -1},
    "a term that is a flag": GOOD_OFFER | {"leader_term": True},
    "an index out of range": GOOD_OFFER | {"index": 2**63},
    "a hello that is a welcome": GOOD_OFFER | {"hello": encode_handshake(WELCOME)},
    "a hello that is damaged": GOOD_OFFER | {"hello": b"\x00" * 20},
    "a welcome that is a hello": {
        "type": "accepted",
        "welcome": encode_handshake(HELLO),
        "token": "t",
        "offset": 0,
    },
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_written_is_read(message: TransferMessage) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("what", BAD)
def test_what_no_peer_says_is_refused(what: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_message(seal(cbor.encode(BAD[what])))


def test_unknown_fields_are_passed_over() -> None:
    assert decode_message(seal(cbor.encode(GOOD_OFFER | {"later": 1}))) == OFFER


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    for body in (data, seal(data)):
        with pytest.raises(RemoteProtocolError):
            decode_message(body)


def test_a_long_message_is_refused() -> None:
    """Hazard B96."""
    with pytest.raises(RemoteProtocolError):
        decode_message(seal(cbor.encode(GOOD_OFFER | {"later": bytes(MESSAGE_BYTES_MAX)})))
    with pytest.raises(RemoteProtocolError):
        decode_message(seal(b"\x9b" + (2**40).to_bytes(8)))


def test_limits_that_cannot_be_kept_are_refused() -> None:
    for piece_bytes in (0, 1, PIECE_BYTES_MAX + 1):
        with pytest.raises(ValueError, match="piece_bytes"):
            TransferLimits(piece_bytes=piece_bytes)
