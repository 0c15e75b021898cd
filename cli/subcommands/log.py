"""`raftdb log`: the log of the leader."""

import click

from cli.admin.log import LOG_ENTRIES_SHOWN, LOG_LIMIT_MAX, read_log, show_log
from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import COUNT, Command, Options, client_options


@click.command("log", cls=Command)
@click.option("--from", "first", type=COUNT, metavar="INDEX", help="The first entry to show.")
@click.option(
    "--limit",
    type=COUNT,
    default=LOG_ENTRIES_SHOWN,
    metavar="N",
    help="How many entries to show.",
    show_default=True,
)
@client_options
@click.pass_obj
def log(options: Options, first: int | None, limit: int) -> int:
    """Show the leader's log: the newest entries, or those from an index."""
    with options.client() as client:
        page = read_log(client, first=first, limit=min(limit, LOG_LIMIT_MAX))
    show_log(page, Output(options.output))
    return EXIT_OK
