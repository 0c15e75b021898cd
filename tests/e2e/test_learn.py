"""`raftdb learn` as a person starts it: the pages and lessons without a node, a lesson of one's own, a recorded run."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

LESSON = "title My own\nnodes 3\nsay Hello.\nrun until leader\nsay Done.\n"


@contextmanager
def learning(*arguments: str) -> Iterator[str]:
    """The address that it prints; it ends by Ctrl-C, with exit code 0."""
    command = [sys.executable, "-m", "raftdb", "learn", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.match(r"(http://127\.0\.0\.1:\d+)(/learn\S*)", process.stdout.readline())
            assert found is not None
            assert found[2] == ("/learn/own" if arguments else "/learn")
            yield found[1]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def get(url: str) -> bytes:
    with urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def test_the_page_and_its_chapters_need_no_cluster() -> None:
    with learning() as address:
        page = get(f"{address}/learn").decode()
        assert 'data-module="learn"' in page
        assert 'data-module="cluster"' not in page
        assert get(f"{address}/web/pages/learn.js").startswith(b"//")
        assert json.loads(get(f"{address}/v1/lessons/election"))["verdict"] is None


@pytest.mark.parametrize("kind", ["script", "recording"])
def test_a_lesson_of_ones_own_is_played_and_a_run_shown(kind: str, tmp_path: Path) -> None:
    file = tmp_path / ("own.txt" if kind == "script" else "run.json")
    if kind == "script":
        file.write_text(LESSON)
    else:
        command = [sys.executable, "-m", "raftdb", "simulate", "--seed", "1", "--steps", "50"]
        subprocess.run([*command, "--explain", str(file)], check=True, stdout=subprocess.DEVNULL)
    with learning(str(file)) as address:
        recording = json.loads(get(f"{address}/v1/lessons/own"))
    assert len(recording["steps"]) > 3
    assert [mark["text"] for mark in recording["marks"]] == (["Hello.", "Done."] if kind == "script" else [])


def test_a_file_that_is_not_there_is_said() -> None:
    command = [sys.executable, "-m", "raftdb", "learn", "not/there.txt"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "cannot read not/there.txt" in answer.stderr
