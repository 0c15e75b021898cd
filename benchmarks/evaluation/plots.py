"""The plots beside the report, with matplotlib, which is loaded only here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.evaluation.report import HEADINGS, size
from benchmarks.report import new_figure, save_figure


def draw(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> list[str]:
    """Draw what can be drawn; returns the names of the parts that have a plot."""
    drawn = [name for name in parts if name in DRAWINGS]
    for name in drawn:
        figure = DRAWINGS[name](parts[name])
        save_figure(figure, folder / f"{name}.png", HEADINGS[name])
    return drawn


def _members(figures: Mapping[str, Any]) -> Any:
    figure, (axis,) = new_figure(1)
    counts = figures["per_second"]
    axis.step(range(len(counts)), counts, where="post")
    for place, change in enumerate(figures["changes"]):
        axis.axvline(
            change["begin_s"], color="tab:red" if change["what"].startswith("-") else "tab:green", alpha=0.6
        )
        # Changes may follow each other at once: their names stand at different heights.
        height = max(counts, default=1) * (1 - 0.12 * (place % 3))
        axis.text(change["begin_s"], height, change["what"], va="top", ha="right")
    axis.set_xlabel("seconds")
    axis.set_ylabel("writes answered a second")
    axis.set_ylim(bottom=0)
    return figure


def _amounts(figures: Mapping[str, Any]) -> Any:
    figure, axes = new_figure(2)
    names = {"write_s": "write", "catch_up_s": "catch up", "recover_s": "recover"}
    for axis, parts, label in (
        (axes[0], names, "seconds"),
        (axes[1], {"memory_mib": "memory", "disk_mib": "disk"}, "MiB"),
    ):
        for style, value_bytes in zip(
            "osD^v", sorted({row["value_bytes"] for row in figures["rows"]}), strict=False
        ):
            rows = [row for row in figures["rows"] if row["value_bytes"] == value_bytes]
            total = [max(row["items"] * value_bytes, 1) / (1 << 20) for row in rows]
            for colour, (part, name) in zip(
                ("tab:blue", "tab:orange", "tab:green"), parts.items(), strict=False
            ):
                values = [max(row[part], 1e-3) for row in rows]
                axis.plot(total, values, marker=style, color=colour, label=f"{name}, {size(value_bytes)}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("MiB of values")
        axis.set_ylabel(label)
        axis.legend(fontsize=7, ncols=2)
    return figure


def _failover(figures: Mapping[str, Any]) -> Any:
    figure, (axis,) = new_figure(1)
    _cumulative(axis, figures["seconds"], "as it is")
    return figure


def _networks(figures: Mapping[str, Any]) -> Any:
    figure, (axis,) = new_figure(1)
    for name, row in figures.items():
        _cumulative(axis, row["failover"]["seconds"], name)
    axis.legend()
    return figure


def _cumulative(axis: Any, seconds: list[float], label: str) -> None:
    ascending = sorted(seconds)
    shares = [(place + 1) / len(ascending) for place in range(len(ascending))]
    axis.step([0.0, *ascending], [0.0, *shares], where="post", label=label)
    axis.set_xlabel("seconds without a leader")
    axis.set_ylabel("share of the kills")
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.02)


DRAWINGS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "members": _members,
    "amounts": _amounts,
    "failover": _failover,
    "networks": _networks,
}
