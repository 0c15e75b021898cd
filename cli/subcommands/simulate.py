"""`raftdb simulate`: one seed of the deterministic simulator, told as a story. It runs no server and needs none."""

import argparse
import random

from cli.console.failures import EXIT_FAILED, CommandError
from cli.subcommands.options import Options, Parser, count_argument

NODES_DEFAULT = 5
STEPS_DEFAULT = 8_000
NODES_MAX = 15
SEED_LIMIT = 1 << 32


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a whole number")


def _nodes(text: str) -> int:
    nodes = count_argument(text)
    if nodes > NODES_MAX:
        raise argparse.ArgumentTypeError(f"at most {NODES_MAX} nodes can be simulated")
    return nodes


def run(arguments: list[str], options: Options) -> int:
    """Run one seed; 0 if every promise was kept, 1 if one was broken."""
    parser = Parser(
        "raftdb simulate", "Run production nodes in a hostile, simulated world, and check every promise."
    )
    parser.add_argument(
        "--seed", type=_seed, metavar="N", help="what decides everything; drawn anew by default"
    )
    parser.add_argument(
        "--steps", type=count_argument, default=STEPS_DEFAULT, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--nodes", type=_nodes, default=NODES_DEFAULT, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--explain", metavar="FILE", help="write the whole trace there")
    parsed = parser.parse_args(arguments)
    # Loading the nodes takes a while: a wrong argument is told before.
    from raftdb.simulation.story import simulate

    seed = random.randrange(SEED_LIMIT) if parsed.seed is None else parsed.seed
    try:
        return simulate(seed, parsed.nodes, parsed.steps, parsed.explain)
    except BrokenPipeError:
        raise  # the reader of the story has gone: that is no error of ours
    except OSError as error:
        raise CommandError(
            "simulate", f"cannot write {parsed.explain}: {error.strerror}", exit_code=EXIT_FAILED
        ) from error
