"""Search for every planted bug from the first seed on, and write down which seed met it."""

from tests.sim.mutations import MUTATIONS, RARE
from tests.sim.mutations.search import search, write_seeds

SEEDS_MAX = 200


def main() -> None:
    """Print a line for each, then write the file."""
    positions = [n for n, mutation in enumerate(MUTATIONS) if mutation.hazard not in RARE]
    found = {}
    for position, detection in search(positions, seeds_max=SEEDS_MAX, known={}):
        hazard = MUTATIONS[position].hazard
        print(
            f"{hazard:7} seed {detection.seed} in {detection.seconds:.1f} s: {detection.violation[:80]}",
            flush=True,
        )
        if detection.seed is not None:
            found[hazard] = detection.seed
    write_seeds(found)


if __name__ == "__main__":
    main()
