"""See the package."""

import argparse
import json
import os
import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import benchmarks.evaluation as package
from benchmarks.common import describe_machine, measure_sync, temporary_folder
from benchmarks.evaluation.amounts import amounts
from benchmarks.evaluation.parts import consistency, failover, members, networks
from benchmarks.evaluation.plan import quick, whole
from benchmarks.evaluation.report import HEADINGS, report_of
from raftdb import __version__

PARTS = {
    "consistency": consistency,
    "members": members,
    "amounts": amounts,
    "failover": failover,
    "networks": networks,
}


def parts_of(text: str) -> list[str]:
    """The parts in a list with commas, in their order. Raises ArgumentTypeError."""
    asked = text.split(",")
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no part {unknown[0]!r}: {', '.join(PARTS)}")
    return [name for name in PARTS if name in asked]


def main() -> int:
    """Measure, and write the report; returns the exit code, 1 if a part failed."""
    parser = argparse.ArgumentParser(
        description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a look at everything, in some minutes")
    parser.add_argument(
        "--only", type=parts_of, default=list(PARTS), metavar="PART,...", help="these parts alone"
    )
    parser.add_argument("--output", type=Path, default=Path("evaluation"), help="the folder of the report")
    parser.add_argument("--seed", type=int, default=1, help="of faults and networks")
    parser.add_argument("--data", type=Path, help="where the temporary folder is made: the disk to measure")
    options = parser.parse_args()
    plan = (quick if options.quick else whole)(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    found: dict[str, Any] = {}
    failed = False
    with temporary_folder(options.data) as folder:
        head: dict[str, Any] = {
            "command": shlex.join(["python", "-m", "benchmarks.evaluation", *sys.argv[1:]]),
            "version": __version__,
            "machine": describe_machine(),
            "sync": measure_sync(folder),
            "seed": options.seed,
            "load_average": os.getloadavg()[0],
        }
        for name in options.only:
            print(f"{HEADINGS[name]} ...", flush=True)
            try:
                found[name] = PARTS[name](folder, plan)
            except RuntimeError as error:
                failed = True
                print(f"{HEADINGS[name]} failed: {error}", file=sys.stderr)
            # What is measured so far is kept, because the whole takes long.
            _write(options.output, {**head, "took_s": time.monotonic() - began_s}, found)
    print(f"see {options.output / 'report.md'}")
    return 1 if failed else 0


def _write(folder: Path, head: dict[str, Any], found: dict[str, Any]) -> None:
    if find_spec("matplotlib") is not None:
        from benchmarks.evaluation.plots import draw

        head["plots"] = draw(found, folder)
    (folder / "report.md").write_text(report_of(head, found), encoding="utf-8")
    (folder / "figures.json").write_text(json.dumps({**head, "parts": found}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
