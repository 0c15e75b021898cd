"""A write or an fsync that fails stops the node at once: code 1 with the cause, and nothing acknowledged is lost.

Two honest ways to make a disk fail without a kernel of one's own (hazards B83, B84):

* `RLIMIT_FSIZE`, set on the running process: LMDB's commit cannot write past it (EFBIG).
* a seccomp filter that answers EIO to fsync and fdatasync (`failing_fsync.py`): every write succeeds, no sync does.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, Cluster, Node, limit_file_size
from tests.e2e.conftest import NewCluster
from tests.e2e.failing_fsync import EXIT_NOT_POSSIBLE
from tests.e2e.load import load_on
from tests.e2e.raw_http import Acked
from tests.e2e.waiting import wait_for

EXIT_FATAL = 1
FILE_BYTES_MAX = 256 * 1024
"""Less than the log needs for a second of load. The file may be longer already: what counts is where is written."""
FAILING_FSYNC = "tests.e2e.failing_fsync"


def assert_stopped_for(node: Node, *causes: str) -> None:
    """The node ends with code 1, and says what failed and why in one line."""
    assert node.wait_exit(60.0) == EXIT_FATAL, node.log_tail()
    errors = [line for line in node.log_text().splitlines() if line.startswith("raftdb: error: ")]
    assert len(errors) == 1, node.log_tail()
    assert any(cause in errors[0] for cause in causes), errors
    assert "Traceback" not in node.log_text(), node.log_tail()


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_write_that_fails_under_load_stops_the_node(new_cluster: NewCluster, role: str) -> None:
    # The limit is on every file of the process, its log as well: that one must stay the smaller.
    cluster = new_cluster(3).start("--log-level", "warning")
    leader = cluster.leader()
    victim = leader if role == "leader" else cluster.others(leader)[0]
    with load_on(cluster, "d") as load:
        load.wait_for_acks(50)
        limit_file_size(victim, FILE_BYTES_MAX)
        # LMDB says the second if the file took a part of the write.
        assert_stopped_for(victim, "File too large", "Input/output error")
        load.wait_for_acks(50)
    load.check(cluster.client(*cluster.running))
    # The limit went with the process: on a disk that works again the node comes back by itself.
    cluster.start()
    load.check(cluster.client(victim))


@pytest.fixture(scope="module")
def _seccomp() -> None:
    done = subprocess.run([sys.executable, "-m", FAILING_FSYNC, "--check"], cwd=ROOT, check=False)
    if done.returncode == EXIT_NOT_POSSIBLE:
        pytest.skip("this kernel takes no seccomp filter")
    assert done.returncode == 0


def start_on_mortal_disks(cluster: Cluster) -> Cluster:
    """Start all nodes so that `let_disk_die` can end their disks."""
    for node in cluster:
        fifo = node.data.with_suffix(".fifo")
        os.mkfifo(fifo)
        node.start(module=[FAILING_FSYNC, str(fifo)])
    cluster.wait_agreed()
    return cluster


def let_disk_die(node: Node) -> None:
    """From now on no sync of the node succeeds: all its threads are under the filter when this returns."""
    with node.data.with_suffix(".fifo").open("w"):
        pass
    status = Path(f"/proc/{node.pid}/status")
    wait_for(
        lambda: not node.is_running or "Seccomp:\t2" in status.read_text(), f"the disk of {node.name} to die"
    )


@pytest.mark.usefixtures("_seccomp")
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_an_fsync_that_fails_under_load_stops_the_node(new_cluster: NewCluster, role: str) -> None:
    cluster = start_on_mortal_disks(new_cluster(3))
    leader = cluster.leader()
    victim = leader if role == "leader" else cluster.others(leader)[0]
    with load_on(cluster, "y") as load:
        load.wait_for_acks(50)
        let_disk_die(victim)
        assert_stopped_for(victim, "Input/output error")
        load.wait_for_acks(50)
    load.check(cluster.client(*cluster.running))
    cluster.start()
    load.check(cluster.client(victim))


@pytest.mark.usefixtures("_seccomp")
def test_what_no_majority_can_sync_is_never_acknowledged(new_cluster: NewCluster) -> None:
    """Both followers cannot sync: they stop without a promise, and the leader alone acknowledges nothing."""
    cluster = start_on_mortal_disks(new_cluster(3))
    leader = cluster.leader()
    failing = cluster.others(leader)
    client = cluster.client(leader)
    assert client.result("set", "k", "before") == "OK"
    cluster.wait_agreed()
    for node in failing:
        let_disk_die(node)
    assert not isinstance(client.try_execute("set", "k", "unknown"), Acked)
    for node in failing:
        assert_stopped_for(node, "Input/output error")
    wait_for(lambda: leader.status()["role"] != "leader", "the leader to step down")
    assert not isinstance(client.try_execute("set", "k", "refused"), Acked)
    # With their disks in order the nodes come back, and all goes on.
    cluster.start()
    assert client.result("get", "k") in ("before", "unknown")
    assert client.result("set", "k", "after") == "OK"
    assert client.result("get", "k") == "after"
