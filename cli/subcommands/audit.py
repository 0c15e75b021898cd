"""`raftdb audit`: who logged in, was refused, and changed what."""

import click

from cli.admin.audit import collect, show
from cli.console.failures import EXIT_FAILED, EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import COUNT, Command, Options, client_options

EVENTS_SHOWN = 100
EVENTS_SHOWN_MAX = 10_000


@click.command("audit", cls=Command)
@click.option(
    "--limit",
    type=COUNT,
    default=EVENTS_SHOWN,
    metavar="N",
    help="How many of the newest events to show.",
    show_default=True,
)
@client_options
@click.pass_obj
def audit(options: Options, limit: int) -> int:
    """Show who logged in, was refused, and changed what, at all nodes.

    A node keeps the newest 1,000 of each kind and user since its start; its log has all. This is for administrators.
    """
    with options.client() as client:
        lines, silent = collect(client, min(limit, EVENTS_SHOWN_MAX))
    show(lines, silent, Output(options.output))
    return EXIT_FAILED if silent else EXIT_OK
