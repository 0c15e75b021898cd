"""`raftdb torture`: real nodes of this machine, harmed in every way that needs no root, and checked."""

import random
import sys
from pathlib import Path

import click

from cli.console.failures import EXIT_FAILED, EXIT_OK
from cli.console.output import Output
from cli.line.numbers import parse_count
from cli.subcommands.options import PATH, Command, Parsed
from cli.subcommands.simulate import SEED_LIMIT, parse_seed

MINUTES_DEFAULT = 10.0
MINUTES_MAX = 10_080.0
NODES_DEFAULT = 3
NODES_MAX = 9


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        raise ValueError(f"{text[:32]!r} is not a number of minutes") from None
    if not 0 < minutes <= MINUTES_MAX:
        raise ValueError(f"minutes are more than 0 and at most {MINUTES_MAX:g}, a week")
    return minutes


def _nodes(text: str) -> int:
    nodes = parse_count(text)
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"from 1 to {NODES_MAX} nodes can be tortured")
    return nodes


@click.command("torture", cls=Command)
@click.option(
    "--minutes",
    type=Parsed("minutes", _minutes),
    default=MINUTES_DEFAULT,
    metavar="N",
    help="How long, in minutes; half a minute is 0.5.",
    show_default=True,
)
@click.option(
    "--nodes",
    type=Parsed("count", _nodes),
    default=NODES_DEFAULT,
    metavar="N",
    help="How many nodes there are.",
    show_default=True,
)
@click.option(
    "--seed",
    type=Parsed("seed", parse_seed),
    metavar="N",
    help="The number from which faults and commands follow (default: a random one).",
)
@click.option(
    "--data",
    type=PATH,
    default=Path("data/torture"),
    metavar="DIR",
    help="The folder in which each run makes one of its own.",
    show_default=True,
)
@click.option("--keep", is_flag=True, help="Keep the folder of the run if nothing was found, too.")
def run(minutes: float, nodes: int, seed: int | None, data: Path, keep: bool) -> int:
    """Torture nodes on this machine under load, and check every promise.

    The nodes are processes of this machine, which are killed, paused, stopped, cut off and short of disk, while clients
    read and write registers, lists in transactions, a bank, a queue and locks. At the end all is healed, and what the
    clients were told is checked. The exit code is 0 if every promise was kept, and 1 if one was broken; then a folder
    has all that is needed to look into it. Ctrl-C ends it earlier, with a verdict on what there was.
    """
    # Importing the machine takes a while, so a wrong argument is reported before.
    from cli.torture.progress import Progress
    from cli.torture.run import Plan, Run

    plan = Plan(
        seed=random.randrange(SEED_LIMIT) if seed is None else seed,
        nodes=nodes,
        seconds=60.0 * minutes,
        parent=data,
        keep=keep,
    )
    progress = Progress(sys.stderr)
    verdict = Run(plan, progress).carry_out()
    progress.say("")
    Output("table").text("\n".join(verdict.lines()))
    return EXIT_OK if verdict.is_clean else EXIT_FAILED
