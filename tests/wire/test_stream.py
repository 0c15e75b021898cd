"""The stream of frames: whatever was written is read, however it was cut, and nothing else is."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import RemoteProtocolError
from raftdb.wire.stream import BODY_BYTES_MAX, HEAD_BYTES, FrameReader, Kind, head_of

LATER = (Kind.MESSAGES, Kind.PING, Kind.PONG, Kind.CLOSE)
FRAMES = st.lists(
    st.sampled_from(LATER).flatmap(
        lambda kind: st.tuples(st.just(kind), st.binary(max_size=min(BODY_BYTES_MAX[kind], 300)))
    ),
    max_size=8,
)


def encoded(frames: list[tuple[Kind, bytes]]) -> bytes:
    return b"".join(head_of(kind, len(body)) + body for kind, body in frames)


def read_all(reader: FrameReader) -> list[tuple[Kind, bytes]]:
    frames = []
    while (frame := reader.next_frame()) is not None:
        frames.append(frame)
    return frames


@given(FRAMES, st.lists(st.integers(0, 400), max_size=12))
def test_frames_are_read_as_they_were_written_however_they_arrive(
    frames: list[tuple[Kind, bytes]], cuts: list[int]
) -> None:
    frames = [(Kind.HANDSHAKE, b"hello"), *frames]
    data = encoded(frames)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader, found = FrameReader(), []
    for begin, end in itertools.pairwise(places):
        reader.feed(data[begin:end])
        had_frame = reader.has_frame
        arrived = read_all(reader)
        assert had_frame == bool(arrived)
        found += arrived
    assert found == frames
    assert reader.buffered_bytes == 0


@pytest.mark.parametrize("kind", list(Kind))
def test_a_frame_that_is_too_long_is_refused_before_it_arrives(kind: Kind) -> None:
    for length, is_refused in ((BODY_BYTES_MAX[kind], False), (BODY_BYTES_MAX[kind] + 1, True)):
        reader = FrameReader()
        if kind is not Kind.HANDSHAKE:
            reader.feed(encoded([(Kind.HANDSHAKE, b"")]))
            reader.next_frame()
        reader.feed(head_of(kind, length))
        if is_refused:
            with pytest.raises(RemoteProtocolError):
                reader.next_frame()
        elif length:
            assert reader.next_frame() is None


@pytest.mark.parametrize("kind", [*LATER[:-1], 0, 6, 255])
def test_a_link_begins_with_a_handshake_or_ends(kind: int) -> None:
    reader = FrameReader()
    reader.feed(bytes(4) + bytes([kind]))
    with pytest.raises(RemoteProtocolError, match="begins with a handshake"):
        reader.next_frame()
    farewell = FrameReader()
    farewell.feed(encoded([(Kind.CLOSE, b"not now")]))
    assert farewell.next_frame() == (Kind.CLOSE, b"not now")


def test_there_is_one_handshake() -> None:
    reader = FrameReader()
    reader.feed(encoded([(Kind.HANDSHAKE, b"a"), (Kind.HANDSHAKE, b"b")]))
    assert reader.next_frame() == (Kind.HANDSHAKE, b"a")
    with pytest.raises(RemoteProtocolError, match="no frame of kind 1"):
        reader.next_frame()
    assert HEAD_BYTES == 5
