"""How many writes per second does a cluster take, and how long does each wait?

    python -m benchmarks.write_path [--clients 1,16,64,256] [--seconds 8] [--reads] [--profile] [--json]

It starts three nodes on this machine, with data in a temporary folder, and loads the leader over HTTP keep-alive with
one connection for each client. Nodes and load share the cores. It is a closed loop: a client sends its next request
when the last one is answered, so a pause of the server shows in one request of each client, and not in those that would
have come meanwhile; the percentiles are those of these clients. The fsync of the same disk is printed, too, because a
write cannot be answered before two of them in parallel.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from benchmarks import sampling
from benchmarks.common import (
    LocalCluster,
    command_to_repeat,
    describe_machine,
    measure_sync,
    running_cluster,
    temporary_folder,
)
from benchmarks.generators import Ask, run_http_load
from benchmarks.load import KEYS

PROFILED_CLIENTS = 64
PROFILE_SECONDS = 10.0
LOOP = "closed loop: a client sends again when it is answered; nodes and load share the cores"


class Point(NamedTuple):
    """One row: the results with `clients` clients. Latencies are in milliseconds by percentile, processor use is in
    cores."""

    command: str
    clients: int
    per_second: float
    latencies_ms: dict[str, float]
    errors: dict[str, int]
    cores_used: dict[str, float]


def run_point(cluster: LocalCluster, clients: int, options: argparse.Namespace, *, reads: bool) -> Point:
    """Load the leader with `clients` clients, in a process of their own."""
    leader = cluster.leader()
    committed = cluster.status(leader)["commit_index"]
    ask = Ask(
        "get" if reads else "set", clients, depth=1,
        seconds=options.seconds, warm_up_s=options.warm_up,
        keys=KEYS, value_bytes=options.value_bytes, seed=options.seed,
    )  # fmt: skip
    used: list[dict[str, float]] = []
    loaded = run_http_load(
        cluster.addresses[leader], ask, cluster.folder, lambda: used.append(cluster.cpu_seconds())
    )
    committed = cluster.status(leader).get("commit_index", 0) - committed
    if not reads and committed < loaded.operations:
        raise RuntimeError(f"more writes were answered than the {committed} that were committed")
    before, after = used
    cores = {
        f"{name} (leader)" if name == leader else name: (after[name] - before[name]) / options.seconds
        for name in sorted(after)
    }
    return Point(
        command=ask.command,
        clients=clients,
        per_second=loaded.per_second,
        latencies_ms=loaded.latencies_ms,
        errors=loaded.errors,
        cores_used={**cores, "load": loaded.cpu_seconds / options.seconds},
    )


def profile(cluster: LocalCluster, folder: Path, options: argparse.Namespace) -> str:
    """Sample the leader under writes, in a run of its own: sampling takes from the cores that it looks at."""
    if sampling.sampler() is None:
        return "py-spy is not installed: pip install py-spy\n"
    output = folder / "leader.stacks"
    leader = cluster.leader()
    longer = argparse.Namespace(**{**vars(options), "seconds": PROFILE_SECONDS + 2, "warm_up": 2.0})
    sampled = sampling.start(cluster.processes[leader].pid, seconds=PROFILE_SECONDS, output=output)
    run_point(cluster, PROFILED_CLIENTS, longer, reads=False)
    _, complaint = sampled.communicate()
    if sampled.returncode != 0 or not output.exists():
        return f"py-spy failed: {complaint.decode(errors='replace').strip()}\n"
    return sampling.report(output.read_text())


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", default="1,16,64,256", help="how many at once, one run each")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured per run")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before, not measured")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of keys and values")
    parser.add_argument(
        "--reads", action="store_true", help="after the writes, measure reads of the same keys"
    )
    parser.add_argument(
        "--profile", action="store_true", help="at the end, sample the leader under writes with py-spy"
    )
    parser.add_argument("--log-level", default="info", help="of the nodes; their logs go to files")
    parser.add_argument("--data", type=Path, help="where the temporary folder is made: the disk to measure")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


def say_head(facts: dict[str, object], sync: dict[str, float], options: argparse.Namespace) -> None:
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    size = f"values of {options.value_bytes} bytes"
    print(f"{options.nodes} nodes, {size}, seed {options.seed}, {options.seconds:g} s each")
    print(f"fdatasync of 4 KiB appended: median {sync['median_ms']:.3f} ms, p99 {sync['p99_ms']:.3f} ms")
    print(LOOP)
    print(f"repeat with: {command_to_repeat()}\n")
    print(
        f"{'':5}{'clients':>7}{'per s':>10}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'max ms':>9}  errors; cores used"
    )


def say_point(point: Point) -> None:
    errors = ", ".join(f"{count} {name}" for name, count in point.errors.items()) or "none"
    cores = ", ".join(f"{name} {used:.2f}" for name, used in point.cores_used.items())
    times = "".join(f"{ms:9.2f}" for ms in point.latencies_ms.values())
    print(
        f"{point.command:5}{point.clients:7}{point.per_second:10,.0f}{times}  {errors}; {cores}", flush=True
    )


def main() -> None:
    options = parse_options()
    counts = [int(text) for text in options.clients.split(",")]
    facts = describe_machine()
    with temporary_folder(options.data) as folder:
        sync = measure_sync(folder)
        if not options.json:
            say_head(facts, sync, options)
        points = []
        profiled = None
        with running_cluster(
            folder, nodes=options.nodes, flags=["--log-level", options.log_level]
        ) as cluster:
            for reads in (False, True) if options.reads else (False,):
                for count in counts:
                    points.append(run_point(cluster, count, options, reads=reads))
                    if not options.json:
                        say_point(points[-1])
            if options.profile:
                profiled = profile(cluster, folder, options)
    if options.json:
        result = {
            "command": command_to_repeat(), "machine": facts, "sync": sync, "seed": options.seed, "loop": LOOP,
            "points": [point._asdict() for point in points], "profile": profiled,
        }  # fmt: skip
        print(json.dumps(result, indent=2))
    elif profiled is not None:
        print(f"\nthe leader under writes of {PROFILED_CLIENTS} clients:\n{profiled}")


if __name__ == "__main__":
    main()
