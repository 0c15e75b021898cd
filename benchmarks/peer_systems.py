"""What `peers.py` compares: raftdb, etcd and Redis as processes on free ports, each with its defaults.

Each is started, filled and asked for the same few things. All write durably before they answer: raftdb and etcd on a
majority of their nodes, Redis, with `appendfsync always`, on its only one.
"""

import base64
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.common import (
    LEADER_LIMIT_S,
    LocalCluster,
    free_addresses,
    running_cluster,
    running_process,
)
from benchmarks.running import post

TRANSACTION_OPERATIONS_MAX = 128
"""What etcd takes in one transaction by default."""
FILL_KEYS = 1_024
"""Keys in one MSET."""
ASK_LIMIT_S = 5.0
POLL_S = 0.05


class System(Protocol):
    """A system that runs: where clients find it, and what watches over its figures need."""

    name: str

    def pids(self) -> dict[str, int]:
        """The process of each node."""
        ...

    def leader(self) -> str:
        """The node that leads, waited for; RuntimeError if there is none in time."""
        ...

    def ports(self) -> dict[str, str]:
        """HOST:PORT of the leader by the protocol that is spoken there."""
        ...

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write all of these keys and values."""

    def writes(self) -> int | None:
        """A number that grows by at least one with each write; None if the system has none."""


class Raftdb:
    """A cluster of raftdb."""

    def __init__(self, name: str, cluster: LocalCluster) -> None:
        self.name = name
        self._cluster = cluster

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._cluster.processes.items()}

    def leader(self) -> str:
        return self._cluster.leader()

    def ports(self) -> dict[str, str]:
        """The Redis port is there if this version of raftdb answers on it."""
        leader = self.leader()
        redis = self._cluster.redis_addresses[leader]
        return {
            "http": self._cluster.addresses[leader],
            **({"redis": redis} if answers_ping(redis) else {}),
        }

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        address = self._cluster.addresses[self.leader()]
        for begin in range(0, len(pairs), FILL_KEYS):
            words = [word for pair in pairs[begin : begin + FILL_KEYS] for word in pair]
            post(address, "/v1/execute", {"command": "mset", "args": words})

    def writes(self) -> int:
        return int(self._cluster.status(self.leader())["commit_index"])


class Etcd:
    """A cluster of etcd, asked through its JSON gateway."""

    name = "etcd"

    def __init__(self, folder: Path, nodes: int) -> None:
        self._folder = folder
        names = [f"e{number}" for number in range(1, nodes + 1)]
        addresses = free_addresses(2 * nodes)
        self._clients = dict(zip(names, addresses[:nodes], strict=True))
        self._peers = dict(zip(names, addresses[nodes:], strict=True))
        self._processes: dict[str, subprocess.Popen[str]] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """All nodes run inside the `with` block, and one leads when it begins."""
        members = ",".join(f"{name}=http://{address}" for name, address in self._peers.items())
        with ExitStack() as stack:
            for name, client in self._clients.items():
                command = ["etcd", "--name", name, "--data-dir", str(self._folder / name)]
                for kind, address in (("client", client), ("peer", self._peers[name])):
                    command += [f"--listen-{kind}-urls", f"http://{address}"]
                command += ["--advertise-client-urls", f"http://{client}"]
                command += ["--initial-advertise-peer-urls", f"http://{self._peers[name]}"]
                command += ["--initial-cluster", members]
                self._processes[name] = stack.enter_context(running_server(command, self._log_of(name)))
            self.leader()
            yield

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def leader(self) -> str:
        end = time.monotonic() + LEADER_LIMIT_S
        while time.monotonic() < end:
            statuses = {name: self._status(name) for name in self._clients}
            leaders = {status.get("leader") for status in statuses.values()}
            for name, status in statuses.items():
                if len(leaders) == 1 and status and status.get("leader") == status["header"]["member_id"]:
                    return name
            time.sleep(POLL_S)
        logs = "".join(last_lines(self._log_of(name)) for name in self._clients)
        raise RuntimeError(f"etcd has no leader that all follow in {LEADER_LIMIT_S:g} s:\n{logs}")

    def ports(self) -> dict[str, str]:
        return {"grpc": self._clients[self.leader()]}

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        address = self._clients[self.leader()]
        for begin in range(0, len(pairs), TRANSACTION_OPERATIONS_MAX):
            puts = [
                {"requestPut": {"key": to_base64(key), "value": to_base64(value)}}
                for key, value in pairs[begin : begin + TRANSACTION_OPERATIONS_MAX]
            ]
            post(address, "/v3/kv/txn", {"success": puts})

    def writes(self) -> int:
        return int(self._status(self.leader())["header"]["revision"])

    def _log_of(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _status(self, name: str) -> dict[str, Any]:
        """A node's status; empty if it does not answer."""
        url = f"http://{self._clients[name]}/v3/maintenance/status"
        try:
            with urllib.request.urlopen(url, data=b"{}", timeout=ASK_LIMIT_S) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except OSError:
            return {}


class Redis:
    """One Redis that writes each command to its disk before it answers."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._address,) = free_addresses(1)
        self._process: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """It runs inside the `with` block."""
        host, _, port = self._address.rpartition(":")
        command = ["redis-server", "--bind", host, "--port", port, "--dir", str(self._folder)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]
        log = self._folder / "redis.log"
        with running_server(command, log) as self._process:
            end = time.monotonic() + LEADER_LIMIT_S
            while not answers_ping(self._address):
                if time.monotonic() > end:
                    raise RuntimeError(f"Redis does not answer in {LEADER_LIMIT_S:g} s:\n{last_lines(log)}")
                time.sleep(POLL_S)
            yield

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"redis": self._process.pid}

    def leader(self) -> str:
        return "redis"

    def ports(self) -> dict[str, str]:
        return {"redis": self._address}

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        for begin in range(0, len(pairs), FILL_KEYS):
            words = [word for pair in pairs[begin : begin + FILL_KEYS] for word in pair]
            answer = ask_redis(self._address, "MSET", *words)
            if answer != b"+OK\r\n":
                raise RuntimeError(f"Redis answered {answer[:200]!r} to MSET")

    def writes(self) -> None:
        return None


RAFTDBS: dict[str, dict[str, object]] = {
    "raftdb": {},
    "uncompacted": {"checkpoint_entries": 10**12, "checkpoint_bytes": 10**15},
    "compacting": {"checkpoint_entries": 2_000, "log_tail_bytes": 1 << 20},
}
"""Names and settings of raftdb: as it is, without any compaction, and with one nearly always under way under writes."""


def running_system(name: str, folder: Path, stack: ExitStack, *, nodes: int, log_level: str) -> System:
    """A system that runs, with its data in `folder`, until the stack is closed."""
    if name in RAFTDBS:
        flags, settings = ["--log-level", log_level], RAFTDBS[name]
        cluster = running_cluster(folder, nodes=nodes, flags=flags, settings=settings, redis=True)
        return Raftdb(name, stack.enter_context(cluster))
    other = Etcd(folder, nodes) if name == "etcd" else Redis(folder)
    stack.enter_context(other.running())
    return other


@contextmanager
def running_server(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that runs inside the `with` block, with its terminal in a file."""
    with log.open("ab") as file, running_process(command, file) as process:
        yield process


def last_lines(log: Path) -> str:
    """The last lines of a log, for an error."""
    return "".join(f"{line}\n" for line in log.read_text(errors="replace").splitlines()[-5:])


def to_base64(text: str) -> str:
    """Bytes as JSON carries them in Protocol Buffers' mapping."""
    return base64.b64encode(text.encode()).decode()


def answers_ping(address: str) -> bool:
    """True if a Redis server answers there."""
    try:
        return ask_redis(address, "PING") == b"+PONG\r\n"
    except OSError:
        return False


def ask_redis(address: str, *words: str) -> bytes:
    """Send one command of ASCII words whose reply is one line; returns it, with its end."""
    host, _, port = address.rpartition(":")
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection((host, int(port)), timeout=ASK_LIMIT_S) as connection:
        connection.sendall(command.encode("ascii"))
        with connection.makefile("rb") as answer:
            return answer.readline()
