"""Transactions typed into the shell of a real cluster, whose leader dies at the worst moment."""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import ROOT, Cluster, clean_environment, run_cli
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

LIMIT_S = 60.0


class Script:
    """`raftdb shell` that is fed line by line, as by a program that talks to it."""

    def __init__(self, cluster: Cluster) -> None:
        connect = ["--connect", ",".join(cluster.addresses), "--timeout", "30", "-o", "table"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "raftdb", "shell", *connect],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def type(self, line: str) -> str:
        """The first line of the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._lines.get(timeout=LIMIT_S)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was said on stderr."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.close()
        errors = self._process.stderr.read()
        return self._process.wait(LIMIT_S), errors

    def close(self) -> None:
        """End the process if it is still there, and leave nothing open."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    return new_cluster(3).start()


@pytest.fixture
def script(cluster: Cluster) -> Iterator[Script]:
    script = Script(cluster)
    yield script
    script.close()


def get(cluster: Cluster, key: str) -> str:
    return run_cli("--connect", ",".join(cluster.addresses), "--timeout", "30", "get", key).stdout.rstrip(
        "\n"
    )


def test_a_transaction_outlives_the_leader_and_happens_once(cluster: Cluster, script: Script) -> None:
    assert script.type("set a 1") == "OK"
    assert script.type("begin") == "OK"
    assert script.type("get a") == '"1"'
    assert script.type("incr a") == "QUEUED"
    old = cluster.leader()
    old.kill9()
    assert script.type("commit").startswith("OK (index ")
    assert script.type("get a") == '"2"'
    assert script.end() == (0, "")
    new = cluster.leader(cluster.running)
    log = new.ask("GET", "/v1/request_log?from=1&limit=1000").json
    commits = [entry for entry in log["entries"] if entry.get("command") == "transaction"]
    assert len(commits) == 1
    assert commits[0]["term"] == new.status()["term"]


def test_a_write_of_another_shell_makes_it_a_conflict_also_then(cluster: Cluster, script: Script) -> None:
    assert [script.type(line) for line in ("set a 1", "begin", "get a", "set a 2")][-1] == "QUEUED"
    cluster.leader().kill9()
    addresses = ",".join(cluster.addresses)
    other = run_cli("shell", "--connect", addresses, "--timeout", "30", "-c", "set a 9")
    assert other.returncode == 0
    assert script.type("commit") == "CONFLICT a"
    code, errors = script.end()
    assert (code, errors.splitlines()[0]) == (
        5,
        "raftdb: error: stdin:5: commit: nothing was changed: a key has changed since it was read",
    )
    assert get(cluster, "a") == "9"


def test_a_watched_key_is_watched_across_leaders(cluster: Cluster, script: Script) -> None:
    """B58"""
    assert [script.type(line) for line in ("set a 1", "watch a", "multi", "set a 2")][-1] == "QUEUED"
    cluster.leader().kill9()
    addresses = ",".join(cluster.addresses)
    again = run_cli("shell", "--connect", addresses, "--timeout", "30", "-c", "del a; set a 1")
    assert again.returncode == 0
    assert script.type("exec") == "(nil)"
    assert script.end()[0] == 5
    assert get(cluster, "a") == "1"


def test_what_expires_changes_a_watched_key(cluster: Cluster, script: Script) -> None:
    """B57"""
    lines = ("set a 1 PX 3000", "watch a", "get a", "multi", "set b 2")
    assert [script.type(line) for line in lines][2:] == ['"1"', "OK", "QUEUED"], (
        "it was gone before it was watched"
    )
    # The entry that ends it is what counts, not the time here.
    wait_for(lambda: not get(cluster, "a"), "the end of a")
    assert script.type("exec") == "(nil)"
    assert get(cluster, "b") == ""
