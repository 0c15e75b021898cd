"""How fast does a follower that missed the log fetch a snapshot, and what do clients notice meanwhile?

    python -m benchmarks.catch_up [--megabytes 10,100,1000] [--rate 300] [--plot out.png]

For each size, one of three nodes is stopped, the state is filled with values of `--value-bytes`, the log is compacted,
and the node is started again while clients write to the leader at a fixed rate (latencies count from the moment when a
write was due). The times are `copied`, until the leader has made the file, `sent`, from then until the follower has
received and verified it, and `installed`, from the start of making it until the follower has installed it. Nodes and
load share the cores.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.common import LocalCluster, running_cluster, temporary_folder
from benchmarks.report import Report, add_common_options, new_figure, save_figure
from benchmarks.running import (
    FixedRate,
    LoadResult,
    events_of,
    fill,
    memory_bytes,
    post,
    wait_applied,
    watching,
)

KEY_BYTES = 11
BEFORE_S = 4.0
"""Time with load before the node is started again, which shows the latencies without a snapshot."""
AFTER_S = 2.0
LOAD_S_MAX = 120.0
MEGA = 1_000_000


def measure(folder: Path, *, keys: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size: stop a node, fill the state, and start the node again under load."""
    folder.mkdir()
    flags = ["--log-level", options.log_level, "--log-format", "json"]
    with running_cluster(folder, nodes=3, flags=flags) as cluster:
        behind = cluster.followers()[0]
        leader = cluster.leader()
        cluster.kill(behind)
        fill_s = fill(cluster, keys=keys, value_bytes=options.value_bytes)
        index = post(cluster.addresses[leader], "/v1/snapshot")["index"]
        time.sleep(1)
        load = start_load(cluster, leader, keys=keys, folder=folder, options=options)
        time.sleep(BEFORE_S)
        memory = memory_bytes(cluster.processes[leader].pid)
        with watching(cluster, names=[leader]) as peaks:
            begun = time.monotonic()
            cluster.start_node(behind)
            wait_applied(cluster, behind, index)
            done = time.monotonic()
        time.sleep(AFTER_S)
        if load is not None and cluster.leader() != leader:
            raise RuntimeError("the leader changed; see the logs")
        result = times_of(cluster, leader, behind)
        if load is not None:
            result["load"] = compare(load.result(), begun, done)
    return {
        "keys": keys,
        "value_bytes": options.value_bytes,
        "fill_s": fill_s,
        "started_to_serving_s": done - begun,
        **result,
        "user_mb_per_s": keys * (options.value_bytes + KEY_BYTES) / MEGA / result["installed_s"],
        "mb_per_s": result["bytes"] / MEGA / result["installed_s"],
        "leader_memory_before": memory,
        "leader_memory_peak": peaks.values[f"{leader} memory"],
    }


def start_load(
    cluster: LocalCluster, leader: str, *, keys: int, folder: Path, options: argparse.Namespace
) -> FixedRate | None:
    """The clients, if `--rate` is not 0. They write for as long as the snapshot may take at 30 MB/s."""
    if not options.rate:
        return None
    bytes_expected = keys * (options.value_bytes + 2 * KEY_BYTES)
    seconds = min(LOAD_S_MAX, BEFORE_S + AFTER_S + 6 + bytes_expected / (30 * MEGA))
    more = ["--keys", str(keys), "--value-bytes", str(options.value_bytes), "--seed", str(options.seed)]
    return FixedRate(
        cluster.addresses[leader], rate=options.rate, seconds=seconds, samples=folder / "samples", more=more
    )


def times_of(cluster: LocalCluster, leader: str, behind: str) -> dict[str, Any]:
    """The time of each part, in seconds, from the logs of the nodes."""
    made = events_of(cluster, leader, "snapshot made")[0]
    received = events_of(cluster, behind, "snapshot received")[0]
    installed = events_of(cluster, behind, "snapshot installed")[0]
    begun = made.interval[0]
    return {
        "bytes": made.details["bytes"],
        "copied_s": made.moment - begun,
        "sent_s": received.moment - made.moment,
        "installed_s": installed.moment - begun,
    }


def compare(load: LoadResult, begun: float, done: float) -> dict[str, Any]:
    """Latencies of the clients before the node was started and until it served, in milliseconds."""
    before = sorted(latency for due, latency in load.samples if due < begun)
    during = sorted(latency for due, latency in load.samples if begun <= due < done)
    points = {"p50": 0.5, "p99": 0.99, "max": 1.0}

    def at(ascending: list[float]) -> dict[str, float]:
        last = len(ascending) - 1
        return (
            {name: 1e3 * ascending[int(last * share)] for name, share in points.items()} if ascending else {}
        )

    return {
        "before_ms": at(before),
        "during_ms": at(during),
        "errors": load.summary["errors"],
        "samples": [(due - begun, latency * 1e3) for due, latency in load.samples],
        "end_s": done - begun,
    }


def say(report: Report, point: dict[str, Any]) -> None:
    report.say(
        f"{point['keys']:>9,} x {point['value_bytes']} B {point['bytes'] / MEGA:8.1f} MB: "
        f"copied {point['copied_s']:.2f} s, sent and verified {point['sent_s']:.2f} s, "
        f"installed after {point['installed_s']:.2f} s: {point['mb_per_s']:.0f} MB/s, "
        f"{point['user_mb_per_s']:.0f} of keys and values; "
        f"start to serving {point['started_to_serving_s']:.2f} s"
    )
    report.say(
        f"    leader's memory {point['leader_memory_before'] / MEGA:.0f} MB before, "
        f"{point['leader_memory_peak'] / MEGA:.0f} MB at most"
    )
    if "load" in point:
        load = point["load"]
        for name in ("before", "during"):
            times = ", ".join(f"{key} {value:.1f} ms" for key, value in load[f"{name}_ms"].items())
            report.say(f"    clients {name}: {times}")
        report.say(f"    errors: {load['errors'] or 'none'}")


def plot(path: Path, points: list[dict[str, Any]]) -> None:
    """Plot the latencies of the clients over time, for each size, with the time until the node serves shaded."""
    shown = [point for point in points if "load" in point]
    figure, axes = new_figure(len(shown) or 1)
    for axis, point in zip(axes, shown, strict=False):
        samples = point["load"]["samples"]
        axis.plot([due for due, _ in samples], [latency for _, latency in samples], ".", markersize=2)
        axis.axvspan(0, point["load"]["end_s"], alpha=0.15, label="node started, until it serves")
        axis.set_yscale("log")
        axis.set_ylabel("write latency, ms")
        axis.set_xlabel("seconds since the node was started again")
        axis.set_title(f"{point['bytes'] / MEGA:.0f} MB at {point['mb_per_s']:.0f} MB/s")
        axis.legend(loc="upper right")
    save_figure(figure, path, "a follower catches up by a snapshot")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", default="10,100,1000", help="of keys and values, one run each")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=300.0, help="writes per second meanwhile; 0: none")
    add_common_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    points = []
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        for megabytes in [float(text) for text in options.megabytes.split(",")]:
            keys = int(megabytes * MEGA / (options.value_bytes + KEY_BYTES))
            point = measure(folder / f"{megabytes:g}", keys=keys, options=options)
            points.append(point)
            say(report, point)
    if options.plot is not None:
        plot(options.plot, points)
    for point in points:
        point.get("load", {}).pop("samples", None)
    report.finish({"points": points})


if __name__ == "__main__":
    main()
