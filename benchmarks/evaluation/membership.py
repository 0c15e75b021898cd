"""Part b: throughput and latency while nodes are added and removed, and the dip at each change."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.evaluation.document import Findings, Panel, Plot, Series, Table
from benchmarks.evaluation.load import ClosedLoop, Write, closed_loop, errors_in_words
from benchmarks.evaluation.plan import Job
from benchmarks.evaluation.stage import addresses, connect, running, wait_leader, wait_until, wait_votes
from benchmarks.evaluation.summaries import dip_percent, in_seconds, longest_gap, rate, rates, spread
from cli.local.cluster import LocalCluster
from raftdb.errors import OutcomeUnknown, Unavailable

CLIENTS = 8
WIDTH_S = 0.5
"""The intervals of the plot, and of the lowest throughput."""
STOP_SHARE = 0.1
"""A half second with less than this share of the writes, of those before as of those after, is said to be a stop. A
cluster that grows may well be slower for good: a node that is alone asks nobody."""
AFTER_S = 1.0
"""What a change does is looked for until so long after it; the next one waits until then."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which the members did not change."""

    nodes: int
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the members: from its begin until the new node votes, or the old one is none any more."""

    words: str
    mark: str
    """The same for a plot."""
    nodes: int
    """How many more nodes there are after it."""
    begin: float
    end: float


@dataclass(slots=True)
class Course:
    """What was done, and when."""

    phases: list[Phase] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def measure(job: Job, folder: Path, seed: int) -> Findings:
    """Let clients write while the cluster grows and shrinks."""
    sizes = job.sizes
    course = Course()
    with running(folder, job, nodes=sizes.memberships[0], seed=seed) as cluster:
        wait_leader(cluster)
        with closed_loop(lambda: addresses(cluster), clients=CLIENTS, seed=seed) as load:
            for count in sizes.memberships:
                change_to(cluster, count, course)
                begin = time.monotonic()
                time.sleep(sizes.hold_s)
                course.phases.append(Phase(count, begin, time.monotonic()))
        return report(job, course, load)


def change_to(cluster: LocalCluster, count: int, course: Course) -> None:
    """Add or remove nodes, one by one, until there are so many. In turn a follower and the leader is removed."""
    while len(cluster.node_ids) < count:
        begin = time.monotonic()
        node_id = cluster.add()
        wait_votes(cluster, node_id)
        course.changes.append(Change(f"add {node_id}", f"+{node_id}", 1, begin, time.monotonic()))
        time.sleep(AFTER_S)
    removes_leader = False
    while len(cluster.node_ids) > count:
        leader = wait_leader(cluster).id
        followers = [node_id for node_id in cluster.node_ids if node_id != leader]
        victim = leader if removes_leader else followers[-1]
        begin = time.monotonic()
        remove(cluster, victim)
        whom = f"{victim} (leader)" if removes_leader else victim
        course.changes.append(Change(f"remove {whom}", f"-{whom}", -1, begin, time.monotonic()))
        cluster.retire(victim)
        removes_leader = not removes_leader
        time.sleep(AFTER_S)


def remove(cluster: LocalCluster, node_id: str) -> None:
    """Remove a member, and wait until it is none."""
    with connect(cluster) as client:
        # The leader that was to remove itself may be gone before it answers: the members tell.
        with suppress(OutcomeUnknown, Unavailable):
            client.remove_member(node_id)
        wait_until(lambda: client.membership().find(node_id) is None, f"an end of the member {node_id}")


def report(job: Job, course: Course, load: ClosedLoop) -> Findings:
    """Tables and plots of what happened."""
    writes = sorted(load.writes, key=lambda write: write.end)
    acknowledged = load.acknowledged()
    findings = Findings(
        job=job,
        intro=(
            f"{CLIENTS} clients in one process write values of 100 bytes, each waits for its answer. A node is added "
            "with an empty disk; a change has ended once it votes, or is a member no more. In turn a follower and the "
            "leader are removed."
        ),
    )
    phases = [(phase, *_figures(writes, phase.begin, phase.end)) for phase in course.phases]
    findings.tables.append(
        (
            "While the members stay as they are:",
            Table(
                ("nodes", "writes/s", "median", "p99", "longest", "failed"),
                [(str(phase.nodes), *figures) for phase, *figures in phases],
            ),
        )
    )
    rows, gaps, stops = [], [], []
    for change in course.changes:
        before = _rate_before(acknowledged, course.phases, change)
        around = rates(acknowledged, change.begin, change.end + AFTER_S, WIDTH_S)
        lowest = min((value for _, value in around), default=0.0)
        gap = longest_gap(acknowledged, change.begin, change.end + AFTER_S)
        gaps.append(gap.seconds)
        rows.append(
            (
                change.words,
                in_seconds(change.end - change.begin),
                f"{before:.0f}",
                f"{lowest:.0f}",
                f"{dip_percent(before, lowest):.0f} %",
                in_seconds(gap.seconds),
            )
        )
        if lowest < STOP_SHARE * min(before, _rate_after(acknowledged, course.phases, change)):
            stops.append(change.words)
    if stops:
        findings.missed.append(
            f"at {len(stops)} of {len(rows)} changes there was a half second with less than a tenth of the writes "
            f"both before and after: {', '.join(stops)}"
        )
    columns = ("change", "took", "writes/s before", "lowest half second", "dip", "longest without a write")
    findings.tables.append(("At each change:", Table(columns, rows)))
    findings.plots.append(_plot(job, course, writes, acknowledged))
    for phase, *figures in phases[: len(course.phases) // 2 + 1]:
        findings.headlines[f"{phase.nodes} nodes: writes/s (median)"] = f"{figures[0]} ({figures[1]})"
    findings.headlines["longest time without a write at a change"] = in_seconds(max(gaps, default=0.0))
    failed = [write for write in writes if write.error]
    if failed:
        findings.missed.append(f"writes failed: {errors_in_words(failed)}, of {len(writes)}")
    findings.headlines["failed writes"] = f"{len(failed)} of {len(writes)}"
    findings.samples = {
        "phases": [(phase.nodes, phase.begin, phase.end) for phase in course.phases],
        "changes": [(change.words, change.begin, change.end) for change in course.changes],
        "writes": writes,
    }
    return findings


def _figures(writes: Sequence[Write], begin: float, end: float) -> tuple[str, str, str, str, str]:
    """Throughput, latencies, and failures of what ended between two times."""
    inside = [write for write in writes if begin <= write.end < end]
    good = [write for write in inside if not write.error]
    latency = spread([write.seconds for write in good])
    per_second = rate([write.end for write in good], begin, end)
    times = [in_seconds(value) for value in (latency.median, latency.p99, latency.largest)]
    return f"{per_second:.0f}", times[0], times[1], times[2], errors_in_words(inside)


def _rate_before(acknowledged: Sequence[float], phases: Sequence[Phase], change: Change) -> float:
    """The throughput of the last phase before a change."""
    earlier = [phase for phase in phases if phase.end <= change.begin]
    return rate(acknowledged, earlier[-1].begin, earlier[-1].end) if earlier else 0.0


def _rate_after(acknowledged: Sequence[float], phases: Sequence[Phase], change: Change) -> float:
    """The throughput of the first phase after a change."""
    later = [phase for phase in phases if phase.begin >= change.end]
    return rate(acknowledged, later[0].begin, later[0].end) if later else 0.0


def _plot(job: Job, course: Course, writes: Sequence[Write], acknowledged: Sequence[float]) -> Plot:
    begin, end = course.phases[0].begin, course.phases[-1].end
    marks = [(change.begin - begin, change.mark) for change in course.changes]
    per_second = [(moment - begin, value) for moment, value in rates(acknowledged, begin, end, WIDTH_S)]
    latencies: dict[str, list[tuple[float, float]]] = {"median": [], "p99": []}
    for moment, _ in per_second:
        left = begin + moment
        found = spread([w.seconds for w in writes if not w.error and left <= w.end < left + WIDTH_S])
        if found.number:
            latencies["median"].append((moment, found.median * 1000))
            latencies["p99"].append((moment, found.p99 * 1000))
    nodes = [(0.0, float(course.phases[0].nodes))]
    for change in course.changes:
        nodes.append((change.end - begin, nodes[-1][1] + change.nodes))
    x = "seconds"
    return Plot(
        f"b-{job.network.name}",
        "Writes while nodes are added and removed",
        [
            Panel(x=x, y="writes/s", series=[Series("acknowledged", per_second)], marks=marks, steps=True),
            Panel(
                x=x,
                y="latency, ms",
                series=[Series(name, points, ".-") for name, points in latencies.items()],
                marks=[(moment, "") for moment, _ in marks],
                logarithmic="y",
            ),
            Panel(
                x=x, y="nodes", series=[Series("nodes", [*nodes, (end - begin, nodes[-1][1])])], steps=True
            ),
        ],
    )
