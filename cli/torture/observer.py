"""A thread that asks every node for its status all the time: who leads, and how often that has changed."""

import threading
import time
from collections.abc import Callable, Sequence

from raftdb.client.model import NodeStatus
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

PERIOD_S = 0.3
STATUS_TIMEOUT_MS = 1_500.0


class Observer:
    """See the module. `places` tells the nodes of now: pairs of an id and an HTTP address."""

    def __init__(self, places: Callable[[], Sequence[tuple[str, str]]]) -> None:
        self.leaders: dict[int, str] = {}
        """Who led in each term, as far as it was seen."""
        self.problems: list[str] = []
        self.terms: dict[str, int] = {}
        """The highest term that each node has told."""
        self.heard_ns: dict[str, int] = {}
        """When each node answered last, by the monotonic clock."""
        self._places = places
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def leader(self) -> str | None:
        """Who led in the highest term in which somebody was seen to lead."""
        return self.leaders[max(self.leaders)] if self.leaders else None

    def note(self, status: NodeStatus) -> None:
        """Take in one status."""
        self.heard_ns[status.id] = time.monotonic_ns()
        before = self.terms.get(status.id, 0)
        if status.term < before:
            self._wrong(f"the term of {status.id} went back from {before} to {status.term}")
        self.terms[status.id] = max(status.term, before)
        if status.role == "leader":
            other = self.leaders.setdefault(status.term, status.id)
            if other != status.id:
                self._wrong(f"{other} and {status.id} both led in term {status.term}")

    def _wrong(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def _run(self) -> None:
        client: Client[bytes] | None = None
        while not self._stop.wait(PERIOD_S):
            for node_id, address in self._places():
                client = client or Client([address], sessions=False)
                try:
                    status = client.status(address, timeout_ms=STATUS_TIMEOUT_MS)
                except RaftdbError:
                    continue
                if status.id == node_id:
                    self.note(status)
        if client is not None:
            client.close()
