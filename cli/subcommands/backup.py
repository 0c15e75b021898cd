"""`raftdb snapshot` and `raftdb backup`."""

import sys
from pathlib import Path

import click

from cli.admin.backup import back_up, stream
from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import PATH, Command, Options, client_options


@click.command("snapshot", cls=Command)
@client_options
@click.pass_obj
def snapshot(options: Options) -> int:
    """Make the leader's state durable, and compact its log, now. Prints the index."""
    with options.client() as client:
        index = client.snapshot()
    output = Output(options.output)
    if output.format == "json":
        output.json({"index": index})
    else:
        output.text(str(index))
    return EXIT_OK


@click.command("backup", cls=Command)
@click.argument("file", type=PATH)
@click.option("--force", is_flag=True, help="Replace a regular file of that name.")
@client_options
@click.pass_obj
def backup(options: Options, file: Path, force: bool) -> int:
    """Copy the state of a running cluster, as of one moment, into a file: verified, or not there at all.

    'raftdb restore' reads FILE; '-' is standard output. Prints the backup's index, length and digest.
    """
    with options.client() as client:
        if file == Path("-"):
            stream(client, Output(options.output, stream=sys.stderr))
        else:
            back_up(client, file, Output(options.output), replace=force, hint="--force replaces it")
    return EXIT_OK
