"""A cluster of real processes comes to TLS node by node and under load, takes a node in, and is flooded with handshakes
that lead to nothing (hazards B101, B105)."""

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from raftdb import Client, NodeStatus, OutcomeUnknown, RaftdbError, Tls, Unavailable
from tests.certificates import Authority
from tests.e2e.cluster import Cluster, Node, free_ports
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

FLOOD = 1_000
MEMORY_GROWTH_BYTES_MAX = 64 << 20


class Load:
    """Keys written by clients of our own, one after the other: `keys` are those that were acknowledged."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.keys: list[str] = []
        self.tls: Tls | None = None
        """What the next write is sent by."""
        self._addresses = addresses
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._guarded)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60.0)
        assert not self._thread.is_alive()
        if self._failures:
            raise self._failures[0]

    def wait_for_acks(self, count: int = 20) -> None:
        begin = len(self.keys)
        wait_for(lambda: self._failures or len(self.keys) >= begin + count, f"{count} acknowledged writes")

    def _guarded(self) -> None:
        try:
            while not self._stop.is_set():
                with Client(self._addresses, tls=self.tls) as client:
                    self._write(client, self.tls)
        except BaseException as error:  # noqa: BLE001 - raised again in `stop`, by the thread of the test
            self._failures.append(error)

    def _write(self, client: Client, tls: Tls | None) -> None:
        number = 0
        while not self._stop.is_set() and self.tls is tls:
            number += 1
            key = f"{id(client)}-{number}"
            try:
                client.set(key, key)
            except (Unavailable, OutcomeUnknown):
                continue
            self.keys.append(key)


@contextmanager
def load_on(cluster: Cluster) -> Iterator[Load]:
    load = Load(cluster.addresses)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def status_of(node: Node, tls: Tls) -> NodeStatus | None:
    assert node.is_running, f"{node.name} has ended"
    try:
        with Client(node.address, tls=tls, timeout_ms=5_000) as client:
            return client.status(f"https://{node.address}")
    except RaftdbError:
        return None


def wait_serving(nodes: Sequence[Node], tls: Tls) -> tuple[str, int]:
    """The leader that all name, and its term."""

    def serving() -> tuple[str, int] | None:
        statuses = [status_of(node, tls) for node in nodes]
        named = {(status.leader.id, status.term) for status in statuses if status and status.leader}
        return named.pop() if len(named) == 1 and None not in statuses else None

    return wait_for(serving, "all nodes to know the leader")


class Certified:
    """The certificates of a cluster."""

    def __init__(self, folder: Path, cluster_id: str) -> None:
        self.authority = Authority(folder)
        self.tls = Tls(ca=self.authority.ca)
        self._cluster_id = cluster_id

    def settings(self, node: Node, mode: str) -> dict[str, str]:
        cert, key = self.authority.node(node.name, cluster=self._cluster_id)
        return {
            "RAFTDB_TLS": mode,
            "RAFTDB_TLS_CERT": str(cert),
            "RAFTDB_TLS_KEY": str(key),
            "RAFTDB_TLS_CA": str(self.authority.ca),
        }


def restart(node: Node, settings: dict[str, str]) -> None:
    node.environment |= settings
    node.stop()
    node.start()


def test_a_cluster_comes_to_tls_under_load_and_takes_a_node_in(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    """Nothing that was acknowledged is lost; the new node gets a snapshot, and Redis clients their answers."""
    cluster = new_cluster(3)
    for node in cluster:
        node.environment |= {"RAFTDB_CHECKPOINT_ENTRIES": "50", "RAFTDB_LOG_TAIL_BYTES": "1000"}
    cluster.start()
    certified = Certified(tmp_path / "one", cluster.leader().status()["cluster_id"])
    tls, nodes = certified.tls, list(cluster)
    with load_on(cluster) as load:
        load.wait_for_acks()
        for node in nodes:
            restart(node, certified.settings(node, "both"))
            cluster.wait_serving()
            load.wait_for_acks()
        load.tls = tls
        load.wait_for_acks()
        for node in nodes:
            restart(node, certified.settings(node, "required"))
            wait_serving(nodes, tls)
            load.wait_for_acks()

        # Certificates are read again under load, by a signal, and nobody notices.
        for node in nodes:
            node.send(signal.SIGHUP)
            wait_for(lambda node=node: "read again" in node.log_text(), f"{node.name} to read its files")  # type: ignore[misc]
        load.wait_for_acks()

    with Client(cluster.addresses, tls=tls) as client:
        members = wait_for(
            lambda: [one for one in client.members() if one.http.startswith("https://") and one.voter],
            "members",
        )
        assert [one.id for one in members] == ["n1", "n2", "n3"]
        assert client.mget(load.keys) == [key.encode() for key in load.keys]
        assert nodes[0].ask("GET", "/v1/status").status == 403, "without TLS"

        client.snapshot()
        new = cluster.new_node("n4")
        new.environment = certified.settings(new, "required")
        redis_port = free_ports(1)[0]
        new.start("--redis", f"127.0.0.1:{redis_port}")
        wait_for(lambda: any(one.id == "n4" and one.voter for one in client.members()), "n4 to vote")
        wait_for(lambda: "snapshot installed" in new.log_text(), "n4 to get a snapshot")
        with redis.Redis(port=redis_port, ssl=True, ssl_ca_certs=str(certified.authority.ca)) as door:
            assert door.set("by-redis", "1")
            assert door.get(load.keys[0]) == load.keys[0].encode()
        assert client.get("by-redis") == b"1"

    # A node whose certificate names another cluster is no peer.
    leader, term = wait_serving([*nodes, new], tls)
    stranger = next(node for node in nodes if node.name != leader)
    cert, key = certified.authority.node(stranger.name, cluster="another")
    restart(stranger, {"RAFTDB_TLS_CERT": str(cert), "RAFTDB_TLS_KEY": str(key)})
    others = [node for node in (*nodes, new) if node is not stranger]
    wait_for(
        lambda: all("names no node of this cluster" in node.log_text() for node in others),
        "the stranger to be refused",
    )
    status = status_of(stranger, tls)
    assert status is not None
    assert status.leader is None
    assert wait_serving(others, tls) == (leader, term)


def memory_bytes(node: Node) -> int:
    lines = Path(f"/proc/{node.pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.parametrize("begin", [b"\x16\x03\x01\x02\x00\x01", b"\x16" * 500], ids=["silent", "garbage"])
def test_a_flood_of_bad_handshakes_takes_neither_leader_nor_memory(
    begin: bytes, new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(3).start()
    certified = Certified(tmp_path / "one", cluster.leader().status()["cluster_id"])
    tls, nodes = certified.tls, list(cluster)
    for mode in ("both", "required"):
        for node in nodes:
            restart(node, certified.settings(node, mode))
            wait_for(lambda node=node: status_of(node, tls), f"{node.name} to answer")  # type: ignore[misc]
    name, term = wait_serving(nodes, tls)
    leader = cluster[name]
    with Client(cluster.addresses, tls=tls) as client:
        client.set("k", "v")
        memory = memory_bytes(leader)
        host, port = leader.address.split(":")
        held = []
        for number in range(FLOOD):
            held.append(socket.create_connection((host, int(port)), timeout=30.0))
            held[-1].send(begin)
            if number % 100 == 0:
                assert client.get("k") == b"v"
        growth = memory_bytes(leader) - memory
        for connection in held:
            connection.close()
        assert growth < MEMORY_GROWTH_BYTES_MAX
        client.set("k", "w")
    assert wait_serving(nodes, tls) == (name, term)
    assert "a TLS handshake has failed" in leader.log_text()
