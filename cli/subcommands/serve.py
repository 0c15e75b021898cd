"""`raftdb serve`: turning flags into settings, and running the node."""

from typing import Any

import click

from cli.subcommands.options import Command, debug_option

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
DASHBOARD_MODES = ("off", "read", "write")


@click.command("serve", cls=Command)
@click.option("--id", metavar="ID", help="The node's name, unique for ever in its cluster.")
@click.option("--listen", metavar="HOST:PORT", help="Where clients, peers and browsers connect (HTTP).")
@click.option("--redis", metavar="HOST:PORT", help="Where Redis clients connect; none: they cannot.")
@click.option(
    "--redis-cluster", metavar="HOST:PORT", help="Where clients of Redis clusters connect; none: at --redis."
)
@click.option("--data", metavar="DIR", type=click.Path(), help="The node's data folder.")
@click.option(
    "--peers", metavar="ID=HOST:PORT,...", help="Every member's --listen address, this node's included."
)
@click.option(
    "--join",
    metavar="http://HOST:PORT,...",
    help="The nodes of a running cluster, which this new node asks to add it.",
)
@click.option(
    "--advertise", metavar="HOST:PORT", help="Where others reach --listen, if it is another address."
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen where other machines reach it, though nobody has to prove who they are.",
)
@click.option(
    "--members",
    metavar="ID=HOST:PORT,...",
    help="The new addresses of members that have moved; needed once, if they cannot find each other.",
)
@click.option(
    "--dashboard",
    type=click.Choice(DASHBOARD_MODES),
    help="Whether browsers get pages, and whether these may act, with RAFTDB_DASHBOARD_TOKEN.",
)
@click.option(
    "--config",
    metavar="FILE.toml",
    type=click.Path(),
    help="A file of settings; environment and flags override it.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="The least important lines to log.")
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="The form of the log.")
@click.option("--log-heartbeats", is_flag=True, default=None, help="Log every heartbeat, too.")
@debug_option
def serve(**flags: Any) -> int:
    """Run one node of a cluster.

    Settings come from a file, from the environment and from these flags; each overrides the ones before.
    """
    given = given_flags(flags)
    # Importing the server takes a while, so a wrong flag is reported before.
    from raftdb.server import collector

    with collector.paused():
        from raftdb.server.bootstrap import run_node
        from raftdb.server.config import load

    return run_node(load(given))


def given_flags(flags: dict[str, Any]) -> dict[str, object]:
    """The flags that were given, by setting; the others are left to the environment and the file (docs/interface.md,
    section 2)."""
    return {name: value for name, value in flags.items() if value is not None}
