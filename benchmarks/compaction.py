"""What do checkpoints and compactions cost, and how do they change the latencies of clients?

    python -m benchmarks.compaction [--parts checkpoint,load,bound] [--rate 0] [--seconds 30] [--plot out.png]

* `checkpoint`: changes are written into a state on disk, without a cluster: their number per second, by the size of the
  state.
* `load`: three nodes under writes at a fixed rate (latency from the moment a write was due), once without checkpoints
  and once with one every `--checkpoint-entries` entries. The rate is half of what 64 clients in a closed loop reach,
  unless it is given. Nodes and load share the cores, and every node makes its own checkpoints.
* `bound`: a few keys are overwritten many times; the disk space of log and state is compared with the bounds of the
  settings.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, LocalCluster, running_cluster, temporary_folder
from benchmarks.report import Report, add_common_options, new_figure, save_figure
from benchmarks.running import (
    FixedRate,
    disk_bytes,
    events_of,
    fill,
    post,
    watching,
    written_bytes,
)
from storage import LmdbStateStore
from tests.disk_bounds import log_bytes_max, state_bytes_max

MEGA = 1_000_000
KEY_BYTES = 11
CAPACITY_CLIENTS = 64
CAPACITY_S = 5.0
SUMMARY_KEYS = ("latencies_ms", "window_median", "window_worst", "errors", "unanswered")
NEVER = {"checkpoint_entries": 10**12, "checkpoint_bytes": 10**15}
CHECKPOINT_BYTES = 8 << 20
TAIL_BYTES = 8 << 20
"""Settings of `bound`, so small that there are many compactions."""


def checkpoint_once(state: LmdbStateStore, keys: list[bytes], value: bytes, index: int) -> dict[str, float]:
    """Change these keys and make a checkpoint; returns its times and the bytes that were written."""
    for key in keys:
        state.write({key: value}, index=(index := index + 1), term=1)
    before, started = written_own(), time.perf_counter()
    frozen = state.freeze()
    assert frozen is not None
    freeze_s = time.perf_counter() - started
    state.flush(frozen)
    elapsed = time.perf_counter() - started
    state.thaw(frozen)
    return {
        "freeze_ms": freeze_s * 1e3,
        "seconds": elapsed,
        "written": written_own() - before,
        "index": index,
    }


def written_own() -> int:
    """Bytes that this process has sent to the disk."""
    text = Path("/proc/self/io").read_text()
    return int(text.partition("write_bytes: ")[2].split()[0])


def measure_checkpoint(
    folder: Path, *, state_keys: int, changes: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Write `changes` random changes into a state of `state_keys` keys, three times; returns the median."""
    chance = random.Random(options.seed)
    state = LmdbStateStore(folder, create=True)
    try:
        value = bytes(options.value_bytes)
        index = 0
        if state_keys:
            everything = [b"key%08d" % number for number in range(state_keys)]
            index = int(checkpoint_once(state, everything, value, 0)["index"])
        runs = []
        for number in range(3):
            if state_keys:
                keys = [
                    b"key%08d" % key for key in chance.sample(range(state_keys), min(changes, state_keys))
                ]
            else:
                keys = [b"new%08d%d" % (key, number) for key in chance.sample(range(10**8), changes)]
            runs.append(checkpoint_once(state, keys, value, index))
            index = int(runs[-1]["index"])
    finally:
        state.close()
    run = sorted(runs, key=lambda one: one["seconds"])[1]
    user_bytes = changes * (options.value_bytes + KEY_BYTES)
    return {
        "state_keys": state_keys,
        "changes": changes,
        "keys_per_s": changes / run["seconds"],
        "mb_per_s": user_bytes / MEGA / run["seconds"],
        "milliseconds": run["seconds"] * 1e3,
        "freeze_ms": run["freeze_ms"],
        "write_amplification": run["written"] / user_bytes,
    }


def part_checkpoint(report: Report, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    points = []
    report.say("checkpoint: random changes into a state on disk, median of 3")
    cases = [(0, 200_000), (1_000_000, 1_000_000), (10_000, 10_000), (100_000, 10_000), (1_000_000, 10_000)]
    for number, (state_keys, changes) in enumerate(cases):
        point = measure_checkpoint(
            folder / str(number), state_keys=state_keys, changes=changes, options=options
        )
        points.append(point)
        report.say(
            f"  {changes:>9,} changes over {state_keys:>9,} keys: {point['keys_per_s']:>9,.0f} keys/s, "
            f"{point['mb_per_s']:6.1f} MB/s, {point['milliseconds']:8.1f} ms, frozen in {point['freeze_ms']:.3f} ms, "
            f"write amplification {point['write_amplification']:.1f}"
        )
    return points


def capacity(cluster: LocalCluster, options: argparse.Namespace) -> float:
    """Writes per second of clients in a closed loop."""
    address = cluster.addresses[cluster.leader()]
    command = [
        sys.executable, "-m", "benchmarks.load", address, str(CAPACITY_CLIENTS), str(CAPACITY_S),
        "--value-bytes", str(options.value_bytes), "--seed", str(options.seed),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: float = json.loads(done.stdout.splitlines()[-1])["per_second"]
    return found


def run_load(folder: Path, name: str, *, rate: float, options: argparse.Namespace) -> dict[str, Any]:
    """One run under a fixed rate; `name` is `without` or `with` (compaction), or `capacity` to measure that first."""
    settings: dict[str, object] = dict(NEVER)
    if name == "with":
        settings = {
            "checkpoint_entries": options.checkpoint_entries,
            "log_tail_bytes": options.checkpoint_entries * 100,
        }
    flags = ["--log-level", options.log_level, "--log-format", "json"]
    with running_cluster(folder, nodes=3, flags=flags, settings=settings) as cluster:
        fill(cluster, keys=options.keys, value_bytes=options.value_bytes)
        if not rate:
            return {"rate": capacity(cluster, options) / 2}
        leader = cluster.leader()
        process = cluster.processes[leader].pid
        term, written = cluster.status(leader)["term"], written_bytes(process)
        log_before = disk_bytes(cluster.folder / leader / "log")
        more = [
            "--keys",
            str(options.keys),
            "--value-bytes",
            str(options.value_bytes),
            "--seed",
            str(options.seed),
        ]
        with watching(cluster, names=[leader], period_s=0.5) as peaks:
            load = FixedRate(
                cluster.addresses[leader],
                rate=rate,
                seconds=options.seconds,
                samples=folder / "samples",
                more=more,
            ).result()
        begun = load.summary["started"]
        user_bytes = len(load.samples) * (options.value_bytes + KEY_BYTES)
        events = {
            node: [
                event
                for event in events_of(cluster, node, "checkpoint written", "log trimmed")
                if event.moment > begun
            ]
            for node in cluster.addresses
        }
        checkpoints = [event for event in events[leader] if event.message == "checkpoint written"]
        checkpoint_s = sum(event.details["milliseconds"] for event in checkpoints) / 1e3
        return {
            "name": name,
            "rate": rate,
            **{key: load.summary[key] for key in SUMMARY_KEYS},
            "elections": sum(cluster.status(node)["term"] - term for node in cluster.addresses),
            "checkpoints": len(checkpoints),
            "checkpoint_keys": sum(event.details["keys"] for event in checkpoints),
            "checkpoint_keys_per_s": sum(event.details["keys"] for event in checkpoints) / checkpoint_s
            if checkpoint_s
            else 0.0,
            "write_amplification": (written_bytes(process) - written) / user_bytes if user_bytes else 0.0,
            "log_bytes_before": log_before,
            "log_bytes_peak": peaks.values[f"{leader} log"],
            "log_bytes_after": disk_bytes(cluster.folder / leader / "log"),
            "intervals": {
                node: [(begin - begun, end - begun) for begin, end in (event.interval for event in found)]
                for node, found in events.items()
            },
            "samples": [(due - begun, latency * 1e3) for due, latency in load.samples],
        }  # fmt: skip


def part_load(report: Report, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    folder.mkdir()
    rate = options.rate
    if not rate:
        (folder / "capacity").mkdir()
        rate = round(run_load(folder / "capacity", "capacity", rate=0, options=options)["rate"])
    report.say(
        f"\nload: {rate:g} writes/s for {options.seconds:g} s, {options.keys:,} keys of {options.value_bytes} B"
    )
    runs = []
    for number in range(options.rounds):
        for name in ("without", "with"):
            place = folder / f"{name}{number}"
            place.mkdir()
            runs.append(run_load(place, name, rate=rate, options=options))
            say_load(report, runs[-1])
    for without, run in zip(runs[0::2], runs[1::2], strict=True):
        ratio = run["latencies_ms"]["p99"] / without["latencies_ms"]["p99"]
        report.say(f"  p99 with compaction is {ratio:.2f} times the p99 without")
    return runs


def say_load(report: Report, run: dict[str, Any]) -> None:
    times = ", ".join(f"{name} {value:.1f}" for name, value in run["latencies_ms"].items())
    report.say(
        f"  {run['name']:8} compaction: {times} ms; answers per 100 ms: median {run['window_median']}, "
        f"worst {run['window_worst']}; elections {run['elections']}, errors {run['errors'] or 'none'}"
    )
    report.say(
        f"           {run['checkpoints']} checkpoints, {run['checkpoint_keys']:,} keys at "
        f"{run['checkpoint_keys_per_s']:,.0f} keys/s; write amplification {run['write_amplification']:.1f}; "
        f"log {run['log_bytes_before'] / MEGA:.1f} MB before, {run['log_bytes_peak'] / MEGA:.1f} at most, "
        f"{run['log_bytes_after'] / MEGA:.1f} after"
    )


def part_bound(report: Report, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    settings = {
        "checkpoint_bytes": CHECKPOINT_BYTES,
        "log_tail_bytes": TAIL_BYTES,
        "checkpoint_entries": 10**9,
    }
    report.say(
        f"\nbound: {options.overwrites:,} overwrites of {options.bound_keys:,} keys of {options.value_bytes} B"
    )
    flags = ["--log-level", options.log_level, "--log-format", "json"]
    with running_cluster(folder, nodes=3, flags=flags, settings=settings) as cluster:
        with watching(cluster, names=list(cluster.addresses)) as peaks:
            started = time.monotonic()
            for _ in range(options.overwrites // options.bound_keys):
                fill(cluster, keys=options.bound_keys, value_bytes=options.value_bytes)
            elapsed = time.monotonic() - started
        post(cluster.addresses[cluster.leader()], "/v1/snapshot")
        checkpoints = len(events_of(cluster, cluster.leader(), "checkpoint written"))
    bounds = {
        "log": log_bytes_max(tail_bytes=TAIL_BYTES, checkpoint_bytes=CHECKPOINT_BYTES),
        "state": state_bytes_max(keys=options.bound_keys, record_bytes=options.value_bytes + KEY_BYTES + 18),
    }
    found = {
        name: max(value for key, value in peaks.values.items() if key.endswith(f" {name}")) for name in bounds
    }
    for name, bound in bounds.items():
        report.say(
            f"  {name:6} at most {found[name] / MEGA:.1f} MB of any node; the settings bound it to "
            f"{bound / MEGA:.1f} MB: {'kept' if found[name] <= bound else 'BROKEN'}"
        )
    report.say(f"  {checkpoints} checkpoints; {options.overwrites / elapsed:,.0f} overwrites/s")
    return {"peaks": found, "bounds": bounds, "checkpoints": checkpoints, "seconds": elapsed}


def plot(path: Path, runs: list[dict[str, Any]]) -> None:
    """Plot the latencies of each run over time, with the checkpoints and trims of all nodes shaded."""
    figure, axes = new_figure(len(runs) or 1)
    highest = max((latency for run in runs for _, latency in run["samples"]), default=1.0)
    for axis, run in zip(axes, runs, strict=False):
        for intervals in run["intervals"].values():
            for begin, end in intervals:
                axis.axvspan(begin, end, alpha=0.2, color="tab:orange", linewidth=0)
        axis.plot(
            [due for due, _ in run["samples"]], [latency for _, latency in run["samples"]], ".", markersize=2
        )
        axis.set_yscale("log")
        axis.set_ylim(top=highest * 1.2)
        axis.set_ylabel("write latency, ms")
        axis.set_xlabel("seconds; shaded: a node writes a checkpoint or trims its log")
        axis.set_title(
            f"{run['name']} compaction, {run['rate']:g} writes/s, p99 {run['latencies_ms']['p99']:.1f} ms"
        )
    save_figure(figure, path, "writes while checkpoints and compactions run")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="checkpoint,load,bound")
    parser.add_argument("--rate", type=float, default=0.0, help="writes per second; 0: half of the capacity")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run of `load`")
    parser.add_argument("--rounds", type=int, default=1, help="of `load`, without and with in turn")
    parser.add_argument("--keys", type=int, default=100_000, help="in the state of `load`")
    parser.add_argument(
        "--checkpoint-entries", type=int, default=5_000, help="setting of the nodes in `load`"
    )
    parser.add_argument("--value-bytes", type=int, default=64)
    parser.add_argument("--overwrites", type=int, default=2_000_000, help="of `bound`")
    parser.add_argument("--bound-keys", type=int, default=10_000, help="of `bound`")
    add_common_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    parts = options.parts.split(",")
    result: dict[str, Any] = {}
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        if "checkpoint" in parts:
            result["checkpoint"] = part_checkpoint(report, folder / "checkpoint", options)
        if "load" in parts:
            result["load"] = part_load(report, folder / "load", options)
        if "bound" in parts:
            result["bound"] = part_bound(report, folder / "bound", options)
    if options.plot is not None:
        plot(options.plot, result.get("load", []))
    for run in result.get("load", []):
        del run["samples"]
    report.finish(result)


if __name__ == "__main__":
    main()
