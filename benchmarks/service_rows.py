"""What `services.py` makes of its rows: medians of the rounds, ratios within one round, a table and a plot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peer_table import COLORS, cells, medians, spread
from benchmarks.report import Report, new_figure, save_figure

Named = Callable[["Row"], str]


class Row(NamedTuple):
    """What one load found in one round. Figures for each operation are by role: leader, follower, generator."""

    round: int
    load: str
    """What one operation is."""
    clients: int
    batch: int
    """Operations of one request."""
    system: str
    waiting: int
    """Messages in the queue before the first round."""
    per_second: float
    latencies_ms: dict[str, float]
    """Of a client's whole way: of `lock + unlock`, for example, of both."""
    errors: dict[str, int]
    entries: float | None
    """Entries of the log for each operation; None if the system does not say."""
    cpu_us: dict[str, float]
    memory_mib: dict[str, float]


def summarize(rows: list[Row]) -> list[dict[str, Any]]:
    """One summary for all rounds of each row, in the order in which they came first."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row[1:6], []).append(row)
    summaries = []
    for group in groups.values():
        first = group[0]
        entries = [row.entries for row in group if row.entries is not None]
        summaries.append(
            {
                **dict(zip(Row._fields[1:6], first[1:6], strict=True)),
                "rounds": len(group),
                "per_second": spread([row.per_second for row in group]),
                "latencies_ms": medians([row.latencies_ms for row in group]),
                "cpu_us": medians([row.cpu_us for row in group]),
                "memory_mib": medians([row.memory_mib for row in group]),
                "entries": spread(entries)["median"] if entries else None,
                "errors": sum(sum(row.errors.values()) for row in group),
                "ratio": ratio(group, rows),
            }
        )
    return summaries


def ratio(group: list[Row], rows: list[Row]) -> dict[str, Any] | None:
    """How many times as fast as what it is compared with, within one round: raftdb with etcd, and a long queue with one
    that was empty. None if that was not measured, or nothing is."""
    values = [
        row.per_second / other.per_second
        for row in group
        for other in rows
        if (other.round, *other[1:4]) == (row.round, *row[1:4])
        and (other.system, other.waiting) == compared_with(row)
        and other.per_second
    ]
    if not values:
        return None
    system, waiting = compared_with(group[0])
    return {"with": system if system != group[0].system else f"{waiting:,} waiting", **spread(values)}


def compared_with(row: Row) -> tuple[str, int]:
    """The system, and the messages that wait, with which a row is compared."""
    if row.waiting:
        return row.system, 0
    return ("etcd", 0) if row.system == "raftdb" else ("", 0)


def heading_of(summary: dict[str, Any]) -> str:
    """The load, in words."""
    return load_text(summary["load"], summary["clients"], summary["batch"])


def load_text(load: str, clients: int, batch: int) -> str:
    """A load, in words."""
    by = "1 client" if clients == 1 else f"{clients:,} clients"
    return f"{load}, {by}" + (f", {batch} at once" if batch > 1 else "")


def tell(report: Report, summaries: list[dict[str, Any]]) -> None:
    """The table: a heading for each load, and a line for each system or length there."""
    report.say(
        "\nmedians of the rounds [lowest to highest]; l, f, g: leader, follower, generator; cpu in us, entries of the"
        "\nlog and rates are of one operation; times are of a request, or of both; mem in MiB"
    )
    heading = ""
    for summary in sorted(summaries, key=heading_of):
        if heading_of(summary) != heading:
            heading = heading_of(summary)
            report.say(
                f"\n{heading}\n  {'':22}{'per s':>9} {'':19}{'p50 ms':>8}{'p99 ms':>8}{'cpu l':>7}{'f':>6}{'g':>6}"
                f"{'entries':>9}{'mem l':>7}{'f':>6}  times as fast as"
            )
        report.say(line_of(summary))


def line_of(summary: dict[str, Any]) -> str:
    """One line of the table."""
    speed, compared = summary["per_second"], summary["ratio"]
    range_text = f"[{speed['lowest']:,.0f} to {speed['highest']:,.0f}]"
    ratio_text = (
        f"{compared['with']}: {compared['median']:.2f} [{compared['lowest']:.2f} to {compared['highest']:.2f}]"
        if compared
        else ""
    )
    entries = "-" if summary["entries"] is None else f"{summary['entries']:.2f}"
    return (
        f"  {name_of(summary):22}{speed['median']:9,.0f} {range_text:19}"
        f"{cells(summary['latencies_ms'], {'p50': 8, 'p99': 8}, 2)}"
        f"{cells(summary['cpu_us'], {'leader': 7, 'follower': 6, 'generator': 6}, 0)}{entries:>9}"
        f"{cells(summary['memory_mib'], {'leader': 7, 'follower': 6}, 0)}"
        f"  {ratio_text}{' ERRORS: ' + str(summary['errors']) if summary['errors'] else ''}"
    )


def name_of(summary: dict[str, Any]) -> str:
    """The system, and how many messages wait if it is about queues."""
    is_of_queue = summary["load"] not in LOADS_OF_LOCKS
    return f"{summary['system']}, {summary['waiting']:,} waiting" if is_of_queue else summary["system"]


LOADS_OF_LOCKS = ("lock + unlock", "hand-on")


def plot(path: Path, summaries: list[dict[str, Any]]) -> None:
    """Operations per second of each load: a bar for each system or length, with what it was compared with beside it."""
    headings = sorted(dict.fromkeys(map(heading_of, summaries)))
    figure, (axis,) = new_figure(1)
    figure.set_figheight(1.2 + 0.6 * len(headings))
    for position, heading in enumerate(headings):
        group = [summary for summary in summaries if heading_of(summary) == heading]
        height = 0.8 / len(group)
        for number, summary in enumerate(group):
            speed = summary["per_second"]
            place = position + (number - (len(group) - 1) / 2) * height
            axis.barh(
                place, speed["median"], height,
                xerr=[[speed["median"] - speed["lowest"]], [speed["highest"] - speed["median"]]],
                color=COLORS[summary["system"]], hatch="//" if summary["waiting"] else "", edgecolor="white", capsize=2,
            )  # fmt: skip
            axis.annotate(
                f" {name_of(summary)}: {speed['median']:,.0f}",
                (speed["highest"], place),
                fontsize="small",
                va="center",
            )
    axis.set_yticks(range(len(headings)), headings)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlim(right=8 * max((summary["per_second"]["highest"] for summary in summaries), default=1))
    axis.set_xlabel("operations / s")
    axis.grid(visible=True, axis="x", alpha=0.3)
    save_figure(figure, path, "queues and locks: medians of the rounds, lowest and highest")
