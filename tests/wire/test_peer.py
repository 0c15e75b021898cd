"""Frames between peers: there and back exactly; whatever is damaged, hostile or too large is refused, and quickly."""

import random
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    EntryColumns,
    decode_frame,
    encode_frame,
    message_bytes_max,
)
from tests.wire.strategies import MESSAGES, NUMBERS, PLAIN_VALUES, exactly_equal
from tests.wire.test_cbor import BOMBS, seconds_to_refuse

APPEND_NUMBER = MESSAGE_TYPES.index(AppendEntries) + 1


def frame_of(rows: object, sequence: int = 1) -> bytes:
    """A frame with a good checksum around whatever `rows` is: what a hostile peer can send."""
    return seal(sequence.to_bytes(8, "big") + cbor.encode(rows))


def append(*terms: int, previous_index: int = 10, data: bytes = b"data") -> AppendEntries:
    entries = tuple(
        Entry(previous_index + offset, term, EntryKind.COMMAND, data)
        for offset, term in enumerate(terms, start=1)
    )
    return AppendEntries("n1", "n2", 9, previous_index, 1, 5, entries)


def append_row(*, runs: object, kinds: object, data: object, previous_index: int = 10) -> list[object]:
    return [APPEND_NUMBER, "n1", "n2", 9, previous_index, 1, 5, runs, kinds, data]


def test_every_message_type_has_its_fields_checked() -> None:
    assert set(MESSAGE_FIELDS) == set(MESSAGE_TYPES)
    for type_, checks in MESSAGE_FIELDS.items():
        columns = 1 if type_ is AppendEntries else 0
        assert len(checks) == len(fields(type_)) - columns, type_


def test_numbers_on_the_wire_never_change() -> None:
    names = [type_.__name__ for type_ in MESSAGE_TYPES]
    assert names[:10] == [
        *("RequestPreVote", "RequestPreVoteReply", "RequestVote", "RequestVoteReply"),
        *("AppendEntries", "AppendEntriesReply", "Heartbeat", "HeartbeatReply"),
        *("InstallSnapshot", "TimeoutNow"),
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
        [[5, "n1", "n2", 1, 2, 3, 4, [], b""]],
        [[5, "n1"]],
    ],
    ids=repr,
)
def test_other_forms_are_refused(rows: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of(rows))


@pytest.mark.parametrize(
    "columns",
    [
        {"runs": [2, 1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, 1], "kinds": b"\x01\x01", "data": [b"x", b"y"]},
        {"runs": [1, 1], "kinds": b"\x01\x01", "data": [b"x"]},
        {"runs": [1, 1], "kinds": b"\x07", "data": [b"x"]},
        {"runs": [1, 1], "kinds": "\x01", "data": [b"x"]},
        {"runs": [1, 1], "kinds": [1], "data": [b"x"]},
        {"runs": [1, 1], "kinds": b"\x01", "data": ["x"]},
        {"runs": [1, 1], "kinds": b"\x01", "data": b"x"},
        {"runs": [1, 1], "kinds": b"\x01", "data": [None]},
        {"runs": [1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, 1, 1], "kinds": b"\x01\x01", "data": [b"x", b"y"]},
        {"runs": [1, 1, 0, 2], "kinds": b"\x01\x01", "data": [b"x", b"y"]},
        {"runs": [1, 2, 1, 1], "kinds": b"\x01\x01", "data": [b"x", b"y"]},
        {"runs": [-1, 1, 2, 1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [True, 1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, 2**63], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, -1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, "1"], "kinds": b"\x01", "data": [b"x"]},
        {"runs": [2**62, 1], "kinds": b"\x01", "data": [b"x"]},
        {"runs": {}, "kinds": b"\x01", "data": [b"x"]},
        {"runs": [1, 1], "kinds": b"", "data": []},
        {"runs": [1, 1], "kinds": b"\x01", "data": [b"x"], "previous_index": 2**63 - 1},
    ],
    ids=repr,
)
def test_columns_that_do_not_fit_each_other_are_refused(columns: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of([append_row(**columns)]))  # type: ignore[arg-type]


def test_columns_that_fit_are_entries() -> None:
    row = append_row(runs=[2, 3, 1, 4], kinds=b"\x01\x00\x02", data=[b"x", b"", b"y"])
    (message,) = decode_frame(frame_of([row]))[1]
    assert isinstance(message, AppendEntries)
    assert message.entries == ((11, 3, 1, b"x"), (12, 3, 0, b""), (13, 4, 2, b"y"))


@given(PLAIN_VALUES, st.integers(0, 2**64 - 1))
def test_any_other_value_is_refused(value: object, sequence: int) -> None:
    for rows in (value, [value], [[5, value]], [append_row(runs=value, kinds=value, data=value)]):
        try:
            decode_frame(frame_of(rows, sequence))
        except RemoteProtocolError:
            continue


def test_the_sequence_is_a_number_below_two_to_the_63() -> None:
    assert decode_frame(encode_frame(2**63 - 1, []))[0] == 2**63 - 1
    with pytest.raises(RemoteProtocolError, match="number"):
        decode_frame(frame_of([], 2**63))
    for wrong in (-1, 2**63):
        with pytest.raises(LocalProtocolError):
            encode_frame(wrong, [])


def test_entries_that_do_not_follow_each_other_are_not_sent() -> None:
    entries = append(1, 1, 1).entries
    for wrong in (entries[1:], entries[::2], entries[::-1]):
        with pytest.raises(LocalProtocolError, match="follow"):
            encode_frame(1, [AppendEntries("n1", "n2", 9, 10, 1, 5, wrong)])


def test_entries_are_encoded_once_for_all_followers_that_get_the_same() -> None:
    columns = EntryColumns()
    first = append(9, 9, data=b"x" * 100)
    second = replace(first, target="n3", commit_index=7)
    encoded = columns.of(first)
    assert columns.of(second) is encoded
    for message in (first, second):
        assert decode_frame(encode_frame(1, [message], columns)) == (1, (message,))
        assert encode_frame(1, [message], columns) == encode_frame(1, [message])
    assert columns.of(append(9, data=b"y")) != encoded
    with pytest.raises(LocalProtocolError):
        columns.of(replace(append(9), previous_index=3))
    shifted = replace(first, previous_index=3)
    columns.of(first)
    with pytest.raises(LocalProtocolError):
        columns.of(shifted)


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
        decode_frame(frame_of([append_row(runs=[1, 1], kinds=b"\x01", data=[bytes(ENTRY_BYTES_MAX + 1)])]))
