"""Plots as pictures, with matplotlib, if that is there."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.evaluation.document import Panel, Plot
from benchmarks.report import new_figure, save_figure


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(plot: Plot, folder: Path) -> None:
    """Write the picture into the folder."""
    figure, axes = new_figure(len(plot.panels))
    for axis, panel in zip(axes, plot.panels, strict=True):
        _draw_panel(axis, panel)
    save_figure(figure, folder / f"{plot.name}.png", plot.title)


def decades(smallest: float, largest: float) -> tuple[float, float]:
    """The powers of ten around positive values, with some room beside them, so that an axis has at least two labels."""
    first, last = math.floor(math.log10(smallest)), math.ceil(math.log10(largest))
    return 0.8 * 10.0**first, 1.25 * 10.0 ** max(last, first + 1)


def _draw_panel(axis: Any, panel: Panel) -> None:
    for series in panel.series:
        xs, ys = [x for x, _ in series.points], [y for _, y in series.points]
        more = {"drawstyle": "steps-post"} if panel.steps else {}
        axis.plot(xs, ys, series.style, label=series.label, markersize=4, linewidth=1.3, **more)
    for place, letter in enumerate("xy"):
        values = [point[place] for series in panel.series for point in series.points if point[place] > 0]
        if letter in panel.logarithmic and values:
            getattr(axis, f"set_{letter}scale")("log")
            getattr(axis, f"set_{letter}lim")(*decades(min(values), max(values)))
            getattr(axis, f"{letter}axis").set_major_formatter("{x:,.10g}")
    if "x" not in panel.logarithmic:
        axis.set_xlim(left=0)
    if "y" not in panel.logarithmic:
        axis.set_ylim(bottom=0)
        axis.yaxis.get_major_locator().set_params(integer=True)
    for moment, words in panel.marks:
        axis.axvline(moment, color="grey", linewidth=0.7, linestyle=":")
        axis.annotate(
            words,
            (moment, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -3),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize=7,
            color="grey",
        )
    axis.set_xlabel(panel.x)
    axis.set_ylabel(panel.y)
    axis.grid(alpha=0.3)
    if len(panel.series) > 1:
        axis.legend(fontsize=8)
