"""A load at a fixed rate, in a process of its own: writes are due at fixed times, whatever the server does.

    python -m benchmarks.open_loop HOST:PORT RATE SECONDS [--connections 64] [--keys 10000] [--samples FILE]
                                   [--authorization TEXT] [--get PATH] [--sources N [--network N.N]]

The latency of a request counts from the time when it was due, not from when a connection was free to send it. So a
pause of the server shows in every request that was due during it (no coordinated omission). Redirects are not followed:
the address must be the leader's. It prints `begin`, and one line of JSON at the end; the file of `--samples` gets two
doubles for each answered request: when it was due, on the system's monotonic clock, and its latency in seconds.

With `--get` it asks for a path instead, and with `--sources` its connections come from so many addresses of the
loopback network, as a flood of many machines would.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from array import array
from collections import Counter, deque
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.common import percentile

TICK_S = 0.001
DRAIN_S = 10.0
"""How long to wait for answers after the last request was due."""
HEAD_END = b"\r\n\r\n"
LENGTH = b"Content-Length: "
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}
WINDOW_S = 0.1


class Load:
    """Requests that are due, and the connections that are free to carry them."""

    def __init__(
        self,
        address: str,
        *,
        keys: int = 1,
        value_bytes: int = 0,
        seed: int = 1,
        authorization: str | None = None,
        path: str | None = None,
    ) -> None:
        chance = random.Random(seed)
        value = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=value_bytes))
        self._chance = chance
        self._keys = keys
        body = json.dumps({"command": "set", "args": [f"key{0:08}", value]}) if path is None else ""
        line = "POST /v1/execute" if path is None else f"GET {path}"
        head = f"{line} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n"
        if authorization is not None:
            head += f"Authorization: {authorization}\r\n"
        self._before, number, self._after = f"{head}\r\n{body}".partition(f"{0:08}")
        self._numbered = bool(number)
        self.due: deque[float] = deque()
        self.free: list[Connection] = []
        self.samples = array("d")
        self.errors: Counter[str] = Counter()
        self.sent = 0
        self.done = 0

    def request(self) -> bytes:
        """One whole write of a random key, or the one request."""
        if not self._numbered:
            return self._before.encode()
        return f"{self._before}{self._chance.randrange(self._keys):08}{self._after}".encode()

    def send_due(self) -> None:
        """Send the requests that are due on the connections that are free."""
        while self.due and self.free:
            self.free.pop().send(self.due.popleft())
            self.sent += 1


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that this connection is free."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's classes do not inherit asyncio's
        self._load.free.append(self)

    def send(self, due: float) -> None:
        """Send one request, which was due at `due`."""
        assert self._transport is not None
        self._due = due
        self._transport.write(self._load.request())

    def data_received(self, data: bytes) -> None:
        """Take an answer; once it is complete this connection is free again."""
        data = self._received + data
        head_end, start = data.find(HEAD_END), data.find(LENGTH)
        if head_end < 0 or start < 0:
            self._received = data
            return
        length = int(data[start + len(LENGTH) : data.index(b"\r", start)])
        if len(data) < head_end + len(HEAD_END) + length:
            self._received = data
            return
        self._received = b""
        load = self._load
        load.done += 1
        if data.startswith(b"HTTP/1.1 200 "):
            load.samples.append(self._due)
            load.samples.append(time.monotonic() - self._due)
        else:
            load.errors[data[9:12].decode("latin-1")] += 1
        load.free.append(self)
        load.send_due()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop using this connection, and count that as an error."""
        self._load.errors["connection lost"] += 1
        if self in self._load.free:
            self._load.free.remove(self)


async def run(
    load: Load,
    address: str,
    *,
    rate: float,
    seconds: float,
    connections: int,
    sources: int = 0,
    network: str = "0.1",
) -> float:
    """Send every request when it is due; returns when the first one was, on the monotonic clock."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    for number in range(connections):
        source = (f"127.{network}.{1 + number % sources}", 0) if sources else None
        await loop.create_connection(lambda: Connection(load), host, int(port), local_addr=source)
    print("begin", flush=True)
    started = time.monotonic()
    count = round(rate * seconds)
    made = 0
    while made < count:
        reached = min(count, int((time.monotonic() - started) * rate) + 1)
        load.due.extend(started + number / rate for number in range(made, reached))
        made = reached
        load.send_due()
        await asyncio.sleep(TICK_S)
    end = time.monotonic() + DRAIN_S
    while load.done < count and time.monotonic() < end:  # noqa: ASYNC110 - once, at the end
        await asyncio.sleep(TICK_S)
    return started


def summarize(load: Load, *, started: float, seconds: float, rate: float) -> dict[str, object]:
    """The percentiles of the latencies, the throughput, and the fewest answers in a window of 100 ms."""
    due, latencies = load.samples[0::2], load.samples[1::2]
    ascending = sorted(latencies)
    windows = [0] * int(seconds / WINDOW_S)
    for moment, latency in zip(due, latencies, strict=True):
        position = int((moment + latency - started) / WINDOW_S)
        if position < len(windows):
            windows[position] += 1
    # The first window is left out, because it begins without open requests.
    answered = sorted(windows[1:])
    return {
        "rate": rate,
        "answered": len(latencies),
        "answered_per_s": len(latencies) / seconds,
        "latencies_ms": {name: percentile(ascending, percent) * 1e3 for name, percent in PERCENTILES.items()},
        "window_median": answered[len(answered) // 2],
        "window_worst": answered[0],
        "unanswered": round(rate * seconds) - load.done,
        "errors": dict(sorted(load.errors.items())),
        "started": started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes at a fixed rate to one node.")
    parser.add_argument("address")
    parser.add_argument("rate", type=float, help="writes per second")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--value-bytes", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--authorization", metavar="TEXT", help="the header of each request")
    parser.add_argument("--get", metavar="PATH", help="ask for this, and write nothing")
    parser.add_argument("--sources", type=int, default=0, help="addresses that the connections come from")
    parser.add_argument("--network", default="0.1", metavar="N.N", help="where these addresses are: 127.N.N")
    options = parser.parse_args()
    load = Load(
        options.address,
        keys=options.keys, value_bytes=options.value_bytes, seed=options.seed,
        authorization=options.authorization, path=options.get,
    )  # fmt: skip
    started = uvloop.run(
        run(
            load, options.address,
            rate=options.rate, seconds=options.seconds, connections=options.connections,
            sources=options.sources, network=options.network,
        )
    )  # fmt: skip
    if options.samples is not None:
        options.samples.write_bytes(load.samples.tobytes())
    json.dump(summarize(load, started=started, seconds=options.seconds, rate=options.rate), sys.stdout)
    print(flush=True)


if __name__ == "__main__":
    main()
