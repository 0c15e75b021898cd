"""Nodes that speak the client API over HTTP and have no Raft: what a client sees of a cluster, and nothing
else.

A `FakeCluster` shares one dictionary and one log among its nodes; exactly one leads, or none. Canned answers
and misbehaviour are queued per node with `script`.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Canned:
    """What a node answers once, whatever it is asked. `cut`: it takes the request and closes the
    connection. `content` is sent instead of `body`; if it is shorter than `length` says, the connection is closed."""

    status: int = 200
    body: Body = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    wait: threading.Event | None = None
    content: bytes | None = None
    length: int | None = None


def error(status: int, code: str, message: str = "no", **more: object) -> Canned:
    return Canned(status, {"error": {"code": code, "message": message, **more}})


class FakeCluster:
    """Its nodes, the leader's number (or None) and the shared state."""

    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []
        self.leader: int | None = 0
        self.values: dict[bytes, bytes] = {}
        self.log: list[dict[str, Any]] = [{"index": 1, "term": 1, "kind": "noop"}]
        self.backup = b""

    @property
    def addresses(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def leader_body(self) -> Body | None:
        if self.leader is None:
            return None
        node = self.nodes[self.leader]
        return {"id": node.id, "http": node.address, "redis": None}

    def execute(self, name: str, arguments: list[bytes]) -> tuple[object, int | None]:
        """(result, revision) of the few commands that the tests use."""
        key = arguments[0] if arguments else b""
        if name in ("get", "strlen"):
            value = self.values.get(key, b"")
            return (value if name == "get" else len(value)), (len(self.log) if key in self.values else 0)
        if name == "mget":
            return [self.values.get(key) for key in arguments], None
        if name == "ping":
            return "PONG", None
        self.log.append(
            {"index": len(self.log) + 1, "term": 1, "kind": "command", "command": name, "args": arguments}
        )
        if name == "del":
            return self.values.pop(key, b""), None
        if name == "incr":
            self.values[key] = b"%d" % (int(self.values.get(key, b"0")) + 1)
            return int(self.values[key]), None
        self.values[key] = (self.values.get(key, b"") if name == "append" else b"") + arguments[1]
        return "OK", None


class FakeNode:
    """One node: `requests` are (method, path with query) as they came; `script` holds canned answers, used
    first."""

    def __init__(self, cluster: FakeCluster, number: int) -> None:
        self.cluster = cluster
        self.id = f"n{number + 1}"
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.connections = 0
        self.script: list[Canned] = []
        self._number = number
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def executed(self) -> int:
        return sum(path == "/v1/execute" for _, path in self.requests)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def answer(self, path: str, query: Mapping[str, list[str]], body: Any) -> Canned:
        if path == "/v1/status":
            return Canned(body=self._status())
        if self.cluster.leader is None:
            return error(503, "no_leader", "the cluster has no leader at the moment")
        if self.cluster.leader != self._number:
            leader = self.cluster.leader_body()
            assert leader is not None
            answer = error(307, "not_leader", f"{leader['id']} is the leader", leader=leader)
            return Canned(307, answer.body, {"Location": f"http://{leader['http']}{path}"})
        if path == "/v1/members":
            return Canned(body={"members": self._members()})
        if path == "/v1/snapshot":
            return Canned(body={"index": len(self.cluster.log)})
        if path == "/v1/backup":
            return Canned(content=self.cluster.backup, headers={"Raftdb-Index": str(len(self.cluster.log))})
        if path == "/v1/request_log":
            return self._log_page(query)
        arguments = [
            base64.b64decode(text["base64"]) if isinstance(text, dict) else text.encode()
            for text in body["args"]
        ]
        try:
            result, revision = self.cluster.execute(body["command"].lower(), arguments)
        except ValueError:
            return error(422, "command_failed", "value is not an integer or out of range")
        answer_body = {"result": to_json(result), "index": len(self.cluster.log), "term": 1}
        return Canned(body=answer_body if revision is None else {**answer_body, "revision": revision})

    def _log_page(self, query: Mapping[str, list[str]]) -> Canned:
        first, limit = int(query.get("from", ["1"])[0]), int(query.get("limit", ["100"])[0])
        if limit > 1000:
            return error(400, "bad_request", "limit is at most 1000")
        last = len(self.cluster.log)
        entries = self.cluster.log[first - 1 : first - 1 + limit]
        page = {"first_index": 1, "last_index": last, "commit_index": last, "entries": to_json(entries)}
        return Canned(body=page)

    def _members(self) -> list[Body]:
        return [
            {
                "id": node.id,
                "http": node.address,
                "redis": None,
                "voter": True,
                "match_index": 1,
                "alive": True,
            }
            for node in self.cluster.nodes
        ]

    def _status(self) -> Body:
        last = len(self.cluster.log)
        return {
            "id": self.id,
            "cluster_id": "c-1",
            "version": "0.1.0",
            "role": "leader" if self.cluster.leader == self._number else "follower",
            "term": 1,
            "leader": self.cluster.leader_body(),
            "first_index": 1,
            "last_index": last,
            "commit_index": last,
            "applied_index": last,
            "checkpoint_index": 0,
            "members": self._members(),
            "uptime_seconds": 61.5,
        }


def to_json(value: object) -> object:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return value


def _handler(node: FakeNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            node.connections += 1

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length)) if length else None
            node.requests.append((self.command, self.path))
            node.bodies.append(body)
            parts = urlsplit(self.path)
            answer = (
                node.script.pop(0) if node.script else node.answer(parts.path, parse_qs(parts.query), body)
            )
            if answer.wait is not None:
                answer.wait.wait(10)
            if answer.cut:
                self.close_connection = True
                return
            data = json.dumps(answer.body).encode() if answer.content is None else answer.content
            length = len(data) if answer.length is None else answer.length
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection |= length > len(data)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def fake_cluster(count: int = 3, *, leader: int | None = 0) -> Iterator[FakeCluster]:
    cluster = FakeCluster()
    try:
        for number in range(count):
            cluster.nodes.append(FakeNode(cluster, number))
        cluster.leader = leader
        yield cluster
    finally:
        for node in cluster.nodes:
            node.stop()


Factory = Callable[..., FakeCluster]
