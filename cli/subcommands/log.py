"""`raftdb log`: the log of the leader."""

from cli.admin.log import LOG_ENTRIES_SHOWN, LOG_LIMIT_MAX, read_log, show_log
from cli.console.failures import EXIT_OK
from cli.console.output import Output
from cli.subcommands.options import Options, Parser, add_client_options, count_argument, merged


def run(arguments: list[str], options: Options) -> int:
    """`raftdb log [--from I] [--limit N]`."""
    parser = Parser("raftdb log", "Show the leader's log: the newest entries, or those from an index.")
    parser.add_argument(
        "--from", dest="first", type=count_argument, metavar="INDEX", help="the first entry to show"
    )
    parser.add_argument(
        "--limit", type=count_argument, default=LOG_ENTRIES_SHOWN, metavar="N", help="default: %(default)s"
    )
    add_client_options(parser)
    parsed = parser.parse_args(arguments)
    options = merged(options, parsed)
    with options.client() as client:
        page = read_log(client, first=parsed.first, limit=min(parsed.limit, LOG_LIMIT_MAX))
    show_log(page, Output(options.output))
    return EXIT_OK
