"""`raftdb up`: starting a cluster on this machine, opening the shell, and stopping the cluster when the shell ends."""

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from cli.admin.network import checked
from cli.console import render
from cli.console.asking import is_agreed
from cli.console.failures import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from cli.console.output import Output, is_terminal
from cli.console.stop_signals import Stopped, StopSignals, is_ignored
from cli.local import left_over
from cli.local.cluster import POLL_S, LocalCluster
from cli.local.control import PageControl
from cli.local.folder import LocalFolder, NodePlace, check_node_count
from cli.run.interpreter import Interpreter
from cli.subcommands.options import (
    COUNT,
    PATH,
    Command,
    Options,
    consistency_option,
    debug_option,
    login_options,
    output_option,
    timeout_option,
)
from cli.subcommands.serve import DASHBOARD_MODES
from cli.subcommands.shell import Losses, run_on_terminal_or_stdin
from raftdb.client.credentials import Credentials

NODES_DEFAULT = 3


@click.command("up", cls=Command)
@click.option(
    "--nodes",
    "count",
    type=COUNT,
    metavar="N",
    help=f"How many nodes (default: {NODES_DEFAULT}, or as many as there are).",
)
@click.option(
    "--data", type=PATH, default=Path("data/local"), metavar="DIR", help="The folder.", show_default=True
)
@click.option("--fresh", is_flag=True, help="Delete the cluster in the folder first.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option(
    "--dashboard",
    type=click.Choice(DASHBOARD_MODES),
    default="write",
    help="Whether browsers get pages, and whether these may act.",
    show_default=True,
)
@click.option(
    "--network",
    metavar="WORDS",
    help="Make the links between the nodes worse, in words of tc netem: 'delay 100ms 50ms loss 5%'.",
)
@click.option(
    "--network-seed", type=COUNT, metavar="N", help="Decides what happens to each message under --network."
)
@click.option("--no-shell", is_flag=True, help="Run until SIGINT, SIGTERM or SIGHUP; log to the terminal.")
@login_options
@output_option
@timeout_option
@consistency_option
@debug_option
@click.pass_obj
def up(
    options: Options,
    count: int | None,
    data: Path,
    fresh: bool,
    yes: bool,
    dashboard: str,
    network: str | None,
    network_seed: int | None,
    no_shell: bool,
) -> int:
    """Start a cluster on this machine, one process per node, and open the shell."""
    if no_shell:  # these options are for the shell
        options.refuse_others("up --no-shell")
    if count is not None:
        check_node_count(count)
    credentials = options.login()
    conditions = None if network is None else str(checked(network))
    folder = LocalFolder(data)
    folder.lock()
    try:
        if fresh:
            _wipe(folder, ask=is_terminal(sys.stdin) and not yes)
        nodes = _nodes(folder, count)
        left_over.end(folder, nodes, _tell)
        folder.check_addresses(nodes)
        cluster = LocalCluster(
            folder,
            nodes,
            logs_to_files=not no_shell,
            dashboard=dashboard,
            network=conditions,
            network_seed=network_seed,
            credentials=credentials,
        )
        said = conditions if network_seed is None else f"{conditions}, seed {network_seed}"
        return _run_cluster(
            cluster,
            folder,
            options,
            credentials,
            network=None if conditions is None else said,
            with_shell=not no_shell,
        )
    finally:
        folder.unlock()


def _wipe(folder: LocalFolder, *, ask: bool) -> None:
    """Delete the cluster in the folder, if there is one, and the person agrees if `ask` is set. Raises
    `CommandError`."""
    nodes = folder.load()
    if not nodes:
        return
    if ask and not is_agreed(f"delete {_in_words(len(nodes))} in {folder.path} with all data?"):
        raise CommandError("up", "nothing was deleted", exit_code=EXIT_FAILED)
    left_over.end(folder, nodes, _tell)
    folder.wipe(nodes)


def _tell(line: str) -> None:
    Output().notice(f"raftdb: {line}")


def _nodes(folder: LocalFolder, count: int | None) -> tuple[NodePlace, ...]:
    """The nodes of the cluster in the folder, which is made if there is none. Raises `CommandError`."""
    nodes = folder.load()
    if not nodes:
        return folder.create(NODES_DEFAULT if count is None else count)
    if count is not None and count != len(nodes):
        raise CommandError(
            "up",
            f"the cluster in {folder.path} has {_in_words(len(nodes))}, not {count}",
            exit_code=EXIT_USAGE,
            hint="leave out --nodes, name another folder with --data, or delete it with --fresh",
        )
    return nodes


def _in_words(count: int) -> str:
    """A number of nodes for people."""
    return "1 node" if count == 1 else f"{count} nodes"


def _run_cluster(
    cluster: LocalCluster,
    folder: LocalFolder,
    options: Options,
    credentials: Credentials,
    *,
    network: str | None,
    with_shell: bool,
) -> int:
    """Start the nodes, run the shell or wait for a signal, and stop the nodes, however that ends."""
    signals = StopSignals()
    # In the shell Ctrl-C clears the line; before the shell begins, and without one, it stops the cluster.
    signals.install(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    is_script = with_shell and not is_terminal(sys.stdin)
    announce = Output("table", stream=sys.stderr) if is_script else Output("table")
    control = PageControl(cluster)
    try:
        if cluster.dashboard == "write":
            control.start()
        leader = cluster.start()
        if is_script or not with_shell:  # the shell's banner shows the same
            announce.text(render.nodes([(place.id, place.http) for place in cluster.places], leader.id))
            if cluster.dashboard_url is not None:
                announce.text(f"dashboard: {cluster.dashboard_url}")
        if network is not None:
            announce.text(f"network between the nodes: {network}")
        if not with_shell:
            _wait(cluster, control, announce)
        if not is_ignored(signal.SIGINT):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        exit_code = _run_shell(cluster, control, options, credentials, signals)
    except Stopped:
        exit_code = EXIT_OK
    finally:
        signals.leave_shell = None
        _stop(cluster, control)
    # The terminal may have gone, and a signal now has nothing left to stop.
    with suppress(Stopped, KeyboardInterrupt, CommandError, BrokenPipeError):
        announce.text(f"stopped; the data stays in {folder.path}")
    return exit_code


def _run_shell(
    cluster: LocalCluster,
    control: PageControl,
    options: Options,
    credentials: Credentials,
    signals: StopSignals,
) -> int:
    output = Output(options.output)
    addresses, losses = [place.http for place in cluster.places], Losses()
    with options.client(
        sessions=True, addresses=addresses, on_session_lost=losses.note, credentials=credentials
    ) as client:
        interpreter = Interpreter(client, output, cluster=cluster, consistency=options.consistency)
        return run_on_terminal_or_stdin(
            interpreter,
            take_news=lambda: [*cluster.take_exits(), *control.take_news(), *losses.take()],
            announce=signals.announce,
        )


def _wait(cluster: LocalCluster, control: PageControl, output: Output) -> NoReturn:
    """Wait for a signal, which raises `Stopped`, or until all nodes have ended, which raises `CommandError`."""
    while not cluster.all_stopped():
        for line in [*cluster.take_exits(), *control.take_news()]:
            output.notice(f"raftdb: {line}")
        time.sleep(POLL_S)
    for line in cluster.take_exits():
        output.notice(f"raftdb: {line}")
    raise CommandError("up", "all nodes have ended", exit_code=EXIT_FAILED)


def _stop(cluster: LocalCluster, control: PageControl) -> None:
    """Stop the nodes, when no page can start one any more. Another signal meanwhile kills all of them at once."""
    with suppress(Stopped, KeyboardInterrupt):
        try:
            control.close()
        finally:
            cluster.stop()
