"""`raftdb demo`: the classic demonstrations, on a cluster of processes in a temporary folder."""

import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli.admin.network import checked
from cli.console.failures import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, CommandError, reason
from cli.console.output import Output
from cli.console.render import table
from cli.console.stop_signals import Stopped, StopSignals
from cli.local.cluster import LocalCluster
from cli.local.folder import NODES_MAX, LocalFolder
from cli.local.namespaces import Namespaces
from cli.subcommands.options import COUNT, PATH, Command

if TYPE_CHECKING:
    from cli.demo.screen import Screen
    from cli.demo.steps import Demo

PORTS_FROM, PORTS_TO, PORTS_STEP = 10_000, 32_000, 50
"""Where the ports of a demonstration begin, at random, so that several can be played at once: below those that systems
give to outgoing connections."""
NODES_ADDED_MAX = 5
"""Room for the nodes that a demonstration adds."""


class _Wanted(NamedTuple):
    """What is to be played, on how many nodes, the seed of chance, the network, None as it is, and whether each node
    has an address of its own."""

    demo: "Demo"
    nodes: int
    seed: int
    network: str | None
    has_namespaces: bool


@click.command("demo", cls=Command)
@click.argument("name", required=False)
@click.option("--step", "is_stepwise", is_flag=True, help="Wait for Enter before each step.")
@click.option(
    "--nodes", "count", type=COUNT, metavar="N", help="How many nodes (default: as many as it is about)."
)
@click.option(
    "--seed", type=COUNT, metavar="N", help="Decides what the clients and the network do (default: random)."
)
@click.option(
    "--network",
    metavar="WORDS",
    help="The network between the nodes, in words of tc netem, or none (default: that of the demonstration).",
)
@click.option(
    "--namespaces",
    "has_namespaces",
    is_flag=True,
    help="Give each node an address of its own, in a network namespace: as root, with ip of iproute2.",
)
@click.option("--record", type=PATH, metavar="FILE", help="Write a recording of it, for asciinema players.")
@click.pass_obj
def run(
    options: object,
    name: str | None,
    is_stepwise: bool,
    count: int | None,
    seed: int | None,
    network: str | None,
    has_namespaces: bool,
    record: Path | None,
) -> int:
    """Play a classic demonstration on a real cluster, step by step, or list them.

    The exit code is 1 if a step was not as expected.
    """
    from cli.demo.plays import DEMOS

    if name is None:
        rows = [
            (demo.name, str(demo.nodes), demo.summary, demo.network or "as it is") for demo in DEMOS.values()
        ]
        Output("table").text(table(("demo", "nodes", "about", "network"), rows))
        return EXIT_OK
    demo = DEMOS.get(name)
    if demo is None:
        hint = f"one of: {', '.join(DEMOS)}"
        raise CommandError(
            "demo", f"there is no demonstration {name[:40]!r}", exit_code=EXIT_USAGE, hint=hint
        )
    nodes = demo.nodes if count is None else count
    if not demo.nodes_min <= nodes <= NODES_MAX - NODES_ADDED_MAX:
        why = f"--nodes must be from {demo.nodes_min} to {NODES_MAX - NODES_ADDED_MAX} for {demo.name}"
        raise CommandError("demo", why, exit_code=EXIT_USAGE)
    words = demo.network if network is None else network
    conditions = None if words is None else str(checked(words))
    chance = random.randrange(1 << 31) if seed is None else seed
    return _play(_Wanted(demo, nodes, chance, conditions, has_namespaces), is_stepwise, record)


def _play(wanted: _Wanted, is_stepwise: bool, record: Path | None) -> int:
    from cli.demo.screen import Screen

    signals = StopSignals()
    signals.install(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with ExitStack() as stack:
        recording = None
        if record is not None:
            try:
                recording = stack.enter_context(record.open("w", encoding="utf-8"))
            except OSError as error:
                raise CommandError("demo", f"cannot write {reason(error)}", exit_code=EXIT_FAILED) from None
        screen = Screen(sys.stdout, record=recording, title=f"raftdb demo {wanted.demo.name}")
        folder = Path(tempfile.mkdtemp(prefix=f"raftdb-demo-{wanted.demo.name}-"))
        exit_code = EXIT_FAILED
        try:
            exit_code = _on_stage(wanted, folder, screen, _enter if is_stepwise else lambda: None)
        except Stopped:
            exit_code = EXIT_INTERRUPTED
        finally:
            if exit_code != EXIT_FAILED:
                shutil.rmtree(folder, ignore_errors=True)
        if exit_code == EXIT_FAILED:
            screen.line((f"what the nodes wrote is kept in {folder}", ""))
    return exit_code


def _on_stage(wanted: _Wanted, path: Path, screen: "Screen", pause: Callable[[], None]) -> int:
    """Start the nodes, play, and stop them, however that ends."""
    from cli.demo.player import Player
    from cli.demo.stage import PATIENCE_S, Stage

    with ExitStack() as stack:
        if wanted.has_namespaces:
            namespaces = stack.enter_context(Namespaces())
            folder = LocalFolder(path / "cluster", host_of=namespaces.host_of)
            more: dict[str, Any] = {"within": namespaces.within, "settings": {"insecure": "true"}}
        else:
            first = random.randrange(PORTS_FROM, PORTS_TO, PORTS_STEP)
            ports = {"http": first, "redis": first, "redis_cluster": first}
            folder, more = LocalFolder(path / "cluster", ports_first=ports), {}
        folder.lock()
        stack.callback(folder.unlock)
        cluster = LocalCluster(
            folder,
            folder.create(wanted.nodes),
            logs_to_files=True,
            dashboard="read",
            network=wanted.network,
            network_seed=None if wanted.network is None else wanted.seed,
            **more,
        )
        stage = Stage(cluster, seed=wanted.seed)
        stack.callback(stage.close)
        stack.callback(_stop, cluster)
        screen.paragraph(f"{wanted.demo.name}: {wanted.demo.about}")
        between = "the network as it is" if wanted.network is None else f"the network {wanted.network!r}"
        where = "in a namespace each" if wanted.has_namespaces else "on this machine"
        screen.paragraph(f"{wanted.nodes} nodes {where}, {between}, seed {wanted.seed}; they start ...")
        cluster.start(leader_timeout_s=PATIENCE_S)
        screen.line((f"watch it in a browser: {cluster.dashboard_url}", ""))
        node = cluster.places[0]
        screen.line((f"{node.id}> is the shell at {node.id}: raftdb shell --connect {node.http}", ""))
        return EXIT_OK if Player(stage, screen, pause=pause).play(wanted.demo) else EXIT_FAILED


def _stop(cluster: LocalCluster) -> None:
    with suppress(Stopped, KeyboardInterrupt):
        cluster.stop(at_once=True)


def _enter() -> None:
    """Wait until a person presses Enter. Without a person there is nothing to wait for."""
    sys.stdin.readline()
