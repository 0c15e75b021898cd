"""Part c: how long things take with more and more data, and what it takes of memory and disk.

For each amount a new cluster is started, and four times are measured, one after the other:

* writing: until the last of the clients' writes is acknowledged;
* replicating: from then on, until all nodes have applied it;
* recovering: all nodes are killed at once and started again; until all are back, have all of it, and one leads;
* catching up: one more node is started with an empty disk; until it has all of it, and votes.
"""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.document import Findings, Panel, Plot, Series, Table
from benchmarks.evaluation.plan import MIB, Job, Point
from benchmarks.evaluation.stage import (
    addresses,
    running,
    wait_agreed,
    wait_applied,
    wait_leader,
    wait_votes,
)
from benchmarks.evaluation.summaries import in_bytes, in_seconds
from benchmarks.running import disk_bytes, memory_bytes
from cli.local.cluster import LocalCluster
from raftdb import Client

NODES = 3
WRITERS = 4
COMMAND_BYTES = 256 * 1024
COMMAND_KEYS_MAX = 1_000
SAMPLE_S = 0.05
DISK_SHARE = 4 * 3
"""Disk that a point may take, as a multiple of its data: four nodes, with log, state, and a snapshot on its way."""
SPARE_BYTES = 1 << 30
EXPECTED_BYTES_MIN, EXPECTED_ITEMS_MIN = MIB, 1_000
"""Points that are smaller say nothing of how long larger ones take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One amount of data. Times are in seconds; memory is the most that the leader had while it was written, without
    mapped files, and disk what the folder of one node takes at the end."""

    point: Point
    writing_s: float
    replicating_s: float
    recovering_s: float
    catching_up_s: float
    memory_bytes: int
    disk_bytes: int

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.writing_s + self.replicating_s + self.recovering_s + self.catching_up_s


def measure(job: Job, folder: Path, seed: int, *, point_limit_s: float) -> Findings:
    """Measure one amount after the other. Those that would not fit are named instead."""
    findings = Findings(
        job=job,
        intro=(
            f"{NODES} nodes; {WRITERS} clients write random values, with `mset` as many at a time as fit into 256 KiB. "
            "Then: until all nodes have applied it; until all nodes, killed at once and started again, are back; until "
            "one more node with an empty disk has it all, and votes. Starting a process is part of the last two."
        ),
    )
    done: list[Measured] = []
    for number, point in enumerate(job.sizes.points):
        why = why_not(point, done, free_bytes=shutil.disk_usage(folder).free, limit_s=point_limit_s)
        if why is not None:
            findings.limits.append(f"{words_of(point)}: not measured, {why}")
            continue
        place = folder / f"point-{number}"
        with running(place, job, nodes=NODES, seed=seed) as cluster:
            done.append(_measure(cluster, place, point, seed, limit_s=max(point_limit_s, 60.0)))
        shutil.rmtree(place)
    report(findings, done)
    return findings


def words_of(point: Point) -> str:
    """An amount, for people."""
    return f"{point.items} x {in_bytes(point.value_bytes)}"


def why_not(point: Point, done: Sequence[Measured], *, free_bytes: int, limit_s: float) -> str | None:
    """Why an amount is not measured, None if it is."""
    needed = point.total_bytes * DISK_SHARE + SPARE_BYTES
    if needed > free_bytes:
        return f"because it may need {in_bytes(needed)} of disk, and {in_bytes(free_bytes)} are free"
    expected = expected_s(point, done)
    if expected > limit_s:
        return f"because, after the smaller ones, it would take some {expected:.0f} s, and the limit is {limit_s:g} s"
    return None


def expected_s(point: Point, done: Sequence[Measured]) -> float:
    """How long an amount will take, by its bytes and by its items, as far as smaller ones tell: what the smallest took,
    processes to start above all, and what grows with the amount."""
    by_bytes = [one for one in done if one.point.total_bytes >= EXPECTED_BYTES_MIN]
    by_items = [one for one in done if one.point.items >= EXPECTED_ITEMS_MIN]
    base_s = min((one.total_s for one in done), default=0.0)
    guesses = [base_s]
    if by_bytes:
        largest = max(by_bytes, key=lambda one: one.point.value_bytes)
        guesses.append(base_s + (largest.total_s - base_s) * point.total_bytes / largest.point.total_bytes)
    if by_items:
        most = min(by_items, key=lambda one: (one.point.value_bytes, -one.point.items))
        guesses.append(base_s + (most.total_s - base_s) * point.items / most.point.items)
    return max(guesses)


def _measure(cluster: LocalCluster, folder: Path, point: Point, seed: int, *, limit_s: float) -> Measured:
    leader = wait_leader(cluster)
    began = time.monotonic()
    memory = write(cluster, leader.id, point, seed)
    writing_s = time.monotonic() - began
    index = wait_leader(cluster).commit_index
    replicating_s = wait_applied(cluster, cluster.node_ids, index, limit_s=limit_s)
    for node_id in cluster.node_ids:
        cluster.kill(node_id)
    began = time.monotonic()
    for node_id in cluster.node_ids:
        cluster.launch(node_id)
    wait_agreed(cluster, index=index, limit_s=limit_s)
    recovering_s = time.monotonic() - began
    began = time.monotonic()
    added = cluster.add()
    wait_votes(cluster, added, limit_s=limit_s)
    wait_applied(cluster, [added], index, limit_s=limit_s)
    return Measured(
        point=point,
        writing_s=writing_s,
        replicating_s=replicating_s,
        recovering_s=recovering_s,
        catching_up_s=time.monotonic() - began,
        memory_bytes=memory,
        disk_bytes=disk_bytes(folder / cluster.node_ids[0]),
    )


def batches(point: Point) -> list[range]:
    """The numbers of the items that are written with each command."""
    each = max(1, min(COMMAND_KEYS_MAX, COMMAND_BYTES // (point.value_bytes + 16)))
    return [range(first, min(first + each, point.items)) for first in range(0, point.items, each)]


def write(cluster: LocalCluster, leader: str, point: Point, seed: int) -> int:
    """Write all items; returns the most memory that the leader had meanwhile, in bytes."""
    process = cluster.process(leader).pid
    each = batches(point)
    writers = min(WRITERS, len(each))

    def run(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        with Client(addresses(cluster), timeout_ms=60_000) as client:
            for batch in each[number::writers]:
                client.mset({f"item-{item:08}": chance.randbytes(point.value_bytes) for item in batch})

    most = memory_bytes(process)
    with ThreadPoolExecutor(writers) as threads:
        futures: list[Future[None]] = [threads.submit(run, number) for number in range(writers)]
        while not all(future.done() for future in futures):
            most = max(most, memory_bytes(process))
            time.sleep(SAMPLE_S)
        for future in futures:
            future.result()
    return max(most, memory_bytes(process))


TIMES: dict[str, Callable[[Measured], float]] = {
    "writing": lambda one: one.writing_s,
    "replicating": lambda one: one.replicating_s,
    "recovering": lambda one: one.recovering_s,
    "catching up": lambda one: one.catching_up_s,
}


def report(findings: Findings, done: Sequence[Measured]) -> None:
    """Add a table, and plots."""
    rows = [
        (
            words_of(one.point),
            in_bytes(one.point.total_bytes),
            *(in_seconds(value(one)) for value in TIMES.values()),
            f"{in_bytes(one.point.total_bytes / one.writing_s)}/s",
            in_bytes(one.memory_bytes),
            in_bytes(one.disk_bytes),
        )
        for one in done
    ]
    columns = ("items", "data", *TIMES, "written", "memory of the leader", "disk of one node")
    findings.tables.append(("", Table(columns, rows)))
    sizes = sorted({one.point.value_bytes for one in done})
    panels = [
        Panel(
            x="items",
            y=f"{name}, seconds",
            series=[
                Series(
                    in_bytes(size),
                    sorted((one.point.items, value(one)) for one in done if one.point.value_bytes == size),
                    "o-",
                )
                for size in sizes
            ],
            logarithmic="xy",
        )
        for name, value in TIMES.items()
    ]
    totals = sorted(done, key=lambda one: one.point.total_bytes)
    taken = {
        "memory of the leader": [(one.point.total_bytes, one.memory_bytes / MIB) for one in totals],
        "disk of one node": [(one.point.total_bytes, one.disk_bytes / MIB) for one in totals],
    }
    series = [Series(name, points, "o") for name, points in taken.items()]
    panels.append(Panel(x="bytes of data", y="MiB", series=series, logarithmic="xy"))
    findings.plots.append(Plot(f"c-{findings.job.network.name}", "Time over amount of data", panels))
    for one in (min(done, key=lambda one: one.point.total_bytes), totals[-1]) if done else ():
        findings.headlines |= {
            f"{words_of(one.point)}: {name}": in_seconds(value(one)) for name, value in TIMES.items()
        }
    findings.samples = {
        words_of(one.point): {name: value(one) for name, value in TIMES.items()}
        | {"memory_bytes": one.memory_bytes, "disk_bytes": one.disk_bytes}
        for one in done
    }
