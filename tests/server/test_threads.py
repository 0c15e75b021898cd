"""A node that gets too few threads says so before it begins: the event loop's library would end it without a word."""

import threading
from pathlib import Path

import pytest

from raftdb.errors import Fatal
from raftdb.server.bootstrap import run_node
from raftdb.server.config import Settings
from raftdb.server.threads import THREADS_MIN, check_threads


def limited(monkeypatch: pytest.MonkeyPatch, allowed: int) -> list[threading.Thread]:
    """The threads that are started from now on, up to `allowed`."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def counted(thread: threading.Thread) -> None:
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    return started


@pytest.mark.parametrize("allowed", [0, 1, THREADS_MIN - 1])
def test_too_few_threads_are_said_before_the_folder_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: int
) -> None:
    started = limited(monkeypatch, allowed)
    with pytest.raises(
        Fatal, match=f"may start {allowed} threads, and a node needs {THREADS_MIN}"
    ) as refused:
        run_node(Settings(data=tmp_path / "data"))
    assert refused.value.exit_code == 7
    assert "TasksMax" in (refused.value.hint or "")
    assert not (tmp_path / "data").exists()
    assert not any(thread.is_alive() for thread in started)


def test_enough_threads_are_let_go_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started = limited(monkeypatch, THREADS_MIN)
    check_threads()
    assert len(started) == THREADS_MIN
    assert not any(thread.is_alive() for thread in started)
