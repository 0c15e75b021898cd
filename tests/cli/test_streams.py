"""Standard streams that are closed when a program begins: nothing of ours takes their numbers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_node import FakeCluster

SHOWN = """
import os, sys
from raftdb.__main__ import main
code = main(["help"])
first = os.open(sys.argv[0], os.O_RDONLY)
opened = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
with open(sys.argv[1], "w") as result:
    print(code, first > 2, *opened, file=result)
"""


def in_shell(command: list[str], redirections: str) -> subprocess.CompletedProcess[str]:
    """Run `command` with redirections, as /bin/sh understands them."""
    shell = ["/bin/sh", "-c", f'"$@" {redirections}', "sh", *command]
    return subprocess.run(shell, check=False, capture_output=True, input="", text=True, timeout=60)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2), (0, 2)])
def test_a_closed_stream_is_the_null_device(tmp_path: Path, closed: tuple[int, ...]) -> None:
    program, result = tmp_path / "program.py", tmp_path / "result"
    program.write_text(SHOWN)
    redirections = " ".join(f"{number}>&-" for number in closed)
    ended = in_shell([sys.executable, str(program), str(result)], redirections)
    code, is_higher, *opened = result.read_text().split()
    assert (ended.returncode, code, is_higher) == (0, "0", "True")
    assert [number for number in range(3) if opened[number] == "/dev/null"] == list(closed)


def raftdb(cluster: FakeCluster, redirections: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raftdb", "--connect", cluster.addresses, "--timeout", "5", *arguments]
    return in_shell(command, redirections)


def test_commands_work_with_closed_streams(cluster: FakeCluster) -> None:
    """What is written where nobody listens is discarded, and what is read there has ended."""
    done = raftdb(cluster, ">&-", "set", "k", "v")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert raftdb(cluster, "", "get", "k").stdout == "v\n"
    done = raftdb(cluster, "<&-", "shell")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = raftdb(cluster, "2>&-", "nosuchcommand")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_backup_for_nobody_is_refused(cluster: FakeCluster) -> None:
    done = raftdb(cluster, ">&-", "backup", "-")
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr
