"""A cluster of real processes comes to its secret, and to the next one, node by node and under load (hazard B101)."""

import signal
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import NewCluster
from tests.e2e.load import load_on
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
