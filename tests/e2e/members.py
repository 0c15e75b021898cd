"""What tests of membership ask a cluster for, over HTTP and the command line."""

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from tests.e2e.cluster import Cluster, Node, run_cli
from tests.e2e.raw_http import Client, NotSent, Response
from tests.e2e.waiting import wait_for


def ask(
    cluster: Cluster,
    method: str,
    target: str,
    content: object = None,
    *,
    among: Iterable[Node] | None = None,
) -> Response:
    """One request to whoever leads, tried again while it surely was not executed. `among`: who may be asked."""
    client = Client([node.address for node in (cluster if among is None else among)])
    body = None if content is None else json.dumps(content).encode()

    def attempt() -> Response | None:
        try:
            response = client.ask_once(method, target, body)
        except NotSent:
            return None
        return None if response.status == 503 else response

    try:
        return wait_for(attempt, f"{method} {target} to be served")
    finally:
        client.close()


def membership(cluster: Cluster) -> dict[str, Any]:
    """GET /v1/members."""
    response = ask(cluster, "GET", "/v1/members")
    assert response.status == 200, response
    found: dict[str, Any] = response.json
    return found


def member(cluster: Cluster, node_id: str) -> dict[str, Any] | None:
    """What the leader knows of one member."""
    return next((one for one in membership(cluster)["members"] if one["id"] == node_id), None)


def wait_voter(cluster: Cluster, node: Node) -> None:
    """Until the node is a voter and knows it; it counts as one of the cluster from then on."""

    def votes() -> bool:
        found = member(cluster, node.name)
        return found is not None and found["voter"] and node.status()["role"] in ("follower", "leader")

    wait_for(votes, f"{node.name} to be a voter")
    cluster.admit(node)


def join(cluster: Cluster, name: str) -> Node:
    """A new node that has joined, and votes."""
    node = cluster.new_node(name)
    node.start()
    wait_voter(cluster, node)
    return node


def transfer(cluster: Cluster, node_id: str | None = None) -> Response:
    """POST /v1/leader/transfer."""
    return ask(cluster, "POST", "/v1/leader/transfer", {} if node_id is None else {"to": node_id})


def wait_removed(node: Node) -> None:
    """Until the node says itself that it is a member no more."""
    wait_for(lambda: node.status()["role"] == "removed", f"{node.name} to know that it was removed")


def cli(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`raftdb cluster ...` against all nodes of the cluster."""
    return run_cli("--connect", ",".join(cluster.addresses), "cluster", *arguments)


def whole_log(cluster: Cluster) -> list[dict[str, Any]]:
    """All entries of the leader's log, which was not compacted."""
    entries: list[dict[str, Any]] = []
    while True:
        response = ask(cluster, "GET", f"/v1/request_log?from={len(entries) + 1}&limit=1000")
        assert response.status == 200, response
        page = response.json
        entries += page["entries"]
        if not page["entries"] or page["entries"][-1]["index"] >= page["commit_index"]:
            return entries
