"""`raftdb simulate`: running one seed of the deterministic simulator. It needs no server."""

import random

import click

from cli.console.failures import EXIT_FAILED, CommandError
from cli.line.numbers import parse_count
from cli.subcommands.options import COUNT, Command, Parsed

NODES_DEFAULT = 5
STEPS_DEFAULT = 8_000
NODES_MAX = 15
SEED_LIMIT = 1 << 32
SEED_DIGITS_MAX = 19


def parse_seed(text: str) -> int:
    """The number of a seed. Raises `ValueError` for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= SEED_DIGITS_MAX:
        return int(text)
    raise ValueError(f"{text[:32]!r} is not a whole number")


def _nodes(text: str) -> int:
    nodes = parse_count(text)
    if nodes > NODES_MAX:
        raise ValueError(f"at most {NODES_MAX} nodes can be simulated")
    return nodes


@click.command("simulate", cls=Command)
@click.option(
    "--seed",
    type=Parsed("seed", parse_seed),
    metavar="N",
    help="The number from which the whole run follows (default: a random one).",
)
@click.option(
    "--steps",
    type=COUNT,
    default=STEPS_DEFAULT,
    metavar="N",
    help="How many steps there are with faults.",
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
    "--explain",
    metavar="FILE",
    type=click.Path(),
    help="Write the whole trace to this file: text, or data for a page if it ends in .json.",
)
def run(seed: int | None, steps: int, nodes: int, explain: str | None) -> int:
    """Run production nodes in a hostile, simulated world, and check every promise.

    The exit code is 0 if every promise was kept, and 1 if one was broken.
    """
    # Importing the nodes takes a while, so a wrong argument is reported before.
    from raftdb.simulation.story import simulate

    try:
        return simulate(random.randrange(SEED_LIMIT) if seed is None else seed, nodes, steps, explain)
    except BrokenPipeError:
        raise  # the reader of the output has gone
    except OSError as error:
        raise CommandError(
            "simulate", f"cannot write {explain}: {error.strerror}", exit_code=EXIT_FAILED
        ) from error
