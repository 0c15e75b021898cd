"""How a connection between two nodes begins, on either end: a hello, and a welcome or a refusal.

Links and the connections over which requests are passed on begin alike, so both ends are here once. What makes a
speaker acceptable is in `raftdb.transport.handshake`.
"""

import asyncio
from collections.abc import Callable

from raftdb.errors import RemoteProtocolError, Unavailable
from raftdb.transport.handshake import CheckPeer, LocalIdentity, check_introduction
from raftdb.transport.limits import LinkLimits
from raftdb.transport.stream import FrameStream
from raftdb.wire.handshake import Hello, Refused, Welcome, decode_handshake, encode_handshake
from raftdb.wire.stream import Kind


class GreetingRefused(Exception):
    """The handshake ended in a refusal, by either side.

    `source` is, on the listening side, whose hello was refused, and on the dialling side the node that was found in
    place of the one that was meant, or empty. `is_own`: this node has refused.
    """

    def __init__(self, refused: Refused, source: str = "", *, is_own: bool = False) -> None:
        super().__init__(refused.reason if is_own else f"refused: {refused.reason}")
        self.refused = refused
        self.source = source


async def exchange(stream: FrameStream, hello: Hello) -> Welcome | Refused:
    """Say `hello` on a connection that this node has dialled, and return the answer. Raises RemoteProtocolError,
    OSError."""
    stream.send(Kind.HANDSHAKE, encode_handshake(hello))
    try:
        kind, body = await stream.receive()
    except ConnectionResetError as error:
        why = "the peer closed the connection instead of answering the handshake"
        raise RemoteProtocolError(why) from error
    if kind is not Kind.HANDSHAKE:
        raise RemoteProtocolError("the peer does not answer the handshake")
    answer = decode_handshake(body)
    if isinstance(answer, Hello):
        raise RemoteProtocolError("the peer answered a hello with a hello")
    return answer


def not_certified(certified: frozenset[str] | None, source: str) -> Refused | None:
    """The refusal of one that introduces itself as `source`, with a certificate that names others; see
    `FrameStream.certified`."""
    if not certified or source in certified:
        return None
    return Refused("certificate", f"the certificate names {', '.join(sorted(certified))}, and not {source}")


async def check_answer(
    stream: FrameStream,
    answer: Welcome | Refused,
    peer: str,
    identity: LocalIdentity,
    check_peer: CheckPeer,
) -> None:
    """Raise GreetingRefused unless it is `peer` who has answered, and both accept each other."""
    if isinstance(answer, Refused):
        raise GreetingRefused(answer, answer.answered_by)
    if answer.source != peer:
        refused = Refused("wrong_source", f"{answer.source} answered in place of {peer}")
        raise GreetingRefused(refused, answer.source)
    own_refusal = not_certified(stream.certified, answer.source)
    if own_refusal is None:
        own_refusal = await check_introduction(answer, identity, check_peer)
    if own_refusal is not None:
        raise GreetingRefused(own_refusal, is_own=True)


class Reception:
    """The connections of one route that were accepted and have not been welcomed: at most `handshakes_pending_max`."""

    def __init__(self, identity: LocalIdentity, check_peer: CheckPeer, limits: LinkLimits) -> None:
        self._identity = identity
        self._check_peer = check_peer
        self._limits = limits
        # The oldest first; True once its hello is being checked.
        self._pending: dict[FrameStream, bool] = {}

    def make_room(self) -> None:
        """Make room for another handshake. If there are too many, the oldest connection whose hello is not being
        checked is cut for it, so that a few silent connections cannot keep all members out. Raises Unavailable."""
        if len(self._pending) < self._limits.handshakes_pending_max:
            return
        idle = next((stream for stream, is_checked in self._pending.items() if not is_checked), None)
        if idle is None:
            raise Unavailable("busy", "too many handshakes at once")
        del self._pending[idle]
        idle.abort()

    async def receive(self, stream: FrameStream, judge: Callable[[Hello], Refused | None]) -> Hello:
        """Read the hello, and return it if the caller, of whom `judge` has the first word, may be welcomed.

        Raises RemoteProtocolError, TimeoutError, OSError, and GreetingRefused.
        """
        self._pending[stream] = False
        stream.ended.add_done_callback(lambda _: self._pending.pop(stream, None))
        async with asyncio.timeout(self._limits.hello_timeout_s):
            _, body = await stream.receive()
            hello = decode_handshake(body)
            if not isinstance(hello, Hello):
                raise RemoteProtocolError("a connection begins with a hello")
            stream.meet(hello.source)
            refused = not_certified(stream.certified, hello.source) or judge(hello)
            if refused is None:
                self._pending[stream] = True
                refused = await check_introduction(hello, self._identity, self._check_peer)
                if stream in self._pending:
                    self._pending[stream] = False
        if refused is not None:
            raise GreetingRefused(refused, hello.source)
        return hello

    def welcome(self, stream: FrameStream, hello: Hello) -> None:
        """Answer the `hello`: from here on the connection is its owner's."""
        self._pending.pop(stream, None)
        stream.send(Kind.HANDSHAKE, encode_handshake(self._identity.introduce(Welcome, hello.source)))

    def refuse(self, stream: FrameStream, refused: Refused) -> None:
        """Answer with the refusal, and close the connection."""
        stream.send(Kind.HANDSHAKE, encode_handshake(refused))
        stream.close(refused.reason, timeout_s=self._limits.close_timeout_s)
