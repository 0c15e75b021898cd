"""Nodes that start as copies of a process (`tests.e2e.forked`) are what nodes are that start as programs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, Cluster, Node, clean_environment
from tests.e2e.waiting import wait_for

KINDS = {"copy": False, "program": True}
STATUS = ("Umask", "Uid", "Gid", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp", "Threads")
"""Lines of /proc/PID/status that say what a process may do and how it takes signals."""
STARTS_ONE_AND_WAITS = """
import sys
from pathlib import Path
from tests.e2e.cluster import Cluster
node = Cluster(Path(sys.argv[1]), ["n1"])["n1"]
node.start()
print(node.pid, flush=True)
node.wait_exit(1000)
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """A copy and a program, each a cluster of one; not started."""
    clusters = {kind: Cluster(tmp_path / kind, ["n1"], as_programs=is_one) for kind, is_one in KINDS.items()}
    yield {kind: cluster["n1"] for kind, cluster in clusters.items()}
    for cluster in clusters.values():
        cluster.close()


def seen_by_the_system(node: Node) -> dict[str, object]:
    process = Path(f"/proc/{node.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    files = {int(file.name): os.readlink(file) for file in (process / "fd").iterdir()}
    return {
        **{name: status[name] for name in STATUS},
        "limits": (process / "limits").read_text(),
        "folder": os.readlink(process / "cwd"),
        "group": os.getpgid(node.pid),
        "session": os.getsid(node.pid),
        "priority": os.getpriority(os.PRIO_PROCESS, node.pid),
        "files": len(files),
        "streams": [files[number].replace(str(node.log), "its log") for number in range(3)],
    }


def test_the_system_sees_no_difference(nodes: dict[str, Node]) -> None:
    for node in nodes.values():
        node.start()
        wait_for(lambda node=node: " ready" in node.log_text(), f"{node.name} to be ready")  # type: ignore[misc]
    copy = seen_by_the_system(nodes["copy"])
    assert copy == seen_by_the_system(nodes["program"])
    assert copy["streams"] == ["/dev/null", "its log", "its log"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--no-such-flag"], 2),
        (["--id", "n1", "--listen", "nowhere"], 2),
        (["--help"], 0),
        (["--id", "n1", "--listen", "127.0.0.1:1", "--data", "/dev/null/data"], 4),
    ],
)
def test_they_end_with_the_same_words_and_code(
    nodes: dict[str, Node], arguments: list[str], code: int
) -> None:
    ends = {kind: node.run_to_exit(arguments=arguments) for kind, node in nodes.items()}
    assert ends["copy"] == ends["program"]
    assert ends["copy"][0] == code, ends["copy"][1]


def test_their_ends_are_told_apart(nodes: dict[str, Node]) -> None:
    for node in nodes.values():
        node.start()
        node.status()
        node.kill9()
        assert node.process is not None
        assert node.process.returncode == -signal.SIGKILL
        node.start()
        node.status()
        assert node.stop() == 0
        assert not Path(f"/proc/{node.pid}").exists()


def test_nodes_of_a_cluster_are_copies_of_several_processes(tmp_path: Path) -> None:
    """So that they do not all iterate over sets in the same order."""
    cluster = Cluster(tmp_path, ["n1", "n2", "n3"])
    try:
        cluster.start()
        parents = {
            Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[1] for node in cluster
        }
        assert len(parents) == 3
    finally:
        cluster.close()


def test_a_copy_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_ONE_AND_WAITS, str(tmp_path)]
    environment = clean_environment({"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        copy = Path("/proc", asking.stdout.readline().strip())
        assert (copy / "status").exists()
        asking.kill()
    wait_for(lambda: not copy.exists(), "the copy to be gone")
