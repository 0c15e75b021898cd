"""`no_space`: growing writes are refused before the disk is full, all else goes on, and it ends by itself (B84)."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.raw_http import Acked, Outcome, Refused, ask, command_body, outcome_of
from tests.e2e.waiting import wait_for

DISK_BYTES = 80 << 20
LEFT_BYTES = 8 << 20
SHORT_LEFT_BYTES = 12 << 20
FULL_LEFT_BYTES = 6 << 20
LOOKS_SECONDS = 2.5
"""In this time a node looks at its disk twice."""
VALUE = "v" * (512 << 10)
GROWING: tuple[tuple[str, ...], ...] = (
    ("set", "k", "v"),
    ("append", "k", "v"),
    ("incr", "n"),
    ("decr", "n"),
    ("incrby", "n", "2"),
    ("mset", "a", "1"),
)

SERVED: tuple[tuple[str, ...], ...] = (
    ("get", "old"),
    ("del", "old"),
    ("exists", "old"),
    ("ping",),
    ("mget", "old", "k"),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of `DISK_BYTES` of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def attempt(node: Node, *command: str) -> Outcome:
    """One command at this node, tried once."""
    return outcome_of(ask(node.address, "POST", "/v1/execute", command_body(command[0], command[1:])))


def reason(node: Node) -> str | None:
    found: str | None = node.status()["no_space"]
    return found


def assert_growth_refused(node: Node) -> None:
    """All that grows is refused and says so; all else is served."""
    for command in GROWING:
        outcome = attempt(node, *command)
        assert isinstance(outcome, Refused), (command, outcome)
        assert (outcome.status, outcome.code) == (503, "no_space")
    for served in SERVED:
        assert isinstance(attempt(node, *served), Acked), served
    ready = node.ask("GET", "/readyz?verbose")
    assert ready.status == 200
    assert b"[!]space warning: " in ready.body
    wait_for(lambda: "no space: growing writes are refused" in node.log_text(), "the node to say so")


def fill_up(disk: Path, *, left_bytes: int) -> Path:
    """Somebody else's file, which leaves so much of the disk."""
    filler = disk / "filler"
    space = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left_bytes)
    return filler


def with_followers_on(disk: Path, cluster: Cluster, *names: str) -> Node:
    """Start a cluster in which these nodes have their folders on the small disk, and do not lead; who leads."""
    for name in names:
        cluster[name].data = disk / name
        cluster[name].environment["RAFTDB_ELECTION_TIMEOUT_MS"] = "10000"
    cluster.start()
    leader = cluster.leader()
    assert leader.name not in names
    assert isinstance(attempt(leader, "set", "old", "1"), Acked)
    return leader


def on_disk(cluster: Cluster, disk: Path) -> Node:
    """The one node of the cluster, with its folder on the small disk, and started."""
    node = cluster["n1"]
    node.data = disk / "n1"
    cluster.start()
    return node


def test_a_disk_that_others_fill_stops_growth_until_there_is_space_again(
    new_cluster: NewCluster, small_disk: Path
) -> None:
    node = on_disk(new_cluster(1), small_disk)
    assert isinstance(attempt(node, "set", "old", "1"), Acked)
    assert reason(node) is None
    filler = fill_up(small_disk, left_bytes=LEFT_BYTES)
    told = wait_for(lambda: reason(node), "the node to notice")
    assert "disk is nearly full" in told
    assert_growth_refused(node)
    assert node.ask("POST", "/v1/snapshot").status == 200
    filler.unlink()
    wait_for(lambda: reason(node) is None, "the node to notice that there is space")
    assert isinstance(attempt(node, "set", "new", "1"), Acked)
    assert node.ask("GET", "/readyz").body == b"ok\n"
    assert "space again" in node.log_text()
    assert node.stop() == 0


def test_a_disk_that_others_fill_to_the_last_byte_ends_no_node(
    new_cluster: NewCluster, small_disk: Path
) -> None:
    """What would need room, a checkpoint that is to make some included, is refused; reads go on."""
    node = on_disk(new_cluster(1), small_disk)
    assert isinstance(attempt(node, "set", "old", "1"), Acked)
    filler = fill_up(small_disk, left_bytes=0)
    told = wait_for(lambda: reason(node), "the node to notice")
    assert "disk is nearly full" in told
    asked = [attempt(node, "set", "k", "v"), attempt(node, "del", "old")]
    for outcome in (*asked, outcome_of(node.ask("POST", "/v1/snapshot"))):
        assert isinstance(outcome, Refused)
        assert (outcome.status, outcome.code) == (503, "no_space")
    # A node that is short makes a checkpoint by itself, to get space back.
    looked = node.status()["uptime_seconds"] + LOOKS_SECONDS
    wait_for(lambda: node.status()["uptime_seconds"] > looked, "the node to look at its disk again")
    assert isinstance(attempt(node, "get", "old"), Acked)
    filler.unlink()
    wait_for(lambda: reason(node) is None, "the node to notice that there is space")
    assert isinstance(attempt(node, "set", "new", "1"), Acked)
    assert node.stop() == 0


def test_a_disk_that_the_node_itself_fills_is_freed_by_deletes(
    new_cluster: NewCluster, small_disk: Path
) -> None:
    cluster = new_cluster(1)
    node = on_disk(cluster, small_disk)
    attempt(node, "set", "old", "1")
    written = 0

    def refused() -> Any:
        nonlocal written
        outcome = attempt(node, "set", f"key{written}", VALUE)
        if isinstance(outcome, Refused):
            assert outcome.code == "no_space"
            return outcome
        written += 1
        return None

    wait_for(refused, "growing writes to be refused")
    wait_for(lambda: reason(node), "the node to look at its disk")
    assert written * len(VALUE) > 16 << 20
    assert_growth_refused(node)
    for number in range(written):
        assert isinstance(attempt(node, "del", f"key{number}"), Acked), number
    wait_for(lambda: reason(node) is None, "the node to reclaim what was deleted")
    assert isinstance(attempt(node, "set", "new", VALUE), Acked)
    assert node.stop() == 0
    cluster.start()
    assert isinstance(attempt(node, "get", "new"), Acked)


def test_the_reserve_is_a_setting_and_a_follower_sends_to_the_leader(new_cluster: NewCluster) -> None:
    """What a leader refuses for want of space, a follower still leaves to it."""
    cluster = new_cluster(3)
    for node in cluster:
        node.start(extra={"RAFTDB_DISK_RESERVE_BYTES": str(1 << 60)})
    leader = cluster.wait_agreed()
    assert_growth_refused(leader)
    refused = attempt(cluster.others(leader)[0], "set", "k", "v")
    assert isinstance(refused, Refused)
    assert refused.code == "not_leader"
    for node in cluster:
        assert node.stop() == 0
    cluster.start()
    assert cluster.client().result("set", "k", "v") == "OK"


def test_growth_ends_when_those_who_have_space_are_no_majority(
    new_cluster: NewCluster, small_disk: Path
) -> None:
    """The leader has space, its followers have not: it hears of it before they are full."""
    leader = with_followers_on(small_disk, new_cluster(3), "n2", "n3")
    filler = fill_up(small_disk, left_bytes=SHORT_LEFT_BYTES)
    told = wait_for(lambda: reason(leader), "the leader to hear of it")
    assert told == "too many members are short of disk space: n2, n3"
    assert_growth_refused(leader)
    filler.unlink()
    wait_for(lambda: reason(leader) is None, "the leader to hear that there is space")
    assert isinstance(attempt(leader, "set", "new", "1"), Acked)


def test_a_full_follower_stays_alive_and_catches_up_when_it_has_space(
    new_cluster: NewCluster, small_disk: Path
) -> None:
    """The majority goes on. What the follower cannot keep it does not take, and the reserve for its votes stays."""
    cluster = new_cluster(3)
    leader = with_followers_on(small_disk, cluster, "n3")
    full = cluster["n3"]
    filler = fill_up(small_disk, left_bytes=FULL_LEFT_BYTES)
    wait_for(
        lambda: "no more commands are taken from the leader" in full.log_text(), "the follower to notice"
    )
    for number in range(40):
        assert isinstance(attempt(leader, "set", f"key{number}", VALUE), Acked), number
    assert reason(leader) is None
    assert "disk is nearly full" in str(reason(full))
    assert full.status()["applied_index"] < leader.status()["commit_index"] - 30
    filler.unlink()
    wait_for(
        lambda: full.status()["applied_index"] == leader.status()["commit_index"], "the follower to catch up"
    )
    assert full.stop() == 0
