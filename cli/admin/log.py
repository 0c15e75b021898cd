"""Reading the log of a cluster's leader in pages, and showing it, one line for each entry."""

from dataclasses import replace

from cli.console import render
from cli.console.output import Output
from raftdb.client.json_body import bytes_of
from raftdb.client.model import LogEntry, LogPage
from raftdb.client.sync_client import Client

LOG_ENTRIES_SHOWN = 20
"""Entries that are shown by default: about a screen."""
LOG_LIMIT_MAX = 100_000
"""Most entries shown at once."""
LOG_PAGE_ENTRIES = 1_000
"""Most entries in one request, which is the nodes' limit."""
ARGUMENT_COLUMNS_MAX = 60
"""Columns of a logged command in a table."""


def read_log(client: Client, *, first: int | None, limit: int) -> LogPage:
    """Read the leader's log: up to `limit` entries from index `first`, or, if that is None, the newest `limit`.

    More entries than a page has take several requests; the bounds of the whole log are those of the last answer.
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
    """Show a row for each entry, and on a terminal also the bounds of the log."""
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
    """The command of an entry, as it would be typed, or the commands of a transaction, or the kind of the entry."""
    if entry.command is None:
        return f"({entry.kind or 'unknown'})"
    commands = entry.body.get("commands")
    if not isinstance(commands, list):
        return render.line(entry.command, entry.arguments)
    lines = [render.line(str(one["command"]), [bytes_of(text) for text in one["args"]]) for one in commands]
    return f"{entry.command} {entry.body.get('mode', '')}: {'; '.join(lines)}"
