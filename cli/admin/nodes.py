"""`raftdb log`, and the views of cluster and log that `raftdb cluster` and the shell's dot-commands share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cli.console import render
from cli.console.failures import EXIT_OK
from cli.console.options import Options, Parser, add_client_options, count_argument, merged
from cli.console.output import Output
from raftdb.client.json_body import bytes_of
from raftdb.client.model import LogEntry, LogPage, Membership, NodeStatus
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

LOG_ENTRIES_SHOWN = 20
"""How many entries of the log are shown if nobody says otherwise: a screen."""
LOG_LIMIT_MAX = 100_000
"""Most entries shown at once."""
LOG_PAGE_ENTRIES = 1_000
"""Most entries asked for at once: what nodes allow."""
ARGUMENT_COLUMNS_MAX = 60
"""How much of a logged command a table shows."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node of the cluster said of itself (`status`), or why it said nothing (`problem`)."""

    id: str
    http: str
    status: NodeStatus | None
    problem: str | None


def survey(client: Client) -> list[NodeView]:
    """Ask every node for its status, all at once: the members that the first answering node names.

    If no node answers, the addresses that the client was given. Sorted by id.
    """
    from concurrent.futures import ThreadPoolExecutor

    try:
        members = client.status().members
    except RaftdbError:
        members = ()
    targets = [(member.id, member.http) for member in members] or [
        ("?", address) for address in client.addresses
    ]
    with ThreadPoolExecutor(len(targets)) as threads:
        return list(threads.map(_view, sorted(targets)))


def _view(target: tuple[str, str]) -> NodeView:
    """Ask one node, by a client of its own: clients belong to one thread."""
    node_id, address = target
    try:
        with Client(address) as client:
            status = client.status(address)
    except RaftdbError as error:
        return NodeView(node_id, address, None, error.message)
    return NodeView(status.id or node_id, address, status, None)


def show_nodes(views: Sequence[NodeView], output: Output) -> None:
    """One row per node: role, term, how far its log and its state have come, and how suspicious its leader finds its
    silence."""
    headers = ("node", "http", "role", "term", "last", "commit", "applied", "suspicion", "up")
    suspicions = _suspicions(views)
    rows: list[tuple[str, ...]] = []
    for view in views:
        status = view.status
        if status is None:
            rows.append((view.id, view.http, "unreachable", *"----", suspicions.get(view.id, "-"), "-"))
            continue
        indexes = (status.term, status.last_index, status.commit_index, status.applied_index)
        up = render.duration(status.uptime_seconds)
        suspicion = suspicions.get(view.id, "-")
        role = "put back" if status.put_back else status.role
        rows.append((view.id, view.http, role, *map(str, indexes), suspicion, up))
    body = [
        {"id": view.id, "http": view.http, "error": view.problem}
        if view.status is None
        else dict(view.status.body)
        for view in views
    ]
    output.table(headers, rows, {"nodes": body})


def _suspicions(views: Sequence[NodeView]) -> dict[str, str]:
    """What the leader, the one of the newest term if several say that they lead, thinks of the others' silence."""
    leaders = [view.status for view in views if view.status is not None and view.status.role == "leader"]
    newest = max(leaders, key=lambda status: status.term, default=None)
    members = () if newest is None else newest.members
    return {member.id: f"{member.suspicion:.1f}" for member in members if member.suspicion is not None}


def show_members(membership: Membership, output: Output) -> None:
    """The members as the leader knows them: voters, how far each log agrees with the leader's, and who is silent."""
    headers = ("member", "http", "redis", "voter", "match", "alive", "contact", "suspicion")
    rows = [
        (
            member.id,
            member.http,
            member.redis or "-",
            "put back"
            if member.put_back
            else "yes"
            if member.voter
            else "joining"
            if member.joining
            else "no",
            "-" if member.match_index is None else str(member.match_index),
            {None: "-", True: "yes", False: "no"}[member.alive],
            "-" if member.last_contact_seconds is None else f"{member.last_contact_seconds:.2f} s",
            "-" if member.suspicion is None else f"{member.suspicion:.1f}",
        )
        for member in membership.members
    ]
    output.table(headers, rows, membership.body)


def show_status(status: NodeStatus, output: Output) -> None:
    """One node's status, a line per fact."""
    leader = "none known" if status.leader is None else f"{status.leader.id} {status.leader.http}"
    log = f"{status.first_index}..{status.last_index}, committed {status.commit_index}, applied {status.applied_index}"
    fields = {
        "node": status.id,
        "role": status.role,
        "term": str(status.term),
        "leader": leader,
        "log": log,
        "checkpoint": str(status.checkpoint_index),
        "members": " ".join(member.id for member in status.members),
        "cluster": status.cluster_id,
        "life": status.birth or "not known yet",
        **({"folder": "put back to an older copy, not filled anew yet"} if status.put_back else {}),
        "version": status.version,
        "up": render.duration(status.uptime_seconds),
    }
    output.fields(fields, status.body)


def read_log(client: Client, *, first: int | None, limit: int) -> LogPage:
    """The leader's log: up to `limit` entries from index `first`, or, if that is None, the newest `limit`.

    Long stretches take several requests; the bounds of the whole log are those of the last one.
    """
    if first is None:
        newest = client.request_log(limit=1)
        first = max(newest.first_index, newest.last_index - limit + 1, 1)
    entries: list[LogEntry] = []
    while True:
        next_index = entries[-1].index + 1 if entries else first
        page = client.request_log(first=next_index, limit=min(limit - len(entries), LOG_PAGE_ENTRIES))
        entries += page.entries
        if not page.entries or len(entries) >= limit or entries[-1].index >= page.last_index:
            break
    body = {**page.body, "entries": [entry.body for entry in entries]}
    return replace(page, entries=tuple(entries), body=body)


def show_log(page: LogPage, output: Output) -> None:
    """One row per entry; on a terminal also which part of the log this is."""
    columns_max = ARGUMENT_COLUMNS_MAX if output.format == "table" else LOG_LIMIT_MAX
    rows = [
        (
            str(entry.index),
            str(entry.term),
            "yes" if entry.index <= page.commit_index else "no",
            render.shorten(describe_entry(entry), columns_max),
        )
        for entry in page.entries
    ]
    output.table(("index", "term", "committed", "entry"), rows, page.body)
    if output.format == "table":
        output.text(
            f"the log holds {page.first_index}..{page.last_index}, committed up to {page.commit_index}"
        )


def describe_entry(entry: LogEntry) -> str:
    """The command of an entry as one would type it, those of a transaction, or what kind of entry it is."""
    if entry.command is None:
        return f"({entry.kind or 'unknown'})"
    commands = entry.body.get("commands")
    if not isinstance(commands, list):
        return render.line(entry.command, entry.arguments)
    lines = [render.line(str(one["command"]), [bytes_of(text) for text in one["args"]]) for one in commands]
    return f"{entry.command} {entry.body.get('mode', '')}: {'; '.join(lines)}"


def run_log(arguments: list[str], options: Options) -> int:
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
