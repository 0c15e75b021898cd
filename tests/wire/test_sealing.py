"""Seals: what only the other end can have sealed, as the next frame of this connection (hazards B95, B104)."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import RemoteProtocolError
from raftdb.wire.sealing import (
    UNSEALED,
    Seal,
    SealedByDialler,
    SealedByListener,
    Unproved,
)
from raftdb.wire.stream import FrameReader, Kind, head_of

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
HEAD = b"\0\0\0\3\2"
Frame = tuple[bytes, bytes, bytes]


def sealed(seal: Seal, body: bytes, head: bytes = HEAD) -> Frame:
    return head, body, seal.tag(head, body)


def pair(dialler: bytes = OLD, *listener: bytes, context: bytes = b"c") -> tuple[Seal, Seal]:
    return SealedByDialler(dialler, context), SealedByListener(listener or (OLD,), context)


def greeted(**options: bytes) -> tuple[Seal, Seal]:
    """Both ends after hello and welcome."""
    dialler, listener = pair(**options)
    listener.check(*sealed(dialler, b"hello"))
    dialler.check(*sealed(listener, b"welcome"))
    return dialler, listener


def test_frames_pass_in_both_directions_in_order() -> None:
    dialler, listener = greeted()
    for number in range(300):
        listener.check(*sealed(dialler, b"there %d" % number))
        dialler.check(*sealed(listener, b"back %d" % number))


@pytest.mark.parametrize("accepted", [(OLD, NEW), (NEW, OLD), (NEW,)])
def test_the_listener_takes_any_secret_that_it_accepts_and_answers_with_the_same(
    accepted: tuple[bytes, ...],
) -> None:
    dialler, listener = pair(NEW, *accepted)
    before = listener.secret
    listener.check(*sealed(dialler, b"hello"))
    assert (before, listener.secret) == (None, NEW)
    dialler.check(*sealed(listener, b"welcome"))


def test_another_secret_proves_nothing_to_either_end() -> None:
    dialler, listener = pair(OTHER, OLD, NEW)
    with pytest.raises(Unproved):
        listener.check(*sealed(dialler, b"hello"))
    with pytest.raises(Unproved):
        dialler.check(*sealed(listener, b"welcome"))
    impostor = SealedByListener((OTHER,), b"c")
    victim, _ = pair(OLD)
    with pytest.raises(Unproved):
        impostor.check(*sealed(victim, b"hello"))
    with pytest.raises(Unproved):
        victim.check(*sealed(impostor, b"welcome"))


def test_the_nonces_of_another_connection_make_another_key() -> None:
    dialler, _ = pair(context=b"one")
    _, listener = pair(context=b"two")
    with pytest.raises(Unproved):
        listener.check(*sealed(dialler, b"hello"))


def test_the_answer_is_of_what_was_said_first() -> None:
    """One who changes the hello cannot hide it: the answer is sealed with a key that depends on the hello."""
    dialler, listener = pair()
    twin, _ = pair()
    listener.check(*sealed(twin, b"another hello"))
    dialler.tag(HEAD, b"hello")
    with pytest.raises(Unproved):
        dialler.check(*sealed(listener, b"welcome"))


BAD: dict[str, Callable[[Frame, Frame, Frame], Frame]] = {
    "replayed": lambda one, two, back: one,
    "reflected": lambda one, two, back: back,
    "body changed": lambda one, two, back: (two[0], two[1] + b"!", two[2]),
    "head changed": lambda one, two, back: (b"\0\0\0\3\3", *two[1:]),
    "cut short": lambda one, two, back: (two[0], two[1][:-1], two[2]),
    "seal changed": lambda one, two, back: (*two[:2], bytes([two[2][0] ^ 1]) + two[2][1:]),
    "seal cut": lambda one, two, back: (*two[:2], two[2][:-1]),
    "seal missing": lambda one, two, back: (*two[:2], b""),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("to_listener", [True, False])
def test_any_frame_but_the_next_one_is_refused(what: str, to_listener: bool) -> None:
    dialler, listener = greeted()
    sender, receiver = (dialler, listener) if to_listener else (listener, dialler)
    one = sealed(sender, b"one")
    receiver.check(*one)
    # What the receiver itself has sent at the same place in its own direction.
    sealed(receiver, b"one")
    back = sealed(receiver, b"two")
    two = sealed(sender, b"two")
    with pytest.raises(RemoteProtocolError):
        receiver.check(*BAD[what](one, two, back))


def test_a_frame_that_was_left_out_or_overtaken_is_noticed() -> None:
    dialler, listener = greeted()
    sealed(dialler, b"one")
    with pytest.raises(RemoteProtocolError, match="not the next one"):
        listener.check(*sealed(dialler, b"two"))


def test_the_hello_itself_comes_back_to_nobody() -> None:
    """One's own first frame is no welcome, and the hello of one connection is none of another."""
    dialler, _ = pair()
    hello = sealed(dialler, b"hello")
    with pytest.raises(Unproved):
        dialler.check(*hello)


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=6), st.data())
def test_a_reader_gives_no_body_out_before_its_seal_was_verified(
    bodies: list[bytes], data: st.DataObject
) -> None:
    dialler, listener = pair()
    stream = b"".join(
        b"".join(sealed(dialler, body, head_of(Kind.HANDSHAKE if not at else Kind.MESSAGES, len(body))))
        for at, body in enumerate(bodies)
    )
    at = data.draw(st.integers(0, len(stream) - 1))
    broken = stream[:at] + bytes([stream[at] ^ (1 << data.draw(st.integers(0, 7)))]) + stream[at + 1 :]
    reader, found = FrameReader(listener), []
    reader.feed(broken)
    with suppress(RemoteProtocolError):
        while (frame := reader.next_frame()) is not None:
            found.append(frame[1])
    assert found == bodies[: len(found)]
    assert len(found) < len(bodies)


def test_without_a_secret_nothing_is_added() -> None:
    assert sealed(UNSEALED, b"one") == (HEAD, b"one", b"")
    UNSEALED.check(HEAD, b"one", b"")
