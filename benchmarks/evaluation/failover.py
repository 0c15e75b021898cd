"""Part d: the leader is killed, again and again. How long until another leads, and until a write is acknowledged?"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.document import Findings, Panel, Plot, Series, Table
from benchmarks.evaluation.load import ClosedLoop, closed_loop
from benchmarks.evaluation.plan import UNDISTURBED, Job
from benchmarks.evaluation.stage import (
    addresses,
    leading,
    running,
    statuses,
    wait_agreed,
    wait_leader,
    wait_until,
)
from benchmarks.evaluation.summaries import cumulative, in_seconds, longest_gap, spread
from cli.local.cluster import LocalCluster

NODES = 3
CLIENTS = 3
ELECTION_S_MAX = 0.5
"""The median that the timeouts are made for, on an undisturbed network."""
ACKNOWLEDGED_MIN = 20
"""Writes that are acknowledged before a leader is killed."""


@dataclass(frozen=True, slots=True)
class Failover:
    """One kill. `elected_s`: until another node said that it leads; `silent_s`: the time without a write around it;
    `terms`: how many terms later that was, 1 if the first election succeeded."""

    elected_s: float
    silent_s: float
    terms: int
    failed: int


def measure(job: Job, folder: Path, seed: int) -> Findings:
    """Kill leaders."""
    done: list[Failover] = []
    with running(folder, job, nodes=NODES, seed=seed) as cluster:
        for number in range(job.sizes.kills):
            wait_agreed(cluster)
            done.append(_kill_once(cluster, seed + number))
    return report(job, done)


def _kill_once(cluster: LocalCluster, seed: int) -> Failover:
    with closed_loop(lambda: addresses(cluster), clients=CLIENTS, seed=seed) as load:
        _wait_writes(load, after=time.monotonic())
        old = wait_leader(cluster)
        killed = time.monotonic()
        cluster.kill(old.id)
        terms: list[int] = []

        def is_led() -> bool:
            status = leading(statuses(cluster, cluster.running_ids))
            if status is None or status.term <= old.term:
                return False
            terms.append(status.term - old.term)
            return True

        wait_until(is_led, "another leader")
        elected = time.monotonic()
        _wait_writes(load, after=elected)
        ended = time.monotonic()
    cluster.restart(old.id)
    acknowledged = load.acknowledged()
    failed = sum(1 for write in load.writes if write.error)
    return Failover(elected - killed, longest_gap(acknowledged, killed, ended).seconds, terms[-1], failed)


def _wait_writes(load: ClosedLoop, *, after: float) -> None:
    """Wait until some writes were acknowledged that ended after that time."""
    wait_until(
        lambda: sum(moment > after for moment in load.acknowledged()) >= ACKNOWLEDGED_MIN,
        f"{ACKNOWLEDGED_MIN} acknowledged writes",
    )


def report(job: Job, done: list[Failover]) -> Findings:
    """A table of the distributions, and a plot of them."""
    findings = Findings(
        job=job,
        intro=(
            f"{NODES} nodes; {CLIENTS} clients write all the time, and repeat what was lost. The leader is killed "
            "(SIGKILL) and, after all of this, started again; the next one is killed once all nodes agree. Election: "
            "until another node says that it leads, seen every 10 ms or so; "
            "outage: the longest time between two acknowledged writes of any client."
        ),
    )
    kinds = {
        "election": [one.elected_s for one in done],
        "outage for clients": [one.silent_s for one in done],
    }
    rows = []
    for name, seconds in kinds.items():
        found = spread(seconds)
        rows.append((name, str(found.number), *(in_seconds(value) for value in found[1:])))
        findings.headlines[f"{name}: median, p90, longest"] = ", ".join(
            in_seconds(value) for value in (found.median, found.p90, found.largest)
        )
    columns = ("", "kills", "shortest", "median", "p90", "p99", "longest")
    findings.tables.append(("Distribution:", Table(columns, rows)))
    median_s = spread(kinds["election"]).median
    if job.network == UNDISTURBED and median_s > ELECTION_S_MAX:
        findings.missed.append(
            f"the median election took {in_seconds(median_s)}, longer than {in_seconds(ELECTION_S_MAX)}"
        )
    at_once = sum(one.terms == 1 for one in done)
    findings.headlines["elections that succeeded at once"] = f"{at_once} of {len(done)}"
    failed = sum(one.failed for one in done)
    findings.headlines["writes that failed"] = str(failed)
    if len(done) < 20:
        findings.limits.append(f"{len(done)} kills are too few for a p90 or p99: these are the longest ones")
    findings.plots.append(
        Plot(
            f"d-{job.network.name}",
            f"Failover: {len(done)} leaders killed",
            [
                Panel(
                    x="seconds after the kill",
                    y="percent of the kills",
                    series=[Series(name, cumulative(seconds), "o-") for name, seconds in kinds.items()],
                    steps=True,
                )
            ],
        )
    )
    findings.samples = {"failovers": [(one.elected_s, one.silent_s, one.terms, one.failed) for one in done]}
    return findings
