"""How soon does a node serve again after kill -9, over the size of its state and the length of its log?

    python -m benchmarks.recovery [--keys 0,100000,1000000] [--tails 0,50000,100000,full] [--plot out.png]

For each pair, three nodes have `--keys` keys in a checkpoint, and `--tails` single writes after it, which a restart has
to replay; `full` is as many as the default settings allow, with a log as long as they allow. One follower is killed and
started again three times, of which the median counts. `listening` is the time until it answers at all; `serving` is the
time until it knows the leader, has applied all committed entries, and answers a stale read with the last written value.
The cores are shared with the two other nodes, which are idle.
"""

import argparse
import asyncio
import http.client
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import LocalCluster, running_cluster, temporary_folder
from benchmarks.report import Report, add_common_options, new_figure, save_figure
from benchmarks.running import fill, post

SERVING_LIMIT_S = 30.0
POLL_S = 0.005
RUNS = 3
CLIENTS = 128
CHECKPOINT_ENTRIES = 100_000
"""The nodes' default, and so the most entries that a restart replays. A tail of this length would bring a
checkpoint."""
LOG_TAIL_BYTES = 16 << 20
"""The nodes' default for the log that is kept before a checkpoint."""
FULL = -1
FULL_SHARE = 0.95
STEP_ENTRIES = 2_000
ENTRY_BYTES = 11 + 9 + 32
"""The bytes that a log entry counts for beside its value: the key, the command's encoding, the entry itself."""


def stale_read(address: str, key: str) -> str | None:
    """The value of a key in a node's own state; None if it does not answer with a value."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        body = json.dumps({"command": "get", "args": [key], "consistency": "stale"})
        connection.request("POST", "/v1/execute", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        return str(content["result"]) if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def is_ready(address: str) -> bool:
    """True if GET /readyz answers 200."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def write_singly(address: str, count: int, value_bytes: int, keys: int) -> None:
    """Make `count` writes of one key each, over `CLIENTS` connections."""
    host, _, port = address.rpartition(":")
    value = "v" * value_bytes

    async def client(numbers: range) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            body = json.dumps(
                {"command": "set", "args": [f"key{number % max(keys, 1000):08}", value]}
            ).encode()
            writer.write(
                b"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"a write was answered with {head[:80]!r}")
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
        writer.close()

    await asyncio.gather(*(client(range(number, count, CLIENTS)) for number in range(CLIENTS)))


def restart(cluster: LocalCluster, name: str, mark: str) -> dict[str, float]:
    """Kill one node and start it again; returns the seconds until it listens and until it serves."""
    address = cluster.addresses[name]
    cluster.kill(name)
    started = time.monotonic()
    cluster.start_node(name)
    while not cluster.status(name):
        if time.monotonic() > started + SERVING_LIMIT_S:
            raise RuntimeError(f"{name} does not answer; {cluster.last_words(name)}")
        time.sleep(POLL_S)
    listening = time.monotonic() - started
    while not is_ready(address) or stale_read(address, "mark") != mark:
        if time.monotonic() > started + SERVING_LIMIT_S:
            raise RuntimeError(f"{name} does not serve; {cluster.last_words(name)}")
        time.sleep(POLL_S)
    return {"listening_s": listening, "serving_s": time.monotonic() - started}


def write_full_tail(cluster: LocalCluster, follower: str, options: argparse.Namespace, keys: int) -> None:
    """Write single entries until the follower's log is as long before its checkpoint, and after it, as it can get."""
    address = cluster.addresses[cluster.leader()]
    kept = LOG_TAIL_BYTES // (options.value_bytes + ENTRY_BYTES)
    while True:
        asyncio.run(write_singly(address, STEP_ENTRIES, options.value_bytes, keys))
        status = cluster.status(follower)
        replayed = status["applied_index"] - status["checkpoint_index"]
        behind = status["checkpoint_index"] - status["first_index"]
        if replayed > FULL_SHARE * CHECKPOINT_ENTRIES and behind > FULL_SHARE * (kept - CHECKPOINT_ENTRIES):
            return


def measure(folder: Path, *, keys: int, tail: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one pair: fill the state, make a checkpoint, write a tail, and restart a follower."""
    folder.mkdir()
    # It is larger than the tail, whose last write would otherwise bring a checkpoint.
    settings = {"checkpoint_entries": max(CHECKPOINT_ENTRIES, tail + 1000)}
    with running_cluster(folder, nodes=3, flags=["--log-level", "warning"], settings=settings) as cluster:
        leader = cluster.leader()
        address = cluster.addresses[leader]
        follower = cluster.followers()[0]
        fill(cluster, keys=keys, value_bytes=options.value_bytes)
        post(address, "/v1/snapshot")
        if tail == FULL:
            write_full_tail(cluster, follower, options, keys)
        else:
            asyncio.run(write_singly(address, tail, options.value_bytes, keys))
        post(address, "/v1/execute", {"command": "set", "args": ["mark", "here"]})
        time.sleep(0.5)
        runs = [restart(cluster, follower, "here") for _ in range(RUNS)]
        status = cluster.status(follower)
    return {
        "keys": keys,
        "tail": tail,
        "replayed": status["applied_index"] - status["checkpoint_index"],
        "log_entries": status["last_index"] - status["first_index"] + 1,
        **{name: median(run[name] for run in runs) for name in runs[0]},
        "runs": runs,
    }


def plot(path: Path, points: list[dict[str, Any]]) -> None:
    """Plot the seconds until the node serves over the replayed entries, a line for each size of the state; a star
    stands for a full log."""
    figure, (axis,) = new_figure(1)
    for keys in sorted({point["keys"] for point in points}):
        for is_full, form in ((False, "o-"), (True, "*")):
            line = [point for point in points if point["keys"] == keys and (point["tail"] == FULL) == is_full]
            axis.plot(
                [point["replayed"] for point in line],
                [point["serving_s"] for point in line],
                form,
                markersize=14 if is_full else 6,
                color=axis.lines[-1].get_color() if is_full and axis.lines else None,
                label=f"{keys:,} keys{', full log' if is_full else ''}",
            )
    axis.axhline(2.0, linestyle=":", color="gray")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("entries replayed")
    axis.set_ylabel("seconds until it serves")
    axis.legend()
    save_figure(figure, path, "restart of a follower after kill -9")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", default="0,100000,1000000", help="in the state")
    parser.add_argument("--tails", default="0,50000,100000,full", help="writes behind the checkpoint")
    parser.add_argument("--value-bytes", type=int, default=64)
    add_common_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    points = []
    with temporary_folder(options.data) as folder:
        report = Report(folder, options)
        report.say(f"{'keys':>10}{'replayed':>10}{'in log':>10}{'listening s':>13}{'serving s':>11}")
        for keys in [int(text) for text in options.keys.split(",")]:
            for tail in [FULL if text == "full" else int(text) for text in options.tails.split(",")]:
                point = measure(folder / f"{keys}-{tail}", keys=keys, tail=tail, options=options)
                points.append(point)
                report.say(
                    f"{keys:>10,}{point['replayed']:>10,}{point['log_entries']:>10,}"
                    f"{point['listening_s']:>13.2f}{point['serving_s']:>11.2f}"
                )
    if options.plot is not None:
        plot(options.plot, points)
    report.finish({"points": points})


if __name__ == "__main__":
    main()
