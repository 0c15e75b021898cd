"""The parts that measure how a cluster behaves: consistency, members, failovers, networks."""

import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT
from benchmarks.evaluation.clusters import addresses, applied_by, leader_of, running, status_of, wait_for
from benchmarks.evaluation.figures import dip, per_second, spread, summary
from benchmarks.evaluation.load import loading
from benchmarks.evaluation.plan import Plan
from cli.local.cluster import LocalCluster
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError
from raftdb.server.state_digest import state_digest

CLIENTS = 16
VALUE_BYTES = 100
SETTLE_S = 2.0


def consistency(folder: Path, plan: Plan) -> dict[str, Any]:
    """Digests of all nodes after a load, and the verdict of the torture."""
    with running(folder / "calm", 3) as cluster:
        with loading(
            addresses(cluster),
            clients=CLIENTS,
            seconds=plan.load_s,
            value_bytes=VALUE_BYTES,
            file=folder / "calm.bin",
        ) as load:
            samples = load.samples()
        leader = wait_for(lambda: leader_of(cluster), "a leader")
        status = status_of(cluster, leader)
        index = 0 if status is None else status.commit_index
        for node in cluster.node_ids:
            wait_for(partial(applied_by, cluster, node, index), f"{node} to have all")
        nodes = list(cluster.node_ids)
    digests = {node: state_digest(folder / "calm" / node, index) for node in nodes}
    command = ["torture", "--minutes", f"{plan.torture_minutes:g}", "--seed", str(plan.seed)]
    data = folder / "torture"
    done = subprocess.run(
        [sys.executable, "-m", "raftdb", *command, "--data", str(data)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "writes": sum(sample.is_answered for sample in samples),
        "index": index,
        "digests": digests,
        "torture": {
            "command": "raftdb " + " ".join(command),
            "exit_code": done.returncode,
            "verdict": done.stdout,
        },
    }


def members(folder: Path, plan: Plan) -> dict[str, Any]:
    """Throughput while nodes come and go."""
    sizes = list(plan.sizes)
    with running(folder / "members", sizes[0]) as cluster:
        total_s = plan.hold_s * len(sizes) + plan.change_s * sum(
            abs(after - before) for before, after in pairwise(sizes)
        )
        file = folder / "members.bin"
        with loading(
            addresses(cluster), clients=CLIENTS, seconds=total_s, value_bytes=VALUE_BYTES, file=file
        ) as load:
            begin_s = time.monotonic()
            changes, holds = [], []
            for place, size in enumerate(sizes):
                while place and len(cluster.node_ids) != size:
                    changes.append(_change(cluster, size, begin_s))
                held_s = time.monotonic()
                time.sleep(plan.hold_s)
                holds.append((size, held_s, time.monotonic()))
            samples = load.samples()
    seconds = int(holds[-1][2] - begin_s)
    counts = per_second(samples, begin_s, seconds)
    for change in changes:
        change["lowest_share"] = dip(counts, int(change["begin_s"]))
    phases = [{"nodes": size, **summary(samples, begun, ended)} for size, begun, ended in holds]
    return {"phases": phases, "changes": changes, "per_second": counts}


def _change(cluster: LocalCluster, size: int, begin_s: float) -> dict[str, Any]:
    """Add or remove one node; says when, and how long it took."""
    began_s = time.monotonic()
    if len(cluster.node_ids) < size:
        node = cluster.add()
        wait_for(lambda: _votes(cluster, node), f"{node} to vote")
        what = f"+{node}"
    else:
        node = cluster.node_ids[-1]
        with Client(addresses(cluster)) as client:
            client.remove_member(node)
        cluster.retire(node)
        what = f"-{node}"
    return {
        "what": what,
        "begin_s": round(began_s - begin_s, 2),
        "seconds": round(time.monotonic() - began_s, 2),
    }


def _votes(cluster: LocalCluster, node: str) -> bool:
    with Client(addresses(cluster)) as client:
        try:
            member = client.membership().find(node)
        except RaftdbError:
            return False
    return member is not None and member.voter


def failover(folder: Path, plan: Plan) -> dict[str, Any]:
    """How long the cluster is without a leader after each of many kills."""
    with running(folder / "failover", 3) as cluster:
        times = [_kill_leader(cluster) for _ in range(plan.kills)]
    return {**spread(times), "seconds": times}


def _kill_leader(cluster: LocalCluster) -> float:
    """Kill the leader, and wait for the next; then start it again, and let the cluster settle."""
    leader = wait_for(lambda: leader_of(cluster), "a leader")
    cluster.kill(leader)
    began_s = time.monotonic()
    wait_for(lambda: leader_of(cluster), "another leader")
    took_s = time.monotonic() - began_s
    cluster.launch(leader)
    status = status_of(cluster, wait_for(lambda: leader_of(cluster), "a leader"))
    index = 0 if status is None else status.commit_index
    wait_for(lambda: applied_by(cluster, leader, index), f"{leader} to be back")
    time.sleep(SETTLE_S)
    return round(took_s, 3)


def networks(folder: Path, plan: Plan) -> dict[str, Any]:
    """Forming, writes and failovers over each network."""
    found: dict[str, Any] = {}
    for name, words in plan.networks.items():
        began_s = time.monotonic()
        with running(folder / f"network-{name}", 3, network=words or None, seed=plan.seed) as cluster:
            formed_s = time.monotonic() - began_s
            one, many = (
                _written(cluster, folder / f"{name}-{clients}.bin", clients, plan.load_s)
                for clients in (1, CLIENTS)
            )
            times = [_kill_leader(cluster) for _ in range(plan.network_kills)]
        found[name] = {
            "words": words or "as it is",
            "formed_s": round(formed_s, 2),
            "one_client": one,
            "many_clients": many,
            "failover": {**spread(times), "seconds": times},
        }
    return found


def _written(cluster: LocalCluster, file: Path, clients: int, seconds: float) -> dict[str, Any]:
    with loading(
        addresses(cluster), clients=clients, seconds=seconds, value_bytes=VALUE_BYTES, file=file
    ) as load:
        samples = load.samples()
    first_s = samples[0].began_s if samples else 0.0
    return {"clients": clients, **summary(samples, first_s, first_s + seconds)}
