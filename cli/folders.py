"""`raftdb restore` and `raftdb doctor`: they work on the data folders of nodes that do not run."""

from pathlib import Path

from cli.failures import EXIT_FOLDER, EXIT_OK, EXIT_USAGE, CommandError
from cli.options import FORMATS, Options, Parser
from cli.output import Output


def run_restore(arguments: list[str], options: Options) -> int:
    """`raftdb restore FILE --data DIR [--id ID] [--listen HOST:PORT] [--peers ...]`; the exit code of a server."""
    parser = Parser(
        "raftdb restore",
        "Make a new cluster's first data folder from a backup. For a cluster of several nodes run it once for each "
        "of them, with the same file and the same --peers.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what 'raftdb backup' made")
    parser.add_argument(
        "--data", metavar="DIR", required=True, help="the node's data folder, empty or missing"
    )
    parser.add_argument("--id", metavar="ID", help="this node's name (default: n1)")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="this node's address, if it is the only one (as for serve)"
    )
    parser.add_argument(
        "--peers", metavar="ID=HOST:PORT,...", help="every member of the new cluster, this node included"
    )
    parser.add_argument("--config", metavar="FILE.toml", help="settings, as for serve; flags override it")
    _add_output_options(parser)
    parsed = parser.parse_args(arguments)
    path: Path = parsed.file
    if not path.is_file():
        raise CommandError("restore", f"there is no file {path}", exit_code=EXIT_USAGE)
    from raftdb.server.config import load
    from raftdb.server.restore import restore

    names = ("data", "id", "listen", "peers", "config")
    settings = load({name: getattr(parsed, name) for name in names})
    restored = restore(path, settings)
    peers = ",".join(f"{name}={address}" for name, address in sorted(restored.members.items()))
    start = f"raftdb serve --id {settings.id} --listen {restored.members[settings.id]} --data {settings.data}"
    fields = {
        "cluster": restored.cluster_id,
        "node": settings.id,
        "backup index": str(restored.backup_index),
        "log begins after": str(restored.base_index),
        "start it with": start if settings.peers is None else f"{start} --peers {peers}",
    }
    body = {
        "cluster_id": restored.cluster_id,
        "id": settings.id,
        "backup_index": restored.backup_index,
        "base_index": restored.base_index,
        "members": restored.members,
    }
    Output(parsed.output or options.output).fields(fields, body)
    return EXIT_OK


def run_doctor(arguments: list[str], options: Options) -> int:
    """`raftdb doctor DIR` or `FILE`: exit code 0 if all is sound, 4 if not (or the folder is in use)."""
    parser = Parser(
        "raftdb doctor",
        "Examine the data folder of a stopped node, or a backup: what it holds, and every checksum. Changes nothing. "
        f"Exit code 0 if all is sound, {EXIT_FOLDER} if not.",
    )
    parser.add_argument("path", type=Path, metavar="DIR|FILE", help="a node's data folder, or a backup")
    _add_output_options(parser)
    parsed = parser.parse_args(arguments)
    path: Path = parsed.path
    if not path.exists():
        raise CommandError("doctor", f"there is no {path}", exit_code=EXIT_USAGE)
    from raftdb.server.doctor import diagnose

    findings = diagnose(path)
    sound = all(finding.ok for finding in findings)
    rows = [
        (
            finding.name,
            "-" if finding.value is None else str(finding.value),
            "ok" if finding.ok else "WRONG",
            finding.advice or "",
        )
        for finding in findings
    ]
    body = {
        "path": str(path),
        "sound": sound,
        "findings": [
            {"name": name, "value": value, "ok": ok, "advice": advice} for name, value, ok, advice in findings
        ],
    }
    Output(parsed.output or options.output).table(("what", "found", "state", "what to do"), rows, body)
    if not sound:
        wrong = ", ".join(finding.name for finding in findings if not finding.ok)
        raise CommandError(
            "doctor", f"{path} is not sound, or cannot be examined: {wrong}", exit_code=EXIT_FOLDER
        )
    return EXIT_OK


def _add_output_options(parser: Parser) -> None:
    parser.add_argument("-o", "--output", choices=FORMATS, help="default: table on a terminal, raw in a pipe")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
