"""Read the options, measure part after part, and write the report again after each."""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import command_to_repeat, describe_machine, measure_sync, temporary_folder
from benchmarks.evaluation import amounts, consistency, failover, membership
from benchmarks.evaluation.document import Evaluation, Findings, markdown
from benchmarks.evaluation.plan import NETWORKS_PART, PARTS, Job, jobs, parse_parts
from benchmarks.evaluation.plots import can_draw, draw
from benchmarks.evaluation.stage import NotInTime
from cli.console.failures import CommandError
from raftdb import __version__
from raftdb.errors import RaftdbError

POINT_LIMIT_S = {True: 30.0, False: 900.0}
"""Longest time that one amount of data may be expected to take, in the quick form and in the full one."""
LIMITS = (
    (
        "All nodes and all clients run on one machine, and share its processors and its disk: more nodes mean less "
        "of these for each, which is not so on machines of their own."
    ),
    (
        "Networks are made by the nodes, above TCP (docs/network.md): lost messages stay lost, and nothing is said of "
        "how TCP behaves on such links. Clients are not behind them."
    ),
    (
        "fsync is that of this disk, as the system has it: whether the disk keeps what it says is not tested, and a "
        "killed process loses nothing of the system's cache, as a power cut would."
    ),
    "The seed repeats values, faults and the fate of messages; time, and who leads, it does not repeat.",
)


def main() -> None:
    """See the module. The exit code is 1 if a promise was not kept."""
    options = parse_options()
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    planned = list(jobs(options.only, quick=options.quick))
    began = time.monotonic()
    with temporary_folder(options.data) as folder:
        evaluation = Evaluation(head=head(folder, options), limits=list(LIMITS))
        if not can_draw():
            evaluation.limits.append("No plots: they need matplotlib (pip install 'raftdb[bench]').")
        for number, job in enumerate(planned):
            if options.minutes is not None and time.monotonic() - began > options.minutes * 60:
                evaluation.limits.append(f"{job.title}: not begun, {options.minutes:g} minutes were over")
                continue
            say(f"{job.title} ({number + 1} of {len(planned)}, {time.monotonic() - began:.0f} s so far)")
            place = folder / f"job-{number}"
            place.mkdir()
            evaluation.findings.append(carry_out(job, place, options))
            write(evaluation, output)
    write(evaluation, output)
    say(
        f"{output / 'report.md'}: {time.monotonic() - began:.0f} s; {len(evaluation.broken)} promises not kept"
    )
    sys.exit(1 if evaluation.broken else 0)


def parse_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation",
        description="Evaluate raftdb on this machine, and write a report (docs/evaluation.md).",
    )
    everything = ",".join((*PARTS, NETWORKS_PART))
    parser.add_argument("--quick", action="store_true", help="small amounts: some minutes")
    parser.add_argument("--only", type=parts, default=parts(everything), metavar=everything, help="parts")
    parser.add_argument("--seed", type=int, default=1, help="of values, faults and networks")
    parser.add_argument("--output", type=Path, default=Path("data/evaluation"), metavar="FOLDER")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the disk to measure")
    parser.add_argument("--minutes", type=float, help="begin no part after so many minutes")
    parser.add_argument(
        "--point-limit",
        type=float,
        metavar="SECONDS",
        help="leave out amounts that would take longer (part c)",
    )
    return parser.parse_args()


def parts(text: str) -> tuple[str, ...]:
    """`parse_parts`, as argparse wants its errors."""
    try:
        return parse_parts(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def head(folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """How and where this report is made."""
    sync = measure_sync(folder)
    machine = describe_machine()
    hardware = {name: machine.pop(name) for name in ("processor", "cores", "memory_mib", "system")}
    return {
        "command": f"`{command_to_repeat()}`",
        "form": "quick" if options.quick else "full",
        "seed": str(options.seed),
        "began": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": ", ".join(f"{name} {value}" for name, value in hardware.items()),
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(
            f"{name} {value}" for name, value in {"raftdb": __version__, **machine}.items()
        ),
        "fsync": (
            f"fdatasync of 4 KiB appended: median {sync['median_ms']:.2f} ms, p99 {sync['p99_ms']:.2f} ms; nodes wait "
            "for it before they acknowledge"
        ),
        "settings of the nodes": "the default ones; part a: small checkpoints, as raftdb torture has them",
    }


def carry_out(job: Job, place: Path, options: argparse.Namespace) -> Findings:
    """Measure one part. What goes wrong in it is a finding, and the other parts go on."""
    limit_s = options.point_limit or POINT_LIMIT_S[options.quick]
    measures: dict[str, Callable[[], Findings]] = {
        "a": lambda: consistency.measure(job, options.output / "torture", options.seed),
        "b": lambda: membership.measure(job, place, options.seed),
        "c": lambda: amounts.measure(job, place, options.seed, point_limit_s=limit_s),
        "d": lambda: failover.measure(job, place, options.seed),
    }
    try:
        return measures[job.part]()
    except (RaftdbError, CommandError, NotInTime) as failure:
        say(traceback.format_exc())
        return Findings(job=job, broken=[f"it could not be finished: {type(failure).__name__}: {failure}"])


def write(evaluation: Evaluation, output: Path) -> None:
    """Write the report as far as it is."""
    for one in evaluation.findings:
        for plot in one.plots:
            if can_draw() and plot.name not in evaluation.drawn:
                draw(plot, output)
                evaluation.drawn.add(plot.name)
    samples = {one.job.title: one.samples for one in evaluation.findings}
    (output / "figures.json").write_text(json.dumps(samples), encoding="utf-8")
    (output / "report.md").write_text(markdown(evaluation), encoding="utf-8")


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
