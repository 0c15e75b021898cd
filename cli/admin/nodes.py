"""Asking each node of a cluster for its status, and showing them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cli.console import render
from cli.console.output import Output
from raftdb.client.credentials import Credentials
from raftdb.client.encryption import TlsOption
from raftdb.client.model import NodeStatus
from raftdb.client.sync_client import Client
from raftdb.errors import Forbidden, RaftdbError, Unauthenticated


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The status of one node, or the reason why it gave none (`problem`)."""

    id: str
    http: str
    status: NodeStatus | None
    problem: str | None


def survey(client: Client) -> list[NodeReport]:
    """Ask all nodes for their status at the same time: the members that the first answering node names.

    If no node answers, the addresses that the client was given are asked. The result is sorted by id. Raises
    `Unauthenticated` and `Forbidden`.
    """
    from concurrent.futures import ThreadPoolExecutor

    try:
        members = client.status().members
    except (Unauthenticated, Forbidden):
        raise
    except RaftdbError:
        members = ()
    targets = [(member.id, member.http) for member in members] or [
        ("?", address) for address in client.addresses
    ]
    report = partial(_report, client.tls, client.credentials)
    with ThreadPoolExecutor(len(targets)) as threads:
        return list(threads.map(report, sorted(targets)))


def is_live(client: Client) -> bool:
    """Whether a node at one of the client's addresses answers, if only that it tells nothing to strangers."""
    for address in client.addresses:
        try:
            client.status(address)
        except RaftdbError as error:
            if error.code == "unreachable":
                continue
        return True
    return False


def _report(tls: TlsOption, credentials: Credentials, target: tuple[str, str]) -> NodeReport:
    """Ask one node, by a client for its address alone."""
    node_id, address = target
    try:
        with Client(address, tls=tls, credentials=credentials) as client:
            status = client.status(address)
    except RaftdbError as error:
        return NodeReport(node_id, address, None, error.message)
    return NodeReport(status.id or node_id, address, status, None)


def show_nodes(reports: Sequence[NodeReport], output: Output) -> None:
    """Show a row for each node: role, term, the indexes of its log and its state, and the leader's suspicion of it."""
    headers = ("node", "http", "role", "term", "last", "commit", "applied", "suspicion", "up")
    suspicions = _suspicions(reports)
    rows: list[tuple[str, ...]] = []
    for report in reports:
        status = report.status
        if status is None:
            rows.append((report.id, report.http, "unreachable", *"----", suspicions.get(report.id, "-"), "-"))
            continue
        indexes = (status.term, status.last_index, status.commit_index, status.applied_index)
        up = render.duration(status.uptime_seconds)
        suspicion = suspicions.get(report.id, "-")
        role = "put back" if status.put_back else status.role
        rows.append((report.id, report.http, role, *map(str, indexes), suspicion, up))
    body = [
        {"id": report.id, "http": report.http, "error": report.problem}
        if report.status is None
        else dict(report.status.body)
        for report in reports
    ]
    output.table(headers, rows, {"nodes": body})


def _suspicions(reports: Sequence[NodeReport]) -> dict[str, str]:
    """The suspicion of each member by the leader; if several nodes say that they lead, by the one of the newest
    term."""
    leaders = [
        report.status for report in reports if report.status is not None and report.status.role == "leader"
    ]
    newest = max(leaders, key=lambda status: status.term, default=None)
    members = () if newest is None else newest.members
    return {member.id: f"{member.suspicion:.1f}" for member in members if member.suspicion is not None}


def show_status(status: NodeStatus, output: Output) -> None:
    """Show one node's status, one line for each field."""
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
