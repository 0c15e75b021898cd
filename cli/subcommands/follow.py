"""`raftdb follow`: the changes of keys, as they are made."""

from contextlib import suppress

import click

from cli.admin.following import follow as follow_changes
from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.console.render import encoded
from cli.subcommands.options import Command, Options, client_options


@click.command("follow", cls=Command)
@click.argument("prefix", default="")
@click.option(
    "--after", type=click.IntRange(min=0), metavar="REVISION", help="Begin behind this index of the log."
)
@click.option("--prev", "previous", is_flag=True, help="Show the values before, too.")
@click.option(
    "--snapshot", is_flag=True, help="Show the present keys first, and again if changes were missed."
)
@client_options
@click.pass_obj
def follow(options: Options, prefix: str, after: int | None, previous: bool, snapshot: bool) -> int:
    """Show each change of the keys that begin with PREFIX, until Ctrl-C."""
    output = Output(options.output)
    with options.client() as client, suppress(KeyboardInterrupt):
        follow_changes(client, output, encoded(prefix), after=after, previous=previous, snapshot=snapshot)
    return EXIT_OK
