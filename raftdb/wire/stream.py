"""The stream between two peers: frames one after another, each `length | kind | body | seal`. No sockets.

`length` (four bytes, big-endian) is that of the body. Every kind has a longest body, so the reader can refuse a frame
before it has arrived. A body that must not be damaged on the way has a checksum (`raftdb.wire.frames`); a damaged head
leads to a body that does not match, or to a frame that ends the link. The seal (`raftdb.wire.sealing`) is verified
before a body is given to anybody; between nodes that prove nothing it is empty.
"""

from enum import IntEnum
from struct import Struct

from raftdb.errors import RemoteProtocolError
from raftdb.limits import MIB, REPLY_BYTES_MAX
from raftdb.wire.handshake import HANDSHAKE_BYTES_MAX
from raftdb.wire.peer import FRAME_BYTES_MAX
from raftdb.wire.sealing import UNSEALED, Seal

_HEAD = Struct(">IB")
HEAD_BYTES = _HEAD.size


class Kind(IntEnum):
    """The kinds of frames, by what they hold."""

    HANDSHAKE = 1
    """A handshake, see `raftdb.wire.handshake`: the first frame in each direction."""
    MESSAGES = 2
    """Messages of the core, see `raftdb.wire.peer`."""
    PING = 3
    """Nothing; answered by a PONG."""
    PONG = 4
    CLOSE = 5
    """The last frame: why the speaker ends the link, as UTF-8 text."""
    REQUESTS = 6
    """Requests of clients that a node passes on to the leader, on a connection of their own."""
    ANSWERS = 7
    """The leader's answers to them."""


ANSWERS_BYTES_MAX = 2 * REPLY_BYTES_MAX + 2 * MIB
"""Longest frame of answers: the longest answer, and a generous batch before it."""

BODY_BYTES_MAX = {
    Kind.HANDSHAKE: HANDSHAKE_BYTES_MAX,
    Kind.MESSAGES: FRAME_BYTES_MAX,
    Kind.PING: 0,
    Kind.PONG: 0,
    Kind.CLOSE: 1024,
    Kind.REQUESTS: FRAME_BYTES_MAX,
    Kind.ANSWERS: ANSWERS_BYTES_MAX,
}
"""Longest body of each kind."""

_KINDS = {int(kind): kind for kind in Kind}


def head_of(kind: Kind, body_bytes: int) -> bytes:
    """The bytes in front of a body of that length."""
    return _HEAD.pack(body_bytes, kind)


class FrameReader:
    """Takes a stream apart, however it was cut on its way. It holds the bytes that have arrived of frames that were not
    taken. `seal` is that of the connection."""

    def __init__(self, seal: Seal = UNSEALED) -> None:
        self._seal = seal
        self._buffer = bytearray()
        self._greeted = False

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in bytes that have arrived."""
        self._buffer += data

    @property
    def has_frame(self) -> bool:
        """True if `next_frame` gives a frame, or raises."""
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return False
        length, number = _HEAD.unpack_from(buffer)
        return (
            not self._is_possible(length, number) or len(buffer) >= HEAD_BYTES + length + self._seal.tag_bytes
        )

    def next_frame(self) -> tuple[Kind, bytes] | None:
        """The next frame, None if it is not all there. Raises RemoteProtocolError: nothing after it can be read.

        The first frame is a handshake and no other is; until it is there nothing longer is waited for.
        """
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        length, number = _HEAD.unpack_from(buffer)
        if not self._is_possible(length, number):
            begins = "" if self._greeted else ": a link begins with a handshake"
            raise RemoteProtocolError(f"no frame of kind {number} with {length} bytes comes here{begins}")
        body_end = HEAD_BYTES + length
        end = body_end + self._seal.tag_bytes
        if len(buffer) < end:
            return None
        body = bytes(memoryview(buffer)[HEAD_BYTES:body_end])
        self._seal.check(bytes(buffer[:HEAD_BYTES]), body, bytes(buffer[body_end:end]))
        del buffer[:end]
        self._greeted = True
        return _KINDS[number], body

    def _is_possible(self, length: int, number: int) -> bool:
        kind = _KINDS.get(number)
        if kind is None or length > BODY_BYTES_MAX[kind]:
            return False
        return kind is Kind.CLOSE or self._greeted != (kind is Kind.HANDSHAKE)
