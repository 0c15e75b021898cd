"""What must not go wrong when members change: wrong addresses, used ids, too few voters, moves, and stops."""

import json
import shutil
import signal
import time

import pytest

from tests.e2e.cluster import Node, free_ports
from tests.e2e.conftest import NewCluster
from tests.e2e.load import load_on
from tests.e2e.members import (
    ask,
    cli,
    join,
    member,
    membership,
    transfer,
    wait_removed,
    wait_voter,
)
from tests.e2e.waiting import wait_for

EXIT_CONFIGURATION = 2
EXIT_UNAVAILABLE = 3
EXIT_FOLDER = 4
EXIT_CONFLICT = 5
STOP_LIMIT_S = 15.0


def test_a_wrong_address_costs_no_quorum_and_is_undone(new_cluster: NewCluster) -> None:
    """Hazard B44: two of three voters may still be all that there is; and the way back is told."""
    cluster = new_cluster(3)
    for node in cluster:
        node.environment = {"RAFTDB_REQUEST_TIMEOUT_MS": "1000"}
    cluster.start()
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    done = cli(cluster, "add", "n4", f"http://{nowhere}")
    assert done.returncode == EXIT_UNAVAILABLE, done
    assert "connection refused" in done.stderr
    assert "raftdb cluster remove n4" in done.stderr
    found = member(cluster, "n4")
    assert found is not None
    assert (found["voter"], found["joining"], found["alive"]) == (False, True, False)
    cluster.others(cluster.leader())[0].kill9()
    assert cluster.client().result("set", "k", "v") == "OK"
    assert cli(cluster, "promote", "n4", "--force").returncode == EXIT_CONFLICT
    assert cli(cluster, "remove", "n4").returncode == 0
    assert member(cluster, "n4") is None
    again = cli(cluster, "add", "n4", nowhere)
    assert again.returncode == EXIT_CONFLICT
    assert "a removed id is never used again" in again.stderr


def test_a_wrong_address_is_corrected(new_cluster: NewCluster) -> None:
    """The node is added by hand before it runs, at an address that is none of its own."""
    cluster = new_cluster(1).start()
    coming = cluster.new_node("n2")
    content = {"id": "n2", "http": f"127.0.0.1:{free_ports(1)[0]}", "learner": True}
    assert ask(cluster, "POST", "/v1/members", content).status == 200
    code, said = coming.run_to_exit()
    assert code == EXIT_CONFIGURATION, said
    assert f"raftdb cluster address n2 {coming.address}" in said
    assert cli(cluster, "address", "n2", f"http://{coming.address}").returncode == 0
    coming.start()
    wait_for(lambda: coming.status()["leader"], "n2 to hear the leader")
    assert coming.status()["role"] == "learner"
    assert cluster.client().result("set", "k", "v") == "OK"
    found = wait_for(lambda: (member(cluster, "n2") or {}).get("caught_up"), "n2 to have caught up")
    assert found
    assert cli(cluster, "promote", "n2").returncode == 0
    wait_voter(cluster, coming)


def test_a_change_that_leaves_too_few_is_refused_with_the_arithmetic(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    dead, alive = cluster.others(leader)
    dead.kill9()

    # Until the leader has noticed that nobody answers there.
    wait_for(
        lambda: (member(cluster, dead.name) or {}).get("suspicion", 0.0) >= 8.0,
        "the dead node to be suspected",
    )
    done = cli(cluster, "remove", alive.name)
    assert done.returncode == EXIT_CONFLICT, done
    said = done.stderr
    assert f"without {alive.name} the cluster has 2 voters and needs 2 of them" in said
    assert f"only 1 ({leader.name}) would be alive: {dead.name} not heard from" in said
    assert cli(cluster, "remove", "n9").returncode == 1
    assert cli(cluster, "add", dead.name, "127.0.0.1:1").returncode == EXIT_CONFLICT
    assert len(membership(cluster)["members"]) == 3
    assert cli(cluster, "remove", dead.name).returncode == 0
    assert cluster.client().result("set", "k", "v") == "OK"


def test_a_voter_that_joined_and_lost_its_folder_is_refused(new_cluster: NewCluster) -> None:
    """Hazards B36, B41: the configuration says which folder may vote as n4, to every node, for ever."""
    cluster = new_cluster(3).start()
    joined = join(cluster, "n4")
    assert cluster.client().result("set", "k", "v") == "OK"
    joined.kill9()
    shutil.rmtree(joined.data)
    code, said = joined.run_to_exit()
    assert code == EXIT_FOLDER, said
    assert "wiped or replaced" in said
    assert cli(cluster, "remove", "n4").returncode == 0
    cluster.dismiss(joined)
    for node in cluster:
        assert node.stop() == 0
    cluster.start()
    assert cluster.leader().ask("POST", "/v1/snapshot").status == 200
    code, said = joined.run_to_exit()
    assert code == EXIT_CONFIGURATION, said
    assert "n4 was removed from this cluster" in said
    fresh = join(cluster, "n5")
    assert membership(cluster)["removed"] == ["n4"]
    assert cluster.client(fresh).result("get", "k") == "v"


def test_a_node_waits_for_the_cluster_that_it_is_to_join(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3)
    coming = cluster.new_node("n4")
    coming.start()
    wait_for(lambda: "the cluster to join does not answer" in coming.log_text(), "n4 to ask")
    cluster.start()
    wait_voter(cluster, coming)
    coming.kill9()
    coming.join = "http://127.0.0.1:1"
    coming.start()
    cluster.wait_agreed()


@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
def test_a_node_that_comes_back_at_another_address_is_found(new_cluster: NewCluster, leads: bool) -> None:
    """By its peers, by clients that are redirected, and by a node that was away when it moved."""
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    moving = leader if leads else cluster.others(leader)[0]
    away = cluster.others(leader, moving)[0]
    old_address, new_address = moving.address, f"127.0.0.1:{free_ports(1)[0]}"
    with load_on(cluster, "m", more=[new_address]) as load:
        load.wait_for_acks(50)
        assert moving.stop() == 0
        away.kill9()
        moving.address = new_address
        moving.start()
        load.wait_for_acks(50)
        wait_for(
            lambda: (member(cluster, moving.name) or {})["http"] == new_address,
            "the members to have the new address",
        )
        away.start()
        cluster.wait_serving()
        # Only the node that has moved and the one that was away are left: they must find each other.
        for node in cluster.others(moving, away):
            node.kill9()
        load.wait_for_acks(50)
        assert transfer(cluster, moving.name).json["leader"]["http"] == new_address
        redirect = away.ask("GET", "/v1/members")
        assert (redirect.status, redirect.location[0]) == (307, new_address)
        moving.kill9()
        moving.start()
        for node in cluster:
            if not node.is_running:
                node.start()
        load.wait_for_acks(50)
    assert old_address not in json.dumps(membership(cluster))
    cluster.wait_agreed()
    load.check(cluster.client())


def wait_sends_on(node: Node, addresses: list[str]) -> None:
    """Until the node leads, or sends on to one of these addresses: one that is a moment behind names an old one."""

    def sends_on() -> bool:
        answer = node.ask("GET", "/v1/members")
        return answer.status == 200 or answer.location[0] in addresses

    wait_for(sends_on, f"{node.name} to send on to where the leader is")


def test_nodes_that_all_move_at_once_find_each_other_with_one_flag(new_cluster: NewCluster) -> None:
    """To each other's addresses first, in a circle, and then to new ones; the next start needs no flag."""
    cluster = new_cluster(3).start()
    assert cluster.client().result("set", "k", "0") == "OK"
    old = [node.address for node in cluster]
    for moves, addresses in enumerate(
        [[*old[1:], old[0]], [f"127.0.0.1:{port}" for port in free_ports(3)]], 1
    ):
        for node in cluster:
            assert node.stop() == 0
        for node, address in zip(cluster, addresses, strict=True):
            node.address = address
        where = ",".join(f"{node.name}={node.address}" for node in cluster)
        for node in cluster:
            node.start("--members", where)
        cluster.wait_serving()
        wait_for(
            lambda: (
                {one["id"]: one["http"] for one in membership(cluster)["members"]}
                == {node.name: node.address for node in cluster}
            ),
            "the members to have the new addresses",
        )
        assert cluster.client().result("incr", "k") == moves
        for node in cluster:
            wait_sends_on(node, addresses)
    for node in cluster:
        node.kill9()
    cluster.start()
    assert cluster.client().result("incr", "k") == 3
    cluster.wait_agreed()


def test_a_leader_that_is_stopped_hands_over_first(new_cluster: NewCluster) -> None:
    """Hazard B105: writes go on at once, and not after an election timeout."""
    cluster = new_cluster(3).start()
    silences = []
    with load_on(cluster, "s") as load:
        for _ in range(3):
            load.wait_for_acks(50)
            leader = cluster.wait_serving()
            begin = time.monotonic()
            leader.send(signal.SIGTERM)
            assert leader.wait_exit(STOP_LIMIT_S) == 0, leader.log_tail()
            assert "leadership handed over" in leader.log_text()
            load.wait_for_acks(50)
            silences.append(load.longest_silence_s(begin, time.monotonic()))
            leader.start()
            cluster.wait_serving()
    print(f"longest times without a write: {', '.join(f'{s * 1000:.0f} ms' for s in silences)}")
    load.check(cluster.client())


def test_a_change_while_the_leader_is_away_loses_nothing(new_cluster: NewCluster) -> None:
    """Hazard B42: the old leader sleeps through an election and a removal, then everybody dies and comes back."""
    cluster = new_cluster(4).start()
    sleeper = cluster.leader()
    others = cluster.others(sleeper)
    leaving = others[-1]
    with load_on(cluster, "p", timeout_s=2.0) as load:
        load.wait_for_acks(50)
        sleeper.sigstop()
        cluster.leader(others)
        load.wait_for_acks(20)
        assert ask(cluster, "DELETE", f"/v1/members/{leaving.name}", among=others).status == 200
        load.wait_for_acks(20)
        sleeper.sigcont()
        load.wait_for_acks(50)
        for node in cluster:
            node.kill9()
        for node in cluster:
            node.start()
        load.wait_for_acks(50)
    wait_removed(leaving)
    cluster.dismiss(leaving)
    cluster.wait_agreed()
    assert membership(cluster)["removed"] == [leaving.name]
    load.check(cluster.client())
