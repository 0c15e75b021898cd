"""`raftdb simulate` as a person calls it."""

from pathlib import Path

import pytest

from cli.main import run


def test_a_seed_is_told_and_its_trace_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace"
    assert run(["simulate", "--seed", "7", "--nodes", "3", "--steps", "500", "--explain", str(trace)]) == 0
    story = capsys.readouterr().out
    assert story.startswith("seed 7: 3 nodes, 500 steps")
    assert "every check held" in story
    assert "verdict: every check held" in trace.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nodes", "16"], "at most 15 nodes"),
        (["--steps", "0"], "not a whole number above 0"),
        (["--seed", "x"], "'x' is not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_trace_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--seed", "1", "--steps", "10", "--explain", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err
