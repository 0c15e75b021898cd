"""Fake nodes on real sockets.

Canned answers and misbehaviour are queued per node with `script`; `LOSE_REPLY` does what was asked, and says nothing.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.client import fake_api
from tests.client.fake_api import LOSE_REPLY, LOSE_REQUEST, Canned, error, parse_query

__all__ = ["LOSE_REPLY", "LOSE_REQUEST", "Canned", "FakeCluster", "FakeNode", "error", "fake_cluster"]


class FakeCluster(fake_api.FakeCluster):
    """Its nodes are served."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[FakeNode] = []
        self.users: dict[str, str] | None = None
        """The user of each header `Authorization`; None: nobody has to be one."""


class FakeNode(fake_api.FakeNode):
    """One node: `requests` are (method, path with query) as they came, `bodies` what they carried, and `credentials`
    their headers `Authorization`; `script` holds canned answers, used first."""

    def __init__(self, cluster: FakeCluster, number: int) -> None:
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.credentials: list[str | None] = []
        self.connections = 0
        self.script: list[Canned] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.of_cluster = cluster
        super().__init__(cluster, number, f"127.0.0.1:{self._server.server_address[1]}")
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients go away, and are right to
            super().handle_error(request, client_address)


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

        def do_PUT(self) -> None:
            self._serve()

        def do_DELETE(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length)) if length else None
            node.requests.append((self.command, self.path))
            node.bodies.append(body)
            authorization = self.headers.get("Authorization")
            node.credentials.append(authorization)
            parts = urlsplit(self.path)
            canned = node.script.pop(0) if node.script else None
            if canned is not None and canned.wait is not None:
                canned.wait.wait(10)
            answer = canned
            users = node.of_cluster.users
            if answer is None and users is not None and authorization not in users:
                answer = error(401, "unauthenticated", "nobody is served here without being a user")
            if answer is None and parts.path == "/v1/whoami":
                answer = Canned(body={"user": (users or {}).get(authorization or "")})
            if answer is None or answer.lose == "reply":
                with node.cluster.lock:
                    answer = node.answer(self.command, parts.path, parse_query(parts.query), body)
            if answer.cut or (canned is not None and canned.lose is not None):
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
