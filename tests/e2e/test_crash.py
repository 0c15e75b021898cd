"""kill -9 and SIGSTOP under load: what was acknowledged stays, terms never go back, a minority never says OK."""

import itertools
import statistics
import threading
import time
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.load import Load, load_on
from tests.e2e.raw_http import Acked, Refused, Response, Unknown, command_body, outcome_of
from tests.e2e.waiting import wait_for

ROUNDS = 6
ROUNDS_LONG = 20
WRITES_PER_ROUND = 150
FAILOVERS = 5


def terms_of(cluster: Cluster) -> dict[str, int]:
    return {node.name: node.status()["term"] for node in cluster}


@pytest.mark.timeout(1200)
def test_kill_9_of_all_nodes_under_load_loses_nothing(new_cluster: NewCluster, is_long: bool) -> None:
    """Started again in every order, every third time with the last node late (hazard B01)."""
    cluster = new_cluster(3).start()
    loads: list[Load] = []
    orders = list(itertools.permutations(cluster))
    for number in range(ROUNDS_LONG if is_long else ROUNDS):
        with load_on(cluster, f"r{number}") as load:
            load.wait_for_acks(WRITES_PER_ROUND)
            terms = terms_of(cluster)
            for node in cluster:
                node.kill9()
        loads.append(load)
        assert len(load.acked) >= WRITES_PER_ROUND

        order = orders[number % len(orders)]
        late = order[-1] if number % 3 == 2 else None
        for node in order:
            if node is not late:
                node.start()
        if late is not None:
            two = [node for node in order if node is not late]
            assert cluster.client(cluster.leader(two)).result("set", f"late-{number}", "yes") == "OK"
            late.start()
        for node in cluster:
            assert node.status()["term"] >= terms[node.name], f"the term of {node.name} went back"
        leader = cluster.wait_agreed()
        load.check(cluster.client(leader))
        if late is not None:
            assert cluster.client().result("get", f"late-{number}") == "yes"
    for load in loads:
        load.check(cluster.client())
    assert_equal_everywhere(cluster, loads[-1])


def assert_equal_everywhere(cluster: Cluster, load: Load) -> None:
    """Every node has the same values itself."""
    cluster.wait_agreed()
    keys = sorted(load.acked | dict.fromkeys(load.unknown))[:500]
    values: list[Any] = []
    for node in cluster:
        body = command_body("mget", keys, consistency="stale")
        outcome = outcome_of(node.ask("POST", "/v1/execute", body))
        assert isinstance(outcome, Acked), outcome
        values.append(outcome.result)
    assert all(value == values[0] for value in values)


@pytest.mark.timeout(300)
def test_writes_go_on_after_kill_9_of_the_leader(
    new_cluster: NewCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured and printed: how long nobody could write. The limit here is only that it ends."""
    cluster = new_cluster(3).start()
    gaps: list[float] = []
    loads = []
    for number in range(FAILOVERS):
        leader = cluster.leader()
        rest = cluster.others(leader)
        client = cluster.client(*rest, timeout_s=5.0)
        with load_on(cluster, f"f{number}", threads=2) as load:
            load.wait_for_acks(20)
            leader.kill9()
            begin = time.monotonic()
            assert client.result("set", "failover", str(number)) == "OK"
            gaps.append(time.monotonic() - begin)
            load.wait_for_acks(20)
        loads.append(load)
        leader.start()
        cluster.wait_agreed()
        assert cluster.client(leader).result("get", "failover") == str(number)
    for load in loads:
        load.check(cluster.client())
    with capsys.disabled():
        shown = ", ".join(f"{gap:.2f}" for gap in gaps)
        print(
            f"\n  seconds without writes after kill -9 of the leader: {shown}; median {statistics.median(gaps):.2f}"
        )


def never_ok(cluster: Cluster, nodes: list[Node], attempts: int) -> list[str]:
    """Try to write at the nodes of a minority; the codes that came back, none of which may be a success."""
    codes = []
    for number in range(attempts):
        for node in nodes:
            body = command_body("set", [f"minority-{number}", "lost"])
            outcome = outcome_of(node.ask("POST", "/v1/execute", body))
            assert not isinstance(outcome, Acked), f"{node.name} acknowledged without a majority"
            if isinstance(outcome, Refused):
                assert outcome.code in ("no_leader", "no_quorum"), outcome
            codes.append("outcome_unknown" if isinstance(outcome, Unknown) else outcome.code)
    return codes


def reads_refused(node: Node) -> bool:
    """A linearizable read of a node without a majority has no answer; a stale one has."""
    outcome = outcome_of(node.ask("POST", "/v1/execute", command_body("get", ["before"])))
    stale = outcome_of(node.ask("POST", "/v1/execute", command_body("get", ["before"], consistency="stale")))
    return not isinstance(outcome, Acked) and isinstance(stale, Acked) and stale.result == "yes"


@pytest.mark.parametrize("lost", ["followers", "leader and a follower"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_minority_never_says_ok_and_all_goes_on_after(new_cluster: NewCluster, how: str, lost: str) -> None:
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    assert cluster.client(leader).result("set", "before", "yes") == "OK"
    cluster.wait_agreed()
    gone = cluster.others(leader) if lost == "followers" else [leader, cluster.others(leader)[0]]
    (left,) = cluster.others(*gone)
    for node in gone:
        node.sigstop() if how == "stop" else node.kill9()

    # The node that is left may still name a leader that is gone: a redirect is not an acknowledgement either.
    def gave_up() -> bool:
        status = left.status()
        return status["leader"] is None and status["role"] != "leader"

    if left is leader:
        assert set(never_ok(cluster, [left], 1)) <= {"outcome_unknown", "no_leader", "no_quorum"}
    wait_for(gave_up, f"{left.name} to see that there is no majority")
    assert set(never_ok(cluster, [left], 5)) <= {"no_leader", "no_quorum"}
    assert reads_refused(left)
    committed = left.status()["commit_index"]

    for node in gone:
        node.sigcont() if how == "stop" else node.start()
    cluster.leader()
    client = cluster.client()
    assert client.result("get", "before") == "yes"
    assert client.result("set", "after", "yes") == "OK"
    cluster.wait_agreed()
    assert all(node.status()["commit_index"] > committed for node in cluster)
    # What was refused surely never happened; what was unknown may have, but then everywhere.
    assert client.result("mget", *(f"minority-{number}" for number in range(1, 5))) == [None] * 4
    assert client.result("get", "minority-0") in ("", "lost")


def test_a_stopped_majority_under_load(new_cluster: NewCluster) -> None:
    """Clients write all the time: nothing is acknowledged while a majority sleeps, nothing acknowledged is lost."""
    cluster = new_cluster(3).start()
    leader = cluster.leader()
    with load_on(cluster, "s") as load:
        load.wait_for_acks(100)
        for node in cluster.others(leader):
            node.sigstop()
        wait_for(lambda: leader.status()["leader"] is None, "the leader to step down")
        commit_index = leader.status()["commit_index"]
        wait_for(lambda: load.refused & {"no_leader", "no_quorum"}, "a refusal")
        assert leader.status()["commit_index"] == commit_index
        assert max(load.acked.values()) <= commit_index
        for node in cluster.others(leader):
            node.sigcont()
        load.wait_for_acks(100)
    cluster.wait_agreed()
    load.check(cluster.client())
    assert_equal_everywhere(cluster, load)


def test_a_leader_that_slept_through_its_deposition_answers_nothing_old(new_cluster: NewCluster) -> None:
    """Requests wait at its socket while it sleeps: when it wakes it still believes that it leads (ReadIndex)."""
    cluster = new_cluster(3).start()
    for number in range(3):
        old = cluster.wait_agreed()
        assert cluster.client(old).result("set", "k", f"old-{number}") == "OK"
        old.sigstop()
        answers: list[Response] = []

        def send(
            command: str, *arguments: str, to: Node = old, into: list[Response] = answers
        ) -> threading.Thread:
            body = command_body(command, arguments)
            thread = threading.Thread(target=lambda: into.append(to.ask("POST", "/v1/execute", body)))
            thread.start()
            return thread

        threads = [send("get", "k") for _ in range(3)] + [send("append", "k", f"+{number}")]
        rest = cluster.others(old)
        cluster.leader(rest)
        client = cluster.client(*rest, timeout_s=5.0)
        assert client.result("set", "k", f"new-{number}") == "OK"
        old.sigcont()
        for thread in threads:
            thread.join(60)
        assert len(answers) == 4
        for response in answers:
            if response.status == 200:
                assert response.json["result"] == f"new-{number}", "an old value, or a write that cannot last"
            else:
                assert response.status in (307, 503, 504), response
        assert client.result("get", "k") == f"new-{number}"
