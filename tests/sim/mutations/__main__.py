"""Look for every planted bug, and write down a seed that meets it: the one that is written down, if it still does, and
cheaply; else one that is searched for from the first on."""

from tests.sim.mutations import MUTATIONS, RARE
from tests.sim.mutations.search import is_by_a_check, known_seeds, search, write_seeds

SEEDS_MAX = 200


def main() -> None:
    """Print a line for each, then write the file."""
    positions = [n for n, mutation in enumerate(MUTATIONS) if mutation.hazard not in RARE]
    found = {}
    for position, detection in search(positions, seeds_max=SEEDS_MAX, known=known_seeds(), cheaply=True):
        hazard = MUTATIONS[position].hazard
        print(
            f"{hazard:7} seed {detection.seed} in {detection.turns} turns, searched for {detection.seconds:.1f} s: "
            f"{detection.violation[:80]}",
            flush=True,
        )
        if detection.seed is not None and is_by_a_check(detection.violation):
            found[hazard] = detection.seed
    write_seeds(found)


if __name__ == "__main__":
    main()
