"""A network that is set: nodes elect, write and read under it, and behave in cuts as they have to."""

from collections.abc import Iterator

import pytest

from cli.admin.network import FaultyNetwork, alone, apart
from raftdb import Client, RaftdbError, RequestRefused
from tests.e2e.cluster import Cluster
from tests.e2e.waiting import wait_for

WORDS = "delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%"
FORM_LIMIT_S = 120.0


@pytest.fixture(scope="module")
def forming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that have to form a cluster on a bad network."""
    cluster = Cluster(tmp_path_factory.mktemp("network"), ["n1", "n2", "n3"])
    settings = {"RAFTDB_FAULT_INJECTION": "true", "RAFTDB_NETWORK": WORDS, "RAFTDB_NETWORK_SEED": "1"}
    for node in cluster:
        node.environment = settings
        node.start()
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(forming: Cluster) -> Cluster:
    """The same nodes on the network as it is, of which one leads."""
    for node in forming:
        node.status()
    network = network_of(forming)
    network.heal()
    network.set("none")
    forming.start()
    return forming


def network_of(cluster: Cluster) -> FaultyNetwork:
    return FaultyNetwork({node.name: node.address for node in cluster})


def test_a_cluster_forms_and_works_under_a_bad_network(forming: Cluster) -> None:
    cluster = forming
    with Client(",".join(cluster.addresses)) as client:
        wait_for(lambda: any_leads(cluster), "a leader", limit_s=FORM_LIMIT_S)
        for number in range(10):
            client.set("key", str(number))
        assert client.get("key") == b"9"
        report = network_of(cluster).report()
    links = [link for link in report.links if link.target != "clients"]
    assert len(links) == 6
    assert {link.conditions for link in links} == {WORDS}
    assert sum(link.counts["delayed"] for link in links) > 0
    assert sum(link.counts["lost"] + link.counts["corrupted"] for link in links) > 0
    assert "fault injection is on" in cluster["n1"].log_text()
    assert cluster["n1"].status()["fault_injection"] is True


def any_leads(cluster: Cluster) -> bool:
    statuses = [node.try_status() for node in cluster]
    return any(status is not None and status["role"] == "leader" for status in statuses)


def test_a_leader_that_is_cut_off_alone_is_replaced_and_follows_when_it_is_healed(cluster: Cluster) -> None:
    network, old = network_of(cluster), cluster.leader()
    network.cut(*alone(old.name, network.node_ids))
    others = cluster.others(old)
    new = wait_for(
        lambda: next((node for node in others if node.status()["role"] == "leader"), None), "another leader"
    )
    with Client(",".join(node.address for node in others)) as client:
        client.set("key", "after the cut")
    wait_for(lambda: old.status()["role"] != "leader", "the old one to give up")
    assert "cut by fault injection" in wait_for(
        lambda: problem_of(new.ask("GET", "/v1/members").json, old.name), "a reason"
    )
    network.heal()
    wait_for(lambda: old.status()["applied_index"] >= new.status()["commit_index"], "all that was missed")
    with Client(old.address) as client:
        assert client.get("key", consistency="stale") == b"after the cut"


def problem_of(membership: dict[str, list[dict[str, str]]], name: str) -> str:
    return next(member.get("problem", "") for member in membership["members"] if member["id"] == name)


def test_a_node_may_be_heard_and_not_hear(cluster: Cluster) -> None:
    """One way: nothing of the leader reaches it, and all that it sends arrives."""
    network, leader = network_of(cluster), cluster.leader()
    deaf, other = cluster.others(leader)
    before = {(link.source, link.target): link.counts["cut"] for link in network.report().links}
    network.cut((leader.name, deaf.name), (other.name, deaf.name))
    wait_for(lambda: deaf.status()["role"] == "candidate", "it to miss its leader")
    with Client(f"{leader.address},{other.address}") as client:
        client.set("key", "value")
    links = {(link.source, link.target): link for link in network.report().links}
    assert links[leader.name, deaf.name].is_cut
    assert links[leader.name, deaf.name].counts["cut"] > before[leader.name, deaf.name]
    assert not links[deaf.name, leader.name].is_cut
    assert links[deaf.name, leader.name].counts["cut"] == before[deaf.name, leader.name]
    network.heal()
    wait_for(lambda: deaf.status()["role"] == "follower", "it to follow again")


def test_a_minority_refuses_and_a_node_that_is_started_again_is_told_again(cluster: Cluster) -> None:
    network = network_of(cluster)
    network.cut(*apart([["n1"], ["n2"], ["n3"]]))
    with Client(cluster["n1"].address, timeout_ms=1000) as client, pytest.raises(RaftdbError):
        client.set("key", "value")
    node = cluster["n2"]
    node.kill9()
    node.start()
    node.status()
    assert not any(link["is_cut"] for link in node.ask("GET", "/v1/network").json["links"].values())
    network.restore("n2")
    assert node.ask("GET", "/v1/network").json["links"]["n1"]["is_cut"]
    with pytest.raises(RequestRefused, match="there is no node 'n9'"):
        network.cut(("n1", "n9"))


def test_nodes_that_were_started_without_it_refuse(shared_cluster: Cluster) -> None:
    with pytest.raises(RequestRefused, match="was started without fault_injection") as refused:
        network_of(shared_cluster).heal()
    assert refused.value.code == "forbidden"
    assert shared_cluster["n1"].status()["fault_injection"] is False


def test_a_node_may_be_cut_off_from_its_clients_and_be_healed_over_http(cluster: Cluster) -> None:
    network, leader = network_of(cluster), cluster.leader()
    network.cut(clients=[leader.name])
    with Client(leader.address, timeout_ms=1000) as client:
        with pytest.raises(RaftdbError):
            client.set("key", "value")
        links = {(link.source, link.target): link for link in network.report().links}
        assert links[leader.name, "clients"].is_cut
    network.heal()
    network.set_clients("delay 5ms", leader.name)
    with Client(",".join(cluster.addresses)) as client:
        client.set("key", "value")
    assert leader.ask("GET", "/v1/network").json["clients"]["counts"]["delayed"] > 0
    network.set_clients("none")
