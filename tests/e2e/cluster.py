"""Nodes as processes: start, kill, stop, pause and go on by pid; and what they wrote to their terminals."""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.forked import Process, fork_node
from tests.e2e.raw_http import Client, NotSent, Response, ask
from tests.e2e.waiting import LIMIT_S, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_LIMIT_S = 30.0
PORT_MIN = 10_000
LOG_LINES_SHOWN = 60
CLI_LIMIT_S = 60.0
_given: deque[int] = deque(maxlen=1_000)
"""The ports that were given last: more than a test has doors."""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that the system gives to outgoing connections.

    A node must find its port free when it starts again, and not under somebody's connection; nor taken by a test that
    runs beside this one, so each worker of pytest-xdist has a range of its own; nor given to another door of the same
    test, which may not be open yet.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (ephemeral - PORT_MIN) // workers
    found: list[int] = []
    while len(found) < count:
        port = PORT_MIN + worker * share + random.randrange(share)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found and port not in _given:
            found.append(port)
    _given.extend(found)
    return found


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment without settings of raftdb, and without certificates.

    Nobody speaks TLS here, and aiohttp reads all that the system trusts when it is imported: a good part of a start.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAFTDB_")}
    return {**kept, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull, **(extra or {})}


def run_cli(
    *arguments: str, text: str | None = None, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One run of `raftdb ...` in a pipe: exit code, stdout and stderr."""
    return subprocess.run(
        [sys.executable, "-m", "raftdb", *arguments],
        cwd=ROOT,
        env=clean_environment(extra),
        input="" if text is None else text,
        capture_output=True,
        text=True,
        timeout=CLI_LIMIT_S,
        check=False,
    )


class Node:
    """One node: its address, its folder, its log file, and its process while there is one."""

    def __init__(
        self, name: str, port: int, folder: Path, peers: str | None, *, as_program: bool = False
    ) -> None:
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.peers = peers
        self.join: str | None = None
        """Addresses of a running cluster that this node asks to take it in."""
        self.environment: dict[str, str] = {}
        """Settings of raftdb that every start of this node gets."""
        self.headers: dict[str, str] = {}
        """What requests of `ask` and for the status bear."""
        self.as_program = as_program
        """Whether each start is one of Python, and not a copy of a process that has loaded raftdb (`forked`)."""
        self.process: Process | None = None

    def arguments(self) -> list[str]:
        """What follows `raftdb serve`."""
        peers = [] if self.peers is None else ["--peers", self.peers]
        join = [] if self.join is None else ["--join", self.join]
        return ["--id", self.name, "--listen", self.address, "--data", str(self.data), *peers, *join]

    def start(
        self,
        *more: str,
        module: Sequence[str] = ("raftdb",),
        arguments: Sequence[str] | None = None,
        extra: Mapping[str, str] | None = None,
        open_files: int | None = None,
    ) -> None:
        """Start the process and do not wait for it. `module` is what Python runs instead of raftdb; `open_files` is the
        limit that it cannot raise."""
        assert not self.is_running, f"{self.name} runs already"
        serve = ["serve", *(arguments or self.arguments()), *more]
        settings = {**self.environment, **(extra or {})}
        assert all(name.startswith("RAFTDB_") for name in settings), settings
        limited = [] if open_files is None else ["sh", "-c", f'ulimit -n {open_files} && exec "$0" "$@"']
        with self.log.open("ab") as log:
            if not self.as_program and tuple(module) == ("raftdb",) and not limited:
                self.process = fork_node(serve, ROOT, clean_environment(settings), log)
                return
            self.process = subprocess.Popen(
                [*limited, sys.executable, "-m", *module, *serve],
                cwd=ROOT,
                env=clean_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill9(self) -> None:
        """SIGKILL, and the process is gone."""
        self.send(signal.SIGKILL)
        self.wait_exit()

    def sigstop(self) -> None:
        self.send(signal.SIGSTOP)

    def sigcont(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        return self.wait_exit()

    def wait_exit(self, limit_s: float = STOP_LIMIT_S) -> int:
        """The exit code of a process that ends by itself."""
        assert self.process is not None
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {limit_s:g} s:\n{self.log_tail()}") from None

    def run_to_exit(self, *more: str, arguments: Sequence[str] | None = None) -> tuple[int, str]:
        """Start a node that must give up by itself: its exit code, and what it said this time."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        self.start(*more, arguments=arguments)
        code = self.wait_exit(LIMIT_S)
        return code, self.log.read_bytes()[begin:].decode()

    def try_status(self) -> dict[str, Any] | None:
        """GET /v1/status, or None if nobody answers."""
        try:
            response = ask(self.address, "GET", "/v1/status", headers=self.headers, timeout_s=5.0)
        except (NotSent, OSError):
            return None
        if response.status == 503:
            # It has not heard of its users yet, or puts a snapshot in place that may have some.
            return None
        assert response.status == 200, response
        status: dict[str, Any] = response.json
        return status

    def status(self) -> dict[str, Any]:
        """GET /v1/status as soon as the node answers; fails at once if its process has ended."""

        def answered() -> dict[str, Any] | None:
            assert self.is_running, f"{self.name} has ended with {self.process and self.process.returncode}"
            return self.try_status()

        return wait_for(answered, f"an answer of {self.name}")

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request to this node, nothing followed. `headers` are in the place of those of the node."""
        return ask(self.address, method, target, body, headers=self.headers if headers is None else headers)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The last lines that this node wrote, for people."""
        return "\n".join(self.log_text().splitlines()[-LOG_LINES_SHOWN:])


class Cluster:
    """Nodes that know each other from a fixed first list, and nodes that join and go later."""

    def __init__(self, folder: Path, names: Sequence[str], *, as_programs: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._as_programs = as_programs
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in ports.items())
        self.nodes = {name: self._node(name, port, peers) for name, port in ports.items()}
        self._ever: list[Node] = list(self.nodes.values())
        """Every node that was made: also one that is not a member yet, or no more."""
        self._clients: list[Client] = []

    def _node(self, name: str, port: int, peers: str | None) -> Node:
        return Node(name, port, self.folder, peers, as_program=self._as_programs)

    def new_node(self, name: str) -> Node:
        """A node that will ask the present ones to take it in; not started, and not one of `nodes` yet."""
        node = self._node(name, free_ports(1)[0], None)
        node.join = ",".join(f"http://{address}" for address in self.addresses)
        self._ever.append(node)
        return node

    def admit(self, node: Node) -> None:
        """The node is a member now."""
        self.nodes[node.name] = node

    def dismiss(self, node: Node) -> None:
        """The node is a member no more; its process may run on."""
        del self.nodes[node.name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def addresses(self) -> list[str]:
        return [node.address for node in self]

    @property
    def running(self) -> list[Node]:
        return [node for node in self if node.is_running]

    def others(self, *nodes: Node) -> list[Node]:
        return [node for node in self if node not in nodes]

    def start(self, *more: str) -> "Cluster":
        """Start all nodes that do not run, and wait until one leads and all of them know it."""
        for node in self:
            if not node.is_running:
                node.start(*more)
        self.wait_agreed()
        return self

    def leader(self, among: Sequence[Node] | None = None) -> Node:
        """A node that says it leads and that its followers follow: a majority of all members names it."""
        asked = self.running if among is None else list(among)

        def found() -> Node | None:
            votes: dict[str, int] = {}
            for node in asked:
                status = node.try_status()
                if status is not None and status["leader"] is not None:
                    votes[status["leader"]["id"]] = votes.get(status["leader"]["id"], 0) + 1
            for name, count in votes.items():
                if 2 * count > len(self.nodes) and self.nodes[name] in asked:
                    return self.nodes[name]
            return None

        return wait_for(found, f"a leader among {[node.name for node in asked]}")

    def wait_agreed(self) -> Node:
        """Wait until all running nodes name the same leader, which has all of them applied what it committed."""

        def agreed() -> Node | None:
            statuses = [node.status() for node in self.running]
            leaders = {status["leader"]["id"] for status in statuses if status["leader"] is not None}
            places = {
                (status["term"], status["commit_index"], status["applied_index"]) for status in statuses
            }
            if len(leaders) != 1 or any(status["leader"] is None for status in statuses) or len(places) != 1:
                return None
            leader = self.nodes[leaders.pop()]
            return leader if leader.is_running else None

        return wait_for(agreed, "all running nodes to agree")

    def wait_serving(self) -> Node:
        """Wait until all running nodes name the same leader; the load may go on meanwhile."""

        def serving() -> Node | None:
            leaders = {(node.status()["leader"] or {}).get("id") for node in self.running}
            name = leaders.pop()
            return (
                self.nodes[name] if not leaders and name is not None and self.nodes[name].is_running else None
            )

        return wait_for(serving, "all running nodes to know the leader")

    def client(self, *first: Node, timeout_s: float = 30.0) -> Client:
        """A client of all nodes that begins with the nodes `first`."""
        rest = [node.address for node in self if node not in first]
        client = Client([*(node.address for node in first), *rest], timeout_s=timeout_s)
        self._clients.append(client)
        return client

    def logs(self) -> list[tuple[str, str]]:
        """Name and last lines of each node's terminal."""
        return [(node.name, node.log_tail()) for node in self._ever]

    def close(self) -> None:
        """End every process that is left, by pid, and see that none is."""
        for client in self._clients:
            client.close()
        for node in self._ever:
            if node.is_running:
                # A stopped process takes SIGKILL as well.
                node.send(signal.SIGKILL)
        for node in self._ever:
            if node.process is not None:
                node.process.wait(STOP_LIMIT_S)
                assert not Path(f"/proc/{node.pid}").exists(), f"{node.name} is left as process {node.pid}"


def limit_file_size(node: Node, bytes_max: int) -> None:
    """From now on the node cannot write past this position of any file: its writes fail (EFBIG)."""
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
