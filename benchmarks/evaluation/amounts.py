"""The part about amounts of data: writing, replicating, recovering, catching up; memory and disk."""

import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluation.clusters import addresses, applied_by, leader_of, running, status_of, wait_for
from benchmarks.evaluation.plan import Plan
from benchmarks.running import disk_bytes, memory_bytes
from cli.local.cluster import LocalCluster
from raftdb.client.sync_client import Client

TOGETHER_BYTES = 256 << 10
TOGETHER_MAX = 2_000
"""Values that are written with one command, as long as they are short."""
BESIDE_BYTES = 20


def amounts(folder: Path, plan: Plan) -> dict[str, Any]:
    """All points, each with a cluster of its own, whose data is deleted afterwards."""
    rows = []
    for items, value_bytes in plan.points:
        place = folder / f"amount-{items}-{value_bytes}"
        rows.append({"items": items, "value_bytes": value_bytes, **_measured(place, items, value_bytes)})
        shutil.rmtree(place, ignore_errors=True)
    return {"rows": rows}


def _measured(folder: Path, items: int, value_bytes: int) -> dict[str, Any]:
    with running(folder, 3) as cluster:
        leader = wait_for(lambda: leader_of(cluster), "a leader")
        away, near = (node for node in cluster.node_ids if node != leader)
        cluster.kill(away)
        write_s = _fill(cluster, items, value_bytes)
        written_s = time.monotonic()
        status = status_of(cluster, leader)
        index = 0 if status is None else status.commit_index
        wait_for(lambda: applied_by(cluster, near, index), f"{near} to have all")
        replicated_s = time.monotonic() - written_s
        peak_bytes = memory_bytes(cluster.process(leader).pid)
        caught_up_s = _back(cluster, away, index)
        cluster.kill(near)
        recovered_s = _back(cluster, near, index)
        disk = disk_bytes(folder / leader)
    return {
        "write_s": round(write_s, 3),
        "replicate_s": round(replicated_s, 3),
        "catch_up_s": round(caught_up_s, 3),
        "recover_s": round(recovered_s, 3),
        "memory_mib": round(peak_bytes / (1 << 20), 1),
        "disk_mib": round(disk / (1 << 20), 1),
    }


def _back(cluster: LocalCluster, node: str, index: int) -> float:
    """Start a node, and wait until it has applied the entry at `index`; returns the seconds."""
    began_s = time.monotonic()
    cluster.launch(node)
    wait_for(lambda: applied_by(cluster, node, index), f"{node} to be back")
    return time.monotonic() - began_s


def _fill(cluster: LocalCluster, items: int, value_bytes: int) -> float:
    """Write the values; returns the seconds."""
    together = max(1, min(TOGETHER_MAX, TOGETHER_BYTES // (value_bytes + BESIDE_BYTES)))
    began_s = time.monotonic()
    with Client(addresses(cluster), timeout_ms=60_000) as client:
        for first in range(0, items, together):
            numbers = range(first, min(first + together, items))
            client.mset({f"key-{number:09}": b"%0*d" % (value_bytes, number) for number in numbers})
    return time.monotonic() - began_s
