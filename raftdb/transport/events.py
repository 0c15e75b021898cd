"""What links tell their owner: plain callbacks, which are called on the event loop and must not block or raise."""

from collections.abc import Callable
from dataclasses import dataclass

from raftdb.endpoint import Endpoint


def _ignore_up(peer: str) -> None:
    """The default: does nothing."""


def _ignore_down(peer: str, reason: str) -> None:
    """The default: does nothing."""


def _ignore_refused(peer: str, code: str, reason: str) -> None:
    """The default: does nothing."""


def _ignore_sighted(peer: str, address: Endpoint) -> None:
    """The default: does nothing."""


def _ignore_trip(peer: str, seconds: float) -> None:
    """The default: does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEvents:
    """Callbacks of one direction of links.

    `on_peer_up(id)`: the handshake is done, and messages can pass. `on_peer_down(id, reason)`: they no longer can; it
    always follows an `on_peer_up` of the same peer. `on_refused(id, code, reason)`: the handshake ended in a refusal,
    by either side; `id` is the peer that was dialled, or the one that the caller claims to be. `on_sighted(id,
    address)`: a node that was dialled as another one answered that it is `id`. `on_trip(id, seconds)`: a trip over the
    link was measured; only links that this node dialled are.
    """

    on_peer_up: Callable[[str], None] = _ignore_up
    on_peer_down: Callable[[str, str], None] = _ignore_down
    on_refused: Callable[[str, str, str], None] = _ignore_refused
    on_sighted: Callable[[str, Endpoint], None] = _ignore_sighted
    on_trip: Callable[[str, float], None] = _ignore_trip
