"""The nodes that are tortured, as the faults see them. One thread at a time uses them."""

import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cli.local.cluster import LocalCluster
from cli.local.folder import PORTS_FIRST, LocalFolder
from cli.local.process import NodeState
from cli.torture.journal import Journal
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError, RequestRefused

CHECKPOINT_ENTRIES = 5_000
"""Entries between two checkpoints: a run should see many."""
LOG_TAIL_BYTES = 65_536
"""Log that is kept behind a checkpoint: little, so that who comes back often needs a snapshot."""


PORT_MIN, PORT_MAX, PORTS_APART = 10_000, 30_000, 90
"""Where the ports of a run begin: a place of its own, for a killed node must find its ports free, and not those of
another cluster; below those that the system gives to outgoing connections."""
SPARE_NODES = 2
"""As many nodes more than at first there may be at a time."""
FOLLOWED_S_MAX = 20.0
"""How long a change of the members is followed, until it is left to itself."""
PERIOD_S = 0.2


def own_ports() -> dict[str, int]:
    """The first ports of a cluster that has a place of its own, by listener, as in `PORTS_FIRST`."""
    first = random.SystemRandom().randrange(PORT_MIN, PORT_MAX, PORTS_APART)
    return {kind: first + number * PORTS_APART // 3 for number, kind in enumerate(PORTS_FIRST)}


class Nodes:
    """See the module. `problems` are ends of nodes that nobody had asked for."""

    def __init__(self, path: Path, count: int, settings: Mapping[str, str], journal: Journal) -> None:
        self.path = path
        self.problems: list[str] = []
        self._journal = journal
        self._folder = LocalFolder(path, ports_first=own_ports())
        self._folder.lock()
        self.cluster = LocalCluster(
            self._folder,
            self._folder.create(count),
            logs_to_files=True,
            dashboard="off",
            settings={
                "checkpoint_entries": str(CHECKPOINT_ENTRIES),
                "log_tail_bytes": str(LOG_TAIL_BYTES),
                **settings,
            },
        )
        self.count_first = count
        self._count_max = count + SPARE_NODES
        self._last_number = count
        self._gone: list[str] = []
        """Nodes that are members no more, and run still."""
        self._doubtful: set[str] = set()
        """Nodes that somebody has asked to remove."""
        self._launched_ns: dict[str, int] = {}
        self._expected: set[str] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start them all, and wait for a leader."""
        self.cluster.start()

    def close(self) -> None:
        """Stop them all."""
        self.cluster.stop()
        self._folder.unlock()

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all nodes."""
        return self.cluster.node_ids

    @property
    def addresses(self) -> tuple[str, ...]:
        """The HTTP addresses of all nodes."""
        return tuple(place.http for place in self.cluster.places)

    @property
    def places(self) -> list[tuple[str, str]]:
        """Id and HTTP address of each node."""
        return [(place.id, place.http) for place in self.cluster.places]

    def runs(self, node_id: str) -> bool:
        """Whether the node's process runs, and is not paused."""
        return node_id in self.ids and self.cluster.state(node_id) is NodeState.RUNNING

    def kill(self, node_id: str) -> None:
        """SIGKILL, unless it has just ended by itself."""
        with suppress(RequestRefused):
            self.cluster.kill(node_id)

    def terminate(self, node_id: str) -> None:
        """SIGTERM; the node ends soon."""
        self._expected.add(node_id)
        self.cluster.process(node_id).terminate()

    def resume(self, node_id: str) -> None:
        """SIGCONT, if it is paused still."""
        if node_id in self.ids and self.cluster.state(node_id) is NodeState.PAUSED:
            self.cluster.resume(node_id)

    def launch(self, node_id: str, settings: Mapping[str, str] | None = None) -> None:
        """Start a node, and do not wait for it. If it is ending, it is killed first; if it runs, or was removed
        meanwhile, nothing is done."""
        if node_id not in self.ids:
            return
        if node_id in self._expected:
            self.kill(node_id)
        self.look()
        self._expected.discard(node_id)
        if self.cluster.state(node_id) is NodeState.STOPPED:
            self._launch(node_id, settings or {})

    def coming_up(self, heard_ns: Mapping[str, int]) -> set[str]:
        """The nodes that were launched and have not answered since. `heard_ns` is when each node answered last."""
        return {
            node_id
            for node_id, launched_ns in self._launched_ns.items()
            if heard_ns.get(node_id, 0) < launched_ns
        }

    def expect_end(self, node_id: str) -> None:
        """The node may end by itself, until it is launched again."""
        self._expected.add(node_id)

    def look(self) -> None:
        """Note nodes that have ended by themselves, and start those again that had no reason to; end removed ones."""
        while self._gone:
            self._forget(self._gone.pop())
        for node_id in self.cluster.take_ended():
            if node_id in self._expected:
                self._journal.note(f"{node_id} has ended, as it should")
                continue
            text = f"{node_id} has ended by itself: {self.cluster.end_of(node_id)}"
            self._journal.note(text)
            self.problems.append(text)
            self._launch(node_id, {})

    def enlist(self) -> str | None:
        """Start one more node, which asks the others to take it in; returns its id, None if there are enough."""
        if len(self.ids) >= self._count_max:
            return None
        self._last_number += 1
        node_id = f"n{self._last_number}"
        self.cluster.enlist(node_id)
        self._launched_ns[node_id] = time.monotonic_ns()
        return node_id

    def remove(self, node_id: str, client: "Client[bytes]", *, once_votes: str | None = None) -> str:
        """Ask the cluster to remove a node, once another one votes, if that is named; returns what has come of it.

        Whatever the answer is, the node's process is ended once the members say that it is none. Raises
        `RaftdbError`.
        """
        end_s = time.monotonic() + FOLLOWED_S_MAX
        while once_votes is not None:
            new = client.membership().find(once_votes)
            if new is not None and new.voter:
                break
            if time.monotonic() > end_s:
                return f"{once_votes} does not vote yet, so {node_id} stays"
            time.sleep(PERIOD_S)
        self._doubtful.add(node_id)
        client.remove_member(node_id)
        self._gone.append(node_id)
        return f"{node_id} is a member no more"

    def settle(self, members: Collection[str]) -> None:
        """End the nodes that somebody has asked to remove, and that are not among the `members`."""
        for node_id in sorted(self._doubtful.difference(members).intersection(self.ids)):
            self._forget(node_id)

    def _forget(self, node_id: str) -> None:
        if node_id in self.ids:
            self.kill(node_id)
            self.cluster.forget(node_id)
            self._launched_ns.pop(node_id, None)
            self._journal.note(f"{node_id} was removed, and is ended")

    def _launch(self, node_id: str, settings: Mapping[str, str]) -> None:
        self.cluster.launch(node_id, settings)
        self._launched_ns[node_id] = time.monotonic_ns()

    def attempt(self, what: str, call: Callable[[], object]) -> None:
        """Ask the cluster for something that it may refuse, on a thread of its own, one at a time; drop it if the last
        one has no answer yet."""
        if not self._lock.acquire(blocking=False):
            self._journal.note(f"not done, for the last request has no answer yet: {what}")
            return

        def run() -> None:
            try:
                answer = call()
                self._journal.note(f"done: {what}: {answer}")
            except RaftdbError as error:
                self._journal.note(f"not done: {what}: {error.code}: {error.message}")
            finally:
                self._lock.release()

        threading.Thread(target=run, name="operator", daemon=True).start()
