"""Nodes that outlived their `up`: they are found by their folder, and ended; nobody else is."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.local import left_over
from cli.local.folder import LocalFolder, NodePlace

Start = Callable[..., subprocess.Popen[bytes]]
PROGRAM = "import signal, sys; {}; print('up', flush=True); signal.pause()"


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    folder = LocalFolder(tmp_path / "local")
    folder.path.mkdir()
    return folder


@pytest.fixture
def nodes(folder: LocalFolder) -> tuple[NodePlace, ...]:
    return folder.create(2)


@pytest.fixture
def start(folder: LocalFolder) -> Iterator[Start]:
    """Starts stand-ins for nodes, which are noted in the folder as `up` does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(node_id: str, data: str, *, first: str = "pass") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(first), "serve", "--id", node_id, "--data", data],
            stdout=subprocess.PIPE,
            cwd=folder.path.parent,
        )
        started.append(process)
        # Its command line is there for certain only once its program runs.
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        folder.write_pid(node_id, process.pid)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_they_are_ended_and_named(folder: LocalFolder, nodes: tuple[NodePlace, ...], start: Start) -> None:
    one, two = start("n1", str(folder.data_path("n1"))), start("n2", "local/n2")
    two.send_signal(signal.SIGSTOP)  # as .pause does
    assert left_over.find(folder, nodes) == {"n1": one.pid, "n2": two.pid}
    told: list[str] = []
    left_over.end(folder, nodes, told.append)
    assert (one.wait(10), two.wait(10)) == (-signal.SIGTERM, -signal.SIGTERM)
    (line,) = told
    assert line.endswith(f"stopped now: n1 (pid {one.pid}), n2 (pid {two.pid})")
    assert left_over.find(folder, nodes) == {}
    left_over.end(folder, nodes, told.append)
    assert len(told) == 1


def test_one_that_does_not_let_itself_be_stopped_is_killed(
    folder: LocalFolder, nodes: tuple[NodePlace, ...], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_over, "STOP_TIMEOUT_S", 0.1)
    stubborn = start("n1", "local/n1", first="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    left_over.end(folder, nodes, lambda line: None)
    assert stubborn.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("data", ["elsewhere/n1", "local/n2", "local"])
def test_a_process_that_has_the_id_of_one_by_chance_is_left_alone(
    folder: LocalFolder, nodes: tuple[NodePlace, ...], start: Start, data: str
) -> None:
    other = start("n1", data)
    assert left_over.find(folder, nodes) == {}
    left_over.end(folder, nodes, pytest.fail)
    assert other.poll() is None


@pytest.mark.parametrize("noted", ["", "x", "0", "-1", "99999999999999999999"])
def test_a_note_that_means_no_process_is_none(
    folder: LocalFolder, nodes: tuple[NodePlace, ...], noted: str
) -> None:
    (folder.path / "n1.pid").write_text(noted)
    assert left_over.find(folder, nodes) == {}
