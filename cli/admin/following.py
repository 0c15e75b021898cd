"""Following the changes of keys until Ctrl-C, a line for each."""

from cli.console import render
from cli.console.output import Output
from raftdb.client.model import Change
from raftdb.client.sync_client import Client

COLUMNS_MAX = 60
"""Columns of a value on a terminal."""


def follow(
    client: Client,
    output: Output,
    prefix: bytes,
    *,
    after: int | None = None,
    previous: bool = False,
    snapshot: bool = False,
) -> None:
    """Show each change of the keys that begin with `prefix`, as soon as it is made. Does not return; it ends by
    KeyboardInterrupt, or raises `RaftdbError`."""
    with client.watch(prefix, after=after, previous=previous, snapshot=snapshot) as changes:
        for change in changes:
            show(change, output)


def show(change: Change[bytes], output: Output) -> None:
    """Show one change: its revision, what it is, the key and the new value, and the one before if that is known."""
    if output.format == "json":
        output.json(
            {"kind": change.kind, **change.body}
            if change.body
            else {"kind": change.kind, "revision": change.revision}
        )
    elif output.format == "raw":
        cells = [b"%d" % change.revision, change.kind.encode(), change.key]
        cells += [] if change.value is None else [change.value]
        output.raw(b"\t".join(cells))
    else:
        output.text(_line(change))


def _line(change: Change[bytes]) -> str:
    values = [] if change.value is None else [render.shorten(render.quote(change.value), COLUMNS_MAX)]
    if change.previous is not None:
        values.append(f"was {render.shorten(render.quote(change.previous), COLUMNS_MAX)}")
    key = [] if change.kind in ("reset", "snapshot_end") else [render.quote(change.key)]
    revision = "" if change.kind == "reset" else str(change.revision)
    return "  ".join([f"{revision:>8}", f"{change.kind:<8}", *key, *values]).rstrip()
