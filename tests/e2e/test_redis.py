"""Redis clients and real nodes: a plain socket, and the client that most Python programs use."""

import asyncio
import shutil
import socket
import subprocess
import threading
from contextlib import ExitStack

import pytest
import redis
import redis.asyncio

from tests.e2e.cluster import Cluster, Node, free_ports
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import LIMIT_S, wait_for

KILLED_AT = 100
"""The leader is killed after so many writes."""
MESSAGES = 2_000
"""Messages of a queue that `CONSUMERS` take."""
CONSUMERS = 16
AFTER_TRANSFER = 1_000
"""Commands of a client after the leadership was transferred; less than 1 % of them may still reach another node."""


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    """Three nodes with a port for Redis clients each, which say where the leader is."""
    return started(new_cluster, "moved")


@pytest.fixture
def forwarding_cluster(new_cluster: NewCluster) -> Cluster:
    """Three nodes which pass commands on to the leader."""
    return started(new_cluster, "forward")


@pytest.fixture
def cluster_of_two_doors(new_cluster: NewCluster) -> Cluster:
    """Three nodes with a port for plain clients and one for clients of clusters."""
    return started(new_cluster, "forward", CLUSTER_PORT)


PORT, CLUSTER_PORT = "RAFTDB_REDIS", "RAFTDB_REDIS_CLUSTER"


def started(new_cluster: NewCluster, redirect: str, *more: str) -> Cluster:
    return started_with(new_cluster(3), redirect, *more)


def started_with(made: Cluster, redirect: str, *more: str) -> Cluster:
    settings = [(node, setting) for node in made for setting in (PORT, *more)]
    for (node, setting), port in zip(settings, free_ports(len(settings)), strict=True):
        node.environment[setting] = f"127.0.0.1:{port}"
        node.environment["RAFTDB_REDIS_REDIRECT"] = redirect
    return made.start()


def address_of(node: Node, setting: str = PORT) -> tuple[str, int]:
    host, _, port = node.environment[setting].partition(":")
    return host, int(port)


def client_of(node: Node, setting: str = PORT) -> "redis.Redis":
    host, port = address_of(node, setting)
    return redis.Redis(host=host, port=port, socket_timeout=LIMIT_S)


def clustered_client_of(node: Node, setting: str) -> "redis.RedisCluster":
    """A client of Redis clusters that is told of this node only, which knows the others by now."""
    wait_for(lambda: knows_all(node), "a node that knows the Redis addresses of all")
    host, port = address_of(node, setting)
    return redis.RedisCluster(host=host, port=port, socket_timeout=LIMIT_S)


def test_a_crowd_at_the_redis_doors_keeps_nobody_out_of_the_others(new_cluster: NewCluster) -> None:
    (node,) = cluster = new_cluster(1)
    for setting, port in zip((PORT, CLUSTER_PORT), free_ports(2), strict=True):
        node.environment[setting] = f"127.0.0.1:{port}"
    node.start(open_files=128)
    cluster.leader()
    for setting in (PORT, CLUSTER_PORT):
        with ExitStack() as crowd:
            for _ in range(200):
                crowd.enter_context(socket.create_connection(address_of(node, setting), timeout=LIMIT_S))
            assert node.ask("GET", "/livez").status == 200
            other = PORT if setting == CLUSTER_PORT else CLUSTER_PORT
            with client_of(node, other) as client:
                assert client.ping()
                assert client.config_get("maxclients") == {"maxclients": "16"}
                for _ in range(200):
                    crowd.enter_context(socket.create_connection(address_of(node, other), timeout=LIMIT_S))
                assert node.ask("GET", "/livez").status == 200


def test_a_cluster_serves_redis_clients_and_keeps_what_it_has_acknowledged(cluster: Cluster) -> None:
    leader = cluster.leader()
    with socket.create_connection(address_of(leader), timeout=LIMIT_S) as connection:
        connection.sendall(
            b"SET greeting hello\r\n*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\nINCR n\r\nGET n\r\nQUIT\r\n"
        )
        stream = connection.makefile("rb")
        assert stream.read() == b"+OK\r\n$5\r\nhello\r\n:1\r\n$1\r\n1\r\n+OK\r\n"

    with client_of(leader) as client:
        assert client.ping()
        assert client.set("key", b"\x00\xff", ex=100, nx=True)
        assert client.get("key") == b"\x00\xff"
        assert client.ttl("key") in (99, 100)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.incr("n").get("n").delete("key")
            assert pipeline.execute() == [2, b"2", 1]
        with client.pipeline() as pipeline:
            pipeline.watch("n")
            client.incr("n")
            pipeline.multi()
            pipeline.set("n", 0)
            with pytest.raises(redis.WatchError):
                pipeline.execute()
        with client.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.set(f"many:{number}", number).get(f"many:{number}")
            replies = pipeline.execute()
        assert replies == [reply for number in range(1000) for reply in (True, b"%d" % number)]

    (follower, *_) = cluster.others(leader)
    hint = wait_for(lambda: moved_to(follower), "a follower that knows the leader's Redis address")
    assert hint == "{}:{}".format(*address_of(leader))
    clustered = clustered_client_of(follower, PORT)
    assert clustered.set("clustered", "yes")
    assert clustered.get("clustered") == b"yes"
    assert clustered.delete("clustered") == 1
    clustered.close()

    leader.kill9()
    successor = cluster.leader(cluster.running)
    with client_of(successor) as client:
        assert client.get("n") == b"3"
        assert client.dbsize() == 1002


def test_a_client_of_clusters_goes_on_after_the_leader_has_died(cluster: Cluster) -> None:
    leader = cluster.leader()
    (follower, *_) = cluster.others(leader)
    wait_for(lambda: moved_to(follower), "a follower that knows the leader's Redis address")
    client = clustered_client_of(follower, PORT)
    acknowledged = [number for number in range(20) if client.set(f"before:{number}", number)]
    leader.kill9()

    def try_to_set() -> bool:
        try:
            return bool(client.set("after", "yes"))
        except (redis.RedisError, OSError):
            return False

    assert wait_for(try_to_set, "a write after the death of the leader")
    assert [int(client.get(f"before:{number}") or -1) for number in range(20)] == acknowledged
    assert client.get("after") == b"yes"
    client.close()


def test_a_plain_client_of_another_node_does_not_notice_that_the_leader_dies(
    forwarding_cluster: Cluster,
) -> None:
    cluster = forwarding_cluster
    leader = cluster.leader()
    (follower, *_) = cluster.others(leader)

    def kill_soon(client: "redis.Redis") -> None:
        wait_for(lambda: int(client.get("n") or 0) >= KILLED_AT, "some writes")
        leader.kill9()

    done = 0
    with client_of(follower) as client, client_of(follower) as watching:
        killer = threading.Thread(target=kill_soon, args=(watching,))
        killer.start()
        while done < 2 * KILLED_AT or killer.is_alive():
            with client.pipeline(transaction=False) as pipeline:
                for number in range(done, done + 10):
                    pipeline.incr("n").set(f"key:{number}", number).get(f"key:{number}")
                replies = pipeline.execute()
            expected = [(number + 1, True, b"%d" % number) for number in range(done, done + 10)]
            assert replies == [reply for three in expected for reply in three]
            done += 10
        killer.join()
        assert not leader.is_running
        successor = cluster.leader(cluster.running)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.watch("n")
            assert pipeline.get("n") == b"%d" % done
            pipeline.multi()
            pipeline.incr("n").dbsize()
            assert pipeline.execute() == [done + 1, done + 1]
        assert client.randomkey() is not None
        assert len(list(client.scan_iter(match="key:*"))) == done
    with client_of(successor) as client:
        assert client.get("n") == b"%d" % (done + 1)


def test_no_message_is_lost_that_a_leader_took_for_a_client_of_another_node_and_died(
    forwarding_cluster: Cluster,
) -> None:
    """Many take messages for good, all the time, when the leader is killed: what it took and could not say any more the
    next one gives to the same client."""
    cluster = forwarding_cluster
    leader = cluster.leader()
    (follower, *_) = cluster.others(leader)
    values = [b"%d" % number for number in range(MESSAGES)]
    taken: list[bytes] = []

    def consume() -> None:
        with client_of(follower) as client:
            while (value := client.execute_command("DEQUEUE", "mail", "WAIT", "10")) != b"end":
                taken.append(value)

    with client_of(follower) as client:
        with client.pipeline(transaction=False) as pipeline:
            for value in values:
                pipeline.execute_command("ENQUEUE", "mail", value)
            pipeline.execute()
        consumers = [threading.Thread(target=consume) for _ in range(CONSUMERS)]
        for consumer in consumers:
            consumer.start()
        wait_for(lambda: len(taken) >= MESSAGES // 4, "some messages to be taken")
        leader.kill9()
        wait_for(lambda: len(taken) >= MESSAGES // 2, "messages to be taken after the death of the leader")
        for _ in consumers:
            client.execute_command("ENQUEUE", "mail", "end")
    for consumer in consumers:
        consumer.join()
    assert sorted(taken) == sorted(values)


def test_a_client_of_clusters_follows_the_leadership_and_outlives_a_leader(
    cluster_of_two_doors: Cluster,
) -> None:
    cluster = cluster_of_two_doors
    leader = cluster.leader()
    (follower, third) = cluster.others(leader)
    # The plain port names the ports for clusters, too.
    with clustered_client_of(follower, PORT) as client:
        cluster_ports = {address_of(node, CLUSTER_PORT)[1] for node in cluster}
        assert {node.port for node in client.get_nodes()} == cluster_ports
        assert client.set("key", "value")
        assert client.get("key") == b"value"

        body = b'{"to": "%b"}' % third.name.encode()
        assert leader.ask("POST", "/v1/leader/transfer", body).status == 200
        wait_for(lambda: leader.status()["leader"]["id"] == third.name, "the old leader to know the new one")
        before = {node.name: commands_at(node) for node in cluster}
        with client.pipeline(transaction=True) as pipeline:
            # It is begun at the old leader.
            assert pipeline.incr("key:n").get("key:n").execute() == [1, b"1"]
        for number in range(AFTER_TRANSFER):
            assert client.set(f"key:{number}", number)
        counts = {node.name: commands_at(node) - before[node.name] for node in cluster}
        assert counts[third.name] >= AFTER_TRANSFER
        assert counts[leader.name] < AFTER_TRANSFER / 100, counts
        assert counts[follower.name] < AFTER_TRANSFER / 100, counts

        done = 0
        while done < 3 * KILLED_AT:
            if done == KILLED_AT:
                third.kill9()
            # A write that was under way when its leader died may have been done: the client tries it again.
            assert client.set(f"key:{done}", done)
            assert client.get(f"key:{done}") == b"%d" % done
            done += 1
        with client.pipeline(transaction=True) as pipeline:
            pipeline.watch("key:n")
            assert pipeline.get("key:n") == b"1"
            pipeline.multi()
            pipeline.delete("key:n")
            assert pipeline.execute() == [1]
        with client_of(follower, CLUSTER_PORT) as anywhere:
            assert anywhere.dbsize() == AFTER_TRANSFER + 1
            assert len(anywhere.keys("key:1*")) == 111


def test_any_node_serves_reads_that_are_as_fresh_as_the_leaders(new_cluster: NewCluster) -> None:
    made = new_cluster(3)
    for node in made:
        node.environment["RAFTDB_READS"] = "any"
    cluster = started_with(made, "moved", CLUSTER_PORT)
    leader = cluster.leader()
    followers = cluster.others(leader)
    readers = [client_of(node, setting) for node in followers for setting in (PORT, CLUSTER_PORT)]
    with client_of(leader) as writer:
        for number in range(50):
            writer.set("key", number)
            assert [reader.get("key") for reader in readers] == [b"%d" % number] * len(readers)
    for node, reader in zip(followers, readers[::2], strict=True):
        answer = node.ask("GET", "/v1/keys/key")
        assert (answer.status, answer.json["value"]) == (200, "49")
        assert reader.dbsize() == 1
        assert reader.readonly()
        assert reader.get("key") == b"49"
        with pytest.raises(redis.exceptions.MovedError):
            reader.set("key", "not here")
    leader.sigstop()
    try:
        stale = readers[0].get("key")
    finally:
        leader.sigcont()
    assert stale == b"49"
    for reader in readers:
        reader.close()


def commands_at(node: Node) -> int:
    """How many commands the node's port for clients of clusters has taken; one more for asking."""
    with client_of(node, CLUSTER_PORT) as client:
        return int(client.info("stats")["total_commands_processed"])


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="needs Debian's redis-tools")
def test_redis_own_programs_have_nothing_to_complain_of(cluster: Cluster) -> None:
    leader = cluster.leader()
    host, port = address_of(leader)

    def run(*command: str, text: str = "") -> str:
        program, *arguments = command
        done = subprocess.run(
            [program, "-h", host, "-p", str(port), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        assert not done.stderr
        assert "warn" not in done.stdout.lower()
        assert "error" not in done.stdout.lower()
        return done.stdout

    tests = ["ping_inline", "ping_mbulk", "set", "get", "incr", "mset"]
    options = ["-n", "200", "-c", "5", "-P", "4", "-q"]
    measured = run("redis-benchmark", "-t", ",".join(tests), *options)
    assert measured.count("requests per second") == len(tests)
    assert run("redis-cli", text="set greeting hello\nget greeting\n") == "OK\nhello\n"
    assert "greeting" in run("redis-cli", "--scan").splitlines()
    assert "Sampled" in run("redis-cli", "--bigkeys")
    (follower, *_) = cluster.others(leader)
    wait_for(lambda: moved_to(follower), "a follower that knows the leader's Redis address")
    host, port = address_of(follower)
    assert "hello" in run("redis-cli", "-c", text="get greeting\n")


def knows_all(node: Node) -> bool:
    with client_of(node) as client:
        return len(client.execute_command("CLUSTER NODES")) == 3


def moved_to(follower: Node) -> str | None:
    """Where a node that does not lead sends a client; None if it only says who leads."""
    with client_of(follower) as client, pytest.raises(redis.ResponseError) as caught:
        client.get("greeting")
    if isinstance(caught.value, redis.exceptions.MovedError):
        return f"{caught.value.host}:{caught.value.port}"
    assert isinstance(caught.value, redis.exceptions.ClusterDownError)
    return None


async def test_both_versions_of_the_protocol_from_asyncio(cluster: Cluster) -> None:
    host, port = address_of(cluster.leader())
    for version in (2, 3):
        client = redis.asyncio.Redis(host=host, port=port, protocol=version, socket_timeout=LIMIT_S)
        async with client:
            replies = await asyncio.gather(*(client.incr(f"counter:{version}") for _ in range(50)))
            assert sorted(replies) == list(range(1, 51))
            assert (await client.config_get("append*"))["appendfsync"] == "always"
            assert "get" in await client.command()
            assert (await client.info("server"))["redis_mode"] == "standalone"
