"""The clusters that are measured: nodes as `raftdb up` starts them, on ports of their own, and what they say."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.evaluation.plan import UNDISTURBED, Job
from cli.local.cluster import LocalCluster
from cli.local.folder import LocalFolder
from cli.torture.agreement import Statuses, agreed_index, ask_all
from cli.torture.nodes import own_ports
from raftdb import Client
from raftdb.client.model import NodeStatus

POLL_S = 0.01
LIMIT_S = 120.0
"""Longest wait for something that has to come: an agreement, a leader, a member."""


class NotInTime(Exception):
    """Something that has to come did not."""


@contextmanager
def running(folder: Path, job: Job, *, nodes: int, seed: int) -> Iterator[LocalCluster]:
    """A cluster with its data in `folder`, under the network of the job, which is stopped at the end."""
    place = LocalFolder(folder, ports_first=own_ports())
    place.lock()
    try:
        cluster = LocalCluster(
            place,
            place.create(nodes),
            logs_to_files=True,
            dashboard="off",
            network=None if job.network == UNDISTURBED else job.network.conditions,
            network_seed=seed,
        )
        try:
            cluster.start(leader_timeout_s=LIMIT_S)
            yield cluster
        finally:
            cluster.stop()
    finally:
        place.unlock()


def wait_until(condition: Callable[[], object], what: str, *, limit_s: float = LIMIT_S) -> float:
    """Poll until `condition` holds; returns the seconds that took. Raises `NotInTime`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit_s:
            raise NotInTime(f"in {limit_s:g} s there was not {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began


def addresses(cluster: LocalCluster) -> tuple[str, ...]:
    """The HTTP addresses of all nodes."""
    return tuple(place.http for place in cluster.places)


def connect(cluster: LocalCluster, *, timeout_ms: float = LIMIT_S * 1000) -> "Client[bytes]":
    """A client that waits for long, for what has to be done."""
    return Client(addresses(cluster), timeout_ms=timeout_ms)


def statuses(cluster: LocalCluster, node_ids: Collection[str] | None = None) -> Statuses:
    """What these nodes, or all, say of themselves."""
    wanted = cluster.node_ids if node_ids is None else node_ids
    return ask_all([(place.id, place.http) for place in cluster.places if place.id in wanted])


def leading(said: Statuses) -> NodeStatus | None:
    """Who leads in the highest term in which somebody says so."""
    leaders = [status for status in said.values() if status is not None and status.role == "leader"]
    return max(leaders, key=lambda status: status.term, default=None)


def wait_leader(cluster: LocalCluster) -> NodeStatus:
    """Wait until somebody leads; returns what that node says."""
    found: list[NodeStatus] = []

    def look() -> bool:
        status = leading(statuses(cluster, cluster.running_ids))
        found.extend([] if status is None else [status])
        return status is not None

    wait_until(look, "a leader")
    return found[-1]


def wait_agreed(cluster: LocalCluster, *, index: int = 0, limit_s: float = LIMIT_S) -> float:
    """Wait until all nodes run, vote, and have applied the same index, which is at least this one; returns the seconds
    that took."""
    return wait_until(
        lambda: (agreed_index(statuses(cluster)) or -1) >= index, "an agreement of all nodes", limit_s=limit_s
    )


def wait_applied(
    cluster: LocalCluster, node_ids: Sequence[str], index: int, *, limit_s: float = LIMIT_S
) -> float:
    """Wait until these nodes have applied `index`; returns the seconds that took."""

    def have_applied() -> bool:
        said = statuses(cluster, node_ids).values()
        return all(status is not None and status.applied_index >= index for status in said)

    return wait_until(have_applied, f"index {index} on {', '.join(node_ids)}", limit_s=limit_s)


def wait_votes(cluster: LocalCluster, node_id: str, *, limit_s: float = LIMIT_S) -> None:
    """Wait until a node is a member that votes."""
    with connect(cluster) as client:

        def votes() -> bool:
            member = client.membership().find(node_id)
            return member is not None and member.voter

        wait_until(votes, f"a vote of {node_id}", limit_s=limit_s)
