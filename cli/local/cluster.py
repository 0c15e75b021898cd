"""Starting, stopping and watching the processes of a local cluster, through the public interfaces only.

The nodes are in process groups of their own, so Ctrl-C at the terminal reaches only `up`, which then stops each node
with SIGTERM. If nodes and `up` are signalled together, as by systemd, the signal of `up` is the second one for the
nodes, and comes within the time in which they count signals once.
"""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from cli.admin.network import FaultyNetwork
from cli.console.failures import EXIT_FAILED, CommandError, reason
from cli.local.alone import alone
from cli.local.folder import LocalFolder, NodePlace, number_of
from cli.local.left_over import STOP_TIMEOUT_S
from cli.local.process import NodeState, exit_text, last_lines, node_environment
from raftdb.client.credentials import Credentials
from raftdb.client.model import NodeStatus
from raftdb.client.sync_client import Client
from raftdb.endpoint import Endpoint, parse_endpoint
from raftdb.errors import RaftdbError, RequestRefused, Unauthenticated
from raftdb.ownership import open_for_owner

LEADER_TIMEOUT_S = 30.0
"""Longest wait for a first leader, because nodes may have a long log to replay."""
FIRST_USER_S = 4.0
"""Longest wait for a user whom the nodes do not know yet, because the settings let them make it."""
ANSWER_TIMEOUT_S = 15.0
"""Longest wait for a restarted node to answer."""
JOIN_TIMEOUT_S = 60.0
"""Longest wait until a new node is a member, which on a slow network takes some round trips."""
POLL_S = 0.05
TOKEN_BYTES = 24
"""The randomness of the token that lets pages act."""


class LocalCluster:
    """The processes of a local cluster. What does something to it waits until no other thread does.

    With `logs_to_files` nodes write to `<data>/nX.log`, because the shell uses the terminal; otherwise to stderr. All
    methods raise `CommandError` or `RequestRefused`. `stop` must be called in the end, whatever happens.
    """

    def __init__(
        self,
        folder: LocalFolder,
        nodes: Sequence[NodePlace],
        *,
        logs_to_files: bool,
        dashboard: str = "write",
        network: str | None = None,
        network_seed: int | None = None,
        settings: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        within: Callable[[str], list[str]] = lambda node_id: [],
    ) -> None:
        """`network`: the conditions of the links that the nodes start with, and the seed of what happens to messages
        under them. `settings` are others of all nodes, by name, over those of the environment.
        `credentials` are those of a cluster that has users. `within`: the words before the command of a node."""
        self._folder = folder
        self._within = within
        self._places = {node.id: node for node in nodes}
        self._logs_to_files = logs_to_files
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._states = dict.fromkeys(self._places, NodeState.STOPPED)
        self._credentials = Credentials() if credentials is None else credentials
        self._unknown_user: Unauthenticated | None = None
        self._client = self._new_client()
        self.dashboard = dashboard
        links = {"network": network, "network_seed": None if network_seed is None else str(network_seed)}
        self._settings = {name: value for name, value in links.items() if value is not None} | dict(
            settings or {}
        )
        self.network = FaultyNetwork({node.id: node.http for node in nodes}, credentials=self._credentials)
        """The network between the nodes, which can be set while they run."""
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.lock = threading.RLock()

    def _new_client(self) -> Client:
        """A client that knows the addresses of all nodes."""
        return Client([place.http for place in self._places.values()], credentials=self._credentials)

    @property
    def node_ids(self) -> Sequence[str]:
        """The ids of all nodes, in order of their numbers."""
        return tuple(self._places)

    @property
    def running_ids(self) -> Sequence[str]:
        """The ids of the nodes that run and are not paused, in the same order."""
        return tuple(node_id for node_id in self._places if self.state(node_id) is NodeState.RUNNING)

    @property
    def places(self) -> Sequence[NodePlace]:
        """All nodes with their addresses."""
        return tuple(self._places.values())

    @property
    def dashboard_url(self) -> str | None:
        """The address of the pages, with the token that lets them act; None if there are none.

        The token stands behind the #, which browsers send to nobody. The node is the first one that runs.
        """
        if self.dashboard == "off":
            return None
        first = next(iter(self.running_ids), self.node_ids[0])
        token = f"#token={self.token}" if self.dashboard == "write" else ""
        return parse_endpoint(self._places[first].http).url(f"/{token}")

    def let_pages_reach(self, control: Endpoint) -> None:
        """Have the nodes that are started from now on tell their pages where to ask for what is done to processes."""
        self._settings["dashboard_control"] = str(control)

    def state(self, node_id: str) -> NodeState:
        """The state of a node's process."""
        process = self._processes.get(self._known(node_id))
        return NodeState.STOPPED if process is None or process.poll() is not None else self._states[node_id]

    @alone
    def start(self, *, leader_timeout_s: float = LEADER_TIMEOUT_S) -> NodeStatus:
        """Start all nodes and wait until one of them leads; returns its status. Raises `CommandError` if a node ends,
        and `Unauthenticated` if the nodes do not know who asks."""
        for node_id in self._places:
            self._spawn(node_id)
        begun = time.monotonic()
        deadline = begun + leader_timeout_s
        while time.monotonic() < deadline:
            for place in self._places.values():
                self._check_started(place.id)
                status = self._status(place)
                if status is not None and status.role == "leader":
                    return status
            if self._unknown_user is not None and time.monotonic() >= begun + FIRST_USER_S:
                raise self._unknown_user
            # Nodes let an address wait from which wrong passwords come.
            time.sleep(POLL_S if self._unknown_user is None else FIRST_USER_S / 4)
        raise CommandError(
            "up",
            f"no leader after {leader_timeout_s:g} s",
            exit_code=EXIT_FAILED,
            hint=f"the nodes' logs are in {self._folder.path}" if self._logs_to_files else None,
        )

    @alone
    def stop(self, *, at_once: bool = False) -> None:
        """Stop all nodes cleanly, at the same time, and kill those that still run after `STOP_TIMEOUT_S`; with
        `at_once` kill all of them."""
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            # A paused process handles SIGTERM only once it goes on, and in this order before anything else.
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + (0.0 if at_once else STOP_TIMEOUT_S)
        try:
            for process in running:
                process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            pass
        finally:
            # This is done after a second Ctrl-C, too, so that no node outlives `up`.
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for node_id in self._processes:
                self._folder.write_pid(node_id, None)
            self._client.close()

    @alone
    def take_ended(self) -> list[str]:
        """The nodes that have ended by themselves since the last call."""
        ended = []
        for node_id, process in self._processes.items():
            if process.poll() is not None and self._states[node_id] is not NodeState.STOPPED:
                self._states[node_id] = NodeState.STOPPED
                ended.append(node_id)
        return ended

    def end_of(self, node_id: str) -> str:
        """How a node that does not run has ended, for people."""
        return exit_text(self._processes[node_id].wait())

    def take_exits(self) -> list[str]:
        """A line for people about each node that has ended by itself since the last call."""
        lines = []
        for node_id in self.take_ended():
            where = f" (see {self._folder.log_path(node_id)})" if self._logs_to_files else ""
            lines.append(f"node {node_id} ended with {self.end_of(node_id)}{where}")
        return lines

    def all_stopped(self) -> bool:
        """True if no node runs any more."""
        return all(self.state(node_id) is NodeState.STOPPED for node_id in self._places)

    @alone
    def kill(self, node_id: str) -> str:
        """End a node with SIGKILL, as a crash would; returns what was done, for people."""
        process = self._running(node_id)
        self._states[node_id] = NodeState.STOPPED
        process.kill()
        process.wait()
        self._folder.write_pid(node_id, None)
        return f"{node_id} killed (pid {process.pid}); .restart {node_id} brings it back"

    def process(self, node_id: str) -> "subprocess.Popen[bytes]":
        """The process of a node that runs."""
        return self._running(node_id)

    @alone
    def launch(self, node_id: str, settings: Mapping[str, str] | None = None) -> None:
        """Start a node that does not run, with these `settings` over those of all nodes, and do not wait for it."""
        if self.state(node_id) is not NodeState.STOPPED:
            raise RequestRefused("bad_request", f"{node_id} runs already")
        self._spawn(node_id, settings)

    @alone
    def restart(self, node_id: str, *, waits: bool = True) -> str:
        """Start a node, stopping it cleanly first if it runs, and wait until it answers if this `waits`; returns what
        was done."""
        self._end(node_id)
        self._spawn(node_id)
        pid = self._processes[node_id].pid
        if waits and self._answers(node_id):
            return f"{node_id} is up (pid {pid})"
        return f"{node_id} was started (pid {pid}) but does not answer yet"

    def _answers(self, node_id: str) -> bool:
        """Wait until a node that was started answers; False if that takes too long. Raises `CommandError` if it
        ends."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline:
            self._check_started(node_id)
            if self._status(self._places[node_id]) is not None:
                self.network.restore(node_id)
                return True
            time.sleep(POLL_S)
        return False

    @alone
    def add(self, node_id: str | None = None) -> str:
        """Start one more node, which asks the others to take it in, and wait until they have; returns its id. It votes
        once it has caught up. Without `node_id` it gets the next id that was never used."""
        known = self._client.membership()
        used = [*self._places, *(member.id for member in known.members), *known.removed]
        free = f"n{max(map(number_of, used)) + 1}"
        if node_id in used:
            raise RequestRefused("bad_request", f"{node_id} was used before", hint=f"the next one is {free}")
        node_id = node_id or free
        self.enlist(node_id)
        self._answers(node_id)
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while self._client.membership().find(node_id) is None:
            self._check_started(node_id)
            if time.monotonic() > deadline:
                why = f"{node_id} was started, but not taken in within {JOIN_TIMEOUT_S:g} s"
                raise CommandError("add", why, exit_code=EXIT_FAILED)
            time.sleep(POLL_S)
        return node_id

    @alone
    def enlist(self, node_id: str) -> None:
        """Start one more node, with an id that was never used, which asks the others to take it in; wait for
        nothing."""
        place = self._folder.add(self.places, node_id)
        self._places[place.id] = place
        self.network.nodes[place.id] = place.http
        self._states[place.id] = NodeState.STOPPED
        self._client = self._new_client()
        self._spawn(place.id)

    @alone
    def retire(self, node_id: str) -> str:
        """Stop a node that is a member no more, and delete its data; what it said stays. Returns what was done."""
        if self._client.membership().find(self._known(node_id)) is not None:
            raise RequestRefused(
                "bad_request", f"{node_id} is a member still", hint=f".remove {node_id} removes it"
            )
        self._end(node_id)
        self.forget(node_id)
        return f"{node_id} was stopped, and its data deleted"

    @alone
    def forget(self, node_id: str) -> None:
        """Delete the data of a node that does not run, and is a member no more."""
        self._folder.forget(self.places, node_id)
        del self._places[node_id], self._states[node_id], self.network.nodes[node_id]
        self._processes.pop(node_id, None)
        self._client = self._new_client()

    def _end(self, node_id: str) -> None:
        """Stop a node cleanly, if it runs, or kill it if that takes too long."""
        if self.state(node_id) is NodeState.STOPPED:
            return
        process = self._processes[node_id]
        self._states[node_id] = NodeState.STOPPED
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @alone
    def pause(self, node_id: str) -> str:
        """Pause a node with SIGSTOP, so that it answers no one and does not notice that time passes; returns what was
        done."""
        process = self._running(node_id)
        process.send_signal(signal.SIGSTOP)
        self._states[node_id] = NodeState.PAUSED
        return f"{node_id} paused; .resume {node_id} lets it go on"

    @alone
    def resume(self, node_id: str) -> str:
        """Let a paused node go on; returns what was done."""
        process = self._running(node_id)
        if self._states[node_id] is not NodeState.PAUSED:
            raise RequestRefused("bad_request", f"{node_id} is not paused")
        process.send_signal(signal.SIGCONT)
        self._states[node_id] = NodeState.RUNNING
        return f"{node_id} goes on"

    def _known(self, node_id: str) -> str:
        if node_id not in self._places:
            raise RequestRefused(
                "bad_request",
                f"there is no node {node_id!r}",
                hint=f"the nodes are: {', '.join(self._places)}",
            )
        return node_id

    def _running(self, node_id: str) -> subprocess.Popen[bytes]:
        if self.state(node_id) is NodeState.STOPPED:
            raise RequestRefused(
                "bad_request", f"{node_id} does not run", hint=f".restart {node_id} starts it"
            )
        return self._processes[node_id]

    def _spawn(self, node_id: str, settings: Mapping[str, str] | None = None) -> None:
        place = self._places[node_id]
        others = [other.http for other in self.places if other is not place]
        began = ["--join", ",".join(others)] if place.peers is None else ["--peers", place.peers]
        arguments = ["--id", node_id, "--listen", place.http, "--redis", place.redis]
        arguments += ["--redis-cluster", place.redis_cluster, *began]
        arguments += ["--data", str(self._folder.data_path(node_id))]
        command = [*self._within(node_id), sys.executable, "-P", "-m", "raftdb", "serve", *arguments]
        log = None
        if self._logs_to_files:
            with self._folder.told():
                log = open_for_owner(self._folder.log_path(node_id), os.O_WRONLY | os.O_APPEND, 0o666)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=node_environment(self.dashboard, self.token, {**self._settings, **(settings or {})}),
                process_group=0,
            )
        except OSError as error:
            raise CommandError(
                "up", f"node {node_id} cannot be started: {reason(error)}", exit_code=EXIT_FAILED
            ) from error
        finally:
            if log is not None:
                os.close(log)
        self._processes[node_id] = process
        self._states[node_id] = NodeState.RUNNING
        self._folder.write_pid(node_id, process.pid)

    def _check_started(self, node_id: str) -> None:
        """Raise `CommandError`, with the node's exit code and the end of its log, if it ended instead of starting."""
        code = self._processes[node_id].poll()
        if code is None:
            return
        self._states[node_id] = NodeState.STOPPED
        message = f"node {node_id} ended with {exit_text(code)}"
        if self._logs_to_files:
            path = self._folder.log_path(node_id)
            lines = "".join(f"\n  {line}" for line in last_lines(path))
            message += f"; the end of {path}:{lines}"
        raise CommandError("up", message, exit_code=code if 0 < code < 128 else EXIT_FAILED)

    def _status(self, place: NodePlace) -> NodeStatus | None:
        """A node's status; None if it does not answer, or another node does."""
        try:
            status = self._client.status(place.http)
        except RaftdbError as error:
            self._unknown_user = error if isinstance(error, Unauthenticated) else None
            return None
        self._unknown_user = None
        return status if status.id == place.id else None
