"""Shared by all benchmarks of the whole database: a description of the machine, the disk's fsync, and a cluster of
processes.

Every report has `describe_machine` and `measure_sync`, because figures depend on the machine. The cluster is started as
by a user, with `python -m raftdb serve`, and asked only over HTTP.
"""

import json
import os
import platform
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import FrameType
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
SYNC_BYTES = 4096
SYNC_COUNT = 200
LEADER_LIMIT_S = 30.0
STOP_LIMIT_S = 20.0
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACKAGES = ("aiohttp", "uvloop", "lmdb", "cbor2", "msgspec")


def describe_machine() -> dict[str, object]:
    """The processor, the cores that this process may use, the memory in MiB, the system and versions."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": pages >> 20,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def command_to_repeat() -> str:
    """The command line of this process, as it is typed at the top of the project."""
    path = Path(sys.argv[0])
    name = path.parent.name if path.stem == "__main__" else path.stem
    return shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])


@contextmanager
def temporary_folder(parent: Path | None) -> Iterator[Path]:
    """A folder for one benchmark, in `parent` or in the system's temporary folder.

    A signal to end is an exception inside the block, so that whatever was started there is stopped and the folder is
    removed; from then on further signals are ignored, for they would interrupt just that.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for other in END_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in END_SIGNALS}
    try:
        with tempfile.TemporaryDirectory(prefix="raftdb-bench-", dir=parent) as name:
            yield Path(name)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def measure_sync(folder: Path) -> dict[str, float]:
    """Milliseconds of one fdatasync after 4 KiB appended to a file in `folder`: median and 99th percentile of 200."""
    path = folder / "sync-test"
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNC_COUNT):
            file.write(bytes(SYNC_BYTES))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1000)
    path.unlink()
    return {"median_ms": median(times), "p99_ms": percentile(sorted(times), 99)}


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank); 0 of none."""
    if not ascending:
        return 0.0
    rank = -(-len(ascending) * percent // 100)
    return ascending[max(0, min(len(ascending) - 1, int(rank) - 1))]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, all its threads, user and system together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end_process(process: subprocess.Popen[Any]) -> None:
    """End a process by SIGTERM, and by SIGKILL if it does not end in time."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running_process(command: Sequence[str], output: int | IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended when the `with` block is left; both its streams of output go to `output`."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        end_process(process)
        if process.stdout is not None:
            process.stdout.close()


class LocalCluster:
    """Nodes n1, n2, ... as processes on free ports, with their data and logs below `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int,
        flags: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
        module: str = "raftdb",
        redis: bool = False,
    ) -> None:
        """`settings` are a node's, by their names in the configuration. `module` is run, as `raftdb` is.

        With `redis` each node gets an address for Redis clients, too.
        """
        self.folder = folder
        self._module = module
        self._settings = dict(settings or {})
        names = [f"n{number}" for number in range(1, nodes + 1)]
        addresses = free_addresses(2 * nodes)
        self.addresses = dict(zip(names, addresses[:nodes], strict=True))
        self.redis_addresses = dict(zip(names, addresses[nodes:], strict=True)) if redis else {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.down: set[str] = set()
        """The nodes that were killed and not started again."""
        self._flags = list(flags)

    def start(self) -> None:
        """Start every node and wait until one leads."""
        for name in self.addresses:
            self.start_node(name)
        self.leader()

    def start_node(self, name: str) -> None:
        """Start one node and do not wait for it."""
        peers = ",".join(f"{name}={address}" for name, address in self.addresses.items())
        address = self.addresses[name]
        where = ["--listen", address, "--data", str(self.folder / name), "--peers", peers]
        if name in self.redis_addresses:
            where += ["--redis", self.redis_addresses[name]]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAFTDB_")}
        settings = {**self._settings, **self.settings_of(name)}
        watched = {"WATCHED_NODE_FILE": str(self.folder / f"{name}.stalls")}
        with self.log_of(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", self._module, "serve", "--id", name, *where, *self._flags],
                cwd=ROOT, env={**kept, **watched, **in_environment(settings)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.down.discard(name)

    def settings_of(self, name: str) -> Mapping[str, object]:
        """The settings of one node that others do not share."""
        return {}

    def last_words(self, name: str) -> str:
        """The last lines of a node's log, for an error."""
        lines = self.log_of(name).read_text(errors="replace").splitlines()
        return f"it ended with {self.processes[name].poll()}, its last lines:\n" + "\n".join(lines[-5:])

    def kill(self, name: str) -> None:
        """Kill a node with SIGKILL, and wait for its end."""
        self.down.add(name)
        self.processes[name].kill()
        self.processes[name].wait()

    def log_of(self, name: str) -> Path:
        """The file of a node's output."""
        return self.folder / f"{name}.log"

    def followers(self) -> list[str]:
        """The nodes that do not lead."""
        leader = self.leader()
        return [name for name in self.addresses if name != leader]

    def leader(self) -> str:
        """Wait for a leader, and return its name. Raises RuntimeError if there is none in time."""
        end = time.monotonic() + LEADER_LIMIT_S
        while time.monotonic() < end:
            for name in self.addresses:
                if name in self.down:
                    continue
                if self.processes[name].poll() is not None:
                    raise RuntimeError(f"{name} has ended; see {self.log_of(name)}")
                status = self.status(name)
                if status.get("role") == "leader" and status["commit_index"] == status["last_index"]:
                    return name
            time.sleep(0.05)
        raise RuntimeError(f"no leader in {LEADER_LIMIT_S:g} s; see the logs in {self.folder}")

    def status(self, name: str) -> dict[str, Any]:
        """GET /v1/status of a node; empty if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.addresses[name]}/v1/status", timeout=2) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except OSError:
            return {}

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of each node so far."""
        return {name: cpu_seconds(process.pid) for name, process in self.processes.items()}

    def stop(self) -> None:
        """End every node: politely, then by force."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            end_process(process)


def in_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """A node's settings, by their names in the configuration, as variables of its environment."""
    return {f"RAFTDB_{name.upper()}": str(value) for name, value in sorted(settings.items())}


@contextmanager
def running_cluster(
    folder: Path,
    *,
    nodes: int,
    flags: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
    module: str = "raftdb",
    redis: bool = False,
) -> Iterator[LocalCluster]:
    """A cluster that runs inside the `with` block."""
    cluster = LocalCluster(folder, nodes=nodes, flags=flags, settings=settings, module=module, redis=redis)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def free_addresses(count: int) -> list[str]:
    """Free addresses, below the ports that the system gives to outgoing connections.

    A node that starts again must find its port free, and not under a client's connection.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[str] = []
    while len(found) < count:
        port = random.randrange(10_000, ephemeral)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if f"127.0.0.1:{port}" not in found:
            found.append(f"127.0.0.1:{port}")
    return found
