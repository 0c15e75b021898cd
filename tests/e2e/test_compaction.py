"""Compaction and snapshots on real nodes: a follower that missed the log fetches a snapshot, the disk stays bounded, no
crash loses a thing.

`COMPACTION_ROUNDS=200` in the environment makes the test with kill -9 at random moments that long; else it has 4
rounds, and 40 with `--long`.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.disk_bounds import log_bytes_max, state_bytes_max
from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.load import Load, load_on
from tests.e2e.members import transfer
from tests.e2e.raw_http import Acked, Client, command_body, outcome_of
from tests.e2e.waiting import wait_for

ROUNDS = 4
ROUNDS_LONG = 40
ROUNDS_MAX = 200
"""At most so many, until enough of them have shown what they are for."""
SEED = int(os.environ.get("COMPACTION_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

CHECKPOINT_ENTRIES = 200
LOG_TAIL_BYTES = 16 << 10
OFTEN = {
    "RAFTDB_CHECKPOINT_ENTRIES": str(CHECKPOINT_ENTRIES),
    "RAFTDB_CHECKPOINT_BYTES": str(4 << 20),
    "RAFTDB_LOG_TAIL_BYTES": str(LOG_TAIL_BYTES),
}
"""Settings under which checkpoints and trims follow each other all the time."""

VALUE_BYTES = 8 << 10
PAIRS_PER_COMMAND = 64
BEHIND_INDEX_MAX = 10
"""A node that was stopped before anybody wrote has fewer entries than this."""


def compacting_cluster(new_cluster: NewCluster, **settings: str) -> Cluster:
    """Three running nodes that make checkpoints often."""
    cluster = new_cluster(3)
    for node in cluster:
        node.environment = {**OFTEN, **settings}
    return cluster.start()


def fill(client: Client, prefix: str, megabytes: int) -> dict[str, str]:
    """Write so much in keys of the prefix; returns them."""
    pairs = {f"{prefix}{number:06}": f"{number:08}" * (VALUE_BYTES // 8) for number in range(megabytes * 128)}
    items = list(pairs.items())
    for begin in range(0, len(items), PAIRS_PER_COMMAND):
        page = items[begin : begin + PAIRS_PER_COMMAND]
        assert client.result("mset", *(text for pair in page for text in pair)) == "OK"
    return pairs


def compact(client: Client) -> int:
    """POST /v1/snapshot at the leader; the index of the checkpoint."""

    def compacted() -> int | None:
        response = client.ask_once("POST", "/v1/snapshot")
        return int(response.json["index"]) if response.status == 200 else None

    return wait_for(compacted, "a checkpoint")


def stale(node: Node, *command: str) -> object:
    """The result of a read that the node answers from what it has itself."""
    outcome = outcome_of(
        node.ask("POST", "/v1/execute", command_body(command[0], command[1:], consistency="stale"))
    )
    assert isinstance(outcome, Acked), outcome
    return outcome.result


def leave_behind(cluster: Cluster, behind: Node, client: Client) -> int:
    """With the node `behind` down: compact until what it lacks is gone from every log. The index it must get to."""
    index = compact(client)
    wait_for(
        lambda: cluster.leader(cluster.running).status()["first_index"] > index, "the log to begin later"
    )
    return index


def snapshots_installed(cluster: Cluster) -> int:
    """How often any node has put a snapshot in the place of its state."""
    return sum(count_in_log(node, "snapshot installed") for node in cluster)


def wait_installed(node: Node, index: int) -> None:
    """Until the node has the state at `index`."""
    wait_for(lambda: node.status()["applied_index"] >= index, f"{node.name} to have the state at {index}")


def count_in_log(node: Node, message: str) -> int:
    return node.log_text().count(message)


def test_a_follower_that_missed_the_log_fetches_a_snapshot_serves_and_can_lead(
    new_cluster: NewCluster,
) -> None:
    """Keys deleted meanwhile stay deleted (hazard B29), and the log goes on behind the state (hazards B27, B34)."""
    cluster = compacting_cluster(new_cluster)
    leader = cluster.leader()
    behind = cluster.others(leader)[0]
    client = cluster.client(leader)
    for number in range(50):
        assert client.result("set", f"old{number}", "old") == "OK"
    cluster.wait_agreed()
    behind.kill9()

    for number in range(50):
        assert client.result("set" if number % 2 else "del", f"old{number}", *(["new"] * (number % 2))) in (
            "OK",
            "old",
        )
    for number in range(300):
        assert client.result("set", f"new{number}", str(number)) == "OK"
    index = leave_behind(cluster, behind, client)
    behind.start()
    wait_installed(behind, index)

    wait_for(lambda: count_in_log(behind, "snapshot installed") == 1, "the line that says so")
    assert behind.status()["first_index"] > 1
    wanted = ["new" if number % 2 else None for number in range(50)]
    assert stale(behind, "mget", *(f"old{number}" for number in range(50))) == wanted
    assert stale(behind, "get", "new299") == "299"
    assert client.result("set", "after", "yes") == "OK"
    assert cluster.wait_agreed() is leader
    assert stale(behind, "get", "after") == "yes"

    # What it has is worth as much as what the others have: they elect it once it asks for their votes.
    assert transfer(cluster, behind.name).status == 200
    assert cluster.wait_agreed() is behind
    client = cluster.client(behind)
    assert client.result("mget", *(f"old{number}" for number in range(50))) == wanted
    assert client.result("append", "after", "!") == "OK"
    assert client.result("get", "after") == "yes!"
    behind.kill9()
    behind.start()
    cluster.wait_agreed()
    assert stale(behind, "get", "after") == "yes!"


def test_the_log_says_where_it_begins(new_cluster: NewCluster) -> None:
    cluster = compacting_cluster(new_cluster)
    leader = cluster.leader()
    client = cluster.client(leader)
    for number in range(30):
        client.result("set", "k", str(number))
    follower = cluster.others(leader)[0]
    response = follower.ask("POST", "/v1/snapshot")
    assert response.status == 307
    assert response.location == (leader.address, "/v1/snapshot")
    index = compact(client)
    wait_for(lambda: leader.status()["first_index"] > 1, "the log to begin later")
    status = leader.status()
    assert status["checkpoint_index"] >= index
    first = status["first_index"]

    response = leader.ask("GET", "/v1/request_log?from=1")
    assert (response.status, response.error_code) == (410, "compacted")
    assert str(first) in response.json["error"]["hint"]
    assert leader.ask("GET", f"/v1/request_log?from={first - 1}").status == 410
    client.result("set", "k", "last")
    page = leader.ask("GET", f"/v1/request_log?from={first}").json
    assert page["first_index"] == first
    assert [entry["index"] for entry in page["entries"]] == list(range(first, page["last_index"] + 1))
    assert page["entries"][-1]["args"] == ["k", "last"]
    # Without a start: the newest that there are, never an error.
    assert leader.ask("GET", "/v1/request_log").json["entries"][0]["index"] >= first
    # Nothing changed since: another one costs nothing and says the same.
    assert compact(client) == compact(client)


def received_bytes(node: Node) -> int:
    """How much of a snapshot has arrived in the node's folder."""
    try:
        return (node.data / "incoming" / "data.mdb").stat().st_size
    except FileNotFoundError:
        return 0


def wait_for_arrival(node: Node, size_bytes: int) -> None:
    """Until so much of a snapshot has arrived."""
    end = time.monotonic() + 60
    while received_bytes(node) < size_bytes:
        assert time.monotonic() < end, f"nothing arrives at {node.name}"
        time.sleep(0.001)


@contextmanager
def one_behind_a_large_state(new_cluster: NewCluster) -> Iterator[tuple[Cluster, Node, dict[str, str], int]]:
    """A cluster with 48 MB of state, one node of it down that needs all of it: (cluster, node, pairs, index)."""
    cluster = compacting_cluster(new_cluster)
    leader = cluster.leader()
    behind = cluster.others(leader)[0]
    behind.kill9()
    client = cluster.client(leader)
    pairs = fill(client, "large", 48)
    index = leave_behind(cluster, behind, client)
    # Whoever leads next sends the state as well: its log begins past what is missing.
    wait_for(
        lambda: all(node.status()["first_index"] > BEHIND_INDEX_MAX for node in cluster.running),
        "the logs to begin later",
    )
    yield cluster, behind, pairs, index


def assert_has(node: Node, pairs: dict[str, str]) -> None:
    """The node itself holds these pairs."""
    keys = sorted(pairs)
    for begin in range(0, len(keys), PAIRS_PER_COMMAND):
        page = keys[begin : begin + PAIRS_PER_COMMAND]
        assert stale(node, "mget", *page) == [pairs[key] for key in page]


def test_a_follower_killed_while_it_receives_goes_on_where_it_was(new_cluster: NewCluster) -> None:
    """Also with a piece cut off in the middle (hazards B31, B33)."""
    with one_behind_a_large_state(new_cluster) as (cluster, behind, pairs, index):
        for part in (4, 16, 32):
            behind.start()
            wait_for_arrival(behind, part << 20)
            behind.kill9()
        assert count_in_log(behind, "snapshot installed") == 0, "too quick to be killed"
        kept = received_bytes(behind)
        behind.start()
        wait_installed(behind, index)
        begins = [line for line in behind.log_text().splitlines() if "fetching a snapshot" in line]
        offsets = [int(line.partition(" offset=")[2].split()[0]) for line in begins]
        assert all(earlier <= later for earlier, later in pairwise(offsets)), offsets
        assert offsets[-1] >= kept > 0, (offsets, kept)
        assert_has(behind, pairs)
        cluster.wait_agreed()


@pytest.mark.parametrize("returns", [True, False])
def test_a_leader_killed_while_it_sends_is_replaced_by_the_next(
    new_cluster: NewCluster, returns: bool
) -> None:
    """The follower takes the new leader's snapshot, and nothing is left of the old one (hazard B33)."""
    with one_behind_a_large_state(new_cluster) as (cluster, behind, pairs, index):
        old = cluster.leader(cluster.running)
        behind.start()
        wait_for_arrival(behind, 8 << 20)
        old.kill9()
        # The one that is behind cannot lead, and alone with it the other one needs its vote.
        new = cluster.leader(cluster.running)
        assert new not in (old, behind)
        if returns:
            old.start()
        wait_installed(behind, index)
        assert_has(behind, pairs)
        assert cluster.client(new).result("set", "after", "yes") == "OK"
        if not returns:
            old.start()
        cluster.wait_agreed()
        assert stale(behind, "get", "after") == "yes"
        assert received_bytes(behind) == 0


class Random:
    """One seed's choices: who is killed, when, and what the others do meanwhile."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)

    def pause(self, longest_s: float) -> None:
        time.sleep(self.chance.uniform(0, longest_s))

    def play(self, load: Load) -> None:
        """One round: one node falls behind the log, and while it fetches a snapshot some nodes are killed."""
        cluster, chance = self.cluster, self.chance
        nodes = list(cluster)
        behind = chance.choice(nodes)
        load.wait_for_acks(20)
        self.pause(0.2)
        behind.kill9()
        load.wait_for_acks(CHECKPOINT_ENTRIES // 2)
        client = cluster.client(*cluster.running)
        compact(client)
        behind.start()
        if chance.random() < 0.5:
            compact(client)
        self.pause(1.2)
        for victim in chance.choice([[behind], [cluster.leader()], chance.sample(nodes, 2), nodes]):
            victim.kill9()
            self.pause(0.05)
        self.pause(0.3)
        for node in chance.sample(nodes, len(nodes)):
            if not node.is_running:
                node.start()
                self.pause(0.2)


@pytest.mark.timeout(3600)
def test_kill_9_at_random_moments_loses_nothing(
    new_cluster: NewCluster, is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoint, trim, send, receive and swap go on all the time; every node must start again from what is there."""
    count = int(os.environ.get("COMPACTION_ROUNDS") or (ROUNDS_LONG if is_long else ROUNDS))
    cluster = compacting_cluster(new_cluster)
    pairs = fill(cluster.client(), "first", 8)
    rounds = Random(cluster, SEED)
    loads: list[Load] = []
    with capsys.disabled():
        print(f"\n  COMPACTION_SEED={SEED}, {count} rounds", flush=True)
    while len(loads) < count or (snapshots_installed(cluster) < count // 4 and len(loads) < ROUNDS_MAX):
        number = len(loads)
        with load_on(cluster, f"r{number}", threads=3) as load:
            rounds.play(load)
        loads.append(load)
        cluster.wait_agreed()
        load.check(cluster.client())
    for load in loads:
        load.check(cluster.client())
    cluster.wait_agreed()
    for node in cluster:
        assert_has(node, pairs)
        assert [stale(node, "get", f"r{number}-words") for number in range(len(loads))] == [
            stale(next(iter(cluster)), "get", f"r{number}-words") for number in range(len(loads))
        ]
    installed = snapshots_installed(cluster)
    with capsys.disabled():
        acked = sum(len(load.acked) for load in loads)
        print(f"  {acked} writes kept, {installed} snapshots installed", flush=True)
    assert installed >= count // 4, "the rounds do not show what they are for"


KEYS = 5_000
OVERWRITES = 100_000
PAIRS = 100
SMALL_VALUE_BYTES = 64
STORED_BYTES = len("k000000") + SMALL_VALUE_BYTES + 18
"""Key and value with what the key space adds to them."""
BOUNDED_BYTES = 512 << 10
BOUNDED = {
    "RAFTDB_CHECKPOINT_ENTRIES": "1000000",
    "RAFTDB_CHECKPOINT_BYTES": str(BOUNDED_BYTES),
    "RAFTDB_LOG_TAIL_BYTES": str(BOUNDED_BYTES),
}


def allocated_bytes(folder: Path) -> int:
    """Disk that the files of a folder occupy; what their holes seem to be costs nothing."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def test_overwrites_keep_the_folder_within_its_bound(new_cluster: NewCluster) -> None:
    """Twenty times over: the bounds of `tests.disk_bounds` hold at every moment, on every node."""
    cluster = compacting_cluster(new_cluster, **BOUNDED)
    client = cluster.client()
    largest = {"log": 0, "state": 0}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for node in cluster:
                for name, size_bytes in list(largest.items()):
                    largest[name] = max(size_bytes, allocated_bytes(node.data / name))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(OVERWRITES // PAIRS):
            keys = [f"k{(number * PAIRS + offset) % KEYS:06}" for offset in range(PAIRS)]
            value = f"{number:0{SMALL_VALUE_BYTES}}"
            assert client.result("mset", *(text for key in keys for text in (key, value))) == "OK"
    finally:
        stop.set()
        watcher.join()
    cluster.wait_agreed()
    written_bytes = OVERWRITES * STORED_BYTES
    assert all(node.status()["first_index"] > OVERWRITES // PAIRS // 2 for node in cluster)
    bounds = {
        "log": log_bytes_max(tail_bytes=BOUNDED_BYTES, checkpoint_bytes=BOUNDED_BYTES),
        "state": state_bytes_max(keys=KEYS, record_bytes=STORED_BYTES),
    }
    assert all(bound < written_bytes / 2 for bound in bounds.values()), "the bounds must say something"
    assert all(largest[name] <= bound for name, bound in bounds.items()), (largest, bounds)
