"""CLUSTER, by which clients of Redis clusters find the nodes. All slots are the leader's, and the others are its
replicas.

A node is named by its port for clients of Redis clusters, or by the plain one if it has no such port. Only nodes with a
known address are named: this one, and members whose address is in the configuration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha1
from typing import Any

from raftdb.endpoint import Endpoint, parse_endpoint
from raftdb.frontend.redis.client_state import ClientState
from raftdb.frontend.redis.rows import LOCAL, Arguments, Row, only_subcommands, run_here
from raftdb.machine.slots import SLOTS, slot_of
from raftdb.wire.resp_replies import Verbatim


@dataclass(frozen=True, slots=True)
class _Place:
    """One node, as clients see it."""

    name: str
    endpoint: Endpoint
    is_leader: bool
    is_self: bool
    is_alive: bool

    @property
    def id(self) -> bytes:
        """40 hexadecimal digits for the node's name, as in Redis."""
        return _id_of(self.name)


def _id_of(name: str) -> bytes:
    return sha1(name.encode(), usedforsecurity=False).hexdigest().encode()


def _places(client: ClientState) -> list[_Place]:
    """The nodes that can be named, the leader first."""
    status = client.facts.status()
    own: str = status["id"]
    leader: Mapping[str, Any] | None = status["leader"]
    places = []
    for member in status["members"]:
        name: str = member["id"]
        redis: str | None = member["redis_cluster"] or member["redis"]
        if redis is None and name == own:
            settings = client.facts.settings
            redis = str(Endpoint(settings["bind"], int(settings["port"])))
        if redis is not None:
            is_alive = bool(member["alive"])
            is_leader = is_alive and leader is not None and leader["id"] == name
            places.append(_Place(name, parse_endpoint(redis), is_leader, name == own, is_alive))
    if not any(place.is_leader for place in places):
        # Clients give up if nobody has the slots, or if who has them does not answer. This node tells them to wait, and
        # then where the leader is.
        places = [replace(place, is_leader=place.is_self) for place in places]
    return sorted(places, key=lambda place: (not place.is_leader, place.name))


def _slots(client: ClientState, given: Arguments) -> object:
    places = _places(client)
    described = [
        [place.endpoint.host.encode(), place.endpoint.port, place.id, []]
        for place in places
        if place.is_leader or place.is_alive
    ]
    return [[0, SLOTS - 1, *described]]


def _shards(client: ClientState, given: Arguments) -> object:
    places = _places(client)
    applied: int = client.facts.status()["applied_index"]
    nodes = [
        {
            b"id": place.id,
            b"port": place.endpoint.port,
            b"ip": place.endpoint.host.encode(),
            b"endpoint": place.endpoint.host.encode(),
            b"role": b"master" if place.is_leader else b"replica",
            b"replication-offset": applied,
            b"health": b"online" if place.is_alive else b"fail",
        }
        for place in places
    ]
    return [{b"slots": [0, SLOTS - 1], b"nodes": nodes}]


def _nodes(client: ClientState, given: Arguments) -> object:
    places = _places(client)
    master = next((place.id.decode() for place in places if place.is_leader), "-")
    term: int = client.facts.status()["term"]
    lines = []
    for place in places:
        flags = ",".join(
            word
            for word, is_true in (
                ("myself", place.is_self),
                ("master" if place.is_leader else "slave", True),
                ("fail", not place.is_alive),
            )
            if is_true
        )
        state = "connected" if place.is_alive else "disconnected"
        words = [place.id.decode(), f"{place.endpoint}@0", flags, "-" if place.is_leader else master]
        words += ["0", "0", str(term), state, *([f"0-{SLOTS - 1}"] if place.is_leader else [])]
        lines.append(" ".join(words) + "\n")
    return Verbatim("".join(lines))


def _info(client: ClientState, given: Arguments) -> object:
    status = client.facts.status()
    has_leader = status["leader"] is not None
    slots = SLOTS if has_leader else 0
    fields = {
        "cluster_state": "ok" if has_leader else "fail",
        "cluster_slots_assigned": slots,
        "cluster_slots_ok": slots,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": 0,
        "cluster_known_nodes": len(status["members"]),
        "cluster_size": 1,
        "cluster_current_epoch": status["term"],
        "cluster_my_epoch": status["term"],
    }
    return Verbatim("".join(f"{name}:{value}\r\n" for name, value in fields.items()))


_row = partial(run_here, "cluster")

SUBCOMMANDS: tuple[Row, ...] = (
    _row("cluster|slots", 2, LOCAL, "3.0.0", "Who has which slots", _slots),
    _row("cluster|shards", 2, LOCAL, "7.0.0", "Who has which slots, with all nodes", _shards),
    _row("cluster|nodes", 2, LOCAL, "3.0.0", "All nodes, a line each", _nodes),
    _row("cluster|info", 2, LOCAL, "3.0.0", "Whether there is a leader", _info),
    _row(
        "cluster|myid",
        2,
        LOCAL,
        "3.0.0",
        "What this node is called in the others",
        lambda client, given: _id_of(client.facts.status()["id"]),
    ),
    _row("cluster|keyslot", 3, LOCAL, "3.0.0", "The slot of a key", lambda client, given: slot_of(given[2])),
)


def _set_readonly(is_readonly: bool) -> Callable[[ClientState, Arguments], object]:
    def run(client: ClientState, given: Arguments) -> object:
        client.is_readonly = is_readonly
        return "OK"

    return run


CLUSTER: tuple[Row, ...] = (
    _row("readonly", 1, LOCAL, "3.0.0", "Reads may be stale: this node answers them", _set_readonly(True)),
    _row("readwrite", 1, LOCAL, "3.0.0", "Reads are linearizable again", _set_readonly(False)),
    _row("cluster", -2, (), "3.0.0", "About the cluster", only_subcommands, subcommands=SUBCOMMANDS),
)
"""The rows of the table."""
