"""Nodes with default settings on a slow network, each in a namespace of its own, and judged from within it.

(Nothing else is in those namespaces, and nodes are told so with `insecure`: they listen beyond loopback.)
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.cluster import ROOT, STOP_LIMIT_S, clean_environment
from tests.e2e.slow_network import SlowNetwork

PORT = 8001
STATUS_LIMIT_S = 2.0


class SlowCluster:
    """Nodes n1, n2, ... with default settings, each in its namespace of `network`."""

    def __init__(self, folder: Path, network: SlowNetwork, *, nodes: int, log_level: str) -> None:
        self._folder = folder
        self._network = network
        self._log_level = log_level
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._goals: dict[int, int] = {}
        self.addresses = [f"{network.address(index)}:{PORT}" for index in range(nodes)]

    def start(self, index: int) -> None:
        """Start one node and do not wait for it."""
        name = f"n{index + 1}"
        peers = ",".join(f"n{number}={address}" for number, address in enumerate(self.addresses, start=1))
        where = ["--listen", self.addresses[index], "--data", str(self._folder / name), "--peers", peers]
        serve = [
            sys.executable,
            "-m",
            "raftdb",
            "serve",
            "--id",
            name,
            *where,
            "--log-level",
            self._log_level,
        ]
        environment = clean_environment() | {"RAFTDB_INSECURE": "true"}
        with self._log_of(index).open("ab") as log:
            self.processes[index] = subprocess.Popen(
                [*self._network.command(index), *serve, "--log-format", "json"],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, index: int) -> None:
        """SIGKILL, and the process is gone."""
        process = self.processes.pop(index)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End every node: politely, then by force."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def status(self, index: int) -> dict[str, Any]:
        """What a node says of itself, asked where it lives; empty if it does not answer."""
        try:
            with self._network.entered(index):
                url = f"http://{self.addresses[index]}/v1/status"
                with urllib.request.urlopen(url, timeout=STATUS_LIMIT_S) as answer:
                    status: dict[str, Any] = json.load(answer)
                    return status
        except OSError:
            return {}

    def leader(self) -> int | None:
        """Who leads, and has committed what its log held when it was first seen to lead."""
        for index, process in sorted(self.processes.items()):
            assert process.poll() is None, self._log_of(index).read_text(errors="replace")[-2000:]
            status = self.status(index)
            if status.get("role") == "leader":
                goal = self._goals.setdefault(status["term"], status["last_index"])
                if status["commit_index"] >= goal:
                    return index
        return None

    def is_whole(self) -> bool:
        """All nodes know the leader, and have committed what it had."""
        statuses = [self.status(index) for index in sorted(self.processes)]
        terms = {status.get("term", 0) for status in statuses}
        goal = self._goals.get(next(iter(terms)), sys.maxsize)
        return len(terms) == 1 and all(
            status.get("leader") and status["commit_index"] >= goal for status in statuses
        )

    def told(self, event: str) -> int:
        """How often nodes have logged this."""
        logs = [self._log_of(index) for index in range(len(self.addresses))]
        return sum(log.read_text(errors="replace").count(event) for log in logs if log.exists())

    def _log_of(self, index: int) -> Path:
        return self._folder / f"n{index + 1}.log"
