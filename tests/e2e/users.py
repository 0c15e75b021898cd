"""Clusters with users, and what tests of them ask for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, Node, free_ports
from tests.e2e.credentials import ADMIN, WITH_ADMIN, bearer
from tests.e2e.raw_http import Response

PASSWORD = "battery-staple"


@contextmanager
def with_users(folder: Path) -> Iterator[Cluster]:
    """Three nodes with an administrator, and a port for Redis clients each."""
    cluster = Cluster(folder, ["n1", "n2", "n3"])
    for node in cluster:
        node.environment = {**WITH_ADMIN, "RAFTDB_REDIS": f"127.0.0.1:{free_ports(1)[0]}"}
        node.headers = ADMIN
    try:
        yield cluster.start()
    finally:
        cluster.close()


def told(node: Node, method: str, path: str, body: object = None, *, by: dict[str, str] = ADMIN) -> Response:
    data = None if body is None else json.dumps(body).encode()
    return node.ask(method, path, data, headers=by)


def run(node: Node, *words: Any, by: dict[str, str]) -> int:
    """The status of a command."""
    return told(node, "POST", "/v1/execute", {"command": words[0], "args": words[1:]}, by=by).status


def make_user(leader: Node, user: str, *grants: str) -> dict[str, str]:
    """Make a user who may do this, with a password; returns what a token of it bears."""
    assert told(leader, "PUT", f"/v1/roles/{user}", {"grants": grants}).status == 200
    body = {"roles": [user], "password": PASSWORD}
    assert told(leader, "PUT", f"/v1/users/{user}", body).status == 200
    made = told(leader, "POST", f"/v1/users/{user}/tokens/t", {})
    assert made.status == 200, made
    return bearer(made.json["secret"])


def is_user(node: Node, by: dict[str, str]) -> bool:
    return told(node, "GET", "/v1/whoami", by=by).status == 200
