"""Does a cluster stay itself while clients ask for more than it can do?

    python -m benchmarks.overload [--only "redis flood" ...] [--seconds 15] [--limit-mib 512]

Each scenario attacks the leader of three new nodes at one of its doors, for some seconds. Those of Redis clients:

* `idle`: 5,000 connections that say nothing.
* `silent`: 10 clients that ask again and again for a value of 1 MiB, and read no reply.
* `pipeline`: a million SETs on one connection, sent as fast as the node takes them.
* `flood`: 256 clients with 64 SETs in flight each, far more than the cluster executes.
* `all`: all of these.

And those of HTTP clients:

* `idle`, as above; `flood`: 256 clients, one SET after the other.
* `silent`: 500 clients that ask for a value of 1 MiB, and read nearly nothing.
* `slow`: 500 clients that announce a body of 4 MiB, send it slowly, and begin anew when they are cut off.
* `bulk`: both of these, with clients that store random keys as fast as they can, and backups one after the other,
  during which the changes wait in memory.

And those of strangers, at a cluster with a secret:

* `http drops`, `redis drops`, `peer drops`: 500 that send a head, a request or a handshake byte by byte.
* `peer handshakes`: 1,000 handshakes a second by those who do not know the secret.

Meanwhile an honest client, a process of its own (`benchmarks.honest_client`), sets and reads a short value at the same
door. A row has how long it waited, with its answers; the memory of the node that took most, before, at most, and the
bound of `docs/interface.md`, section 2; how many elections there were, by the terms of all nodes before and after; the
longest turn of a node's event loop; and what was answered to the attackers.
"""

import argparse
import asyncio
import random
import secrets
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks import attackers, strangers
from benchmarks.attackers import Attacker, Target
from benchmarks.common import LocalCluster, running_cluster, temporary_folder
from benchmarks.honest_client import HonestClient
from benchmarks.report import Report, add_common_options
from benchmarks.running import events_of, fill, memory_bytes, post

MIB = attackers.MIB
SAMPLE_PAUSE_S = 0.1
CONNECTIONS_AT_ONCE = 100
"""How many attackers connect before the others wait for a moment, so that the kernel's queue takes them all."""
SHAKING = 50
"""So many shake hands in turn."""
REST_S = 2.0
"""How long the cluster rests before its terms are looked at, and its memory is measured again."""
START_BYTES = 100 * MIB
"""A little more than a node takes without any requests."""
CONNECTION_BYTES = MIB // 2
"""The bound for each connection, beside what the account has (docs/interface.md, section 2)."""


class Crowd(NamedTuple):
    """So many clients that do the same. `is_once`: the attack ends when they have done it."""

    name: str
    act: Attacker
    clients: int
    is_once: bool = False


class Scenario(NamedTuple):
    """The crowds that attack one door."""

    door: str
    crowds: Sequence[Crowd]


def scenarios(options: argparse.Namespace) -> dict[str, Scenario]:
    """All scenarios, by name."""
    idle = Crowd("idle", attackers.do_nothing, options.idle)
    unread = Crowd("silent", attackers.redis_read_nothing, options.silent)
    pipeline = Crowd("pipeline", attackers.redis_pipeline(options.pipeline), 1, is_once=True)
    flood = Crowd("flood", attackers.redis_flood(options.depth), options.clients)
    readers = Crowd("silent", attackers.http_read_slowly, options.slow)
    writers = Crowd("slow", attackers.http_write_slowly, options.slow)
    bulk = Crowd("bulk writers", attackers.http_write_in_bulk, 2), Crowd("backups", attackers.http_back_up, 1)
    shaking = strangers.bad_handshakes(options.handshakes / SHAKING)
    return {
        "redis idle": Scenario("redis", [idle]),
        "redis silent": Scenario("redis", [unread]),
        "redis pipeline": Scenario("redis", [pipeline]),
        "redis flood": Scenario("redis", [flood]),
        "redis all": Scenario("redis", [idle, unread, pipeline, flood]),
        "http idle": Scenario("http", [idle]),
        "http silent": Scenario("http", [readers]),
        "http slow": Scenario("http", [writers]),
        "http flood": Scenario("http", [Crowd("flood", attackers.http_flood, options.clients)]),
        "http drops": Scenario("http", [Crowd("drops", strangers.http_in_drops, options.slow)]),
        "redis drops": Scenario("redis", [Crowd("drops", strangers.redis_in_drops, options.slow)]),
        "peer drops": Scenario("http", [Crowd("drops", strangers.peer_in_drops, options.slow)]),
        "peer handshakes": Scenario("http", [Crowd("handshakes", shaking, SHAKING)]),
        "http bulk": Scenario("http", [readers, writers, *bulk]),
    }


class Seen:
    """What a thread has seen of the nodes so far."""

    def __init__(self) -> None:
        self.peak_bytes: dict[str, int] = {}
        self.account_bytes: dict[str, int] = {}


@contextmanager
def watching(cluster: LocalCluster, leader: str) -> Iterator[Seen]:
    """Watch the memory of the nodes, and the leader's account, inside the `with` block."""
    seen, stop = Seen(), threading.Event()

    def look() -> None:
        while not stop.wait(SAMPLE_PAUSE_S):
            for name, process in cluster.processes.items():
                seen.peak_bytes[name] = max(seen.peak_bytes.get(name, 0), memory_bytes(process.pid))
            for name, level in cluster.status(leader).get("memory_bytes", {}).items():
                seen.account_bytes[name] = max(seen.account_bytes.get(name, 0), level)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


async def attack(scenario: Scenario, address: str, seconds: float) -> dict[str, dict[str, int]]:
    """Let all crowds attack; returns what was answered to each."""
    host, _, port = address.rpartition(":")
    targets = {crowd.name: Target((host, int(port))) for crowd in scenario.crowds}
    once, others = list[asyncio.Future[None]](), list[asyncio.Future[None]]()
    for crowd in scenario.crowds:
        target = targets[crowd.name]
        for number in range(crowd.clients):
            if crowd.is_once:
                once.append(asyncio.ensure_future(crowd.act(target)))
            else:
                others.append(asyncio.ensure_future(attackers.for_ever(crowd.act, target)))
            if number % CONNECTIONS_AT_ONCE == 0:
                await asyncio.sleep(0.01)
    if once:
        await asyncio.gather(*once)
    else:
        await asyncio.sleep(seconds)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return {name: dict(sorted(target.told.items())) for name, target in targets.items()}


def terms_of(cluster: LocalCluster) -> dict[str, int | None]:
    """The term of each node; None for one that does not answer."""
    return {name: cluster.status(name).get("term") for name in cluster.addresses}


def longest_turn(cluster: LocalCluster) -> dict[str, Any]:
    """The longest turn of a node's event loop that was told, with the processor time that its thread had meanwhile:
    much less of it means that the machine was busy with something else."""
    told = [
        {"node": name, **{key: event.details[key] for key in ("milliseconds", "processor_milliseconds")}}
        for name in cluster.addresses
        for event in events_of(cluster, name, "the event loop was held up")
    ]
    return max(told, key=lambda turn: turn["milliseconds"], default={})


def run_scenario(cluster: LocalCluster, scenario: Scenario, options: argparse.Namespace) -> dict[str, Any]:
    """Attack, and return the results of one scenario."""
    leader = cluster.leader()
    fill(cluster, keys=options.fill, value_bytes=100)
    long_value = {"command": "set", "args": ["long", "x" * attackers.LONG_VALUE_BYTES]}
    post(cluster.addresses[leader], "/v1/execute", long_value)
    addresses = cluster.redis_addresses if scenario.door == "redis" else cluster.addresses
    pids = {name: process.pid for name, process in cluster.processes.items()}
    before_bytes, terms = {name: memory_bytes(pid) for name, pid in pids.items()}, terms_of(cluster)
    with watching(cluster, leader) as seen, HonestClient(scenario.door, addresses[leader]) as honest:
        answers = asyncio.run(attack(scenario, addresses[leader], options.seconds))
    threading.Event().wait(REST_S)
    after_bytes, terms_after = {name: memory_bytes(pid) for name, pid in pids.items()}, terms_of(cluster)
    connections = sum(crowd.clients for crowd in scenario.crowds) + 3
    bound_bytes = START_BYTES + options.limit_mib * MIB + connections * CONNECTION_BYTES
    is_known = None not in (*terms.values(), *terms_after.values())
    elections = max(t or 0 for t in terms_after.values()) - max(t or 0 for t in terms.values())
    return {
        "honest": honest.result,
        "memory_mib": {
            name: [round(each[name] / MIB) for each in (before_bytes, seen.peak_bytes, after_bytes)]
            for name in pids
        },
        "bound_mib": round(bound_bytes / MIB),
        "account_mib": {name: round(level / MIB, 1) for name, level in seen.account_bytes.items()},
        "terms": {"before": terms, "after": terms_after},
        "elections": elections,
        "longest_turn": longest_turn(cluster),
        "attackers": answers,
        "held": is_known and elections == 0 and max(seen.peak_bytes.values()) <= bound_bytes,
    }


def tell(report: Report, name: str, result: dict[str, Any]) -> None:
    """Print the result of one scenario for people."""
    waited = result["honest"]["waited_ms"]
    before, peak, after = max(result["memory_mib"].values(), key=lambda three: three[1])
    report.say(
        f"{name}: honest {waited['median']:.1f} ms, p99 {waited['p99']:.1f}, most {waited['most']:.1f}; "
        f"{before} MiB before, {peak} at most, {after} after (bound {result['bound_mib']}); "
        f"{result['elections']} elections"
    )
    report.say(f"    longest turn {result['longest_turn'] or 'not worth a line'}")
    report.say(f"    honest {result['honest']['answers']}")
    report.say(f"    account of the leader, at most, MiB {result['account_mib']}")
    for crowd, answers in result["attackers"].items():
        report.say(f"    {crowd} {answers}")


def main() -> int:
    """Run the benchmark; returns 1 if the memory exceeded its bound somewhere, or there was an election."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="as 'redis flood', also more than once")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each attack but the pipeline")
    parser.add_argument("--limit-mib", type=int, default=512, help="the nodes' memory_bytes_max")
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--silent", type=int, default=10, help="Redis clients that do not read")
    parser.add_argument("--pipeline", type=int, default=1_000_000, help="SETs on one connection")
    parser.add_argument("--clients", type=int, default=256, help="of a flood")
    parser.add_argument("--depth", type=int, default=64, help="requests of each in flight, of Redis clients")
    parser.add_argument("--slow", type=int, default=500, help="HTTP clients that read, or write, slowly")
    parser.add_argument("--handshakes", type=float, default=1_000, help="bad ones in a second")
    parser.add_argument("--fill", type=int, default=0, help="keys stored before, so that a backup takes long")
    add_common_options(parser, plots=False)
    options = parser.parse_args()
    chosen = scenarios(options)
    if unknown := sorted(set(options.only or ()) - set(chosen)):
        parser.error(f"no such scenario: {', '.join(unknown)} (there are {', '.join(chosen)})")
    random.seed(options.seed)
    results = list[dict[str, Any]]()
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        settings = {
            "memory_bytes_max": options.limit_mib * MIB,
            "log_level": options.log_level,
            "cluster_secret": secrets.token_hex(32),
        }
        for number, name in enumerate(options.only or chosen):
            inside = folder / str(number)
            inside.mkdir()
            flags = ["--log-format", "json"]
            with running_cluster(inside, nodes=3, flags=flags, settings=settings, redis=True) as cluster:
                results.append({"scenario": name, **run_scenario(cluster, chosen[name], options)})
            tell(report, name, results[-1])
        report.finish({"scenarios": results})
    return 0 if all(result["held"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
