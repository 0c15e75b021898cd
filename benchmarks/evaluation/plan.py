"""What is measured: the sizes of each part, for each network, in the quick form and in the full one."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product

PARTS = {
    "a": "Consistency",
    "b": "Adding and removing nodes",
    "c": "Time over amount of data",
    "d": "Failover",
}
NETWORKS_PART = "e"
"""The part that is all others under other networks."""
NAMES = {"consistency": "a", "members": "b", "amounts": "c", "failover": "d", "networks": NETWORKS_PART}
"""What the parts may be called, too."""

MIB = 1 << 20
POINT_BYTES_MAX = 2048 * MIB
COUNTS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
VALUES_BYTES = (10, 1024, 32 * 1024, MIB)


@dataclass(frozen=True, slots=True)
class Network:
    """A network between the nodes: what it is called, and its conditions in the words of `tc netem`."""

    name: str
    conditions: str


UNDISTURBED = Network("undisturbed", "none")
FAR = Network("far", "delay 20ms 5ms loss 0.5%")
SLOW = Network("slow", "delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%")
NETWORKS = (UNDISTURBED, FAR, SLOW)


@dataclass(frozen=True, slots=True)
class Point:
    """An amount of data: so many items, of so many bytes each."""

    items: int
    value_bytes: int

    @property
    def total_bytes(self) -> int:
        """The bytes of all values."""
        return self.items * self.value_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured under one network."""

    peace_s: float
    """How long a load without faults runs; 0: it does not."""
    faults_s: float
    """How long one with faults runs."""
    memberships: tuple[int, ...]
    """How many nodes there are, one after the other."""
    hold_s: float
    """How long each number of nodes is measured."""
    points: tuple[Point, ...]
    kills: int
    """How many leaders are killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One part under one network."""

    part: str
    network: Network
    sizes: Sizes

    @property
    def title(self) -> str:
        """What it is called in the report."""
        return f"({self.part}) {PARTS[self.part]}, {self.network.name} network"


def all_points() -> tuple[Point, ...]:
    """All amounts of the full form, the small ones first: each count with each size, as far as that is allowed."""
    points = {Point(items, size) for items, size in product(COUNTS, VALUES_BYTES)}
    points |= {Point(POINT_BYTES_MAX // size, size) for size in VALUES_BYTES[2:]}
    allowed = (point for point in points if point.total_bytes <= POINT_BYTES_MAX)
    return tuple(sorted(allowed, key=lambda point: (point.total_bytes, point.items)))


def points_up_to(total_bytes: int, items: int) -> tuple[Point, ...]:
    """Those of `all_points` that are no larger than this."""
    return tuple(point for point in all_points() if point.total_bytes <= total_bytes and point.items <= items)


UP_AND_DOWN = (1, 3, 5, 7, 5, 3, 1)

FULL = {
    UNDISTURBED.name: Sizes(
        peace_s=60, faults_s=300, memberships=UP_AND_DOWN, hold_s=20, points=all_points(), kills=50
    ),
    FAR.name: Sizes(
        peace_s=60,
        faults_s=120,
        memberships=UP_AND_DOWN,
        hold_s=20,
        points=points_up_to(64 * MIB, 100_000),
        kills=50,
    ),
    SLOW.name: Sizes(
        peace_s=60,
        faults_s=120,
        memberships=UP_AND_DOWN,
        hold_s=30,
        points=points_up_to(4 * MIB, 10_000),
        kills=10,
    ),
}
_BRIEF = Sizes(
    peace_s=0,
    faults_s=6,
    memberships=(1, 3, 1),
    hold_s=2,
    points=(Point(100, 1024),),
    kills=2,
)
QUICK = {
    UNDISTURBED.name: Sizes(
        peace_s=5,
        faults_s=10,
        memberships=UP_AND_DOWN,
        hold_s=2,
        points=(Point(1, 10), Point(10_000, 1024), Point(32, MIB)),
        kills=5,
    ),
    FAR.name: _BRIEF,
    SLOW.name: _BRIEF,
}


def parse_parts(text: str) -> tuple[str, ...]:
    """The parts that a list such as `a,d` or `consistency,failover` names, in their order. Raises ValueError."""
    known = (*PARTS, NETWORKS_PART)
    named = {NAMES.get(word.strip(), word.strip()) for word in text.split(",")}
    unknown = sorted(named - set(known))
    if unknown:
        raise ValueError(f"there is no part {unknown[0]!r}: the parts are {', '.join((*known, *NAMES))}")
    return tuple(part for part in known if part in named)


def jobs(parts: Collection[str], *, quick: bool) -> Iterator[Job]:
    """What is to be done, in its order.

    Part e is all parts that are named beside it, or all there are if none is, under all networks; without it there is
    only the undisturbed one.
    """
    chosen = [part for part in PARTS if part in parts] or list(PARTS)
    sizes = QUICK if quick else FULL
    for network in NETWORKS if NETWORKS_PART in parts else (UNDISTURBED,):
        for part in chosen:
            yield Job(part, network, sizes[network.name])
