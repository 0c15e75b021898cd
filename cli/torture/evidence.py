"""The folder of a run: all that is needed to look into what it found.

run.json              seed, command, versions, machine, settings of the nodes
nemesis.log           what was done to the nodes, and when
nodes/                a folder of `raftdb up`: the nodes' logs and data folders
histories/            what the clients did, a file for each round and workload in which something was wrong
violations.jsonl      the smallest part of a history found that shows each problem
problems.txt          all problems
verdict.txt           the verdict, as it was printed
"""

import json
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli import RAFTDB_VERSION
from cli.console.failures import EXIT_FAILED, CommandError, reason
from cli.torture.verdict import Verdict, problem_texts
from cli.torture.workload import Workload
from raftdb.ownership import make_folder_for_owner


class Evidence:
    """See the module."""

    def __init__(self, parent: Path, seed: int) -> None:
        """Make a new folder in `parent`, named after the time and the seed. Raises `CommandError`."""
        self.path = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed-{seed}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            make_folder_for_owner(self.path)
        except OSError as error:
            raise CommandError(
                "torture", f"cannot make the folder {self.path}: {reason(error)}", exit_code=EXIT_FAILED
            ) from error

    @property
    def nodes(self) -> Path:
        """The folder of the nodes."""
        return self.path / "nodes"

    @property
    def nemesis_log(self) -> Path:
        """The file of what was done to them."""
        return self.path / "nemesis.log"

    def describe(self, settings: Mapping[str, Any]) -> None:
        """Write down what this run is."""
        content = {
            "command": sys.argv,
            **settings,
            "raftdb": RAFTDB_VERSION,
            "python": sys.version,
            "machine": platform.platform(),
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write("run.json", json.dumps(content, indent=2) + "\n")

    def keep_histories(self, number: int, workloads: Sequence[Workload]) -> None:
        """Write the histories of a round."""
        (self.path / "histories").mkdir(exist_ok=True)
        for workload in workloads:
            lines = "".join(json.dumps(line) + "\n" for line in workload.history())
            self._write(f"histories/round-{number}-{workload.name}.jsonl", lines)

    def conclude(self, verdict: Verdict) -> None:
        """Write what was found."""
        self._write("verdict.txt", "\n".join(verdict.lines()) + "\n")
        if verdict.is_clean:
            return
        self._write("problems.txt", problem_texts(verdict.problems))
        parts = [
            json.dumps({"problem": problem.text, "operations": list(problem.part)}) + "\n"
            for problem in verdict.problems
            if problem.part
        ]
        self._write("violations.jsonl", "".join(parts))

    def remove(self) -> None:
        """Delete the folder: nothing was found."""
        shutil.rmtree(self.path)

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")
