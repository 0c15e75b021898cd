"""How much memory does a node take while clients attack it, and does the cluster go on?

    python -m benchmarks.memory_under_attack [--readers 500] [--writers 500] [--seconds 30] [--limit-mib 512]

The leader of three nodes is attacked by readers that ask repeatedly for a value of 1 MiB on one connection and never
read an answer; by writers that announce a body of 4 MiB, send it slowly, and begin anew when they are cut off; by bulk
writers that store random keys as fast as they can; and by backups, one after the other, during which the changes of
these have to wait in memory. Meanwhile an honest client stores and reads a short value, ten times a second. The report
has the resident memory of each node before, at most and afterwards, with the bound of `docs/interface.md`; the answers
to the attackers and to the honest client; and whether a term has changed.
"""

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.common import LocalCluster, percentile, running_cluster, temporary_folder
from benchmarks.report import Report, add_common_options
from benchmarks.running import fill

MIB = 1 << 20
VALUE_BYTES = MIB
BODY_BYTES = 4 * MIB
PIECE_BYTES = 64 * 1024
PIECE_PAUSE_S = 0.1
"""With these pauses a body of 4 MiB takes longer than is allowed, so that each writer holds as much memory as it
can."""
ASKED_AHEAD = 8
"""Requests that a reader sends before the first answer."""
BULK_KEYS = 2_000
HONEST_PAUSE_S = 0.1
SAMPLE_PAUSE_S = 0.1
RETRY_PAUSE_S = 0.2
START_BYTES = 100 * MIB
"""A little more than a node takes without any requests."""
CONNECTION_BYTES = MIB // 2
"""The bound for each connection, beside what the account has (docs/interface.md, section 2)."""

Told = Counter[str]


def request_of(method: str, path: str, body: bytes | None = None, *, announced: int | None = None) -> bytes:
    """The bytes of a request; `announced` is a length of the body that is still to come."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body is not None or announced is not None:
        lines.append(f"Content-Length: {announced if announced is not None else len(body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def command(name: str, *arguments: str) -> bytes:
    """The body of a request to execute a command."""
    return json.dumps({"command": name, "args": arguments}).encode()


async def connect(address: tuple[str, int], *, receives: int | None = None) -> socket.socket:
    """A connection; `receives` is the size of its socket's receive buffer."""
    connection = socket.socket()
    if receives is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def read_slowly(address: tuple[str, int], told: Told) -> None:
    """Ask for long answers, and read nearly nothing of them, until the node cuts the connection."""
    loop = asyncio.get_running_loop()
    connection = await connect(address, receives=4096)
    try:
        ask = request_of("POST", "/v1/execute", command("get", "long"))
        await loop.sock_sendall(connection, ask * ASKED_AHEAD)
        told["asked"] += 1
        while True:
            # One byte now and then shows the end of the connection.
            await asyncio.sleep(1.0)
            if not await loop.sock_recv(connection, 1):
                break
        told["cut off"] += 1
    finally:
        connection.close()


async def write_slowly(address: tuple[str, int], told: Told) -> None:
    """Announce a long body, and send it slowly."""
    loop = asyncio.get_running_loop()
    connection = await connect(address)
    try:
        await loop.sock_sendall(connection, request_of("POST", "/v1/execute", announced=BODY_BYTES))
        sent = 0
        while sent < BODY_BYTES:
            await loop.sock_sendall(connection, bytes(PIECE_BYTES))
            sent += PIECE_BYTES
            await asyncio.sleep(PIECE_PAUSE_S)
            with suppress(BlockingIOError):
                answer = connection.recv(4096)
                told[answer.split(b" ", 2)[1].decode() if answer else "cut off"] += 1
                return
    finally:
        connection.close()


async def write_in_bulk(address: tuple[str, int], told: Told) -> None:
    """Store random keys, many at a time."""
    names = [f"{random.getrandbits(64):016x}" for _ in range(BULK_KEYS)]
    arguments = [word for name in names for word in (name, name * 4)]
    status, _ = await ask(address, request_of("POST", "/v1/execute", command("mset", *arguments)))
    told[str(status)] += 1
    if status != 200:
        await asyncio.sleep(RETRY_PAUSE_S)


async def back_up(address: tuple[str, int], told: Told) -> None:
    """Take a backup, and drop it."""
    status, _ = await ask(address, request_of("GET", "/v1/backup"))
    told[str(status)] += 1
    await asyncio.sleep(RETRY_PAUSE_S)


async def ask(address: tuple[str, int], data: bytes) -> tuple[int, float]:
    """Send a request and read its whole answer; returns the status and the seconds that it took."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while length > 0:
            length -= len(await reader.read(min(length, MIB)) or b"\0" * length)
        return int(head.split(b" ", 2)[1]), time.monotonic() - began
    finally:
        writer.close()


async def for_ever(act: Callable[..., Awaitable[None]], *where: Any) -> None:
    """Repeat `act`, also after errors."""
    told = where[1]
    while True:
        try:
            await act(*where)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            told[type(error).__name__] += 1
            await asyncio.sleep(RETRY_PAUSE_S)


async def be_honest(address: tuple[str, int], told: Told, times_s: list[float]) -> None:
    """Store and read a short value."""
    for name, arguments in (("set", ("short", "value")), ("get", ("short",))):
        status, seconds = await ask(address, request_of("POST", "/v1/execute", command(name, *arguments)))
        told[f"{name} {status}"] += 1
        times_s.append(seconds)
    await asyncio.sleep(HONEST_PAUSE_S)


def memory_mib(pid: int) -> float:
    """The resident memory of a process without mapped files, whose pages the system can take back at any time."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


class Watch:
    """Watches the memory of the nodes and the leader's account during the attack."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.peak_mib = self.now()
        self.levels: dict[str, int] = {}

    def now(self) -> dict[str, float]:
        """The present memory of each node, in MiB."""
        return {name: memory_mib(process.pid) for name, process in self._cluster.processes.items()}

    async def look(self, leader: str) -> None:
        """Measure for ever, with pauses."""
        while True:
            for name, mib in self.now().items():
                self.peak_mib[name] = max(self.peak_mib[name], mib)
            status = await asyncio.to_thread(self._cluster.status, leader)
            for name, level in status.get("memory_bytes", {}).items():
                self.levels[name] = max(self.levels.get(name, 0), level)
            await asyncio.sleep(SAMPLE_PAUSE_S)


async def attack(cluster: LocalCluster, options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Run the attack; returns the results."""
    leader = cluster.leader()
    host, _, port = cluster.addresses[leader].rpartition(":")
    address = (host, int(port))
    await ask(address, request_of("POST", "/v1/execute", command("set", "long", "x" * VALUE_BYTES)))
    watch = Watch(cluster)
    before, term = watch.now(), cluster.status(leader)["term"]
    told = {name: Counter[str]() for name in ("readers", "writers", "bulk writers", "backups", "honest")}
    times_s: list[float] = []
    tasks = [asyncio.ensure_future(watch.look(leader))]
    for act, name, count in (
        (read_slowly, "readers", options.readers),
        (write_slowly, "writers", options.writers),
        (write_in_bulk, "bulk writers", options.bulk),
        (back_up, "backups", 1 if options.bulk else 0),
    ):
        tasks += [asyncio.ensure_future(for_ever(act, address, told[name])) for _ in range(count)]
    tasks.append(asyncio.ensure_future(for_ever(be_honest, address, told["honest"], times_s)))
    await asyncio.sleep(options.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(2.0)
    statuses = {name: await asyncio.to_thread(cluster.status, name) for name in cluster.addresses}
    connections = options.readers + options.writers + 8
    bound_mib = (START_BYTES + options.limit_mib * MIB + connections * CONNECTION_BYTES) / MIB
    times_s.sort()
    return {
        "leader": leader,
        "before_mib": before,
        "peak_mib": watch.peak_mib,
        "after_mib": watch.now(),
        "bound_mib": bound_mib,
        "within_bound": max(watch.peak_mib.values()) <= bound_mib,
        "account_peak_mib": {name: round(level / MIB, 1) for name, level in watch.levels.items()},
        "account_after": statuses[leader].get("memory_bytes"),
        "term_before": term,
        "terms_after": {name: status.get("term") for name, status in statuses.items()},
        "longest_stall_ms": {name: status.get("longest_stall_ms") for name, status in statuses.items()},
        "honest_ms": {
            "median": round(1000 * percentile(times_s, 50), 1),
            "p99": round(1000 * percentile(times_s, 99), 1),
        },
        "answers": {name: dict(sorted(counted.items())) for name, counted in told.items()},
    }


def tell(report: Report, result: dict[str, Any]) -> None:
    """Print the result for people."""
    report.say(f"bound: {result['bound_mib']:.0f} MiB of own memory; leader {result['leader']}")
    for name in result["before_mib"]:
        before, peak, after = (result[f"{when}_mib"][name] for when in ("before", "peak", "after"))
        report.say(f"  {name}: {before:6.0f} MiB before, {peak:6.0f} at most, {after:6.0f} after")
    report.say(f"the account, at most, MiB: {result['account_peak_mib']}; after: {result['account_after']}")
    report.say(
        f"term {result['term_before']} before, {result['terms_after']} after; stalls {result['longest_stall_ms']}"
    )
    report.say(f"the honest client waited {result['honest_ms']} ms")
    for name, counted in result["answers"].items():
        report.say(f"  {name}: {counted}")


def main() -> int:
    """Run the benchmark; returns 1 if the memory exceeded its bound, or a term changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--writers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--limit-mib", type=int, default=512, help="the nodes' memory_bytes_max")
    parser.add_argument("--bulk", type=int, default=2, help="bulk writers; 0: slow readers and writers alone")
    parser.add_argument("--fill", type=int, default=0, help="keys stored before, so that a backup takes long")
    add_common_options(parser)
    options = parser.parse_args()
    random.seed(options.seed)
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        settings = {"memory_bytes_max": options.limit_mib * MIB, "log_level": options.log_level}
        with running_cluster(folder, nodes=3, settings=settings) as cluster:
            fill(cluster, keys=options.fill, value_bytes=100)
            result = asyncio.run(attack(cluster, options, report))
        tell(report, result)
        report.finish(result)
    held = result["within_bound"] and set(result["terms_after"].values()) == {result["term_before"]}
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
