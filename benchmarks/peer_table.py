"""What `peers.py` makes of its rows: medians of the rounds, ratios with their spread, a table and a plot."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.report import Report, new_figure, save_figure

COLORS = {
    "raftdb": "tab:blue",
    "uncompacted": "tab:cyan",
    "compacting": "tab:purple",
    "etcd": "tab:orange",
    "redis": "tab:red",
}
"""All systems, in the order of the table."""
COMPARED = {"raftdb": ("etcd", "redis"), "compacting": ("uncompacted",)}
"""To which others the rows of a system have ratios."""
HATCHES = ("", "//", "..", "xx")
"""Of the generators of one system."""


class Row(NamedTuple):
    """What one generator found in one round. Figures per operation are by role: leader, follower, generator."""

    round: int
    command: str
    connections: int
    depth: int
    system: str
    protocol: str
    generator: str
    keys: str
    per_second: float
    latencies_ms: dict[str, float]
    errors: dict[str, int]
    cpu_us: dict[str, float]
    memory_mib: dict[str, float]
    written_bytes: dict[str, float]


def spread(values: list[float]) -> dict[str, float]:
    """The median of some values, the lowest and the highest."""
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


def medians(values: list[dict[str, float]]) -> dict[str, float]:
    """The median under each name."""
    return {name: median(value[name] for value in values) for name in values[0]}


def summarize(rows: list[Row]) -> list[dict[str, Any]]:
    """One summary for all rounds of each row, in the order of commands and shapes; those of raftdb have ratios."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row[1:8], []).append(row)
    # The turn of the systems changes from round to round, and the order of the table does not.
    systems = list(COLORS)
    order = sorted(
        groups, key=lambda key: (key[0] != "set", key[2], key[1], systems.index(str(key[3])), key[4:])
    )
    summaries = []
    for key in order:
        group = groups[key]
        first = group[0]
        summaries.append(
            {
                **dict(zip(Row._fields[1:8], key, strict=True)),
                "rounds": len(group),
                "per_second": spread([row.per_second for row in group]),
                "latencies_ms": medians([row.latencies_ms for row in group]),
                "cpu_us": medians([row.cpu_us for row in group]),
                "memory_mib": medians([row.memory_mib for row in group]),
                "written_bytes": medians([row.written_bytes for row in group]),
                "errors": sum(sum(row.errors.values()) for row in group),
                "ratios": ratios(group, rows, COMPARED.get(first.system, ())),
            }
        )
    return summaries


def ratios(group: list[Row], rows: list[Row], systems: Sequence[str]) -> dict[str, dict[str, float]]:
    """How many times as fast as each other system: within one round, and the fastest of the other's rows there; of
    raftdb's, that of the same generator at the same port."""
    found = {}
    for system in systems:
        values = []
        for row in group:
            others = [
                other.per_second
                for other in rows
                if other.system == system
                and (other.round, *other[1:4]) == (row.round, *row[1:4])
                and (system in ("etcd", "redis") or other[5:8] == row[5:8])
            ]
            if others:
                values.append(row.per_second / max(others))
        if values:
            found[system] = spread(values)
    return found


def shape_of(summary: dict[str, Any]) -> str:
    """The shape of a load, in words."""
    connections = "1 connection" if summary["connections"] == 1 else f"{summary['connections']} connections"
    return connections if summary["depth"] == 1 else f"{connections}, {summary['depth']} deep"


def tell(report: Report, summaries: list[dict[str, Any]]) -> None:
    """The table: a heading for each command and shape, and a line for each row there."""
    report.say(
        "\nmedians of the rounds [lowest to highest]; l, f, g: leader, follower, generator; cpu in us and disk in"
        "\nbytes, both for each operation; mem in MiB"
    )
    heading = ""
    for summary in summaries:
        this = f"{summary['command']}, {shape_of(summary)}"
        if this != heading:
            heading = this
            report.say(
                f"\n{this}\n  {'system':12}{'port':6}{'generator':16}{'keys':10}{'per s':>9} {'':19}"
                f"{'p50 ms':>8}{'p99 ms':>8}{'cpu l':>7}{'f':>6}{'g':>6}{'mem l':>7}{'f':>6}{'disk l':>8}{'f':>7}"
                "  times as fast as"
            )
        report.say(line_of(summary))


def line_of(summary: dict[str, Any]) -> str:
    """One line of the table."""
    speed, cpu, memory = summary["per_second"], summary["cpu_us"], summary["memory_mib"]
    range_text = f"[{speed['lowest']:,.0f} to {speed['highest']:,.0f}]"
    ratio_texts = [
        f"{system} {ratio['median']:.2f} [{ratio['lowest']:.2f} to {ratio['highest']:.2f}]"
        for system, ratio in summary["ratios"].items()
    ]
    return (
        f"  {summary['system']:12}{summary['protocol']:6}{summary['generator']:16}{summary['keys']:10}"
        f"{speed['median']:9,.0f} {range_text:19}"
        f"{cells(summary['latencies_ms'], {'p50': 8, 'p99': 8}, 2)}"
        f"{cells(cpu, {'leader': 7, 'follower': 6, 'generator': 6}, 0)}"
        f"{cells(memory, {'leader': 7, 'follower': 6}, 0)}"
        f"{cells(summary['written_bytes'], {'leader': 8, 'follower': 7}, 0)}"
        f"  {'; '.join(ratio_texts)}{' ERRORS: ' + str(summary['errors']) if summary['errors'] else ''}"
    )


def cells(values: dict[str, float], widths: dict[str, int], digits: int) -> str:
    """Figures in columns, with a dash for what there is not."""
    return "".join(
        f"{values[name]:{width}.{digits}f}" if name in values else f"{'-':>{width}}"
        for name, width in widths.items()
    )


def plot(path: Path, summaries: list[dict[str, Any]]) -> None:
    """Operations per second, on a logarithmic scale: a plot for each command, a group of bars for each shape."""
    commands = list(dict.fromkeys(summary["command"] for summary in summaries))
    kinds = list(
        dict.fromkeys((summary["system"], summary["protocol"], summary["generator"]) for summary in summaries)
    )
    figure, axes = new_figure(len(commands) or 1)
    for axis, command in zip(axes, commands, strict=False):
        of_command = [summary for summary in summaries if summary["command"] == command]
        shapes = list(dict.fromkeys(shape_of(summary) for summary in of_command))
        width = 0.8 / len(kinds)
        for number, kind in enumerate(kinds):
            mine = [
                summary
                for summary in of_command
                if (summary["system"], summary["protocol"], summary["generator"]) == kind
            ]
            speeds = [summary["per_second"] for summary in mine]
            same_system = [other for other in kinds if other[0] == kind[0]]
            axis.bar(
                [shapes.index(shape_of(summary)) + (number - (len(kinds) - 1) / 2) * width for summary in mine],
                [speed["median"] for speed in speeds],
                width,
                yerr=[
                    [speed["median"] - speed["lowest"] for speed in speeds],
                    [speed["highest"] - speed["median"] for speed in speeds],
                ],
                color=COLORS[kind[0]], hatch=HATCHES[same_system.index(kind)], edgecolor="white", capsize=2,
                label=f"{kind[0]}, {kind[1]}: {kind[2]}",
            )  # fmt: skip
        axis.set_yscale("log")
        axis.set_xticks(range(len(shapes)), shapes)
        axis.set_ylabel(f"{command} / s")
        axis.grid(visible=True, axis="y", alpha=0.3)
    # Above the plot: inside it would hide bars.
    axes[0].legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save_figure(figure, path, "operations per second: medians of the rounds, lowest and highest")
