"""A cluster of real processes comes to its secret, and to the next one, node by node and under load (hazard B101)."""

import asyncio
import signal
from pathlib import Path

from benchmarks.attackers import Target, for_ever
from benchmarks.strangers import bad_handshakes, peer_in_drops
from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.load import load_on
from tests.e2e.members import ask, member, wait_voter
from tests.e2e.waiting import wait_for

ONE, TWO, OTHER = "first secret " * 3, "second secret " * 3, "of another cluster " * 2
READ_AGAIN = "read again"


def write_secret(node_folder: Path, *lines: str) -> Path:
    file = node_folder.with_suffix(".secret")
    file.touch(mode=0o600)
    file.write_text("\n".join(lines))
    return file


def change_secret(cluster: Cluster, *lines: str) -> None:
    """Give all nodes the next file, one after the other, and wait until each has read it."""
    for node in cluster:
        seen = node.log_text().count(READ_AGAIN)
        write_secret(node.data, *lines)
        node.send(signal.SIGHUP)
        wait_for(
            lambda node=node, seen=seen: node.log_text().count(READ_AGAIN) > seen,  # type: ignore[misc]
            f"{node.name} to read its secret again",
        )
    cluster.wait_serving()


def test_a_node_with_the_secret_joins_and_a_stranger_is_not_taken_in(new_cluster: NewCluster) -> None:
    """It does not even get a folder; nor does an entry that a client makes for it bring it anything."""
    cluster = new_cluster(1)
    (first,) = cluster
    friend, stranger = cluster.new_node("n2"), cluster.new_node("n3")
    for node, secret in ((first, ONE), (friend, ONE), (stranger, OTHER)):
        node.environment["RAFTDB_CLUSTER_SECRET_FILE"] = str(write_secret(node.data, secret))
    cluster.start()
    cluster.wait_agreed()
    friend.start()
    wait_voter(cluster, friend)
    stranger.start()
    wait_for(lambda: "does not prove that it knows" in stranger.log_text(), "the stranger to believe nobody")
    wait_for(
        lambda: any("a peer without proof was refused" in node.log_text() for node in cluster),
        "a member to refuse the stranger",
    )
    assert member(cluster, "n3") is None
    assert ask(cluster, "POST", "/v1/members", {"id": "n3", "http": stranger.address}).status in (200, 202)
    wait_for(
        lambda: (member(cluster, "n3") or {}).get("problem"), "the leader to find that it does not answer"
    )
    assert not (member(cluster, "n3") or {})["voter"]
    cluster.wait_serving()
    assert stranger.try_status() is None
    leader = cluster.leader()
    before_kib, terms = resident_kib(leader), {node.status()["term"] for node in cluster}
    flood(leader, handshakes=300, silent=20)
    cluster.wait_serving()
    assert {node.status()["term"] for node in cluster} == terms, "nobody was elected meanwhile"
    assert resident_kib(leader) < before_kib + 64 * 1024


def resident_kib(node: Node) -> int:
    """The memory of a node's process."""
    words = Path(f"/proc/{node.pid}/status").read_text().partition("VmRSS:")[2].split()
    return int(words[0])


def flood(node: Node, *, handshakes: int, silent: int) -> None:
    """So many bad handshakes as fast as the node takes them, while others send theirs byte by byte."""
    host, _, port = node.address.rpartition(":")
    target = Target((host, int(port)))

    async def act() -> None:
        drops = [asyncio.ensure_future(peer_in_drops(target)) for _ in range(silent)]
        shaking = [asyncio.ensure_future(for_ever(bad_handshakes(1e9), target)) for _ in range(10)]
        while target.told["asked"] < handshakes:
            await asyncio.sleep(0.01)
        for task in (*drops, *shaking):
            task.cancel()
        await asyncio.gather(*drops, *shaking, return_exceptions=True)

    asyncio.run(asyncio.wait_for(act(), 60.0))


def test_a_cluster_comes_to_its_secret_and_to_the_next_one_under_load(new_cluster: NewCluster) -> None:
    """Nothing that was acknowledged is lost, no node stops, and one with another secret is no member any more."""
    cluster = new_cluster(3).start()
    with load_on(cluster, "secret") as load:
        load.wait_for_acks(50)
        for node in cluster:
            file = write_secret(node.data, "none", ONE)
            node.environment["RAFTDB_CLUSTER_SECRET_FILE"] = str(file)
            node.stop()
            node.start()
            cluster.wait_serving()
            load.wait_for_acks(20)
        for lines in ((ONE, "none"), (ONE,), (ONE, TWO), (TWO, ONE), (TWO,)):
            change_secret(cluster, *lines)
            load.wait_for_acks(20)
    leader = cluster.wait_agreed()
    load.check(cluster.client())
    follower = cluster.others(leader)[0]
    term = leader.status()["term"]
    follower.stop()
    write_secret(follower.data, OTHER)
    follower.start()
    wait_for(
        lambda: "does not prove that it knows the secret" in follower.log_text(), "the impostor to be refused"
    )
    assert follower.status()["leader"] is None
    assert leader.status()["term"] == term
    wait_for(lambda: "a peer without proof was refused" in leader.log_text(), "the leader to say so")
    logs = "".join(node.log_text() for node in cluster)
    assert not any(secret.strip() in logs for secret in (ONE, TWO, OTHER))
