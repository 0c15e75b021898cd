"""`raftdb up` with nodes that are real: how all of it ends when something signals all of it at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster import ROOT, STOP_LIMIT_S, clean_environment, run_cli
from tests.e2e.waiting import wait_for


@contextmanager
def up(folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`raftdb up --no-shell` of two nodes, once it serves; all that it and its nodes say goes to `log`."""
    command = [sys.executable, "-m", "raftdb", "up", "--no-shell", "--nodes", "2", "--data", str(folder)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=stream, stderr=stream)
    try:
        wait_for(lambda: "leader\n" in log.read_text() or process.poll() is not None, "the cluster to serve")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        nodes = node_pids(folder)
        process.kill()
        process.wait()
        for pid in filter(is_alive, nodes):
            os.kill(pid, signal.SIGKILL)


def node_pids(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(folder.glob("n?.pid"))]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_signal_to_all_processes_of_a_unit_is_one_wish_to_stop(tmp_path: Path) -> None:
    """As systemd stops a unit: each node is told twice within a moment, once by `up`, and still ends in order."""
    folder, log = tmp_path / "local", tmp_path / "log"
    with up(folder, log) as process:
        nodes = node_pids(folder)
        assert len(nodes) == 2
        for pid in (*nodes, process.pid):
            os.kill(pid, signal.SIGTERM)
        assert process.wait(STOP_LIMIT_S) == 0
    said = log.read_text()
    for node in ("n1", "n2"):
        assert f"{node} stopping signal=SIGTERM\n" in said
        assert f"{node} stopped\n" in said, "and was not ended at once by the second signal"
    assert f"stopped; the data stays in {folder}\n" in said
    assert not any(is_alive(pid) for pid in nodes)
    assert node_pids(folder) == []


def test_a_node_is_added_and_one_removed_and_the_cluster_is_the_same_when_it_starts_again(
    tmp_path: Path,
) -> None:
    """Removed is one that the cluster began with; the first node of the next start is one that knows it is gone."""
    folder = tmp_path / "local"
    first = run_cli(
        "up", "--nodes", "2", "--data", str(folder), text="set a 1\n.add\n.remove n1\nappend a 2\n"
    )
    assert first.returncode == 0, first
    assert first.stdout.splitlines()[-2:] == ["n1 was stopped, and its data deleted", "OK"]
    assert "n1" not in [path.name for path in folder.iterdir()]
    again = run_cli("up", "--data", str(folder), text="get a\n.members\n.add n1\n")
    value, *members = again.stdout.splitlines()
    assert value == "12"
    assert [line.split()[0] for line in members] == ["n2", "n3"]
    assert "n1 was used before" in again.stderr
    assert again.returncode == 2
