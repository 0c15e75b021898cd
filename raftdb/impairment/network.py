"""The outgoing links of one node under conditions: what was set, and the direction to each other node."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from raftdb.impairment.conditions import NO_CONDITIONS, Conditions
from raftdb.impairment.lane import Lane

LINKS_MAX = 256
"""Most links that have conditions of their own or are cut, and most directions that are remembered."""
CLIENTS = "clients"
"""The name of the direction to clients, for its chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChange:
    """What is to be set; what is None stays as it is.

    `default`: the conditions of links that have none of their own. `links`: those that have, by peer; all others have
    the default then. `cut`: the peers to which nothing goes; to all others it does. `clients` and `cut_clients` are for
    the connections of clients. `seed`: chance begins anew.
    """

    default: Conditions | None = None
    links: Mapping[str, Conditions] | None = None
    cut: frozenset[str] | None = None
    clients: Conditions | None = None
    cut_clients: bool | None = None
    seed: int | None = None


@dataclass(slots=True)
class ImpairedNetwork:
    """What is set for the links from the node `source`."""

    source: str
    seed: int
    default: Conditions = NO_CONDITIONS
    links: dict[str, Conditions] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()
    _lanes: dict[str, Lane[Any]] = field(default_factory=dict)
    clients: Lane[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.clients = Lane(f"{self.source}>{CLIENTS}", seed=self.seed)

    def lane(self, peer: str) -> Lane[Any]:
        """The direction to `peer`."""
        lane = self._lanes.get(peer)
        if lane is None:
            lane = self._lanes[peer] = Lane(f"{self.source}>{peer}", seed=self.seed)
            self._set(peer, lane)
            if len(self._lanes) > LINKS_MAX:
                # Only strangers can be so many; what uses a lane keeps it.
                del self._lanes[next(iter(self._lanes))]
        return lane

    def change(self, change: NetworkChange) -> frozenset[str]:
        """Set what is said; returns the peers that are cut no longer."""
        before = self.cut
        if change.default is not None:
            self.default = change.default
        if change.links is not None:
            self.links = dict(change.links)
        if change.cut is not None:
            self.cut = change.cut
        clients = self.clients.conditions if change.clients is None else change.clients
        is_cut = self.clients.is_cut if change.cut_clients is None else change.cut_clients
        self.clients.set(clients, is_cut=is_cut)
        for peer, lane in self._lanes.items():
            self._set(peer, lane)
        if change.seed is not None:
            self.seed = change.seed
            for lane in (*self._lanes.values(), self.clients):
                lane.begin_anew(change.seed)
        return before - self.cut

    def said(self) -> dict[str, str]:
        """What is set, in a few words for the log."""
        own = ",".join(f"{peer} {conditions}" for peer, conditions in sorted(self.links.items()))
        fields = {"default": str(self.default), "links": own, "cut": ",".join(sorted(self.cut))}
        if self.clients.is_cut or self.clients.conditions:
            fields["clients"] = "cut" if self.clients.is_cut else str(self.clients.conditions)
        return {"seed": str(self.seed), **{name: value for name, value in fields.items() if value}}

    def described(self) -> dict[str, Any]:
        """What is set, and what came of it at each link, in the shape of GET /v1/network."""
        peers = sorted({*self._lanes, *self.links, *self.cut})
        return {
            "id": self.source,
            "seed": self.seed,
            "default": str(self.default),
            "links": {peer: {"own": peer in self.links, **_described(self.lane(peer))} for peer in peers},
            "clients": _described(self.clients),
        }

    def _set(self, peer: str, lane: Lane[Any]) -> None:
        lane.set(self.links.get(peer, self.default), is_cut=peer in self.cut)


def _described(lane: Lane[Any]) -> dict[str, Any]:
    return {
        "conditions": str(lane.conditions),
        "is_cut": lane.is_cut,
        "held_messages": lane.held_messages,
        "held_bytes": lane.held_bytes,
        "counts": asdict(lane.counts),
    }
