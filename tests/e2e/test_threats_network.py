"""What others on the network could try, each tried on nodes that are real processes and prove themselves by a secret or
by certificates: the lines of the threat table (docs/security.md) about them."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from benchmarks.strangers import HELLO, UPGRADE
from raftdb import Tls
from raftdb.errors import required
from raftdb.wire.stream import Kind, head_of
from tests.certificates import Authority, write_chain
from tests.e2e.cluster import Cluster, Node, free_ports
from tests.e2e.conftest import NewCluster
from tests.e2e.members import transfer
from tests.e2e.test_secret import ONE, write_secret
from tests.e2e.test_tls import status_of
from tests.e2e.waiting import wait_for

CHANGED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raftdb\r\n"
    b"Raftdb-Nonce: " + b"0f" * 32 + b"\r\n\r\n"
)
"""What a node answers that is called as a peer."""
VALUE = "v" * 1000
PEER_PATHS = ("/v1/peer", "/v1/peer/forward", "/v1/peer/snapshot")


class Meddler:
    """A relay on the way to one node. While `spoils`, a bit of each piece is another one on its way there, and while
    `spoils_answers` on the way back, beyond the first bytes, in which two nodes prove themselves."""

    PROOF_BYTES = 4096

    def __init__(self, port: int, target: int) -> None:
        self.spoils = self.spoils_answers = False
        self.spoiled = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self._connections.append(caller)
                try:
                    called = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:
                    caller.close()
                    continue
                self._connections.append(called)
                threading.Thread(target=self._carry, args=(caller, called, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(called, caller, False), daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket, is_there: bool) -> None:
        carried = 0
        with suppress(OSError):
            while data := bytearray(source.recv(65536)):
                if carried > self.PROOF_BYTES and (self.spoils if is_there else self.spoils_answers):
                    data[len(data) // 2] ^= 1
                    self.spoiled += 1
                carried += len(data)
                to.sendall(data)
        for one in (source, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in (self._listener, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def reached_through(node: Node) -> Iterator[Meddler]:
    """Others reach this node, which is not started yet, through a relay."""
    front, hidden = int(node.address.rpartition(":")[2]), free_ports(1)[0]
    node.environment["RAFTDB_ADVERTISE"] = node.address
    node.address = f"127.0.0.1:{hidden}"
    meddler = Meddler(front, hidden)
    try:
        yield meddler
    finally:
        meddler.close()


def lead(cluster: Cluster, *nodes: Node) -> None:
    """Let one of these nodes lead."""
    if cluster.wait_agreed() not in nodes:
        assert transfer(cluster, nodes[0].name).status == 200
    wait_for(lambda: cluster.wait_agreed() in nodes, "the leader that the test is about")


def write(node: Node, number: int) -> None:
    """Set one more key, at a leader."""
    body = f'{{"command": "set", "args": ["k{number}", "{VALUE}"]}}'.encode()
    assert node.ask("POST", "/v1/execute", body).status == 200


def values_at(node: Node) -> list[str]:
    """The values of those keys in the state of a node."""
    found = node.ask("GET", "/v1/keys?prefix=k&limit=1000&consistency=stale").json["keys"]
    return [one["value"] for one in found]


@contextmanager
def with_secret(cluster: Cluster) -> Iterator[Cluster]:
    for node in cluster:
        node.environment["RAFTDB_CLUSTER_SECRET_FILE"] = str(write_secret(node.data, ONE))
    yield cluster.start()


def answer_to(node: Node, data: bytes, *, then: bytes = b"", tls: ssl.SSLContext | None = None) -> bytes:
    """All that comes until the node ends the connection, or says nothing for a second."""
    host, _, port = node.address.rpartition(":")
    received = b""
    with ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=30.0))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host))
        with suppress(OSError, TimeoutError):
            connection.sendall(data)
            received = connection.recv(65536)
            connection.sendall(then)
            connection.settimeout(1.0)
            while part := connection.recv(65536):
                received += part
    return received


def upgrade(path: str) -> bytes:
    return UPGRADE.replace(b"/v1/peer ", f"{path} ".encode())


def test_without_the_secret_nothing_of_a_node_is_had(new_cluster: NewCluster) -> None:
    """No hello, no request that is passed on, no snapshot; and nobody is elected or deposed by it."""
    with with_secret(new_cluster(3)) as cluster:
        leader = cluster.wait_agreed()
        told = leader.status()
        leader.ask("POST", "/v1/execute", b'{"command": "set", "args": ["k", "hidden-value"]}')
        for path in PEER_PATHS:
            for then in (b"", head_of(Kind.HANDSHAKE, len(HELLO)) + HELLO, b"\0" * 200):
                answer = answer_to(leader, upgrade(path), then=then)
                for private in (told["cluster_id"].encode(), b"hidden-value", leader.address.encode()):
                    assert private not in answer, path
        assert leader.ask("GET", "/v1/peer/snapshot").status >= 400
        assert cluster.wait_agreed().status()["term"] == told["term"]


def test_who_sits_at_the_address_of_a_member_is_not_taken_for_it(new_cluster: NewCluster) -> None:
    """A member is gone, and somebody else answers in its place. Nodes say hello to it, and get no proof: it hears
    nothing of what is written, and no node takes it for the member."""
    with with_secret(new_cluster(3)) as cluster:
        leader = cluster.wait_agreed()
        gone = cluster.others(leader)[0]
        gone.kill9()
        host, _, port = gone.address.rpartition(":")
        heard: list[bytes] = []
        with socket.create_server((host, int(port))) as impostor:
            impostor.settimeout(30.0)
            for number in range(4):
                caller, _ = impostor.accept()
                body = f'{{"command": "set", "args": ["k", "hidden-value-{number}"]}}'.encode()
                assert cluster.leader(cluster.running).ask("POST", "/v1/execute", body).status == 200
                with caller:
                    caller.settimeout(5.0)
                    with suppress(OSError, TimeoutError):
                        heard.append(caller.recv(65536))
                        caller.sendall(CHANGED + head_of(Kind.HANDSHAKE, len(HELLO)) + HELLO)
                        while part := caller.recv(65536):
                            heard.append(part)
            members = cluster.leader(cluster.running).status()["members"]
            assert [one["id"] for one in members if not one["alive"]] == [gone.name]
        said = b"".join(heard)
        assert b"GET /v1/peer" in said
        assert b"hidden-value" not in said
        assert ONE.strip().encode() not in said
        gone.start()
        cluster.wait_agreed()


def test_what_is_changed_on_the_wire_ends_the_connection_and_nothing_else(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3)
    *others, last = cluster
    with reached_through(last) as meddler, with_secret(cluster):
        lead(cluster, *others)
        meddler.spoils = True
        for number in range(200):
            write(cluster.leader(others), number)
        wait_for(lambda: meddler.spoiled > 2, "some pieces to be changed")
        meddler.spoils = False
        write(cluster.leader(others), 200)
        cluster.wait_agreed()
        assert values_at(last) == [VALUE] * 201
        assert all(node.is_running for node in cluster)
        assert "Traceback" not in "".join(node.log_text() for node in cluster)


def test_a_snapshot_that_is_changed_on_the_wire_is_not_taken(new_cluster: NewCluster) -> None:
    cluster = new_cluster(3)
    first, _, behind = cluster
    for node in cluster:
        node.environment |= {"RAFTDB_CHECKPOINT_ENTRIES": "50", "RAFTDB_LOG_TAIL_BYTES": "1000"}
    with reached_through(first) as meddler, with_secret(cluster):
        lead(cluster, first)
        behind.kill9()
        for number in range(200):
            write(first, number)
        assert first.ask("POST", "/v1/snapshot").status == 200
        meddler.spoils_answers = True
        behind.start()
        wait_for(lambda: meddler.spoiled > 3, "some pieces to be changed")
        assert "snapshot installed" not in behind.log_text()
        meddler.spoils_answers = False
        wait_for(lambda: "snapshot installed" in behind.log_text(), "the snapshot as it is")
        cluster.wait_agreed()
        assert values_at(behind) == [VALUE] * 200


def shaken_again(node: Node) -> str:
    """What a client says that asks for a second handshake on its connection, by TLS 1.2."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    command = ["openssl", "s_client", "-connect", node.address, "-tls1_2", "-legacy_renegotiation"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        stdin, stdout = required(client.stdin, "stdin"), required(client.stdout, "stdout")
        told = b""
        while b"Verify return code" not in told:
            told += os.read(stdout.fileno(), 4096)
        # A line with this letter alone asks for it.
        stdin.write(b"R\n")
        stdin.close()
        return (told + stdout.read()).decode("utf-8", "replace")


def test_a_certificate_of_the_same_authority_makes_nobody_a_node(new_cluster: NewCluster) -> None:
    """A client's, that of a node of another cluster, and none at all: nothing of the peers' routes is had."""
    cluster = new_cluster(1)
    (node,) = cluster
    cluster.start()
    cluster_id = node.status()["cluster_id"]
    node.stop()
    authority = Authority(cluster.folder / "ca")
    cert, key = authority.node(node.name, cluster=cluster_id)
    node.environment |= {
        "RAFTDB_TLS": "required",
        "RAFTDB_TLS_CERT": str(cert),
        "RAFTDB_TLS_KEY": str(key),
        "RAFTDB_TLS_CA": str(authority.ca),
    }
    node.start()
    wait_for(lambda: status_of(node, Tls(ca=authority.ca)), "the node by TLS")
    for shown in (authority.client("ana"), authority.node("n2", cluster="another"), None):
        context = ssl.create_default_context(cafile=str(authority.ca))
        if shown is not None:
            context.load_cert_chain(*shown)
        for path in PEER_PATHS:
            answer = answer_to(node, upgrade(path), tls=context)
            assert b" 101 " not in answer.partition(b"\r\n")[0], (shown, path)
            assert cluster_id.encode() not in answer
    term = required(status_of(node, Tls(ca=authority.ca)), "status").term
    long = ssl.create_default_context(cafile=str(authority.ca))
    long.load_cert_chain(*write_chain(cluster.folder, 300))
    assert b"200 OK" not in answer_to(node, upgrade("/v1/peer/snapshot"), tls=long)
    assert "no renegotiation" in shaken_again(node)
    assert required(status_of(node, Tls(ca=authority.ca)), "status").term == term
    plain = answer_to(node, upgrade("/v1/peer"))
    assert b" 101 " not in plain
    assert cluster_id.encode() not in plain
