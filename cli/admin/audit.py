"""Asking each node who logged in there, was refused, and changed what; and showing it, in the order of time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from cli.console import render
from cli.console.output import Output
from raftdb.client.model import AuditEvent, Member
from raftdb.client.sync_client import Client
from raftdb.errors import Forbidden, RaftdbError, Unauthenticated

_WHO = ("by", "user")
"""The details that say who it was."""
_SEEN = (*_WHO, "from", "what", "left_out")
"""The details that are shown, the first two in one column."""


class Line(NamedTuple):
    """An event, and the node where it was."""

    time_ms: int
    node: str
    event: AuditEvent


def collect(client: Client, limit: int) -> tuple[list[Line], dict[str, str]]:
    """Return the newest `limit` events of all nodes, in the order of time by the nodes' own clocks; and, by the node,
    why some told nothing. Raises `RaftdbError` if there is no status, or if the user may not read the trail."""
    lines: list[Line] = []
    silent: dict[str, str] = {}
    for node, address in _nodes(client.status().members):
        try:
            lines += [Line(event.time_ms, node, event) for event in client.audit(address, limit=limit)]
        except (Forbidden, Unauthenticated):
            raise
        except RaftdbError as error:
            silent[node] = error.message
    return sorted(lines, key=lambda line: (line.time_ms, line.node))[-limit:], silent


def show(lines: Sequence[Line], silent: Mapping[str, str], output: Output) -> None:
    """Show a row for each event, and which nodes told nothing."""
    rows = []
    for line in lines:
        details = line.event.details
        who = next((str(details[name]) for name in _WHO if name in details), "-")
        others = [f"{name}={details[name]}" for name in sorted(details) if name not in _SEEN]
        what = [str(details["what"])] if "what" in details else []
        missing = [f"({details['left_out']} before it were left out)"] if "left_out" in details else []
        shown = (line.event.what, who, str(details.get("from", "-")), " ".join([*what, *others, *missing]))
        rows.append((_time(line.time_ms), line.node, *map(render.printable, shown)))
    body = {
        "events": [{"node": line.node, **line.event.body} for line in lines],
        "silent": dict(sorted(silent.items())),
    }
    output.table(("time", "node", "event", "user", "from", "what"), rows, body)
    for node, why in sorted(silent.items()):
        output.notice(f"{node} tells nothing: {why}")


def _time(time_ms: int) -> str:
    return (
        datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().isoformat(sep=" ", timespec="milliseconds")
    )


def _nodes(members: Sequence[Member]) -> list[tuple[str, str]]:
    return sorted((member.id, member.http) for member in members)
