"""The search for the seed that meets a planted bug, and the file of those that did."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from raftdb.simulation.cluster import Simulation
from tests.sim.mutations import MUTATIONS, planted

SEEDS = Path(__file__).with_name("seeds.txt")
STEPS = 8_000
WORKERS = 2


class Detection(NamedTuple):
    """The first seed that met a planted bug (None: none did), what found it there, and how long the search took.

    `by_known_seed`: it was the seed that was written down.
    """

    seed: int | None
    violation: str
    seconds: float
    by_known_seed: bool


def known_seeds() -> dict[str, int]:
    """Hazard to the seed that met its mutation when the seeds were last written down."""
    pairs = (line.split() for line in SEEDS.read_text(encoding="utf-8").splitlines())
    return {hazard: int(seed) for hazard, seed in pairs}


def write_seeds(found: Mapping[str, int]) -> None:
    """Write down which seed met which mutation."""
    lines = [f"{hazard} {seed}\n" for hazard, seed in found.items()]
    SEEDS.write_text("".join(lines), encoding="utf-8")


def search(
    positions: Sequence[int], *, seeds_max: int, known: Mapping[str, int]
) -> Iterator[tuple[int, Detection]]:
    """Look for each of these mutations, the `known` seed first; in order, on all processors."""
    seeds = [known.get(MUTATIONS[position].hazard) for position in positions]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        results = pool.map(detect, positions, [seeds_max] * len(positions), seeds)
        yield from zip(positions, results, strict=True)


def detect(position: int, seeds_max: int, known_seed: int | None) -> Detection:
    """Run seed after seed with one mutation planted, the known one first."""
    began = time.perf_counter()
    first = [] if known_seed is None else [known_seed]
    with planted(MUTATIONS[position]):
        for seed in (*first, *(seed for seed in range(seeds_max) if seed != known_seed)):
            violation = Simulation(seed, nodes=5, steps=STEPS).run().violation
            if violation is not None:
                return Detection(seed, violation, time.perf_counter() - began, seed == known_seed)
    return Detection(None, "", time.perf_counter() - began, by_known_seed=False)
