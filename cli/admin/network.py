"""Setting the network between the nodes of a cluster, if they were started with fault injection (docs/network.md).

    network = FaultyNetwork({"n1": "127.0.0.1:8001", "n2": "127.0.0.1:8002", "n3": "127.0.0.1:8003"})
    network.set("delay 100ms 50ms loss 5%")             # all links
    network.set("delay 1s", ("n1", "n2"), ("n2", "n1")) # these directions
    network.cut(*alone("n1", network.node_ids))
    network.cut(*apart([["n1", "n2"], ["n3"]]))
    network.heal()

A direction is a pair: who sends, and to whom. Each node is told about the links that it sends on; those that do not
answer are named in the error, after all others were told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, TypeAlias, cast

from raftdb.client.credentials import Credentials
from raftdb.client.encryption import TlsOption
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError, RequestRefused, Unavailable
from raftdb.impairment import BadConditions, Conditions, parse_conditions

ANSWER_TIMEOUT_MS = 2_000
"""How long a node may take to answer."""

Direction: TypeAlias = tuple[str, str]
"""Who sends, and to whom."""
Settings: TypeAlias = dict[str, Any]
"""What a node is to be told, in the shape of PUT /v1/network, with all its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReport:
    """One direction, as its sender tells it: `conditions` in words, and its counters by name."""

    source: str
    target: str
    conditions: str
    is_cut: bool
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """All directions between the nodes that answer, and of those that do not, why."""

    links: Sequence[LinkReport]
    problems: Mapping[str, str]
    bodies: Sequence[Mapping[str, Any]]
    """What each node has answered."""


class FaultyNetwork:
    """The network between `nodes`, HTTP addresses by id. One thread at a time may use it. All methods that ask nodes
    raise `RaftdbError`."""

    def __init__(
        self,
        nodes: Mapping[str, str],
        *,
        tls: TlsOption = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.nodes = dict(nodes)
        self._tls = tls
        self._credentials = credentials
        self._default: str | None = None
        """What all links were told last."""
        self._told: dict[str, Settings] = {}

    @property
    def node_ids(self) -> tuple[str, ...]:
        """The ids of the nodes, in their order."""
        return tuple(self.nodes)

    def set(self, conditions: str, *directions: Direction, seed: int | None = None) -> None:
        """Set the conditions of these directions, or of all links, in the words of `tc netem`; `none` leaves them
        alone. `seed` lets chance begin anew."""
        words = str(checked(conditions))

        def change(node: str, settings: Settings) -> None:
            if seed is not None:
                settings["seed"] = seed
            if not directions:
                settings.update(default=words, links={})
            for source, target in directions:
                if source == node:
                    settings["links"][target] = words

        if not directions:
            self._default = words
        self._change(change, {source for source, _ in directions} or self.nodes, directions)

    def cut(self, *directions: Direction, clients: Sequence[str] = ()) -> None:
        """Let nothing pass in these directions any more, and to these nodes nothing of their clients, except about the
        network. What is cut already stays so."""

        def change(node: str, settings: Settings) -> None:
            settings["cut"] = sorted({*settings["cut"], *(to for source, to in directions if source == node)})
            settings["cut_clients"] |= node in clients

        self._change(change, {*clients, *(source for source, _ in directions)}, directions)

    def cut_clients(self, *nodes: str) -> None:
        """Let these nodes hear nothing of their clients any more, except about the network."""
        self.cut(clients=nodes)

    def set_clients(self, conditions: str, *nodes: str) -> None:
        """Set the conditions of the connections between these nodes, or all, and their clients."""
        words = str(checked(conditions))
        self._change(lambda node, settings: settings.update(clients=words), nodes or self.nodes, [])

    def heal(self) -> None:
        """End all cuts, those of clients too; conditions stay."""
        self._change(lambda node, settings: settings.update(cut=[], cut_clients=False), self.nodes, [])

    def report(self) -> NetworkReport:
        """What is set, and what came of it."""
        answers = self._ask(self.nodes, lambda client, address, _: client.network(address))
        bodies = [answer for answer in answers.values() if not isinstance(answer, RaftdbError)]
        problems = {
            node: answer.message for node, answer in answers.items() if isinstance(answer, RaftdbError)
        }
        if not bodies:
            raise next(iter(cast(Mapping[str, RaftdbError], answers).values()))
        links = [
            LinkReport(
                source=body["id"],
                target=target,
                conditions=link["conditions"],
                is_cut=link["is_cut"],
                counts=link["counts"],
            )
            for body in bodies
            for target, link in [*body["links"].items(), ("clients", body["clients"])]
            if target in self.nodes or target == "clients"
        ]
        return NetworkReport(links, problems, bodies)

    def restore(self, node: str) -> None:
        """Tell a node that was started, or started again, what it was told last, if anything."""
        told = self._told.get(node, {} if self._default is None else {"default": self._default})
        if told:
            self._ask([node], lambda client, address, _: client.change_network(address, told))

    def _change(
        self,
        change: Callable[[str, Settings], None],
        nodes: Iterable[str],
        directions: Iterable[Direction],
    ) -> None:
        """Let `change` change what is set at these nodes, at all of them at once."""
        for node in sorted({*nodes, *(end for direction in directions for end in direction)}):
            if node not in self.nodes:
                hint = f"the nodes are: {', '.join(self.nodes)}"
                raise RequestRefused("bad_request", f"there is no node {node[:80]!r}", hint=hint)

        def tell(client: Client, address: str, node: str) -> Mapping[str, Any]:
            settings = settings_of(client.network(address))
            change(node, settings)
            self._told[node] = settings
            return client.change_network(address, settings)

        answers = self._ask(sorted(nodes), tell)
        failed = {node: answer for node, answer in answers.items() if isinstance(answer, RaftdbError)}
        if failed:
            first = next(iter(failed.values()))
            if isinstance(first, RequestRefused):
                raise first
            hint = "the other nodes were told; these have the network that they are started with"
            raise Unavailable("no_leader", f"{', '.join(failed)}: {first.message}", hint=hint)

    def _ask(
        self, nodes: Iterable[str], ask: Callable[[Client, str, str], Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any] | RaftdbError]:
        """The answers of these nodes, which are asked at the same time."""

        def answer_of(node: str) -> Mapping[str, Any] | RaftdbError:
            address = self.nodes[node]
            try:
                with Client(
                    address,
                    timeout_ms=ANSWER_TIMEOUT_MS,
                    sessions=False,
                    tls=self._tls,
                    credentials=self._credentials,
                ) as client:
                    return ask(client, address, node)
            except RaftdbError as error:
                return error

        named = list(nodes)
        with ThreadPoolExecutor(max(len(named), 1)) as threads:
            return dict(zip(named, threads.map(answer_of, named), strict=True))


def checked(conditions: str) -> Conditions:
    """The conditions that these words say. Raises RequestRefused."""
    try:
        return parse_conditions(conditions)
    except BadConditions as error:
        raise RequestRefused("bad_request", error.message, hint=error.hint) from None


def settings_of(body: Mapping[str, Any]) -> Settings:
    """What is set at a node that has answered `body`, as it would be told."""
    links = body["links"]
    return {
        "default": body["default"],
        "links": {target: link["conditions"] for target, link in links.items() if link["own"]},
        "cut": [target for target, link in links.items() if link["is_cut"]],
        "clients": body["clients"]["conditions"],
        "cut_clients": body["clients"]["is_cut"],
    }


def both_ways(one: str, other: str) -> list[Direction]:
    """The directions of the link between two nodes."""
    return [(one, other), (other, one)]


def alone(node: str, nodes: Iterable[str]) -> list[Direction]:
    """The directions between a node and all others of `nodes`."""
    return [direction for other in nodes if other != node for direction in both_ways(node, other)]


def apart(groups: Sequence[Sequence[str]]) -> list[Direction]:
    """The directions between nodes of different groups."""
    return [pair for one, other in permutations(groups, 2) for pair in product(one, other)]
