"""What is measured, and for how long: the whole evaluation, or a quick look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
NETWORKS = {
    "local": "",
    "wide": "delay 50ms 10ms",
    "lossy": "delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%",
}
"""The networks, in the words of docs/network.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of all parts. `points` are numbers of values and their bytes; times are in seconds."""

    seed: int
    load_s: float
    torture_minutes: float
    sizes: Sequence[int]
    hold_s: float
    change_s: float
    """The longest that one change of the members is thought to take: the load lasts as long."""
    points: Sequence[tuple[int, int]]
    kills: int
    network_kills: int
    networks: Mapping[str, str]


def points(*, items_max: int, bytes_max: int) -> list[tuple[int, int]]:
    """Numbers of values, by tens, and sizes, as far as all of them together have no more than `bytes_max`."""
    counts = [10**power for power in range(8) if 10**power <= items_max]
    sizes = (10, KIB, 32 * KIB, MIB)
    return [(count, size) for size in sizes for count in counts if count * size <= bytes_max]


def whole(seed: int) -> Plan:
    """The whole evaluation, which takes hours."""
    return Plan(
        seed=seed,
        load_s=20.0,
        torture_minutes=10.0,
        sizes=(1, 3, 5, 7, 5, 3, 1),
        hold_s=15.0,
        change_s=6.0,
        points=points(items_max=1_000_000, bytes_max=2 * GIB),
        kills=50,
        network_kills=10,
        networks=NETWORKS,
    )


def quick(seed: int) -> Plan:
    """A look at everything, in some minutes."""
    return Plan(
        seed=seed,
        load_s=3.0,
        torture_minutes=0.5,
        sizes=(1, 3, 5, 3, 1),
        hold_s=3.0,
        change_s=4.0,
        points=[(1, 10), (10_000, 10), (1_000, KIB), (10_000, KIB), (30, MIB)],
        kills=5,
        network_kills=2,
        networks=NETWORKS,
    )
