"""The cluster of a demonstration, as its steps see it."""

import io
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from cli.console.failures import EXIT_FAILED, CommandError, describe
from cli.console.output import Output
from cli.demo.results import Result
from cli.line.lexer import LexError, split
from cli.local.cluster import LocalCluster
from cli.local.folder import number_of
from cli.run.interpreter import Interpreter
from raftdb.client.model import NodeStatus
from raftdb.client.protocol import Consistency
from raftdb.client.sync_client import Client
from raftdb.errors import RaftdbError

PATIENCE_S = 180.0
"""How long a condition may take to come true, or a command to be answered: far above what a slow network needs."""
STATUS_TIMEOUT_MS = 5_000
POLL_S = 0.05
THREADS_MAX = 16
_ROLE = re.compile(r"<([a-z0-9_-]+)>")
Found = TypeVar("Found")


class Clients(Protocol):
    """Clients that go on beside the steps until they are stopped."""

    @property
    def answered(self) -> int:
        """How many commands were answered so far."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End, and wait for the last answers; does nothing the second time."""
        ...

    def verdict(self) -> Result:
        """What they have seen. They are stopped."""
        ...


class Shell:
    """A shell at one node, or, without one, that of `raftdb up`, which knows all nodes and controls them."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        cluster: LocalCluster | None = None,
        timeout_s: float,
        consistency: Consistency = "linearizable",
    ) -> None:
        self._client = Client(addresses, timeout_ms=1000 * timeout_s)
        self._interpreter = Interpreter(
            self._client, Output("table"), cluster=cluster, consistency=consistency
        )

    def type(self, text: str) -> Result:
        """Run the commands of a line, up to the first that fails; what they print."""
        stream = io.StringIO()
        self._interpreter.output = Output("table", stream=stream, errors=io.StringIO())
        failure: list[str] = []
        what = ""
        try:
            for words in split(text):
                what = words[0].text
                self._interpreter.run(words)
        except RaftdbError as error:
            failure = describe(error, what, program=None).splitlines()
        except LexError as error:
            failure = [f"error: {error}"]
        return Result((*stream.getvalue().splitlines(), *failure), failed=bool(failure))

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class Stage:
    """The cluster, the names that steps have given to its nodes, and what goes on beside the steps."""

    def __init__(self, cluster: LocalCluster, *, seed: int = 0, patience_s: float = PATIENCE_S) -> None:
        self.cluster = cluster
        self.patience_s = patience_s
        self.seed = seed
        self.names: dict[str, str] = {}
        self.clients: dict[str, Clients] = {}
        self.beside: dict[str, Future[Result]] = {}
        self._roles: dict[str, str] = {}
        self._shells: dict[object, Shell] = {}
        self._threads = ThreadPoolExecutor(THREADS_MAX, "demo")

    def close(self) -> None:
        """End all that goes on beside the steps."""
        for clients in self.clients.values():
            clients.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def addresses(self) -> Mapping[str, str]:
        """The HTTP addresses of the nodes that run, by id."""
        running = set(self.cluster.running_ids)
        return {place.id: place.http for place in self.cluster.places if place.id in running}

    def address(self, role: str) -> str:
        """The HTTP address of the node in a role, whether it runs or not."""
        node = self.node(role)
        return next(place.http for place in self.cluster.places if place.id == node)

    def fill(self, text: str) -> str:
        """A text with the ids of nodes in place of their roles."""
        return _ROLE.sub(lambda match: self.node(match[1]), text)

    def node(self, role: str) -> str:
        """The id of the node in a role: a name that a step has given, `leader`, `follower` (any of them, or `follower2`
        and so on), or `next`, the id that the next new node gets. `minority` and `majority` are the ids of two
        parts with commas between them, the leader in the smaller one. It stays the same within a step."""
        if role in self.names:
            return self.names[role]
        if role not in self._roles:
            self._roles[role] = self._find(role)
        return self._roles[role]

    def name(self, names: Mapping[str, str]) -> None:
        """Begin a step: find the roles anew, and give nodes names by the roles that they have now."""
        self._roles.clear()
        for name, role in names.items():
            self.names[name] = self._find(role) if role not in self.names else self.names[role]

    def _find(self, role: str) -> str:
        if role == "next":
            status = self.status_of_leader()
            used = [*self.cluster.node_ids, *status.body.get("removed", ())]  # type: ignore[misc]
            return f"n{max(map(number_of, used)) + 1}"
        leader = self.leader()
        if role == "leader":
            return leader
        if role in ("minority", "majority"):
            # The leader is in the smaller part.
            nodes = sorted(self.addresses, key=lambda node: (node != leader, number_of(node)))
            border = (len(nodes) - 1) // 2
            return ",".join(nodes[:border] if role == "minority" else nodes[border:])
        followers = [node for node in self.addresses if node != leader]
        taken = set(self.names.values())
        # Who has no name yet comes first, so that new roles go to other nodes.
        followers.sort(key=lambda node: (node in taken, number_of(node)))
        return followers[int(role.removeprefix("follower") or "1") - 1]

    def statuses(self) -> list[NodeStatus]:
        """The status of each node that answers."""

        def ask(address: str) -> NodeStatus | None:
            try:
                with Client(address, sessions=False) as client:
                    return client.status(address, timeout_ms=STATUS_TIMEOUT_MS)
            except RaftdbError:
                return None

        return [status for status in self._threads.map(ask, self.addresses.values()) if status is not None]

    def leader(self) -> str:
        """The id of the node that leads. Raises `CommandError` if there is none for long."""
        return self.status_of_leader().id

    def status_of_leader(self) -> NodeStatus:
        """The status of the node that leads, and that most nodes that run follow."""
        return self.wait(self.find_leader, "a leader")

    def find_leader(self) -> NodeStatus | None:
        """The status of the leader, if there is one that a majority of the members names."""
        statuses = self.statuses()
        for status in statuses:
            votes = sum(each.leader is not None and each.leader.id == status.id for each in statuses)
            voters = sum(member.voter for member in status.members)
            if status.role == "leader" and 2 * votes > voters:
                return status
        return None

    def wait(self, condition: Callable[[], Found | None], what: str) -> Found:
        """The first answer of `condition` that is true. Raises `CommandError` if it takes too long."""
        deadline = time.monotonic() + self.patience_s
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                message = f"waited {self.patience_s:g} s in vain for {what}"
                raise CommandError("demo", message, exit_code=EXIT_FAILED)
            time.sleep(POLL_S)

    def shell(self, at: str | None, *, timeout_s: float | None, is_stale: bool, who: str) -> Shell:
        """The shell of a person (`who`) at a node, which stays open; None: that of `raftdb up`."""
        timeout_s = timeout_s or self.patience_s
        if at is None:
            # The nodes may have changed since it was used last.
            addresses = [place.http for place in self.cluster.places]
            return Shell(addresses, cluster=self.cluster, timeout_s=timeout_s)
        key = (self.node(at), timeout_s, is_stale, who)
        shell = self._shells.get(key)
        if shell is None:
            consistency: Consistency = "stale" if is_stale else "linearizable"
            shell = Shell([self.address(at)], timeout_s=timeout_s, consistency=consistency)
            self._shells[key] = shell
        return shell

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Run something on another thread."""
        return self._threads.submit(call)
