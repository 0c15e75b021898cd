"""Faults of the network between the nodes, and to their clients: cuts, and conditions in the words of `tc netem`.

Nodes do that to what they send (docs/network.md). A node that is started again has forgotten it, and one that is paused
cannot be told, so its cut may last longer than meant: `heal` is tried until all nodes were told.
"""

import random
from collections.abc import Callable, Sequence

from cli.admin.network import Direction, FaultyNetwork, alone, apart
from cli.torture.journal import Journal
from cli.torture.nemesis import Fault, Strike
from cli.torture.nodes import Nodes
from raftdb.errors import RaftdbError

CONDITIONS = (
    "delay 20ms 10ms",
    "delay 200ms 150ms",
    "loss 5%",
    "loss 30%",
    "duplicate 20%",
    "delay 50ms 40ms loss 5% duplicate 5% corrupt 2% reorder 25%",
    "rate 500kbit",
)
CLIENTS_CONDITIONS = "delay 50ms 40ms"
UNTOUCHED = "none"


class Links:
    """See the module."""

    def __init__(self, nodes: Nodes, journal: Journal, *, normal: str = UNTOUCHED) -> None:
        """`normal` are the conditions that the links have while nothing is done to them."""
        self._normal = normal
        self._nodes = nodes
        self._journal = journal
        self._lasting: str | None = None
        """What is done now: one thing at a time, because all cuts are healed together."""

    def table(self) -> tuple[Fault, ...]:
        """All kinds, with their weights."""
        return (
            Fault("cut", 3, self._cut, is_harm=True),
            Fault("bad network", 2, self._worsen, is_harm=False),
            Fault("clients cut off", 0.7, self._cut_clients, is_harm=True),
            Fault("clients far away", 0.5, self._delay_clients, is_harm=False),
        )

    def heal(self) -> None:
        """Undo all, if anything is done; what was not undone, because a node did not answer, is left to the next
        call."""
        if self._lasting is None:
            return
        try:
            self._network.heal()
            self._network.set(self._normal)
            self._network.set_clients(UNTOUCHED)
        except RaftdbError as error:
            self._journal.note(f"not healed everywhere: {self._lasting}: {error.message}")
        else:
            self._lasting = None

    @property
    def _network(self) -> FaultyNetwork:
        return self._nodes.cluster.network

    def _strike(self, words: str, tell: Callable[[], None], harms: Sequence[str]) -> Strike | None:
        self.heal()
        if self._lasting is not None:
            return None
        self._lasting = words
        try:
            tell()
        except RaftdbError as error:
            self._journal.note(f"not told to all: {words}: {error.message}")
        return Strike(words, tuple(harms), self.heal)

    def _cut(self, chance: random.Random, _duration_s: float) -> Strike | None:
        running = [node_id for node_id in self._nodes.ids if self._nodes.runs(node_id)]
        if len(running) < 2:
            return None
        order = chance.sample(running, len(running))
        words, directions, harms = _way(chance.random(), order)
        return self._strike(words, lambda: self._network.cut(*directions), harms)

    def _worsen(self, chance: random.Random, _duration_s: float) -> Strike | None:
        conditions = chance.choice(CONDITIONS)
        words = f"the network is bad: {conditions}"
        return self._strike(words, lambda: self._network.set(conditions), ())

    def _cut_clients(self, chance: random.Random, _duration_s: float) -> Strike | None:
        node_id = chance.choice(list(self._nodes.ids))
        if not self._nodes.runs(node_id):
            return None
        words = f"{node_id} does not hear its clients"
        return self._strike(words, lambda: self._network.cut_clients(node_id), (node_id,))

    def _delay_clients(self, _chance: random.Random, _duration_s: float) -> Strike | None:
        words = f"clients are far away: {CLIENTS_CONDITIONS}"
        return self._strike(words, lambda: self._network.set_clients(CLIENTS_CONDITIONS), ())


def _way(chance: float, order: Sequence[str]) -> tuple[str, list[Direction], Sequence[str]]:
    """One of the ways of cutting links that have broken other systems: in words, the directions, and the nodes that
    are without the others."""
    first, others = order[0], order[1:]
    half = (len(order) - 1) // 2 or 1
    minority, majority = order[:half], order[half:]
    if chance < 0.35:
        return f"{first} is alone", alone(first, order), (first,)
    if chance < 0.5:
        return f"{first} hears nobody", [(other, first) for other in others], (first,)
    if chance < 0.65:
        return f"{first} is not heard", [(first, other) for other in others], (first,)
    if chance < 0.85 or len(order) < 3:
        sides = f"{', '.join(minority)} and {', '.join(majority)}"
        return f"{sides} are apart", apart([minority, majority]), minority
    left, right = others[: len(others) // 2], others[len(others) // 2 :]
    words = f"{first} is the only bridge between {', '.join(left)} and {', '.join(right)}"
    return words, apart([left, right]), left
