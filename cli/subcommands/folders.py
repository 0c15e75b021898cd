"""`raftdb restore`, `raftdb recover` and `raftdb doctor`, which open the data folders of stopped nodes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.console.asking import is_agreed
from cli.console.failures import EXIT_FAILED, EXIT_FOLDER, EXIT_OK, EXIT_USAGE, CommandError
from cli.console.output import Output, is_terminal
from cli.subcommands.options import PATH, Command, Options, debug_option, output_option
from raftdb.errors import required

if TYPE_CHECKING:
    from raftdb.server.doctor import Findings
    from raftdb.server.recover import Plan


@click.command("restore", cls=Command)
@click.argument("file", type=PATH)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(),
    required=True,
    help="The node's data folder, empty or missing.",
)
@click.option("--id", metavar="ID", help="The node's name (default: n1).")
@click.option(
    "--listen", metavar="HOST:PORT", help="The node's address, if it is the only one (as for serve)."
)
@click.option(
    "--advertise", metavar="HOST:PORT", help="Where others reach --listen, if it is another address."
)
@click.option(
    "--peers", metavar="ID=HOST:PORT,...", help="Every member of the new cluster, this node included."
)
@click.option(
    "--config",
    metavar="FILE.toml",
    type=click.Path(),
    help="A file of settings, as for serve; flags override it.",
)
@output_option
@debug_option
@click.pass_obj
def restore(options: Options, /, file: Path, **flags: str | None) -> int:
    """Make a new cluster's first data folder from a backup.

    FILE is what 'raftdb backup' made. For a cluster of several nodes run it once for each of them, with the same file
    and the same --peers.
    """
    from raftdb.server.config import load
    from raftdb.server.folder import kind_of
    from raftdb.server.restore import restore as make_folder

    _require_file("restore", file, kind_of(file))
    settings = load(flags)
    restored = make_folder(file, settings)
    peers = ",".join(f"{name}={address}" for name, address in sorted(restored.members.items()))
    listen = str(restored.members[settings.id])
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
        "members": {name: str(address) for name, address in restored.members.items()},
    }
    Output(options.output).fields(fields, body)
    return EXIT_OK


@click.command("recover", cls=Command)
@click.option("--data", metavar="DIR", type=PATH, required=True, help="The node's data folder.")
@click.option(
    "--members",
    "given_members",
    metavar="ID=HOST:PORT,...",
    required=True,
    help="The nodes that are left, this one included: mostly this one alone.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@debug_option
@click.pass_obj
def recover(options: Options, data: Path, given_members: str, yes: bool) -> int:
    """Make a new cluster of what one stopped node has, when a majority is lost for good.

    Writes that the other nodes acknowledged without this one are lost, and these nodes can never come back.
    """
    from raftdb.server.config import check_reachable
    from raftdb.server.folder import kind_of
    from raftdb.server.recover import recovery
    from raftdb.server.setting_values import parse_peers

    kind = kind_of(data)
    if kind != "folder":
        message = f"there is no folder {data}" if kind is None else f"{data} is not a folder"
        raise CommandError("recover", message, exit_code=EXIT_USAGE)
    try:
        members = parse_peers(given_members)
        check_reachable(members)
    except ValueError as error:
        raise CommandError(
            "recover",
            f"--members cannot be {given_members!r}: {error}",
            exit_code=EXIT_USAGE,
            hint=getattr(error, "hint", None),
        ) from None
    output = Output(options.output)
    with recovery(data, members) as found:
        output.notice(_warning(found.plan))
        if not yes:
            _ask_to_recover(found.plan)
        found.carry_out()
        _show_recovered(found.plan, data, output)
    return EXIT_OK


def _warning(plan: "Plan") -> str:
    """The consequences of a recovery, which a person must know before."""
    members = ", ".join(f"{member.id} at {member.http}" for member in plan.configuration.members)
    last_index = plan.last.index
    doubtful = (
        f"Entries {plan.committed_index + 1} to {last_index} may or may not have been acknowledged; they stay."
        if plan.committed_index < last_index
        else ""
    )
    lines = [
        f"This makes a new cluster of what {plan.node_id} has: {members}.",
        f"Its log ends at entry {last_index}. Whatever the cluster acknowledged after that is LOST.",
        doubtful,
        f"Indexes go on at {plan.entry.index}: no revision that clients remember from then is given again.",
        f"Never again a member: {', '.join(plan.lost) or 'none'}. Destroy their folders if they still exist: a "
        "majority of the old nodes would go on as the old cluster, and serve clients that still ask them."
        if plan.lost
        else "",
    ]
    return "\n".join(line for line in lines if line)


def _ask_to_recover(plan: "Plan") -> None:
    """Ask the person at the terminal. Raises `CommandError` unless the answer is yes."""
    if not is_terminal(sys.stdin):
        raise CommandError(
            "recover",
            "stdin is not a terminal, so no one can be asked",
            exit_code=EXIT_USAGE,
            hint="--yes recovers without asking",
        )
    if not is_agreed(f"give up the old cluster {plan.old_cluster_id}?"):
        raise CommandError("recover", "nothing was changed", exit_code=EXIT_FAILED)


def _show_recovered(plan: "Plan", data: Path, output: Output) -> None:
    addresses = {member.id: str(member.http) for member in plan.configuration.members}
    own = required(plan.configuration.find(plan.node_id), "own member").http
    fields = {
        "cluster": plan.cluster_id,
        "node": plan.node_id,
        "members": ",".join(f"{name}={address}" for name, address in addresses.items()),
        "gone": ",".join(plan.lost) or "-",
        "log": f"goes on at {plan.entry.index} in term {plan.entry.term}",
        "start it with": f"raftdb serve --id {plan.node_id} --listen {own} --data {data}",
        "then add others": f"raftdb serve --id NEW --listen HOST:PORT --data DIR --join {own.url()}",
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


@click.command("doctor", cls=Command)
@click.argument("path", type=PATH, metavar="DIR|FILE", required=False)
@click.option(
    "--network",
    is_flag=True,
    help="Examine instead what a node exposes to whom, by --config, the environment and DIR.",
)
@click.option(
    "--config", metavar="FILE.toml", type=click.Path(), help="The settings of the node, as for serve."
)
@output_option
@debug_option
@click.pass_context
def doctor(context: click.Context, path: Path | None, network: bool, config: str | None) -> int:
    """Examine the data folder of a stopped node, or a backup: what it holds, and every checksum.

    With --network: each address at which the node listens, who reaches it, and what they have to prove.

    It changes nothing. The exit code is 0 if everything is sound, 4 if not, and 5 to 8 if the system does not allow the
    examination.
    """
    options: Options = context.obj
    if network:
        return _examine_network(options, path, config)
    if path is None or config is not None:
        wrong = "--config goes with --network" if path is not None else "missing argument 'DIR|FILE'"
        raise click.UsageError(wrong, context)
    from raftdb.server.doctor import diagnose
    from raftdb.server.folder import kind_of

    if (kind := kind_of(path)) != "folder":
        _require_file("doctor", path, kind)
    return _show_findings(options, str(path), diagnose(path))


def _examine_network(options: Options, path: Path | None, config: str | None) -> int:
    """What a node with these settings exposes."""
    from raftdb.server.config import load
    from raftdb.server.network_findings import examine_network

    settings = load({"config": config, "data": path})
    return _show_findings(options, f"the network of {settings.id}", examine_network(settings))


def _show_findings(options: Options, what: str, findings: "Findings") -> int:
    """The table, and the exit code. Raises `CommandError` if not all is sound."""
    from raftdb.server.doctor import exit_code_of

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
        "path": what,
        "sound": sound,
        "findings": [
            {"name": name, "value": value, "ok": ok, "advice": advice}
            for name, value, ok, advice, _reason in findings
        ],
    }
    Output(options.output).table(("what", "found", "state", "what to do"), rows, body)
    if not sound:
        wrong = ", ".join(finding.name for finding in findings if not finding.ok)
        exit_code = exit_code_of(findings)
        why = "is not sound, or cannot be examined" if exit_code == EXIT_FOLDER else "cannot be examined"
        raise CommandError("doctor", f"{what} {why}: {wrong}", exit_code=exit_code)
    return EXIT_OK


def _require_file(command: str, path: Path, kind: str | None) -> None:
    """Raise `CommandError` unless the path is a regular file, because a backup is read more than once, and not in
    order."""
    if kind == "no file":
        hint = "put the backup into a file first"
        raise CommandError(command, f"{path} is not a regular file", exit_code=EXIT_USAGE, hint=hint)
    if kind != "file":
        message = f"there is no file {path}" if kind is None else f"{path} is a folder, not a backup"
        raise CommandError(command, message, exit_code=EXIT_USAGE)
