"""What a client may get wrong: a clear 4xx, nothing appended, the node unharmed; the same from the command line."""

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.raw_http import Response, command_body, exchange

MIB = 1024 * 1024
LONG_KEY = "k" * 481
LONG_KEY_OF_FEW_CHARACTERS = "é" * 241
DEEP = 100_000


def body(value: object) -> bytes:
    return json.dumps(value).encode()


EXECUTE: dict[str, tuple[bytes, int, str]] = {
    "empty key": (command_body("set", ["", "v"]), 400, "bad_key"),
    "empty key of a read": (command_body("get", [""]), 400, "bad_key"),
    "empty key among others": (command_body("mset", ["a", "1", "", "2"]), 400, "bad_key"),
    "empty key in base64": (body({"command": "set", "args": [{"base64": ""}, "v"]}), 400, "bad_key"),
    "key over 480 bytes": (command_body("set", [LONG_KEY, "v"]), 400, "bad_key"),
    "key over 480 bytes in 241 characters": (
        command_body("set", [LONG_KEY_OF_FEW_CHARACTERS, "v"]),
        400,
        "bad_key",
    ),
    "key over 480 bytes in mget": (command_body("mget", ["a", LONG_KEY]), 400, "bad_key"),
    "value over the limit": (command_body("set", ["k", "v" * (MIB + 1)]), 413, "too_large"),
    "value over the limit in mset": (
        command_body("mset", ["a", "1", "k", "v" * (MIB + 1)]),
        413,
        "too_large",
    ),
    "value over the limit in append": (command_body("append", ["k", "v" * (MIB + 1)]), 413, "too_large"),
    "command over 4 MiB": (
        command_body("mset", [text for n in range(5) for text in (f"k{n}", "v" * MIB)]),
        413,
        "too_large",
    ),
    "too many keys": (command_body("exists", ["k"] * 20_000), 413, "too_large"),
    "no argument": (command_body("set", []), 400, "wrong_arity"),
    "one argument too few": (command_body("set", ["k"]), 400, "wrong_arity"),
    "one argument too many": (command_body("get", ["k", "x"]), 400, "wrong_arity"),
    "an argument for none": (command_body("ping", ["x"]), 400, "wrong_arity"),
    "an odd number in mset": (command_body("mset", ["a", "1", "b"]), 400, "wrong_arity"),
    "unknown command": (command_body("sett", ["k", "v"]), 400, "unknown_command"),
    "no command": (command_body("", ["k", "v"]), 400, "unknown_command"),
    "unknown long command": (command_body("x" * 10_000, []), 400, "unknown_command"),
    "not a number": (command_body("incrby", ["k", "ten"]), 400, "bad_request"),
    "number of 65 bits": (command_body("incrby", ["k", str(2**63)]), 400, "bad_request"),
    "no body": (b"", 400, "bad_request"),
    "half of a JSON": (b'{"command": "set", "args": ["k"', 400, "bad_request"),
    "no JSON at all": (b"set k v", 400, "bad_request"),
    "JSON and more": (command_body("set", ["k", "v"]) + b"{}", 400, "bad_request"),
    "not UTF-8": (b'{"command": "set", "args": ["k", "\xff"]}', 400, "bad_request"),
    "lone surrogate": (b'{"command": "set", "args": ["k", "\\ud800"]}', 400, "bad_request"),
    "NaN": (b'{"command": "set", "args": ["k", NaN]}', 400, "bad_request"),
    "a list": (body(["set", "k", "v"]), 400, "bad_request"),
    "null": (b"null", 400, "bad_request"),
    "an empty object": (b"{}", 400, "bad_request"),
    "command a number": (body({"command": 7, "args": ["k", "v"]}), 400, "bad_request"),
    "args a string": (body({"command": "set", "args": "kv"}), 400, "bad_request"),
    "args an object": (body({"command": "set", "args": {"k": "v"}}), 400, "bad_request"),
    "an argument no whole number": (body({"command": "set", "args": ["k", 7.5]}), 400, "bad_request"),
    "an argument null": (body({"command": "set", "args": ["k", None]}), 400, "bad_request"),
    "an argument a list": (body({"command": "set", "args": ["k", ["v"]]}), 400, "bad_request"),
    "an argument true": (body({"command": "set", "args": ["k", True]}), 400, "bad_request"),
    "broken base64": (body({"command": "set", "args": ["k", {"base64": "!"}]}), 400, "bad_request"),
    "base64 a number": (body({"command": "set", "args": ["k", {"base64": 7}]}), 400, "bad_request"),
    "base64 with more": (body({"command": "set", "args": ["k", {"base64": "", "x": 1}]}), 400, "bad_request"),
    "unknown field": (body({"command": "set", "args": ["k", "v"], "ttl": 5}), 400, "bad_request"),
    "unknown consistency": (command_body("get", ["k"], consistency="eventual"), 400, "bad_request"),
    "a stale write": (command_body("set", ["k", "v"], consistency="stale"), 400, "bad_request"),
    "deep lists": (b"[" * DEEP + b"]" * DEEP, 400, "bad_request"),
    "deep lists never closed": (b"[" * DEEP, 400, "bad_request"),
    "deep objects": (b'{"command":' * DEEP + b"1" + b"}" * DEEP, 400, "bad_request"),
    "deep argument": (
        b'{"command": "set", "args": ["k", ' + b"[" * DEEP + b"]" * DEEP + b"]}",
        400,
        "bad_request",
    ),
    "oversized body": (command_body("set", ["k", "v" * (9 * MIB)]), 413, "too_large"),
}

REQUESTS: dict[str, tuple[str, str, int, str]] = {
    "unknown path": ("GET", "/v1/nothing", 404, "not_found"),
    "wrong method": ("GET", "/v1/execute", 405, "method_not_allowed"),
    "log from 0": ("GET", "/v1/request_log?from=0", 400, "bad_request"),
    "log from before": ("GET", "/v1/request_log?from=-5", 400, "bad_request"),
    "log from a word": ("GET", "/v1/request_log?from=one", 400, "bad_request"),
    "log from far away": ("GET", f"/v1/request_log?from={2**64}", 400, "bad_request"),
    "log without limit": ("GET", "/v1/request_log?limit=1000000", 400, "bad_request"),
    "log with more": ("GET", "/v1/request_log?form=1", 400, "bad_request"),
    "peers without WebSocket": ("GET", "/v1/peer", 400, "bad_request"),
}

RAW: dict[str, bytes] = {
    "no HTTP at all": b"\x00\x01\x02\x03\r\n\r\n",
    "two lengths": b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": (
        b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a negative length": b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a header of 100 kB": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
}


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
    error = response.json["error"]
    assert set(error) <= {"code", "message", "hint", "leader"}
    assert error["message"]
    assert "\n" not in error["message"]
    assert "Traceback" not in response.body.decode()
    assert len(response.body) < 2000, "an error repeats what it was sent"


@pytest.mark.parametrize("case", EXECUTE)
def test_a_bad_command_over_http(shared_cluster: Cluster, case: str) -> None:
    """At the leader and at a follower: no redirect for what no leader would take."""
    content, status, code = EXECUTE[case]
    watch = Watch(shared_cluster)
    for node in (watch.leader, shared_cluster.others(watch.leader)[0]):
        assert_refused(node.ask("POST", "/v1/execute", content), status, code)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", REQUESTS)
def test_a_bad_request_over_http(shared_cluster: Cluster, case: str) -> None:
    method, target, status, code = REQUESTS[case]
    watch = Watch(shared_cluster)
    assert_refused(watch.leader.ask(method, target), status, code)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", RAW)
def test_bytes_that_are_no_request(shared_cluster: Cluster, case: str) -> None:
    watch = Watch(shared_cluster)
    answer = exchange(watch.leader.address, RAW[case])
    status, code = (431, "head_too_large") if "header" in case else (400, "bad_request")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    assert code.encode() in answer
    watch.assert_unharmed()


def test_a_body_that_promises_too_much_is_refused_before_it_comes(shared_cluster: Cluster) -> None:
    watch = Watch(shared_cluster)
    head = b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{"
    answer = exchange(watch.leader.address, head)
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:300]
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


ONE_SHOT: dict[str, tuple[list[str], int]] = {
    "empty key": (["set", "", "v"], 1),
    "key over 480 bytes": (["set", LONG_KEY, "v"], 1),
    "too few arguments": (["set", "k"], 2),
    "too many arguments": (["get", "k", "x"], 2),
    "unknown command": (["sett", "k", "v"], 2),
    "not a number": (["incrby", "k", "ten"], 2),
}

SCRIPTS: dict[str, tuple[str, int]] = {
    "empty key": ('set "" v', 1),
    "key over 480 bytes": (f"set {LONG_KEY} v", 1),
    "value over the limit": ("set k " + "v" * (MIB + 1), 1),
    "too few arguments": ("set k", 2),
    "unknown command": ("sett k v", 2),
    "unknown dot-command": (".nothing", 2),
    "a quote never closed": ('set k "v', 2),
    "not a number": ("incrby k ten", 2),
}


def assert_one_line(stderr: str) -> None:
    """One line that says what and why, and at most one that says what to do."""
    lines = stderr.splitlines()
    assert lines, "nothing is said"
    assert lines[0].startswith("raftdb: error: "), lines
    assert all(line.startswith("hint: ") for line in lines[1:]), lines
    assert len(lines) <= 2, lines
    assert max(map(len, lines)) < 500, "an error repeats what it was given"


@pytest.mark.parametrize("case", ONE_SHOT)
def test_a_bad_one_shot_command(shared_cluster: Cluster, case: str) -> None:
    arguments, exit_code = ONE_SHOT[case]
    watch = Watch(shared_cluster)
    done = run_cli("--connect", watch.leader.address, *arguments)
    assert (done.returncode, done.stdout) == (exit_code, ""), done
    assert_one_line(done.stderr)
    watch.assert_unharmed()


@pytest.mark.parametrize("case", SCRIPTS)
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
