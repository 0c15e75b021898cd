"""`raftdb torture` with nodes that are real: a short run in which all is well, and one with a bug in the nodes."""

import json
import os
from pathlib import Path

import pytest

from cli.main import run

SHORT = ["torture", "--minutes", "0.08", "--nodes", "3"]

LOSES_WRITES = """
import sys

if "serve" in sys.orig_argv:
    from raftdb.machine import machine
    from raftdb.machine.layer import Layer

    plain = machine.Machine.apply

    def apply(self, index, term, data, layer):
        # What some entries do is lost, and answered as if it were not.
        return plain(self, index, term, data, Layer(layer) if index % 20 == 0 else layer)

    machine.Machine.apply = apply
"""
"""Runs in every node before raftdb does."""


def test_a_short_run_finds_nothing_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SHORT, "--seed", "1", "--data", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "verdict: no promise was broken" in told.out
    assert "states: on the disks of all" in told.out
    assert "of 0:04: " in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_bug_in_the_nodes_is_found_and_everything_is_there_to_look_into_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOSES_WRITES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert run([*SHORT, "--seed", "2", "--data", str(tmp_path / "runs")]) == 1
    told = capsys.readouterr().out
    assert "found\n" in told
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"everything needed to look into it is in {folder}" in told
    assert {path.name for path in folder.iterdir()} == {
        "histories",
        "nemesis.log",
        "nodes",
        "problems.txt",
        "run.json",
        "verdict.txt",
        "violations.jsonl",
    }
    assert json.loads((folder / "run.json").read_text())["seed"] == 2
    found = {line.partition(": ")[0] for line in (folder / "problems.txt").read_text().splitlines()}
    assert found & {"registers", "lists", "bank", "queue", "locks"}
    assert (folder / "histories" / "round-1-registers.jsonl").stat().st_size > 0
    assert (folder / "nodes" / "n1.log").stat().st_size > 0
