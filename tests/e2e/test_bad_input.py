"""What a client may get wrong: a clear 4xx, nothing appended, the node unharmed; the same from the command line.

Some of `tests/bad_input.py`, one of each way to be refused; all of it is tried without processes in
`tests/frontend/test_bad_input.py` and `tests/cli/test_bad_input.py`.
"""

from typing import Any

import pytest

from tests.bad_input import EXECUTE, MIB, ONE_SHOT, RAW, REQUESTS, SCRIPTS, assert_error, assert_one_line
from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.raw_http import Response, command_body, exchange


class Watch:
    """What must be the same before and after: the log and the process."""

    def __init__(self, cluster: Cluster) -> None:
        self.leader = cluster.leader()
        self.before = self._look()
        self.pids = {node.name: node.pid for node in cluster}
        self.cluster = cluster

    def _look(self) -> tuple[Any, ...]:
        status = self.leader.status()
        return status["role"], status["term"], status["last_index"]

    def assert_unharmed(self) -> None:
        """Nothing appended and every node alive. Only an election may come between, of which the role tells; and the
        shell begins a session before it sends what only the node can refuse, and ends it."""
        after = self._look()
        if after[:2] == self.before[:2] and after != self.before:
            first = self.before[2] + 1
            page = self.leader.ask("GET", f"/v1/request_log?from={first}").json
            appended = {entry.get("command") for entry in page["entries"]}
            assert appended <= {"register_session", "close_session"}, f"appended: {page['entries']}"
        for node in self.cluster:
            assert node.is_running
            assert node.pid == self.pids[node.name]
            assert node.ask("GET", "/livez").status == 200


def assert_refused(response: Response, status: int, code: str) -> None:
    assert (response.status, response.error_code) == (status, code), (response.status, response.body[:300])
    assert_error(response.body)


@pytest.mark.parametrize(
    "case", ["empty key", "not UTF-8", "deep argument", "oversized body", "a stale write"]
)
def test_a_bad_command_over_http(shared_cluster: Cluster, case: str) -> None:
    """At the leader and at a follower: no redirect for what no leader would take."""
    content, status, code = EXECUTE[case]
    watch = Watch(shared_cluster)
    for node in (watch.leader, shared_cluster.others(watch.leader)[0]):
        assert_refused(node.ask("POST", "/v1/execute", content), status, code)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", ["log from a word", "peers without an upgrade"])
def test_a_bad_request_over_http(shared_cluster: Cluster, case: str) -> None:
    method, target, status, code = REQUESTS[case]
    watch = Watch(shared_cluster)
    assert_refused(watch.leader.ask(method, target), status, code)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", ["two lengths"])
def test_bytes_that_are_no_request(shared_cluster: Cluster, case: str) -> None:
    watch = Watch(shared_cluster)
    answer = exchange(watch.leader.address, RAW[case][0])
    _, status, code = RAW[case]
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    assert code.encode() in answer
    watch.assert_unharmed()


def test_what_is_just_within_the_limits_is_accepted(shared_cluster: Cluster) -> None:
    client = shared_cluster.client()
    assert client.result("set", "k" * 480, "v" * MIB) == "OK"
    assert client.result("strlen", "k" * 480) == MIB
    assert client.result("get", "k" * 480) == "v" * MIB
    assert client.result("set", "empty value", "") == "OK"
    assert client.result("get", "empty value") == ""


def test_a_command_that_fails_when_it_runs_is_422_and_changes_nothing(shared_cluster: Cluster) -> None:
    client = shared_cluster.client()
    assert client.result("set", "word", "ten") == "OK"
    response = client.ask_once("POST", "/v1/execute", command_body("incr", ["word"]))
    assert_refused(response, 422, "command_failed")
    assert client.result("set", "largest", str(2**63 - 1)) == "OK"
    assert_refused(
        client.ask_once("POST", "/v1/execute", command_body("incr", ["largest"])), 422, "command_failed"
    )
    assert client.result("mget", "word", "largest") == ["ten", str(2**63 - 1)]


@pytest.mark.parametrize("case", ["key over 480 bytes"])
def test_a_bad_one_shot_command(shared_cluster: Cluster, case: str) -> None:
    arguments, exit_code = ONE_SHOT[case]
    watch = Watch(shared_cluster)
    done = run_cli("--connect", watch.leader.address, *arguments)
    assert (done.returncode, done.stdout) == (exit_code, ""), done
    assert_one_line(done.stderr)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", ["value over the limit"])
def test_a_bad_command_in_the_shell(shared_cluster: Cluster, case: str) -> None:
    """From a pipe, for one of the scripts is longer than a command line may be; what follows it is not run."""
    script, exit_code = SCRIPTS[case]
    watch = Watch(shared_cluster)
    done = run_cli("shell", "--connect", watch.leader.address, text=f"{script}\nset k not-run\n")
    assert (done.returncode, done.stdout) == (exit_code, ""), done
    assert_one_line(done.stderr)
    watch.assert_unharmed()


def test_a_command_that_fails_in_the_shell_is_one_line_and_1(shared_cluster: Cluster) -> None:
    node: Node = shared_cluster.leader()
    done = run_cli("shell", "--connect", node.address, "-c", "set word ten; incr word")
    assert (done.returncode, done.stdout) == (1, "OK\n"), done
    assert_one_line(done.stderr)
