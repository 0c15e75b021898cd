"""The load generators of `peers.py` and `write_path.py`: one way to run each, and to read what it found.

All are closed loops over a fixed number of connections, each a process of its own on the cores that the servers use.
`load.py` and `grpc_load.py` send the same keys in the order of the seed; redis-benchmark draws from these keys by
itself. h2load, which is C and cheap, can send one body only, and stands beside ours on both systems to show what a
generator in Python takes away: of one key (`--keys 1`) the rows differ in nothing else.
"""

import csv
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import cpu_seconds, running_process
from benchmarks.grpc_load import METHODS, grpc_message
from benchmarks.load import execute_body, key_of

REDIS_BENCHMARK_LIMIT_S = 60.0
"""redis-benchmark tries for ever to connect if no server listens."""
REDIS_BENCHMARK_STEP_S = 0.3
"""The least that its warm-up is run for at once."""


class LoadError(RuntimeError):
    """A generator did not do what it was asked for; the text says what it printed."""


class Ask(NamedTuple):
    """What a generator is asked for."""

    command: str
    """`set`, or `get`, which is linearizable wherever that is a word."""
    connections: int
    depth: int
    """Requests under way on each connection."""
    seconds: float
    warm_up_s: float
    keys: int
    """h2load has one key, whatever this says."""
    value_bytes: int
    seed: int


class Loaded(NamedTuple):
    """What a generator found in the seconds that count."""

    operations: int
    per_second: float
    latencies_ms: dict[str, float]
    """By percentile, as far as the generator says."""
    errors: dict[str, int]
    cpu_seconds: float
    """Processor time of the generator itself."""
    answered: int = 0
    """Operations of the whole run, its warm-up too, as far as the generator says."""


Mark = Callable[[], None]
"""Called twice: when the seconds that count begin, and when they end."""


class Generator(NamedTuple):
    """One way to load one protocol."""

    name: str
    protocol: str
    keys: str
    """How it takes the next of the keys."""
    pipelines: bool
    """It can have more than one request under way on a connection."""
    run: Callable[[str, Ask, Path, Mark], Loaded]
    """Loads HOST:PORT; the folder is for its files."""

    def suits(self, ask: Ask) -> bool:
        """Can it do that?"""
        return self.pipelines or ask.depth == 1


def run_ours(module: str, address: str, ask: Ask, mark: Mark, more: list[str]) -> Loaded:
    """Run one of our own loads."""
    command = [sys.executable, "-m", module, address, str(ask.connections), str(ask.seconds), *more]
    command += ["--warm-up", str(ask.warm_up_s), "--value-bytes", str(ask.value_bytes)]
    command += ["--keys", str(ask.keys), "--seed", str(ask.seed)]
    if ask.command == "get":
        command.append("--reads")
    with running_process(command, subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if line != "begin\n":
            raise LoadError(f"{module} did not begin: {line}{process.stdout.read()}")
        mark()
        line = process.stdout.readline()
        mark()
        if not line.startswith("{"):
            raise LoadError(f"{module} ended without a result: {line}{process.stdout.read()}")
    result = json.loads(line)
    return Loaded(
        operations=round(result["per_second"] * ask.seconds),
        per_second=result["per_second"],
        latencies_ms=result["latencies_ms"],
        errors=result["errors"],
        cpu_seconds=result["cores_used"] * ask.seconds,
        answered=result["answered"],
    )


def run_http_load(address: str, ask: Ask, folder: Path, mark: Mark) -> Loaded:
    """`load.py` on /v1/execute."""
    return run_ours("benchmarks.load", address, ask, mark, [])


def run_grpc_load(address: str, ask: Ask, folder: Path, mark: Mark) -> Loaded:
    """`grpc_load.py` on etcd."""
    return run_ours("benchmarks.grpc_load", address, ask, mark, ["--streams", str(ask.depth)])


def run_h2load(command: list[str], body: bytes, ask: Ask, folder: Path, mark: Mark) -> Loaded:
    """Run h2load with one body, as long as it is asked for."""
    path = folder / "body"
    path.write_bytes(body)
    command = ["h2load", "--data", str(path), "--clients", str(ask.connections), *command]
    command += [
        "--duration",
        f"{ask.seconds * 1000:.0f}ms",
        "--warm-up-time",
        f"{ask.warm_up_s * 1000:.0f}ms",
    ]
    lines = []
    cpu_s: list[float] = []
    with running_process(command, subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith(("Main benchmark duration is started", "Main benchmark duration is over")):
                cpu_s.append(cpu_seconds(process.pid))
                mark()
        process.wait()
    operations, failed = read_h2load("".join(lines))
    return Loaded(
        operations=operations,
        per_second=operations / ask.seconds,
        latencies_ms={},
        errors={"failed": failed} if failed else {},
        cpu_seconds=cpu_s[1] - cpu_s[0],
    )


def read_h2load(printed: str) -> tuple[int, int]:
    """Requests that succeeded, and that did not, out of what h2load prints.

    To h2load a redirect is a success, and here it is none: a node that does not lead answers so.
    """
    failed = re.search(r" (\d+) failed", printed)
    codes = re.search(r"(\d+) 2xx, (\d+) 3xx", printed)
    if failed is None or codes is None or "Main benchmark duration is over" not in printed:
        raise LoadError(f"h2load: {printed.strip()}")
    return int(codes[1]), int(codes[2]) + int(failed[1])


def run_h2load_http(address: str, ask: Ask, folder: Path, mark: Mark) -> Loaded:
    """h2load over HTTP/1.1 on /v1/execute."""
    value = ["v" * ask.value_bytes] if ask.command == "set" else []
    body = execute_body(ask.command, key_of(0), *value)
    command = ["--h1", "--header", "content-type: application/json", f"http://{address}/v1/execute"]
    return run_h2load(command, body, ask, folder, mark)


def run_h2load_grpc(address: str, ask: Ask, folder: Path, mark: Mark) -> Loaded:
    """h2load over HTTP/2 on etcd."""
    reads = ask.command == "get"
    value = [] if reads else ["v" * ask.value_bytes]
    command = ["--max-concurrent-streams", str(ask.depth), "--header", "te: trailers"]
    command += ["--header", "content-type: application/grpc", f"http://{address}{METHODS[reads]}"]
    return run_h2load(command, grpc_message(key_of(0), *value), ask, folder, mark)


def run_redis_benchmark(address: str, ask: Ask, folder: Path, mark: Mark, more: Sequence[str] = ()) -> Loaded:
    """Run redis-benchmark, which takes a number of requests: the warm-up finds out how many fill the seconds.

    `more` are options of it.
    """
    spent_s, rate, count = 0.0, 0.0, ask.connections * ask.depth
    while not rate or spent_s < ask.warm_up_s:
        # Not the rate that it prints: of a few requests, which take it no whole millisecond, that is infinite.
        began = time.perf_counter()
        redis_benchmark(address, ask, count, more)
        took_s = time.perf_counter() - began
        spent_s, rate = spent_s + took_s, count / took_s
        count = max(count, int(rate * max(ask.warm_up_s - spent_s, REDIS_BENCHMARK_STEP_S)))
    count = max(ask.connections * ask.depth, int(rate * ask.seconds))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    mark()
    printed = redis_benchmark(address, ask, count, more)
    mark()
    using = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = read_redis_benchmark(printed)
    return Loaded(
        operations=count,
        per_second=found["rps"],
        latencies_ms={name: found[f"{name}_latency_ms"] for name in ("p50", "p99")},
        errors={},
        cpu_seconds=using.ru_utime + using.ru_stime - used.ru_utime - used.ru_stime,
    )


def redis_benchmark(address: str, ask: Ask, count: int, more: Sequence[str]) -> str:
    """What redis-benchmark prints of so many requests; LoadError if it ends with an error, as it does on the first."""
    host, _, port = address.rpartition(":")
    command = ["redis-benchmark", "-h", host, "-p", port, "-t", ask.command, "-n", str(count), "--csv"]
    command += ["-c", str(ask.connections), "-P", str(ask.depth)]
    command += ["-d", str(ask.value_bytes), "-r", str(ask.keys), *more]
    with running_process(command, subprocess.PIPE) as process:
        try:
            printed, _ = process.communicate(timeout=REDIS_BENCHMARK_LIMIT_S + 10 * ask.seconds)
        except subprocess.TimeoutExpired:
            raise LoadError(f"redis-benchmark did not end with {count} requests") from None
    if process.returncode != 0:
        raise LoadError(f"redis-benchmark: {printed.strip()}")
    return printed


def read_redis_benchmark(printed: str) -> dict[str, float]:
    """Its figures by their names, out of the table that it prints."""
    lines = [line for line in printed.splitlines() if line.startswith('"')]
    if len(lines) != 2:
        raise LoadError(f"redis-benchmark: {printed.strip()}")
    names, values = csv.reader(lines)
    return {name: float(value) for name, value in zip(names[1:], values[1:], strict=True)}


GENERATORS = (
    Generator("redis-benchmark", "redis", "drawn", True, run_redis_benchmark),
    Generator("load.py", "http", "shuffled", False, run_http_load),
    Generator("h2load", "http", "one", False, run_h2load_http),
    Generator("grpc_load.py", "grpc", "shuffled", True, run_grpc_load),
    Generator("h2load", "grpc", "one", True, run_h2load_grpc),
)
