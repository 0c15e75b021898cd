"""`raftdb restore`, `raftdb recover` and `raftdb doctor`: they work on the data folders of nodes that do not run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console.asking import is_agreed
from cli.console.failures import EXIT_FAILED, EXIT_FOLDER, EXIT_OK, EXIT_USAGE, CommandError
from cli.console.output import FORMATS, Output, is_terminal
from cli.subcommands.options import Options, Parser

if TYPE_CHECKING:
    from raftdb.server.recover import Plan


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
        "--advertise", metavar="HOST:PORT", help="where others reach --listen, if it is another address"
    )
    parser.add_argument(
        "--peers", metavar="ID=HOST:PORT,...", help="every member of the new cluster, this node included"
    )
    parser.add_argument("--config", metavar="FILE.toml", help="settings, as for serve; flags override it")
    _add_output_options(parser)
    parsed = parser.parse_args(arguments)
    path: Path = parsed.file
    from raftdb.server.config import load
    from raftdb.server.folder import kind_of
    from raftdb.server.restore import restore

    _require_file("restore", path, kind_of(path))

    names = ("data", "id", "listen", "advertise", "peers", "config")
    settings = load({name: getattr(parsed, name) for name in names})
    restored = restore(path, settings)
    peers = ",".join(f"{name}={address}" for name, address in sorted(restored.members.items()))
    listen = restored.members[settings.id]
    if settings.advertise is not None:
        listen = f"{settings.listen} --advertise {settings.advertise}"
    start = f"raftdb serve --id {settings.id} --listen {listen} --data {settings.data}"
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


def run_recover(arguments: list[str], options: Options) -> int:
    """`raftdb recover --data DIR --members n1=HOST:PORT[,...] [--yes]`; the exit code of a server."""
    parser = Parser(
        "raftdb recover",
        "Make a new cluster of what one stopped node has, when a majority is lost for good. What the others have "
        "acknowledged without this node is lost; and they can never come back.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", required=True, help="the node's data folder")
    parser.add_argument(
        "--members",
        metavar="ID=HOST:PORT,...",
        required=True,
        help="the nodes that are left, this one included: mostly this one alone",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_output_options(parser)
    parsed = parser.parse_args(arguments)
    data: Path = parsed.data
    from raftdb.server.config import check_reachable, parse_peers
    from raftdb.server.folder import kind_of
    from raftdb.server.recover import recovery

    kind = kind_of(data)
    if kind != "folder":
        message = f"there is no folder {data}" if kind is None else f"{data} is no folder"
        raise CommandError("recover", message, exit_code=EXIT_USAGE)
    try:
        members = parse_peers(parsed.members)
        check_reachable(members)
    except ValueError as error:
        raise CommandError(
            "recover",
            f"--members cannot be {parsed.members!r}: {error}",
            exit_code=EXIT_USAGE,
            hint=getattr(error, "hint", None),
        ) from None
    output = Output(parsed.output or options.output)
    with recovery(data, members) as found:
        output.notice(_warning(found.plan))
        if not parsed.yes:
            _ask_to_recover(found.plan)
        found.carry_out()
        _show_recovered(found.plan, data, output)
    return EXIT_OK


def _warning(plan: "Plan") -> str:
    """What a person must know before it is too late."""
    members = ", ".join(f"{member.id} at {member.http}" for member in plan.configuration.members)
    last_index = plan.last.index
    doubtful = (
        f"Entries {plan.committed_index + 1} to {last_index} may or may not have been acknowledged; they stay."
        if plan.committed_index < last_index
        else ""
    )
    lines = [
        f"This makes a new cluster of what {plan.node_id} has: {members}.",
        f"Its log ends at entry {last_index}. Whatever the cluster acknowledged behind that is LOST.",
        doubtful,
        f"Indexes go on at {plan.entry.index}: no revision that clients remember from then is given again.",
        f"Never again a member: {', '.join(plan.lost) or 'none'}. Destroy their folders if they still exist: a "
        "majority of the old nodes would go on as the old cluster, and serve clients that still ask them."
        if plan.lost
        else "",
    ]
    return "\n".join(line for line in lines if line)


def _ask_to_recover(plan: "Plan") -> None:
    """Go on only with a person's yes."""
    if not is_terminal(sys.stdin):
        raise CommandError(
            "recover",
            "nobody is there to be asked",
            exit_code=EXIT_USAGE,
            hint="--yes does it without asking",
        )
    if not is_agreed(f"give up the old cluster {plan.old_cluster_id}?"):
        raise CommandError("recover", "nothing was changed", exit_code=EXIT_FAILED)


def _show_recovered(plan: "Plan", data: Path, output: Output) -> None:
    addresses = {member.id: member.http for member in plan.configuration.members}
    own = addresses[plan.node_id]
    fields = {
        "cluster": plan.cluster_id,
        "node": plan.node_id,
        "members": ",".join(f"{name}={address}" for name, address in addresses.items()),
        "gone": ",".join(plan.lost) or "-",
        "log": f"goes on at {plan.entry.index} in term {plan.entry.term}",
        "start it with": f"raftdb serve --id {plan.node_id} --listen {own} --data {data}",
        "then add others": f"raftdb serve --id NEW --listen HOST:PORT --data DIR --join http://{own}",
    }
    body = {
        "cluster_id": plan.cluster_id,
        "old_cluster_id": plan.old_cluster_id,
        "id": plan.node_id,
        "members": addresses,
        "removed": list(plan.lost),
        "index": plan.entry.index,
        "term": plan.entry.term,
    }
    output.fields(fields, body)


def run_doctor(arguments: list[str], options: Options) -> int:
    """`raftdb doctor DIR` or `FILE`: exit code 0 if all is sound, 4 if not (or the folder is in use)."""
    parser = Parser(
        "raftdb doctor",
        "Examine the data folder of a stopped node, or a backup: what it holds, and every checksum. Changes nothing. "
        f"Exit code 0 if all is sound, {EXIT_FOLDER} if not, 5 to 8 if the system does not let it look.",
    )
    parser.add_argument("path", type=Path, metavar="DIR|FILE", help="a node's data folder, or a backup")
    _add_output_options(parser)
    parsed = parser.parse_args(arguments)
    path: Path = parsed.path
    from raftdb.server.doctor import diagnose, exit_code_of
    from raftdb.server.folder import kind_of

    if (kind := kind_of(path)) != "folder":
        _require_file("doctor", path, kind)
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
            {"name": name, "value": value, "ok": ok, "advice": advice}
            for name, value, ok, advice, _reason in findings
        ],
    }
    Output(parsed.output or options.output).table(("what", "found", "state", "what to do"), rows, body)
    if not sound:
        wrong = ", ".join(finding.name for finding in findings if not finding.ok)
        exit_code = exit_code_of(findings)
        what = "is not sound, or cannot be examined" if exit_code == EXIT_FOLDER else "cannot be examined"
        raise CommandError("doctor", f"{path} {what}: {wrong}", exit_code=exit_code)
    return EXIT_OK


def _require_file(command: str, path: Path, kind: str | None) -> None:
    """Raise `CommandError` for what is no regular file: a backup is read more than once, and not in order."""
    if kind == "no file":
        hint = "put the backup into a file first"
        raise CommandError(command, f"{path} is not a regular file", exit_code=EXIT_USAGE, hint=hint)
    if kind != "file":
        message = f"there is no file {path}" if kind is None else f"{path} is a folder, and no backup"
        raise CommandError(command, message, exit_code=EXIT_USAGE)


def _add_output_options(parser: Parser) -> None:
    parser.add_argument("-o", "--output", choices=FORMATS, help="default: table on a terminal, raw in a pipe")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
