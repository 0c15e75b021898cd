"""Clusters of processes for the parts of the evaluation, and waiting for what becomes of them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from benchmarks.common import free_addresses
from cli.local.cluster import LocalCluster
from cli.local.folder import PORTS_FIRST, LocalFolder
from raftdb.client.model import NodeStatus
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

POLL_S = 0.01
LIMIT_S = 600.0
Found = TypeVar("Found")


@contextmanager
def running(
    folder: Path,
    nodes: int,
    *,
    network: str | None = None,
    seed: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[LocalCluster]:
    """Nodes n1, n2, ... that run inside the `with` block, and of which one leads."""
    first = int(free_addresses(1)[0].rpartition(":")[2])
    local = LocalFolder(folder, ports_first=dict.fromkeys(PORTS_FIRST, first))
    local.lock()
    cluster = LocalCluster(
        local,
        local.create(nodes),
        logs_to_files=True,
        dashboard="off",
        network=network,
        network_seed=seed,
        settings=settings,
    )
    try:
        cluster.start(leader_timeout_s=LIMIT_S)
        yield cluster
    finally:
        cluster.stop()
        local.unlock()


def addresses(cluster: LocalCluster) -> list[str]:
    """Where the nodes are reached."""
    return [place.http for place in cluster.places]


def wait_for(condition: Callable[[], Found | None], what: str, limit_s: float = LIMIT_S) -> Found:
    """The first answer that is true. Raises RuntimeError after `limit_s`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(POLL_S)
    raise RuntimeError(f"not in {limit_s:g} s: {what}")


def status_of(cluster: LocalCluster, node: str) -> NodeStatus | None:
    """What a node says of itself, None if it does not answer."""
    place = next(place for place in cluster.places if place.id == node)
    with Client([place.http], timeout_ms=2_000, unreachable_timeout_ms=0.0) as client:
        try:
            return client.status()
        except RaftdbError:
            return None


def leader_of(cluster: LocalCluster) -> str | None:
    """The running node that leads and has committed all of its log; None without one."""
    for node in cluster.running_ids:
        status = status_of(cluster, node)
        if status is not None and status.role == "leader" and status.commit_index == status.last_index:
            return node
    return None


def applied_by(cluster: LocalCluster, node: str, index: int) -> bool:
    """Whether a node has applied the entry at `index`."""
    status = status_of(cluster, node)
    return status is not None and status.applied_index >= index
