"""How does a cluster with default settings work on a slow and lossy network?

    python -m benchmarks.slow_network [--delay-ms 100] [--jitter-ms 50] [--quiet 300] [--failovers 20] [--writes 20]

Six nodes, each in a network namespace of its own, with a relay between them (`tests/e2e/slow_network.py`) that delays,
loses, damages, doubles and reorders packets in each direction, by default 5, 5, 2 and 8 percent of them. `--delay-ms 0`
takes away all of that: the same cluster on the relay alone. Measured, in this order:

* `formed`: from the start of the processes until a node leads and a majority has its first entry;
* `quiet`: how often nodes asked for pre-votes, and terms changed, in `--quiet` seconds without requests;
* `writes`: how long a `set` takes for a client on a node's machine that knows all addresses;
* `failover`: from `kill -9` of the leader until another leads and a majority has its first entry, by the nodes' status,
  which is asked on their own machines, without a trip. In between, the killed node is started again and the cluster
  settles.

It needs root and /dev/net/tun. Addresses exist only in the namespaces.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import temporary_folder
from benchmarks.report import Report, add_common_options
from raftdb import Client
from raftdb.errors import RaftdbError
from tests.e2e.slow_cluster import SlowCluster
from tests.e2e.slow_network import SlowNetwork, Weather, why_not

POLL_S = 0.02
FORM_LIMIT_S = 300.0


def wait_for(condition: Callable[[], object], what: str) -> float:
    """Poll until `condition` holds; returns the seconds that took. RuntimeError after `FORM_LIMIT_S`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > FORM_LIMIT_S:
            raise RuntimeError(f"not in {FORM_LIMIT_S:g} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began


@contextmanager
def running(folder: Path, options: argparse.Namespace) -> Iterator[tuple[SlowCluster, SlowNetwork]]:
    """A cluster in its network, whose processes were just started."""
    share = 0.0 if options.delay_ms == 0 else 0.01
    weather = Weather(
        delay_s=options.delay_ms / 1000,
        jitter_s=options.jitter_ms / 1000 if options.delay_ms else 0.0,
        loss=options.loss * share,
        corruption=options.corruption * share,
        duplication=options.duplication * share,
        reordering=options.reordering * share,
    )
    network = SlowNetwork(options.nodes, weather, seed=options.seed)
    cluster = SlowCluster(folder, network, nodes=options.nodes, log_level=options.log_level)
    try:
        for index in range(options.nodes):
            cluster.start(index)
        yield cluster, network
    finally:
        cluster.stop()
        network.close()


def measure_quiet(cluster: SlowCluster, seconds: float) -> dict[str, Any]:
    """Count pre-votes and elections in a time without requests."""
    pre_votes, elections = cluster.told("asks for pre-votes"), cluster.told("became candidate")
    time.sleep(seconds)
    return {
        "seconds": seconds,
        "pre_votes": cluster.told("asks for pre-votes") - pre_votes,
        "elections": cluster.told("became candidate") - elections,
    }


def measure_writes(cluster: SlowCluster, network: SlowNetwork, count: int) -> dict[str, Any]:
    """The seconds of each `set` of a client on the machine of the last node, and the errors of those that failed."""
    seconds, failed = [], []
    with network.entered(len(cluster.addresses) - 1), Client(",".join(cluster.addresses)) as client:
        for number in range(count):
            began = time.monotonic()
            try:
                client.set(f"key-{number}", "value")
            except RaftdbError as error:
                failed.append(str(error))
            else:
                seconds.append(round(time.monotonic() - began, 3))
    return {"seconds": seconds, "failed": failed}


def measure_failover(cluster: SlowCluster, options: argparse.Namespace) -> float:
    """Kill the leader and wait for the next; then start the killed one again, and let the cluster settle. Returns the
    seconds until another leads."""
    leader = cluster.leader()
    while leader is None:
        wait_for(lambda: cluster.leader() is not None, "a leader")
        leader = cluster.leader()
    cluster.kill(leader)
    took_s = wait_for(lambda: cluster.leader() is not None, "another leader")
    cluster.start(leader)
    wait_for(cluster.is_whole, "a whole cluster")
    time.sleep(options.settle)
    return took_s


def measure(folder: Path, options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Measure everything, on one cluster."""
    result: dict[str, Any] = {"delay_ms": options.delay_ms, "jitter_ms": options.jitter_ms}
    with running(folder, options) as (cluster, network):
        result["formed_s"] = wait_for(lambda: cluster.leader() is not None, "a leader")
        report.say(f"formed after {result['formed_s']:.2f} s")
        wait_for(cluster.is_whole, "a whole cluster")
        time.sleep(options.settle)
        if options.quiet:
            result["quiet"] = measure_quiet(cluster, options.quiet)
            report.say(
                "quiet: {pre_votes} pre-votes, {elections} elections in {seconds:g} s".format(
                    **result["quiet"]
                )
            )
        if options.writes:
            result["writes"] = measure_writes(cluster, network, options.writes)
            seconds = result["writes"]["seconds"]
            report.say(
                f"writes: median {median(seconds or [0.0]):.2f} s, longest {max(seconds, default=0.0):.2f} s of "
                f"{len(seconds)}, first {seconds[:1]}, failed {result['writes']['failed']}"
            )
        failovers: list[float] = []
        for _ in range(options.failovers):
            failovers.append(round(measure_failover(cluster, options), 3))
            report.say(f"failover after {failovers[-1]:.2f} s")
        if failovers:
            result["failover_s"] = failovers
            report.say(
                f"failover: median {median(failovers):.2f} s, longest {max(failovers):.2f} s of {len(failovers)}"
            )
    return result


def main() -> None:
    """Read the options, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common_options(parser, plots=False)
    parser.add_argument("--nodes", type=int, default=6)
    parser.add_argument("--delay-ms", type=float, default=100.0, help="of each packet, each way")
    parser.add_argument("--jitter-ms", type=float, default=50.0, help="more or less than that")
    for name, percent in (("loss", 5.0), ("corruption", 5.0), ("duplication", 2.0), ("reordering", 8.0)):
        parser.add_argument(
            f"--{name}", type=float, default=percent, metavar="PERCENT", help="of the packets"
        )
    parser.add_argument("--quiet", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--writes", type=int, default=20, metavar="COUNT")
    parser.add_argument("--failovers", type=int, default=20, metavar="COUNT")
    parser.add_argument("--settle", type=float, default=10.0, metavar="SECONDS", help="after each change")
    options = parser.parse_args()
    reason = why_not()
    if reason is not None:
        raise SystemExit(f"cannot be measured here: {reason}")
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        report.finish(measure(folder, options, report))


if __name__ == "__main__":
    main()
