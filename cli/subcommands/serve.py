"""`raftdb serve`: flags to settings, then the server takes over. The one module of the shell that starts a
node."""

from cli.subcommands.options import Options, Parser

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


def parse_flags(arguments: list[str]) -> dict[str, object]:
    """The flags that were given, by setting: only those, so that environment and file keep their say
    (interface, section 2)."""
    parser = Parser("raftdb serve", "Run one node of a cluster.")
    parser.add_argument("--id", metavar="ID", help="this node's name, unique for ever in its cluster")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where clients, peers and browsers connect (HTTP)"
    )
    parser.add_argument(
        "--redis", metavar="HOST:PORT", help="where Redis clients will connect; nothing listens there yet"
    )
    parser.add_argument("--data", metavar="DIR", help="the node's data folder")
    parser.add_argument(
        "--peers", metavar="ID=HOST:PORT,...", help="every member's --listen address, this node's included"
    )
    parser.add_argument(
        "--join",
        metavar="http://HOST:PORT,...",
        help="nodes of a running cluster that this new node asks to take it in",
    )
    parser.add_argument(
        "--advertise", metavar="HOST:PORT", help="where others reach --listen, if it is another address"
    )
    parser.add_argument(
        "--members",
        metavar="ID=HOST:PORT,...",
        help="where members are now that have moved; needed once, if they cannot find each other",
    )
    parser.add_argument("--config", metavar="FILE.toml", help="settings; environment and flags override it")
    parser.add_argument("--log-level", choices=LOG_LEVELS)
    parser.add_argument("--log-format", choices=LOG_FORMATS)
    parser.add_argument(
        "--log-heartbeats", action="store_true", default=None, help="log every heartbeat, too"
    )
    parser.add_argument("--debug", action="store_true", default=None, help="show tracebacks")
    parsed = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    parsed.pop("debug", None)  # read from the command line by the caller of all sub-commands
    return parsed


def run(arguments: list[str], options: Options) -> int:
    """Run a node until it is told to stop; the exit code of a server (interface, section 1)."""
    flags = parse_flags(arguments)
    # Loading the server takes a while: a wrong flag is told before.
    from raftdb.server.bootstrap import run_node
    from raftdb.server.config import load

    return run_node(load(flags))
