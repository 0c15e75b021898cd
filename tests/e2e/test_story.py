"""One long story of four nodes and clients outside them, told over HTTP and again from the command line."""

import threading
from typing import Any

from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.conftest import NewCluster
from tests.e2e.raw_http import Acked, command_body, outcome_of
from tests.e2e.waiting import wait_for

TALE = [
    ("set", "1", "A"),
    ("append", "1", "BC"),
    ("set", "2", "SI"),
    ("append", "2", "S"),
]
AT_ONCE = [
    [("set", "ruby-chan", "choco-minto"), ("append", "ruby-chan", "-yori-mo-anata")],
    [("set", "ayumu-chan", "strawberry-flavor"), ("append", "ayumu-chan", "-yori-mo-anata")],
]
AFTER_THE_KILL = [("del", "1"), ("append", "2", "TE"), ("append", "2", "R")]
AFTER_THE_RETURN = [
    ("set", "3", ""),
    ("append", "3", "UwU"),
    ("append", "4", "Onii-Chan"),
    ("append", "4", "Daisuki"),
]


def at(node: Node, command: str, *arguments: str) -> Any:
    """The result of a command sent to this node, which must be able to execute it."""
    outcome = outcome_of(node.ask("POST", "/v1/execute", command_body(command, arguments)))
    assert isinstance(outcome, Acked), (node.name, command, arguments, outcome)
    return outcome.result


def commands_in_log(leader: Node) -> list[tuple[str, ...]]:
    """The commands of the leader's log, oldest first."""
    response = leader.ask("GET", "/v1/request_log?from=1&limit=1000")
    assert response.status == 200, response
    page = response.json
    assert page["first_index"] == 1
    assert [entry["index"] for entry in page["entries"]] == list(range(1, page["last_index"] + 1))
    terms = [entry["term"] for entry in page["entries"]]
    assert terms == sorted(terms)
    return [(entry["command"], *entry["args"]) for entry in page["entries"] if entry["kind"] == "command"]


def assert_in_order(wanted: list[tuple[str, ...]], found: list[tuple[str, ...]]) -> None:
    """`wanted` stands in `found` in this order; other commands may stand between."""
    rest = iter(found)
    for command in wanted:
        assert command in rest, f"{command} is not there, or too early: {found}"


def test_four_nodes_tell_the_story_over_http(new_cluster: NewCluster) -> None:
    cluster = new_cluster(4).start()
    leader = cluster.leader()
    client = cluster.client(leader)

    assert at(leader, "ping") == "PONG"
    for other in cluster.others(leader):
        response = other.ask("POST", "/v1/execute", command_body("ping", []))
        assert response.status == 307, response
        assert response.error_code == "not_leader"
        assert response.location == (leader.address, "/v1/execute")
        told = response.json["error"]["leader"]
        assert (told["id"], told["http"]) == (leader.name, leader.address)

    for command in TALE:
        assert at(leader, *command) == "OK"
    assert at(leader, "get", "1") == "ABC"
    for other in cluster.others(leader):
        assert other.ask("POST", "/v1/execute", command_body("get", ["1"])).status == 307
        assert cluster.client(other).result("get", "1") == "ABC"

    two_clients_at_once(cluster)
    assert client.result("get", "ruby-chan") == "choco-minto-yori-mo-anata"
    assert client.result("get", "ayumu-chan") == "strawberry-flavor-yori-mo-anata"

    leader.kill9()
    new_leader = cluster.leader()
    assert new_leader is not leader
    survivor = cluster.client(new_leader)
    assert survivor.result("strlen", "1") == 3
    assert survivor.result("strlen", "2") == 3
    assert [survivor.result(*command) for command in AFTER_THE_KILL] == ["ABC", "OK", "OK"]

    leader.start()
    cluster.wait_agreed()
    for command in AFTER_THE_RETURN:
        assert survivor.result(*command) == "OK"
    returned = cluster.client(leader)
    assert returned.result("get", "2") == "SISTER"
    assert returned.result("get", "3") == "UwU"
    assert returned.result("get", "4") == "Onii-ChanDaisuki"

    log = commands_in_log(cluster.leader())
    assert_in_order([*TALE, *AFTER_THE_KILL, *AFTER_THE_RETURN], log)
    for commands in AT_ONCE:
        assert_in_order([*TALE, *commands, *AFTER_THE_KILL], log)
    assert len(log) == len(TALE) + 4 + len(AFTER_THE_KILL) + len(AFTER_THE_RETURN)

    cluster.wait_agreed()
    # What came back holds it all itself, and not only knows whom to ask.
    stale = leader.ask("POST", "/v1/execute", command_body("get", ["2"], consistency="stale"))
    assert outcome_of(stale).result == "SISTER"  # type: ignore[union-attr]


def two_clients_at_once(cluster: Cluster) -> None:
    """Two clients, in threads of their own, begin in the same moment."""
    barrier = threading.Barrier(2)
    results: dict[int, list[Any]] = {}

    def tell(number: int) -> None:
        client = cluster.client(list(cluster)[number])
        barrier.wait(30)
        results[number] = [client.result(*command) for command in AT_ONCE[number]]

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {0: ["OK", "OK"], 1: ["OK", "OK"]}


def test_the_story_from_the_command_line(new_cluster: NewCluster) -> None:
    """The one-shot commands and `shell -c`, asked at nodes that do not lead as well."""
    cluster = new_cluster(4).start()
    leader = cluster.leader()
    follower = cluster.others(leader)[0]

    def run(node: Node, *arguments: str) -> str:
        done = run_cli("--connect", node.address, *arguments)
        assert done.returncode == 0, done
        assert done.stderr == "", done
        return done.stdout

    def shell(node: Node, script: str) -> list[str]:
        return run(node, "shell", "-c", script).splitlines()

    assert run(leader, "ping") == "PONG\n"
    assert run(follower, "ping") == "PONG\n"
    assert shell(follower, "set 1 A; append 1 BC; set 2 SI; append 2 S; get 1") == ["OK"] * 4 + ["ABC"]
    assert run(follower, "get", "1") == "ABC\n"

    leader.kill9()
    new_leader = cluster.leader()
    survivor = cluster.others(leader, new_leader)[0]
    assert shell(survivor, "strlen 1; strlen 2; del 1") == ["3", "3", "ABC"]
    assert run(survivor, "append", "2", "TE") == "OK\n"
    assert run(survivor, "append", "2", "R") == "OK\n"

    leader.start()
    cluster.wait_agreed()
    script = 'set 3 ""; append 3 UwU; append 4 Onii-Chan; append 4 Daisuki'
    assert shell(new_leader, script) == ["OK"] * 4
    assert shell(leader, "get 2; get 3; get 4") == ["SISTER", "UwU", "Onii-ChanDaisuki"]
    assert run_cli("--connect", leader.address, "get", "1").returncode == 4

    def all_there() -> bool:
        log = run(leader, "log", "--limit", "100")
        places = [log.find(word) for word in ("BC", "SI", "TE", "UwU", "Onii-Chan", "Daisuki")]
        return -1 not in places and places == sorted(places)

    wait_for(all_there, "the log to show it all in order")
    assert leader.name in run(follower, "cluster", "status")


def test_counters_count_every_acknowledged_increment(shared_cluster: Cluster) -> None:
    """Four clients at once, on four connections: the sum is what was acknowledged, no number is given twice."""
    seen: list[int] = []
    unknown: list[str] = []

    def count(number: int) -> None:
        client = shared_cluster.client(list(shared_cluster)[number % 3])
        for _ in range(100):
            outcome = client.execute("incr", "counter")
            if isinstance(outcome, Acked):
                seen.append(outcome.result)
            else:
                unknown.append(str(outcome))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    total = int(shared_cluster.client().result("get", "counter"))
    assert len(seen) == len(set(seen))
    assert len(seen) <= total <= len(seen) + len(unknown), unknown
    assert unknown or total == 400
