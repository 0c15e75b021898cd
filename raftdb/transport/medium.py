"""What lies between nodes, as the links use it: here the network as it is.

Who wants another network (`raftdb.transport.impaired`) gives the links another medium. So the network as it is costs no
message anything: a link that asks for its sender gets its own method back.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from raftdb.core.messages import Message
from raftdb.endpoint import Endpoint
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.proof import PeerProof
from raftdb.transport.stream import FrameStream
from raftdb.transport.upgrade import dial
from raftdb.wire.sealing import Seal

Send: TypeAlias = Callable[[Sequence[Message]], None]
"""Sends messages to one peer, in order; never blocks, never raises for a lost peer."""


class Medium:
    """The network as it is."""

    async def dial(
        self,
        peer: str,
        endpoint: Endpoint,
        proof: PeerProof,
        *,
        connect_timeout_s: float,
        path: str = PEER_PATH,
    ) -> FrameStream:
        """See `raftdb.transport.upgrade.dial`; `peer` is who is expected there."""
        return await dial(endpoint, proof, connect_timeout_s=connect_timeout_s, path=path)

    def accept(self, seal: Seal) -> FrameStream:
        """A stream for a connection that another node has dialled."""
        return FrameStream(seal)

    def carry(self, peer: str, send: Send) -> Send:
        """What the link to `peer` is to be given messages by; `send` sends them over its connection."""
        return send

    def interrupted(self, peer: str) -> None:
        """The link to `peer` is down: what is under way to it does not arrive."""

    async def pass_bytes(self, peer: str, size_bytes: int) -> None:
        """Wait for as long as these bytes of a request, or of its answer, take to `peer`. Raises `CutOff`."""


THE_NETWORK = Medium()
