"""`raftdb snapshot` and `raftdb backup`: what a running cluster is asked to keep."""

import sys
from pathlib import Path

from cli.admin.backup import back_up, stream
from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import Options, Parser, add_client_options, merged


def run_snapshot(arguments: list[str], options: Options) -> int:
    """`raftdb snapshot`: prints the index that the leader's state is durable up to."""
    parser = Parser(
        "raftdb snapshot", "Make the leader's state durable, and compact its log, now. Prints the index."
    )
    add_client_options(parser)
    options = merged(options, parser.parse_args(arguments))
    with options.client() as client:
        index = client.snapshot()
    output = Output(options.output)
    if output.format == "json":
        output.json({"index": index})
    else:
        output.text(str(index))
    return EXIT_OK


def run_backup(arguments: list[str], options: Options) -> int:
    """`raftdb backup FILE [--force]`: prints the backup's index, length and digest."""
    parser = Parser(
        "raftdb backup",
        "Copy the state of a running cluster, as of one moment, into a file: verified, or not there at all.",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="where to put it, for 'raftdb restore' to read; '-' is standard output",
    )
    parser.add_argument("--force", action="store_true", help="replace a regular file of that name")
    add_client_options(parser)
    parsed = parser.parse_args(arguments)
    options = merged(options, parsed)
    with options.client() as client:
        if parsed.file == Path("-"):
            stream(client, Output(options.output, stream=sys.stderr))
        else:
            back_up(
                client, parsed.file, Output(options.output), replace=parsed.force, hint="--force replaces it"
            )
    return EXIT_OK
