"""docs/demos.md: how each demonstration went once. `python -m tests.e2e.demo_documentation` plays them and writes it.

The test beside it compares the page with the tables of steps, and plays nothing.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.demo.plays import DEMOS
from cli.demo.steps import Demo
from tests.e2e.cluster import ROOT

TARGET = ROOT / "docs" / "demos.md"
COLUMNS = 100
SEED = 1
HEAD = """# The demonstrations, as they went once

`raftdb demo NAME` plays a classic demonstration on a real cluster of processes on this machine: each step is said in a
sentence, its command is shown, its result is compared with what is expected, and beside it stands who asked for votes
and who won. At the end is a verdict, and the exit code is 1 if a step was not as expected.

* `raftdb demo` lists them. `--step` waits for Enter before each step, `--nodes N` takes another number of nodes.
* `--network "delay 300ms loss 10%"` plays over another network ([network.md](network.md)), `--network none` over none.
* `sudo raftdb demo NAME --namespaces` gives each node an address of its own, in a network namespace on a bridge, where
  `ping`, `tcpdump` and `tc` work as between computers; `ip netns list` has their names.
* `--record FILE` writes a recording that `asciinema play FILE` shows.
* The address in the first lines is that of the pages, where the same can be watched in a browser.

This page is made of the output of a run (`python -m tests.e2e.demo_documentation`). Who is elected, terms, times and
addresses differ from run to run; the sentences and what is expected do not.
"""


def section(demo: Demo) -> Iterator[str]:
    """Play one, and tell how it went. Raises RuntimeError if it was not as expected."""
    command = ["demo", demo.name, "--seed", str(SEED)]
    done = subprocess.run(
        [sys.executable, "-m", "raftdb", *command],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{demo.name} has ended with {done.returncode}:\n{done.stdout}")
    yield f"\n## {demo.name}\n\n{demo.summary[0].upper()}{demo.summary[1:]}.\n\n"
    yield f"```text\n$ raftdb {' '.join(command[:2])}\n{done.stdout.rstrip()}\n```\n"


def sentence_pattern(text: str) -> str:
    """What a sentence with names of nodes looks like on the page, where it may go over several lines."""
    words = (re.escape(word) for word in re.sub(r"<[^>]*>", "\0", text).split())
    return r"\s+".join(word.replace("\0", r"\S+") for word in words)


def page_of(target: Path = TARGET) -> str:
    """The page as it is."""
    return target.read_text(encoding="utf-8")


def main() -> None:
    """Play all, and write the page."""
    TARGET.write_text(HEAD + "".join("".join(section(demo)) for demo in DEMOS.values()), encoding="utf-8")


if __name__ == "__main__":
    main()
