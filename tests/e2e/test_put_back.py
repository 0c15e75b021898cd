"""Folders that come back as they once were, and lives of a cluster that are over: real processes on real folders.

A node that has forgotten what it said is filled anew before its word counts (hazard B108). What one peer says ends
nobody who has a majority (hazard B90).
"""

import asyncio
import shutil
from pathlib import Path

from raftdb.transport.handshake import Introduction
from raftdb.wire.handshake import Refused
from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import LIMIT_S, wait_for
from tests.log_records import recorded
from tests.transport.support import identity, start_receiver, wait_until

EXIT_FOLDER = 4


def write(cluster: Cluster, *keys: str) -> None:
    client = cluster.client()
    for key in keys:
        assert client.result("set", key, "v") == "OK"


def put_back(node: Node, copy: Path) -> None:
    """Bring the copy back in the place of the folder, as `cp -a` does."""
    shutil.rmtree(node.data)
    shutil.copytree(copy, node.data, copy_function=shutil.copy2)


def test_a_follower_whose_folder_is_put_back_is_filled_anew_and_counts_again(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    """Hazard B108: five writes later it has its own past back. The leader fills it, and it may then be needed."""
    cluster = new_cluster(3).start()
    write(cluster, "a")
    leader = cluster.wait_agreed()
    victim, other = cluster.others(leader)
    victim.kill9()
    shutil.copytree(victim.data, tmp_path / "copy", copy_function=shutil.copy2)
    victim.start()
    write(cluster, "b", "c", "d", "e", "f")
    cluster.wait_agreed()
    victim.kill9()
    put_back(victim, tmp_path / "copy")
    victim.start()
    wait_for(
        lambda: "a node that was put back counts again" in leader.log_text(), "the follower to count again"
    )
    assert "put back to an older copy" in leader.log_text(), "it was found out"
    wait_for(
        lambda: "the data folder of this node was put back" in victim.log_text(), "the follower to know it"
    )
    other.kill9()
    write(cluster, "g")
    wait_for(lambda: victim.ask("GET", "/readyz").status == 200, "the follower to be ready")


def test_a_second_life_of_a_cluster_goes_on_when_a_folder_of_the_first_comes_back(
    new_cluster: NewCluster,
) -> None:
    """Hazard B90: same addresses, same members, so the same cluster by its id; and one that knows another past."""
    cluster = new_cluster(3).start()
    write(cluster, "a", "b")
    first_leader = cluster.wait_agreed()
    # The terms of the first life go on, past those in which the second one begins.
    assert first_leader.ask("POST", "/v1/leader/transfer", b"{}").status == 200
    write(cluster, "c")
    cluster.wait_agreed()
    births = {node.status()["birth"] for node in cluster}
    (first_birth,) = births
    n1, n2, n3 = cluster
    # In order: a node writes down which life it belongs to within a second, and when it stops.
    assert n3.stop() == 0
    for node in (n1, n2):
        node.kill9()
    for node in (n1, n2):
        shutil.rmtree(node.data)
        node.start()
    write(cluster, "second life")
    old = n3.data
    code, said = n3.run_to_exit()
    assert code == EXIT_FOLDER, said
    assert "another life" in said
    assert old.exists()
    write(cluster, "goes on")
    assert n1.stop() == 0
    n3.start()
    n1.start()
    assert n3.wait_exit(LIMIT_S) == EXIT_FOLDER
    write(cluster, "and again")
    assert n1.is_running
    assert n2.is_running
    birth = n1.status()["birth"]
    assert birth not in (None, first_birth)


LIES = ("identity_changed", "removed", "other_life")


def test_a_liar_in_the_place_of_one_peer_stops_nobody(new_cluster: NewCluster) -> None:
    """Hazard B90: whoever answers at the address of n3 may say what it likes to n1 and n2."""
    cluster = new_cluster(3).start()
    write(cluster, "a")
    cluster.wait_agreed()
    n1, n2, n3 = cluster
    n3.kill9()
    told: dict[str, set[str]] = {"n1": set(), "n2": set()}

    def lie(introduction: Introduction) -> Refused:
        heard = told[introduction.source]
        code = next((code for code in LIES if code not in heard), LIES[0])
        heard.add(code)
        return Refused(code, "you are not who you were")

    async def lie_in_place_of(node: Node, cluster_id: str) -> None:
        """Until both have heard all the lies and one of them leads, and for a while longer. Before that they send
        clients on to the liar, which is no database."""
        port = int(node.address.rpartition(":")[2])
        liar = await start_receiver(identity(node.name, cluster=cluster_id), check_peer=lie, port=port)
        try:
            await wait_until(lambda: all(len(heard) == len(LIES) for heard in told.values()))
            await asyncio.to_thread(cluster.leader, (n1, n2))
            await asyncio.to_thread(write, cluster, "b")
        finally:
            await liar.close()

    with recorded():
        asyncio.run(lie_in_place_of(n3, n1.status()["cluster_id"]))
    for node in (n1, n2):
        assert node.is_running, node.log_tail()
        assert node.status()["role"] in ("leader", "follower")
    n3.start()
    cluster.wait_agreed()
