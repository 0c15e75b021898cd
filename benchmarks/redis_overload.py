"""Does a cluster stay itself while Redis clients ask for more than it can do?

    python -m benchmarks.redis_overload [--idle 5000] [--readers 10] [--pipeline 1000000] [--limit-mib 512]

At the leader of three nodes connect idle clients, which send nothing; readers, which ask again and again for a value of
1 MiB and never read a reply; and one client with a pipeline of a million SETs, which sends as fast as the node takes
them. Meanwhile an honest client sets and reads a short value, ten times a second, on its own connection. The report
has the memory of each node before, at most and afterwards; how long the honest client waited; the replies to all; and
whether a term has changed, that is, whether there was an election.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from typing import Any

import hiredis

from benchmarks.common import LocalCluster, percentile, running_cluster, temporary_folder
from benchmarks.memory_under_attack import (
    CONNECTION_BYTES,
    MIB,
    START_BYTES,
    VALUE_BYTES,
    Told,
    Watch,
    connect,
    for_ever,
)
from benchmarks.report import Report, add_common_options

HONEST_PAUSE_S = 0.1
PART = 1_000
"""Commands that are put into the pipeline at a time."""
ASKED_AHEAD = 64
"""Requests that a reader sends at a time."""
REST_S = 2.0
"""How long the cluster rests before its memory is measured again."""


def request(*words: bytes) -> bytes:
    """A request as client libraries send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def kind_of(reply: object) -> str:
    """The first word of an error, else the type of the reply."""
    return str(reply).split(" ", 1)[0] if isinstance(reply, hiredis.ReplyError) else type(reply).__name__


class Connection:
    """A connection that reads its replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._parser = hiredis.Reader()

    async def reply(self) -> object:
        """The next reply. Raises EOFError at the end of the connection."""
        while (found := self._parser.gets()) is False:
            data = await self._reader.read(1 << 16)
            if not data:
                raise EOFError("the node has ended the connection")
            self._parser.feed(data)
        return found


async def opened(address: tuple[str, int]) -> Connection:
    """A new connection."""
    return Connection(*await asyncio.open_connection(*address))


async def read_nothing(address: tuple[str, int], told: Told) -> None:
    """Ask for long values for ever, and read no reply."""
    loop = asyncio.get_running_loop()
    connection = await connect(address, receives=4096)
    try:
        while True:
            await loop.sock_sendall(connection, request(b"GET", b"long") * ASKED_AHEAD)
            told["asked"] += ASKED_AHEAD
    except OSError:
        told["cut off"] += 1
    finally:
        connection.close()


async def send_pipeline(address: tuple[str, int], told: Told, commands: int) -> float:
    """Send so many SETs without waiting for replies; returns how many seconds it took until all were answered. If the
    node ends the connection, because it has no memory for its requests, the rest is sent on another one."""
    began = time.monotonic()
    done = 0
    while done < commands:
        try:
            done += await send_some(address, told, commands - done)
        except OSError as error:
            told[type(error).__name__] += 1
            await asyncio.sleep(HONEST_PAUSE_S)
    return time.monotonic() - began


async def send_some(address: tuple[str, int], told: Told, commands: int) -> int:
    """Send SETs on one connection, and return how many were answered before it ended."""
    connection = await opened(address)
    answered = 0

    async def send() -> None:
        for first in range(0, commands, PART):
            numbers = range(first, min(first + PART, commands))
            connection.writer.write(b"".join(request(b"SET", b"key:%d" % n, b"value") for n in numbers))
            await connection.writer.drain()

    sending = asyncio.ensure_future(send())
    try:
        while answered < commands:
            told[kind_of(await connection.reply())] += 1
            answered += 1
    except EOFError:
        told["cut off"] += 1
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        connection.writer.close()
    return answered


async def be_honest(address: tuple[str, int], told: Told, times_s: list[float]) -> None:
    """Set and read a short value, with pauses, until the node ends the connection."""
    connection = await opened(address)
    while True:
        for words in ((b"SET", b"short", b"value"), (b"GET", b"short")):
            began = time.monotonic()
            connection.writer.write(request(*words))
            told[f"{words[0].decode()} {kind_of(await connection.reply())}"] += 1
            times_s.append(time.monotonic() - began)
        await asyncio.sleep(HONEST_PAUSE_S)


async def overload(cluster: LocalCluster, options: argparse.Namespace) -> dict[str, Any]:
    """Ask for too much; returns the results."""
    leader = cluster.leader()
    host, _, port = cluster.redis_addresses[leader].rpartition(":")
    address = (host, int(port))
    first = await opened(address)
    first.writer.write(request(b"SET", b"long", bytes(VALUE_BYTES)))
    await first.reply()
    watch, term = Watch(cluster), cluster.status(leader)["term"]
    before = watch.now()
    told = {name: Counter[str]() for name in ("readers", "pipeline", "honest")}
    times_s: list[float] = []
    idle = [await connect(address) for _ in range(options.idle)]
    tasks = [
        asyncio.ensure_future(watch.look(leader)),
        asyncio.ensure_future(for_ever(be_honest, address, told["honest"], times_s)),
        *(asyncio.ensure_future(read_nothing(address, told["readers"])) for _ in range(options.readers)),
    ]
    pipeline_s = await send_pipeline(address, told["pipeline"], options.pipeline)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in idle:
        connection.close()
    await asyncio.sleep(REST_S)
    statuses = {name: await asyncio.to_thread(cluster.status, name) for name in cluster.addresses}
    connections = options.idle + options.readers + 3
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
        "term_before": term,
        "terms_after": {name: status.get("term") for name, status in statuses.items()},
        "pipeline_s": round(pipeline_s, 1),
        "honest_ms": {
            name: round(1000 * percentile(times_s, share), 1)
            for name, share in (("median", 50), ("p99", 99), ("most", 100))
        },
        "replies": {name: dict(sorted(counted.items())) for name, counted in told.items()},
    }


def tell(report: Report, result: dict[str, Any]) -> None:
    """Print the result for people."""
    report.say(f"bound: {result['bound_mib']:.0f} MiB of own memory; leader {result['leader']}")
    for name in result["before_mib"]:
        before, peak, after = (result[f"{when}_mib"][name] for when in ("before", "peak", "after"))
        report.say(f"  {name}: {before:6.0f} MiB before, {peak:6.0f} at most, {after:6.0f} after")
    report.say(f"the account, at most, MiB: {result['account_peak_mib']}")
    report.say(f"term {result['term_before']} before, {result['terms_after']} after")
    report.say(
        f"the pipeline took {result['pipeline_s']} s; the honest client waited {result['honest_ms']} ms"
    )
    for name, counted in result["replies"].items():
        report.say(f"  {name}: {counted}")


def main() -> int:
    """Run the benchmark; returns 1 if the memory exceeded its bound, or a term changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--pipeline", type=int, default=1_000_000, help="SETs on one connection")
    parser.add_argument("--limit-mib", type=int, default=512, help="the nodes' memory_bytes_max")
    add_common_options(parser)
    options = parser.parse_args()
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        settings = {"memory_bytes_max": options.limit_mib * MIB, "log_level": options.log_level}
        with running_cluster(folder, nodes=3, settings=settings, redis=True) as cluster:
            result = asyncio.run(overload(cluster, options))
        tell(report, result)
        report.finish(result)
    held = result["within_bound"] and set(result["terms_after"].values()) == {result["term_before"]}
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
