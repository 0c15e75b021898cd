"""Try many inputs: `python -m tests.fuzz [-n COUNT] [--seed SEED] [NAME...]`.

Each kind of fault is told once, with its shortest input, which goes to a file in the folder `--into`.
"""

import argparse
import time
from pathlib import Path

from tests.fuzz.decoders import DECODERS
from tests.fuzz.harness import Decoder, Found, run


def explore(decoder: Decoder, count: int, seed: int, into: Path) -> None:
    """Try so many inputs for one decoder, and tell what became of it."""
    shortest: dict[str, Found] = {}

    def note(found: Found) -> None:
        known = shortest.get(found.place)
        if known is None or len(found.data) < len(known.data):
            shortest[found.place] = found

    started = time.monotonic()
    with decoder.ready() as ready:
        tried, accepted = run(ready, count, seed, note)
    print(
        f"{decoder.name:24} {tried:9} tried {accepted:9} accepted {time.monotonic() - started:7.1f} s",
        flush=True,
    )
    for number, (_place, found) in enumerate(sorted(shortest.items())):
        path = into / f"{decoder.name}-{seed}-{number}"
        path.write_bytes(found.data)
        print(f"    {found}\n    {path}", flush=True)


def main() -> None:
    """What the module says."""
    parser = argparse.ArgumentParser(description="Try many inputs at every decoder that outsiders reach.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DECODERS))
    parser.add_argument("-n", "--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, default=Path())
    options = parser.parse_args()
    for name in options.names or DECODERS:
        explore(DECODERS[name], options.count, options.seed, options.into)


if __name__ == "__main__":
    main()
