"""Loading and watching a running cluster: bulk writes, a load at a fixed rate, logged events, memory and disk."""

import atexit
import http.client
import json
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import ROOT, LocalCluster

FILL_BYTES = 256 << 10
"""Keys and values in one command of a bulk write."""
FILL_KEYS_MAX = 2_000
ASK_LIMIT_S = 120.0
BLOCK_BYTES = 512


def post(address: str, path: str, body: object = None) -> Any:
    """Send one POST to the leader; returns the JSON of its answer. Raises RuntimeError for any status but 200."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=ASK_LIMIT_S)
    try:
        connection.request("POST", path, b"" if body is None else json.dumps(body).encode())
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path} of {address} answered {answer.status}: {content[:200]!r}")
    return json.loads(content)


def fill(cluster: LocalCluster, *, keys: int, value_bytes: int, first: int = 0) -> float:
    """Write `keys` new keys, many with each command; returns the seconds that it took."""
    address = cluster.addresses[cluster.leader()]
    per_command = max(1, min(FILL_KEYS_MAX, FILL_BYTES // (value_bytes + 11)))
    started = time.monotonic()
    for begin in range(first, first + keys, per_command):
        arguments = []
        for number in range(begin, min(begin + per_command, first + keys)):
            arguments += [f"key{number:08}", f"{number:0{value_bytes}}"]
        post(address, "/v1/execute", {"command": "mset", "args": arguments})
    return time.monotonic() - started


def wait_applied(cluster: LocalCluster, name: str, index: int, *, limit_s: float = 300.0) -> dict[str, Any]:
    """Wait until a node has applied `index`; returns its status then. Raises RuntimeError after `limit_s`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        status = cluster.status(name)
        if status.get("applied_index", 0) >= index:
            return status
        time.sleep(0.005)
    raise RuntimeError(f"{name} did not get to {index} in {limit_s:g} s; see {cluster.log_of(name)}")


class LoadResult(NamedTuple):
    """The result of `open_loop`: its summary, and (due, latency) of each answered request, in seconds."""

    summary: dict[str, Any]
    samples: list[tuple[float, float]]


class FixedRate:
    """The load of `benchmarks.open_loop` on one node, as a process."""

    def __init__(
        self, address: str, *, rate: float, seconds: float, samples: Path, more: Sequence[str]
    ) -> None:
        self._samples = samples
        command = [
            sys.executable, "-m", "benchmarks.open_loop", address, str(rate), str(seconds), "--samples", str(samples),
        ]  # fmt: skip
        self._process = subprocess.Popen([*command, *more], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        # A run that is ended early never calls `result`.
        atexit.register(self._process.kill)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "begin\n":
            raise RuntimeError("the load did not begin")

    def result(self) -> LoadResult:
        """Wait for its end; returns the result."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._process.communicate()
        if not line:
            raise RuntimeError("the load ended without a result")
        values = array("d", self._samples.read_bytes())
        return LoadResult(json.loads(line), list(zip(values[0::2], values[1::2], strict=True)))


class Event(NamedTuple):
    """One line of a node's log in JSON: message, details, and the moment on the monotonic clock."""

    message: str
    moment: float
    details: dict[str, Any]

    @property
    def interval(self) -> tuple[float, float]:
        """The begin and the end of the event, from the time of its line and its milliseconds."""
        return self.moment - self.details["milliseconds"] / 1000, self.moment


def events_of(cluster: LocalCluster, name: str, *messages: str) -> list[Event]:
    """The events with these messages in a node's log so far, which must be JSON."""
    ahead = time.time() - time.monotonic()
    found = []
    for line in cluster.log_of(name).read_text().splitlines():
        if line.startswith("{"):
            details = json.loads(line)
            if details["message"] in messages:
                found.append(Event(details["message"], details["time"] - ahead, details))
    return found


class Peaks:
    """The largest values so far, by name."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def note(self, name: str, value: int) -> None:
        self.values[name] = max(value, self.values.get(name, 0))


@contextmanager
def watching(cluster: LocalCluster, *, names: Sequence[str], period_s: float = 0.05) -> Iterator[Peaks]:
    """Watch nodes inside the `with` block: the bytes of `NAME memory`, and of `NAME log` and `NAME state` on disk."""
    peaks = Peaks()
    stop = threading.Event()

    def look() -> None:
        while True:
            for name in names:
                peaks.note(f"{name} memory", memory_bytes(cluster.processes[name].pid))
                for part in ("log", "state"):
                    peaks.note(f"{name} {part}", disk_bytes(cluster.folder / name / part))
            if stop.wait(period_s):
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peaks
    finally:
        stop.set()
        watcher.join()


def memory_bytes(pid: int) -> int:
    """The memory of a process without mapped files, so that LMDB's pages are not counted."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def written_bytes(pid: int) -> int:
    """The bytes that a process has sent to the disk so far."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def disk_bytes(folder: Path) -> int:
    """The disk space of the files in a folder, without holes."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * BLOCK_BYTES
        except FileNotFoundError:
            continue
    return total
