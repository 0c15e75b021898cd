"""Seals: by them the two ends of a connection prove that they know the cluster's secret, for every frame. No I/O.

A seal is a short keyed digest (BLAKE2b) over the number of a frame on its connection, its head and its body. The keys
are of one connection and one direction: they are drawn from the secret, and from a nonce of either end. So a frame
shows that its sender knows the secret, and that it is the next one that this sender has sealed for this connection: it
was not changed, repeated, left out, moved, taken from another connection, or sent back to the one that sealed it
(hazards B95, B104).

The first frame of the dialler names no secret. The other end tries all that it accepts, so that a cluster can change
its secret while it runs. What it answers is sealed with a key that depends on that first frame, too, so that either end
has proved itself over all that was said before.

Nothing here hides what a frame says: that is what TLS is for.
"""

import hmac
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Protocol

from raftdb.errors import RemoteProtocolError

NONCE_BYTES = 32
"""Length of what each end adds to the keys of a connection."""
TAG_BYTES = 16
"""Length of a seal: guessing one takes 2^127 tries on average, each of which costs a connection."""
NUMBER_BYTES = 8

_DIALLER, _LISTENER = b"raftdb frames of the dialler", b"raftdb frames of the listener"


class Unproved(RemoteProtocolError):
    """The other end has not shown that it knows the cluster's secret."""

    def __init__(self) -> None:
        super().__init__("the other end does not prove that it knows the secret of the cluster")


class Seal(Protocol):
    """The seals of one connection. Every frame is given to `tag` as it is sent and to `check` as it is received, in
    order."""

    @property
    def secret(self) -> bytes | None:
        """The secret that both ends know; None before the other end has proved it, and if there is none."""
        ...

    @property
    def tag_bytes(self) -> int:
        """The length of a seal on this connection."""
        ...

    def tag(self, head: bytes, body: bytes) -> bytes:
        """The seal of the next frame that is sent."""
        ...

    def check(self, head: bytes, body: bytes, tag: bytes) -> None:
        """Raise RemoteProtocolError unless `tag` is the seal of the next frame that is received."""
        ...


class Unsealed:
    """A connection whose ends prove nothing: its seals are empty."""

    secret: bytes | None = None
    tag_bytes = 0

    def tag(self, head: bytes, body: bytes) -> bytes:
        """Nothing."""
        return b""

    def check(self, head: bytes, body: bytes, tag: bytes) -> None:
        """Every frame will do."""


UNSEALED = Unsealed()


class _Direction:
    """The frames in one direction."""

    def __init__(self, secret: bytes, label: bytes, context: bytes) -> None:
        # A hash of the context has a fixed length, so no two contexts can be read as one.
        key = hmac.digest(secret, label + sha256(context).digest(), "sha256")
        self._keyed = blake2b(key=key, digest_size=TAG_BYTES)
        self._number = 0

    def next(self, head: bytes, body: bytes) -> bytes:
        """The seal of the next frame."""
        digest = self._keyed.copy()
        digest.update(self._number.to_bytes(NUMBER_BYTES, "big") + head)
        digest.update(body)
        self._number += 1
        return digest.digest()

    def verify(self, head: bytes, body: bytes, tag: bytes) -> None:
        """Raise RemoteProtocolError unless `tag` is the seal of the next frame."""
        if hmac.compare_digest(self.next(head, body), tag):
            return
        if self._number == 1:
            raise Unproved
        raise RemoteProtocolError("a frame is not the next one that the other end has sealed")


class SealedByDialler:
    """The end that has opened the connection. `context` has the nonces of both ends."""

    tag_bytes = TAG_BYTES

    def __init__(self, secret: bytes, context: bytes) -> None:
        self.secret: bytes | None = secret
        self._known = secret
        self._context = context
        self._sent = _Direction(secret, _DIALLER, context)
        self._received: _Direction | None = None

    def tag(self, head: bytes, body: bytes) -> bytes:
        """See `Seal`."""
        if self._received is None:
            self._received = _Direction(self._known, _LISTENER, self._context + head + body)
        return self._sent.next(head, body)

    def check(self, head: bytes, body: bytes, tag: bytes) -> None:
        """See `Seal`."""
        if self._received is None:
            raise Unproved
        self._received.verify(head, body, tag)


class SealedByListener:
    """The end that was dialled, which accepts several secrets. `context` has the nonces of both ends."""

    tag_bytes = TAG_BYTES

    def __init__(self, secrets: Sequence[bytes], context: bytes) -> None:
        self.secret: bytes | None = None
        self._secrets = tuple(secrets)
        self._context = context
        self._sent: _Direction | None = None
        self._received: _Direction | None = None

    def tag(self, head: bytes, body: bytes) -> bytes:
        """See `Seal`. Before the dialler has proved itself this node proves nothing either."""
        return bytes(TAG_BYTES) if self._sent is None else self._sent.next(head, body)

    def check(self, head: bytes, body: bytes, tag: bytes) -> None:
        """See `Seal`."""
        if self._received is not None:
            self._received.verify(head, body, tag)
            return
        for secret in self._secrets:
            received = _Direction(secret, _DIALLER, self._context)
            if hmac.compare_digest(received.next(head, body), tag):
                self.secret, self._received = secret, received
                self._sent = _Direction(secret, _LISTENER, self._context + head + body)
                return
        raise Unproved
