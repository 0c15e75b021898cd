"""The common parts of reports: options, a head with the machine, JSON and plots.

A plot needs matplotlib (`pip install 'raftdb[bench]'`), which only `new_figure` imports.
"""

import argparse
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import command_to_repeat, describe_machine, measure_sync


def add_common_options(parser: argparse.ArgumentParser, *, plots: bool = True) -> None:
    """Add the options of every benchmark of a cluster; `plots`: its result can be drawn."""
    parser.add_argument("--seed", type=int, default=1, help="of keys and values")
    parser.add_argument("--data", type=Path, help="where the temporary folder is made: the disk to measure")
    parser.add_argument("--log-level", default="info", help="of the nodes; their logs go to files")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    if plots:
        parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the result; needs matplotlib")
    else:
        parser.set_defaults(plot=None)


class Report:
    """The output of a benchmark: lines for people while it runs, or one JSON object at the end."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """Measure the disk of `folder` and print the head. Ends the program if a plot cannot be drawn."""
        if options.plot is not None and find_spec("matplotlib") is None:
            raise SystemExit("--plot needs matplotlib: pip install 'raftdb[bench]'")
        self._options = options
        self._head: dict[str, Any] = {
            "command": command_to_repeat(),
            "machine": describe_machine(),
            "sync": measure_sync(folder),
            "seed": options.seed,
            "load_average": os.getloadavg()[0],
        }
        sync = self._head["sync"]
        self.say(", ".join(f"{name} {value}" for name, value in self._head["machine"].items()))
        self.say(
            f"fdatasync of 4 KiB appended: median {sync['median_ms']:.3f} ms, p99 {sync['p99_ms']:.3f} ms; "
            f"load average {self._head['load_average']:.1f} before; seed {options.seed}"
        )
        self.say(f"repeat with: {self._head['command']}\n")

    def say(self, line: str) -> None:
        """Print a line for people, unless the output is JSON."""
        if not self._options.json:
            print(line, flush=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Print the JSON object, if the output is JSON."""
        if self._options.json:
            print(json.dumps({**self._head, **result}, indent=2))


def new_figure(rows: int) -> tuple[Any, list[Any]]:
    """A figure with `rows` plots, one below the other, for `save_figure`."""
    # matplotlib belongs to the extra `bench`, which is not installed for the checks.
    import matplotlib as mpl  # pyright: ignore[reportMissingImports]

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]

    figure, axes = plt.subplots(rows, 1, figsize=(11, 3.2 * rows + 0.6), squeeze=False)
    return figure, [row[0] for row in axes]


def save_figure(figure: Any, path: Path, title: str) -> None:
    """Write the figure to `path`."""
    # The title's place is in inches from the top, because a share of the height is too much of a tall figure.
    inch = 1 / figure.get_figheight()
    figure.suptitle(title, y=1 - 0.1 * inch)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.1 * inch))
    figure.savefig(path, dpi=110)
