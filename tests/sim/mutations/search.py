"""The search for the seed that meets a planted bug, and the file of those that did."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from raftdb.simulation.cluster import Simulation
from tests.sim import pool
from tests.sim.mutations import MUTATIONS, RARE, planted

SEEDS = Path(__file__).with_name("seeds.txt")
STEPS = 8_000
CHEAP_SECONDS = 0.5
"""A run that keeps a processor busy for no longer is cheap: it meets the bug in the first half of its steps, waits for
no cluster that never recovers, and nothing piles up in it that makes every step slow."""
BY_A_CHECK = ("InvariantBroken", "PromiseBroken", "Missing", "LocalProtocolError")
"""What a detection begins with: a check of the simulator, or an error by which the product itself says that its own
code is wrong. A TypeError and the like is a patch that no longer fits the product, and proves nothing."""
CHEAPER_TRIES = 16
"""So many more seeds are looked at for a cheap one, once one is found."""


class Detection(NamedTuple):
    """A seed that met a planted bug (None: none did), what found it there, in how many turns, and how long that took.

    `by_known_seed`: it was the seed that was written down.
    """

    seed: int | None
    violation: str
    turns: int
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
    positions: Sequence[int],
    *,
    seeds_max: int,
    rare_seeds_max: int = 0,
    known: Mapping[str, int],
    cheaply: bool = False,
) -> Iterator[tuple[int, Detection]]:
    """Look for each of these mutations, the `known` seed first; in order, on all processors. In `rare_seeds_max` seeds
    for those in `RARE`.

    `cheaply`: of a few seeds that meet it choose the one that does so in least time, not just the first.
    """
    hazards = [MUTATIONS[position].hazard for position in positions]
    seeds = [known.get(hazard) for hazard in hazards]
    limits = [rare_seeds_max if hazard in RARE else seeds_max for hazard in hazards]
    tries = [CHEAPER_TRIES if cheaply else 0] * len(positions)
    with pool.pool() as processes:
        results = processes.map(detect, positions, limits, seeds, tries)
        yield from zip(positions, results, strict=True)


def is_by_a_check(violation: str) -> bool:
    """True if a check found it, or the product's own code that says of itself that it is wrong."""
    return violation.startswith(BY_A_CHECK)


def detect(position: int, seeds_max: int, known_seed: int | None, cheaper_tries: int = 0) -> Detection:
    """Run seed after seed with one mutation planted, the known one first, until one is found, or one that is cheap.

    What a check found counts. Another error is kept to be reported, if no check finds anything in all these seeds.
    """
    began = time.perf_counter()
    first = [] if known_seed is None else [known_seed]
    found = misfit = Detection(None, "", 0, 0.0, by_known_seed=False)
    least_seconds = 0.0
    with planted(MUTATIONS[position]):
        for seed in (*first, *(seed for seed in range(seeds_max) if seed != known_seed)):
            run_began = time.process_time()
            report = Simulation(seed, nodes=5, steps=STEPS).run()
            seconds = time.process_time() - run_began
            cheaper_tries -= found.seed is not None
            if report.violation is None:
                pass
            elif not is_by_a_check(report.violation):
                misfit = Detection(seed, report.violation, report.steps, 0.0, seed == known_seed)
            elif found.seed is None or seconds < least_seconds:
                found = Detection(seed, report.violation, report.steps, 0.0, seed == known_seed)
                least_seconds = seconds
            if found.seed is not None and (cheaper_tries <= 0 or least_seconds <= CHEAP_SECONDS):
                break
    found = misfit if found.seed is None else found
    return found._replace(seconds=time.perf_counter() - began)
