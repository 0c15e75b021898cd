"""Frames between peers: there and back exactly; whatever is damaged, hostile or too large is refused, and quickly."""

import random
import struct
from collections.abc import Sequence
from dataclasses import fields, replace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.core.block import BLOCK_ENTRIES_MAX, entries_of
from raftdb.core.messages import MESSAGE_TYPES, AppendEntries, Heartbeat, HeartbeatReply, Message
from raftdb.core.model import Entry, EntryKind
from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.limits import ENTRY_BYTES_MAX, TIME_MS_MAX
from raftdb.wire import cbor
from raftdb.wire.frames import seal
from raftdb.wire.peer import (
    ENTRIES_PER_FRAME_MAX,
    FRAME_BYTES_MAX,
    FRAME_ITEMS_MAX,
    FRAME_OVERHEAD_BYTES,
    MESSAGE_FIELDS,
    MESSAGES_PER_FRAME_MAX,
    decode_frame,
    encode_frame,
    message_bytes_max,
)
from tests.blocks import blocks
from tests.wire.strategies import MESSAGES, NUMBERS, exactly_equal
from tests.wire.test_cbor import BOMBS, seconds_to_refuse

APPEND_NUMBER = MESSAGE_TYPES.index(AppendEntries) + 1


def frame_of(rows: object, sequence: int = 1) -> bytes:
    """A frame with a good checksum around whatever `rows` is: what a hostile peer can send."""
    return seal(sequence.to_bytes(8, "big") + cbor.encode(rows))


def append(*terms: int, previous_index: int = 10, data: bytes = b"data") -> AppendEntries:
    entries = [
        Entry(previous_index + offset, term, EntryKind.COMMAND, data)
        for offset, term in enumerate(terms, start=1)
    ]
    return AppendEntries("n1", "n2", 9, previous_index, 1, 5, blocks(entries))


def append_row(encoded: object, *, previous_index: int = 10) -> list[object]:
    return [APPEND_NUMBER, "n1", "n2", 9, previous_index, 1, 5, encoded]


def sealed(
    sizes: Sequence[int],
    data: bytes,
    *,
    first: int = 11,
    term: int = 1,
    kind: int = 1,
    count: int | None = None,
) -> bytes:
    """A block with a good checksum around whatever it says: what a hostile peer can send."""
    count = len(sizes) if count is None else count
    rest = struct.pack(">QQIB", first, term, count, kind) + struct.pack(f">{len(sizes)}I", *sizes) + data
    return struct.pack(">I", crc32(rest)) + rest


def test_every_message_type_has_its_fields_checked() -> None:
    assert set(MESSAGE_FIELDS) == set(MESSAGE_TYPES)
    for type_, checks in MESSAGE_FIELDS.items():
        with_blocks = 1 if type_ is AppendEntries else 0
        assert len(checks) == len(fields(type_)) - with_blocks, type_


def test_numbers_on_the_wire_never_change() -> None:
    names = [type_.__name__ for type_ in MESSAGE_TYPES]
    assert names == [
        *("RequestPreVote", "RequestPreVoteReply", "RequestVote", "RequestVoteReply"),
        *("AppendEntries", "AppendEntriesReply", "Heartbeat", "HeartbeatReply"),
        *("InstallSnapshot", "TimeoutNow", "ReadIndex", "ReadIndexReply"),
    ]
    frame = encode_frame(1, [HeartbeatReply("a", "b", 2, 3)])
    assert frame[4:] == bytes.fromhex("0000000000000001 81 87 08 6161 6162 02 03 f4 00")


@given(NUMBERS, st.lists(MESSAGES, max_size=6).map(tuple))
def test_frames_come_back_exactly(sequence: int, messages: tuple[Message, ...]) -> None:
    frame = encode_frame(sequence, messages)
    back_sequence, back = decode_frame(frame)
    assert back_sequence == sequence
    assert exactly_equal(back, messages)
    assert encode_frame(sequence, back) == frame
    assert len(frame) <= FRAME_OVERHEAD_BYTES + sum(map(message_bytes_max, messages))


@given(st.lists(MESSAGES, max_size=3).map(tuple), st.randoms(use_true_random=False))
def test_damage_is_always_seen(messages: tuple[Message, ...], chance: random.Random) -> None:
    """Hazard B94: a CRC finds every single flip, and what it covers is everything but itself."""
    frame = encode_frame(7, messages)
    for _ in range(20):
        damaged = bytearray(frame)
        damaged[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
        with pytest.raises(RemoteProtocolError, match="checksum"):
            decode_frame(bytes(damaged))
    for wrong in (frame[: chance.randrange(len(frame))], frame + b"\x00", b"\x00" + frame, frame + frame):
        with pytest.raises(RemoteProtocolError):
            decode_frame(wrong)


def test_every_truncation_is_refused_even_with_a_good_checksum() -> None:
    body = encode_frame(7, [append(1, 1, 2), Heartbeat("n1", "n2", 2, 3, 4)])[4:]
    for length in range(len(body)):
        with pytest.raises(RemoteProtocolError):
            decode_frame(seal(body[:length]))
    for trailing in (b"\x00", b"\x80", body):
        with pytest.raises(RemoteProtocolError):
            decode_frame(seal(body + trailing))


@pytest.mark.parametrize("name", sorted(BOMBS.keys() - {"too many bytes"}))
@pytest.mark.parametrize("place", ["frame", "message", "field", "entry data"])
def test_bombs_are_refused_in_every_place(name: str, place: str) -> None:
    """Hazard B96."""
    # The decoder stops inside the bomb or behind it, so nothing has to follow.
    before = {
        "frame": b"",
        "message": b"\x81",
        "field": b"\x81\x86\x07",
        "entry data": b"\x81\x8a\x05\x62n1\x62n2\x09\x0a\x01\x05\x82\x01\x01\x41\x01\x81",
    }[place]
    frame = seal(bytes(8) + before + BOMBS[name])
    assert seconds_to_refuse(decode_frame, frame) < 0.05


HEARTBEAT_ROW = [7, "n1", "n2", 1, 2, 3, TIME_MS_MAX]


@pytest.mark.parametrize("position", range(1, 7))
@pytest.mark.parametrize(
    "value", [None, True, -1, 2**63, 2**64 - 1, 1.0, b"n1", "", "n" * 65, "n 1\n", "é", [], {}], ids=repr
)
def test_fields_of_a_wrong_type_or_range_are_refused(position: int, value: object) -> None:
    row: list[object] = list(HEARTBEAT_ROW)
    decode_frame(frame_of([row]))  # as it is, it is taken
    row[position] = value
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of([row]))


def test_a_time_that_no_entry_may_bear_is_refused() -> None:
    """Hazard B67: who heard it would stamp entries with it that nobody can apply."""
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of([[*HEARTBEAT_ROW[:-1], TIME_MS_MAX + 1]]))


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        b"",
        [None],
        [[]],
        [{}],
        [[0, "n1", "n2"]],
        [[9, "n1", "n2", 1, 2]],
        [[True, "n1", "n2", 1, 2, 3]],
        [[7.0, *HEARTBEAT_ROW[1:]]],
        [[[7], *HEARTBEAT_ROW[1:]]],
        [HEARTBEAT_ROW[:-1]],
        [[*HEARTBEAT_ROW, 1]],
        [HEARTBEAT_ROW, HEARTBEAT_ROW[:1]],
        [[4, "n1", "n2", 1, 1]],
        [[5, "n1", "n2", 1, 2, 3, 4]],
        [[5, "n1", "n2", 1, 2, 3, 4, [], []]],
        [[5, "n1"]],
    ],
    ids=repr,
)
def test_other_forms_are_refused(rows: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of(rows))


GOOD = sealed([1, 2], b"xyz")


@pytest.mark.parametrize(
    "encoded",
    [
        None,
        {},
        GOOD,
        "block",
        [None],
        [GOOD.hex()],
        [[GOOD]],
        [b""],
        [GOOD[:24]],
        [GOOD[:-1]],
        [GOOD + b"z"],
        [sealed([1, 2], b"xy")],
        [sealed([1, 2], b"xyzz")],
        [sealed([], b"")],
        [sealed([1, 2], b"xyz", count=1)],
        [sealed([1, 2], b"xyz", count=3)],
        [sealed([1, 2], b"xyz", count=0)],
        [sealed([1, 2], b"xyz", count=2**32 - 1)],
        [sealed([2**32 - 1, 4], b"xyz")],
        [sealed([0] * (BLOCK_ENTRIES_MAX + 1), b"")],
        [sealed([1], b"x", kind=7)],
        [sealed([1], b"x", term=2**63)],
        [sealed([1], b"x", first=10)],
        [sealed([1], b"x", first=12)],
        [GOOD, GOOD],
        [GOOD, sealed([1], b"x", first=12)],
        [sealed([1], b"x", term=2), sealed([1], b"x", first=12, term=1)],
    ],
    ids=lambda encoded: repr(encoded)[:60],
)
def test_blocks_that_do_not_fit_are_refused(encoded: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of([append_row(encoded)]))


def test_a_block_past_the_last_index_is_refused() -> None:
    last = sealed([1], b"x", first=2**63 - 1)
    decode_frame(frame_of([append_row([last], previous_index=2**63 - 2)]))
    beyond = sealed([1, 1], b"xy", first=2**63 - 1)
    with pytest.raises(RemoteProtocolError, match="follow"):
        decode_frame(frame_of([append_row([beyond], previous_index=2**63 - 2)]))


def test_blocks_that_fit_are_taken_as_they_are() -> None:
    encoded = [GOOD, sealed([0], b"", first=13, term=3, kind=0), sealed([1], b"c", first=14, term=4, kind=2)]
    (message,) = decode_frame(frame_of([append_row(encoded)]))[1]
    assert isinstance(message, AppendEntries)
    assert [block.encoded for block in message.blocks] == encoded
    assert list(entries_of(message.blocks)) == [
        *((11, 1, 1, b"x"), (12, 1, 1, b"yz")),
        *((13, 3, 0, b""), (14, 4, 2, b"c")),
    ]


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_damaged_block_is_refused_although_the_frame_is_whole(bit: int) -> None:
    """Hazard B94: it may have been damaged before it was put into the frame."""
    damaged = bytearray(GOOD)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of([append_row([bytes(damaged)])]))


def test_the_sequence_is_a_number_below_two_to_the_63() -> None:
    assert decode_frame(encode_frame(2**63 - 1, []))[0] == 2**63 - 1
    with pytest.raises(RemoteProtocolError, match="number"):
        decode_frame(frame_of([], 2**63))
    for wrong in (-1, 2**63):
        with pytest.raises(LocalProtocolError):
            encode_frame(wrong, [])


def test_blocks_that_do_not_follow_each_other_are_not_sent() -> None:
    entries = append(1, 2, 3).blocks
    for wrong in (entries[1:], entries[::2], entries[::-1]):
        with pytest.raises(LocalProtocolError, match="follow"):
            encode_frame(1, [AppendEntries("n1", "n2", 9, 10, 1, 5, wrong)])


def test_every_follower_gets_the_very_bytes_of_a_block() -> None:
    first = append(9, 9, data=b"x" * 100)
    (block,) = first.blocks
    for message in (first, replace(first, target="n3", commit_index=7)):
        frame = encode_frame(1, [message])
        assert block.encoded in frame
        assert decode_frame(frame) == (1, (message,))


def test_the_fullest_frame_stays_below_the_bound_on_items() -> None:
    """Every message an AppendEntries, every entry a term of its own: what the encoder lets pass, the decoder takes."""
    share = ENTRIES_PER_FRAME_MAX // MESSAGES_PER_FRAME_MAX
    terms = range(2**40, 2**40 + share)
    messages = tuple(append(*terms, data=b"d" * 30) for _ in range(MESSAGES_PER_FRAME_MAX))
    frame = encode_frame(1, messages)
    assert len(frame) > FRAME_ITEMS_MAX
    assert decode_frame(frame) == (1, messages)
    with pytest.raises(LocalProtocolError, match="messages"):
        encode_frame(1, [Heartbeat("n1", "n2", 1, 1, 1)] * (MESSAGES_PER_FRAME_MAX + 1))
    with pytest.raises(LocalProtocolError, match="entries"):
        encode_frame(1, [append(*[1] * (ENTRIES_PER_FRAME_MAX + 1))])


def test_the_longest_entry_fits_and_a_longer_frame_does_not() -> None:
    longest = append(1, data=bytes(ENTRY_BYTES_MAX))
    assert decode_frame(encode_frame(1, [longest])) == (1, (longest,))
    with pytest.raises(LocalProtocolError, match="limit"):
        encode_frame(1, [longest, longest])
    with pytest.raises(RemoteProtocolError, match="limit"):
        decode_frame(bytes(FRAME_BYTES_MAX + 1))
    with pytest.raises(RemoteProtocolError, match="limit"):
        decode_frame(encode_frame(1, [append(1)]), bytes_max=30)
    with pytest.raises(RemoteProtocolError, match="too long"):
        decode_frame(frame_of([append_row([sealed([ENTRY_BYTES_MAX + 1], bytes(ENTRY_BYTES_MAX + 1))])]))
