"""A load of raftdb over HTTP keep-alive, in a process of its own, whose clients use little processor time.

    python -m benchmarks.load HOST:PORT CLIENTS SECONDS [--reads] ...

It is a closed loop: each client sends its next request when the last one is answered. Requests are made in advance, and
only the status and the length of an answer are read, because the client shares the cores with the nodes. It prints
`begin` when the warm-up is over, and one line of JSON at the end.
"""

import argparse
import asyncio
import json
import random
import resource
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import cast

import uvloop

from benchmarks.common import percentile

KEYS = 8192
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
RETRY_PAUSE_S = 0.01
"""How long a client waits after an error, so that it does not spin."""
HEAD_END = b"\r\n\r\n"
LENGTH = b"Content-Length: "


def key_of(number: int) -> str:
    """A key in the form of redis-benchmark, so that all generators use the same keys."""
    return f"key:{number:012}"


def make_pairs(*, keys: int, value_bytes: int, seed: int) -> list[tuple[str, str]]:
    """`keys` keys in an order from the seed, each with a value of `value_bytes` letters."""
    chance = random.Random(seed)
    numbers = list(range(keys))
    chance.shuffle(numbers)
    return [
        (key_of(number), "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=value_bytes)))
        for number in numbers
    ]


def execute_body(command: str, *arguments: str) -> bytes:
    """The body of POST /v1/execute."""
    return json.dumps({"command": command, "args": arguments}).encode()


def make_requests(address: str, options: argparse.Namespace) -> list[bytes]:
    """One whole request per key."""
    requests = []
    pairs = make_pairs(keys=options.keys, value_bytes=options.value_bytes, seed=options.seed)
    for key, value in pairs:
        body = execute_body("get", key) if options.reads else execute_body("set", key, value)
        head = f"POST /v1/execute HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    return requests


class Tally:
    """The answers to all clients of a run, which are counted only while `open`; but `answered` has all."""

    def __init__(self) -> None:
        self.open = False
        self.answered = 0
        self.latencies_ns = array("q")
        self.errors: Counter[str] = Counter()


class Client(asyncio.Protocol):
    """One connection with one request under way at any time."""

    def __init__(self, requests: list[bytes], position: int, tally: Tally) -> None:
        self._requests = requests
        self._position = position
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, and send the next request once it is complete."""
        if self._received:
            data = self._received + data
        head_end = data.find(HEAD_END)
        start = data.find(LENGTH)
        if head_end < 0 or start < 0:
            self._received = data
            return
        length = int(data[start + len(LENGTH) : data.index(b"\r", start)])
        if len(data) < head_end + len(HEAD_END) + length:
            self._received = data
            return
        self._received = b""
        if data.startswith(b"HTTP/1.1 200 "):
            self._tally.answered += 1
            if self._tally.open:
                self._tally.latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
            self._send()
            return
        if self._tally.open:
            self._tally.errors[self._name_of(data, head_end)] += 1
        asyncio.get_running_loop().call_later(RETRY_PAUSE_S, self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop this client, because the server has closed the connection, and count that as an error."""
        self._transport = None
        if self._tally.open:
            self._tally.errors["connection lost"] += 1

    def _send(self) -> None:
        if self._transport is not None:
            self._position = (self._position + 1) % len(self._requests)
            self._sent_ns = time.perf_counter_ns()
            self._transport.write(self._requests[self._position])

    @staticmethod
    def _name_of(data: bytes, head_end: int) -> str:
        try:
            return str(json.loads(data[head_end + len(HEAD_END) :])["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return data[:32].decode("latin-1")


async def measure(
    address: str,
    new_client: Callable[[int, Tally], asyncio.Protocol],
    *,
    clients: int,
    warm_up_s: float,
    seconds: float,
) -> dict[str, object]:
    """Run the clients, each of which begins at another key; returns their results, and the processor time that they
    used."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    transports = []
    for number in range(clients):
        client = new_client(number * KEYS // clients, tally)
        transport, _ = await loop.create_connection(lambda client=client: client, host, int(port))  # type: ignore[misc]
        transports.append(transport)
    await asyncio.sleep(warm_up_s)
    print("begin", flush=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    tally.open, started = True, time.perf_counter()
    await asyncio.sleep(seconds)
    tally.open, elapsed = False, time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    for transport in transports:
        transport.abort()
    ascending = sorted(tally.latencies_ns)
    return {
        "per_second": len(ascending) / elapsed,
        "latencies_ms": {name: percentile(ascending, percent) / 1e6 for name, percent in PERCENTILES.items()},
        "answered": tally.answered,
        "errors": dict(sorted(tally.errors.items())),
        "cores_used": (used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime) / elapsed,
    }


def parse_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of every closed loop."""
    parser.add_argument("address")
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--reads", action="store_true")
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def run(new_client: Callable[[int, Tally], asyncio.Protocol], options: argparse.Namespace) -> None:
    """Measure as `options` say, and print the result."""
    result = uvloop.run(
        measure(
            options.address, new_client,
            clients=options.clients, warm_up_s=options.warm_up, seconds=options.seconds,
        )
    )  # fmt: skip
    print(json.dumps(result), flush=True)


def main() -> None:
    options = parse_options(
        argparse.ArgumentParser(description="Load one node over HTTP keep-alive, in a closed loop.")
    )
    requests = make_requests(options.address, options)
    run(lambda position, tally: Client(requests, position, tally), options)


if __name__ == "__main__":
    main()
