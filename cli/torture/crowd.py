"""The clients of a round: a thread each, which takes steps of its workload until it is told to stop."""

import threading
import time
import traceback
from collections.abc import Callable, Sequence

from cli.torture.workload import Problem, Worker, Workload
from raftdb.client.sync_client import Client

PAUSE_S_MAX = 0.03
"""Longest pause between two steps of a client."""
REST_S = 0.5
"""Pause of a client whose workload has as long a history as it may."""
JOIN_S_MAX = 60.0
"""How long a client may take to end its last step: more than its longest call."""


class Crowd:
    """See the module. `problems` are errors that no client should meet."""

    def __init__(self, workloads: Sequence[Workload], addresses: Callable[[], Sequence[str]]) -> None:
        self.problems: list[Problem] = []
        self._addresses = addresses
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._guarded,
                args=(workload, workload.worker(number)),
                name=f"{workload.name}-{number}",
            )
            for workload in workloads
            for number in range(1, workload.clients + 1)
        ]
        for thread in self._threads:
            thread.daemon = True

    def start(self) -> None:
        """Let all clients begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait until all have ended their last step."""
        self._stop.set()
        end_s = time.monotonic() + JOIN_S_MAX
        for thread in self._threads:
            thread.join(max(end_s - time.monotonic(), 0.0))
            if thread.is_alive():
                text = f"the client {thread.name} has no end of its last call after {JOIN_S_MAX:g} s"
                self.problems.append(Problem(text))

    def _guarded(self, workload: Workload, worker: Worker) -> None:
        try:
            self._run(workload, worker)
        except Exception:  # noqa: BLE001 - whatever a client meets that it should not is a finding
            self.problems.append(
                Problem(f"the client {worker.name} met what no client should:\n{traceback.format_exc()}")
            )

    def _run(self, workload: Workload, worker: Worker) -> None:
        addresses = self._addresses()
        client = Client(addresses, random=worker.chance)
        try:
            while not self._stop.wait(worker.chance.uniform(0, PAUSE_S_MAX)):
                if addresses != self._addresses():
                    client.close()
                    addresses = self._addresses()
                    client = Client(addresses, random=worker.chance)
                if workload.is_full:
                    self._stop.wait(REST_S)
                else:
                    workload.step(client, worker)
        finally:
            client.close()
