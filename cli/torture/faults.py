"""The kinds of faults, and what undoes each.

| fault | what is done |
|---|---|
| kill | `SIGKILL`, and a start again later; often of the leader |
| kill all | `SIGKILL` of all nodes at once, as a power cut would |
| stop | `SIGTERM`, which a node ends by in order |
| pause | `SIGSTOP`, and `SIGCONT` later: a node that does not notice that time passes |
| stutter | `SIGSTOP` and `SIGCONT` in turn, many times a second: a node on a machine or disk that is far too slow |
| full disk | a start with `disk_reserve_bytes` above what is free: the node takes its disk for full |
| failing disk | a limit on the size of files (`RLIMIT_FSIZE`): the node's writes fail, and it has to stop by itself |
| transfer | the leadership is given to some node |
| checkpoint | the leader makes its state durable, and compacts its log |
| add | one more node, which asks to be taken in |
| remove | a member is removed, sometimes the leader, as long as there are more than at first |
| replace | one more node, and once it votes a member is removed |

The faults of the network are in `links`.
"""

import random
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from functools import partial

from cli.torture.nemesis import Fault, Strike
from cli.torture.nodes import Nodes
from cli.torture.observer import Observer
from raftdb.client.sync_client import Client
from raftdb.errors import RequestRefused

LEADER = 0.5
"""Share of the faults that strike whoever leads."""
STUTTER_S = 0.08
"""Time that a node which stutters is stopped, and about what it runs in between."""
FILE_BYTES_MAX = 64 * 1024
"""Where the writes of a failing disk fail, in any file."""
FULL_DISK_ABOVE_BYTES = 1 << 40
OPERATION_TIMEOUT_MS = 5_000.0

StrikeAt = Callable[[str, float], Strike | None]


class Faults:
    """See the module: the faults as the nemesis takes them."""

    def __init__(self, nodes: Nodes, observer: Observer, connect: Callable[[], "Client[bytes]"]) -> None:
        self._nodes = nodes
        self._observer = observer
        self._connect = connect

    def table(self) -> tuple[Fault, ...]:
        """All kinds, with their weights."""
        at = self._at_one
        return (
            Fault("kill", 3, at(self._kill)),
            Fault("kill all", 0.4, self._kill_all),
            Fault("stop", 1, at(self._stop)),
            Fault("pause", 3, at(self._pause)),
            Fault("stutter", 1, at(self._stutter)),
            Fault("full disk", 0.7, at(self._full_disk)),
            Fault("failing disk", 0.7, at(self._failing_disk)),
            Fault("transfer", 2, self._transfer, is_harm=False),
            Fault("checkpoint", 2, self._checkpoint, is_harm=False),
            Fault("add", 0.6, self._add, is_harm=False),
            Fault("remove", 0.6, self._remove, is_harm=False),
            Fault("replace", 0.6, self._replace, is_harm=False),
        )

    def _at_one(self, strike: StrikeAt) -> Callable[[random.Random, float], Strike | None]:
        """The fault at one node that runs: often the leader, because faults matter most there."""

        def strike_one(chance: random.Random, duration_s: float) -> Strike | None:
            place, wants_leader = chance.random(), chance.random() < LEADER
            ids = self._nodes.ids
            leader = self._observer.leader
            victim = (
                leader
                if wants_leader and leader is not None and leader in ids
                else ids[int(place * len(ids))]
            )
            try:
                return strike(victim, duration_s) if self._nodes.runs(victim) else None
            except RequestRefused:  # it has just ended by itself
                return None

        return strike_one

    def _named(self, node_id: str) -> str:
        return f"{node_id} (leader)" if node_id == self._observer.leader else node_id

    def _kill(self, node_id: str, _duration_s: float) -> Strike:
        words = f"{self._named(node_id)} is killed"
        self._nodes.kill(node_id)
        return Strike(words, (node_id,), partial(self._nodes.launch, node_id))

    def _kill_all(self, _chance: random.Random, _duration_s: float) -> Strike:
        victims = tuple(node_id for node_id in self._nodes.ids if self._nodes.runs(node_id))
        for node_id in victims:
            self._nodes.kill(node_id)

        def heal() -> None:
            for node_id in victims:
                self._nodes.launch(node_id)

        return Strike("all are killed", victims, heal)

    def _stop(self, node_id: str, _duration_s: float) -> Strike:
        words = f"{self._named(node_id)} is stopped in order"
        self._nodes.terminate(node_id)
        return Strike(words, (node_id,), partial(self._nodes.launch, node_id))

    def _pause(self, node_id: str, _duration_s: float) -> Strike:
        words = f"{self._named(node_id)} is paused"
        self._nodes.cluster.pause(node_id)
        return Strike(words, (node_id,), partial(self._nodes.resume, node_id))

    def _stutter(self, node_id: str, _duration_s: float) -> Strike:
        words = f"{self._named(node_id)} stutters"
        over = threading.Event()
        process = self._nodes.cluster.process(node_id)
        thread = threading.Thread(target=_stutter, args=(process, over), name="stutter", daemon=True)
        thread.start()

        def heal() -> None:
            over.set()
            thread.join()

        return Strike(words, (node_id,), heal)

    def _full_disk(self, node_id: str, _duration_s: float) -> Strike:
        words = f"{self._named(node_id)} has a full disk"
        reserve = shutil.disk_usage(self._nodes.path).free + FULL_DISK_ABOVE_BYTES
        self._nodes.kill(node_id)
        self._nodes.launch(node_id, {"disk_reserve_bytes": str(reserve)})

        def heal() -> None:
            self._nodes.kill(node_id)
            self._nodes.launch(node_id)

        return Strike(words, (node_id,), heal)

    def _failing_disk(self, node_id: str, _duration_s: float) -> Strike:
        words = f"the disk of {self._named(node_id)} fails"
        self._nodes.expect_end(node_id)
        limits = (FILE_BYTES_MAX, FILE_BYTES_MAX)
        resource.prlimit(self._nodes.cluster.process(node_id).pid, resource.RLIMIT_FSIZE, limits)
        return Strike(words, (node_id,), partial(self._nodes.launch, node_id))

    def _transfer(self, chance: random.Random, _duration_s: float) -> Strike:
        target = chance.choice(list(self._nodes.ids))

        def ask() -> object:
            with self._connect() as client:
                return client.transfer_leadership(target, timeout_ms=OPERATION_TIMEOUT_MS).id

        self._nodes.attempt(f"the leadership goes to {target}", ask)
        return Strike(f"the leadership goes to {target}")

    def _checkpoint(self, _chance: random.Random, _duration_s: float) -> Strike:
        def ask() -> object:
            with self._connect() as client:
                return client.snapshot(timeout_ms=OPERATION_TIMEOUT_MS)

        self._nodes.attempt("a checkpoint", ask)
        return Strike("the leader makes a checkpoint, and compacts its log")

    def _add(self, _chance: random.Random, _duration_s: float) -> Strike | None:
        node_id = self._nodes.enlist()
        return None if node_id is None else Strike(f"{node_id} asks to be taken in")

    def _remove(self, chance: random.Random, _duration_s: float) -> Strike | None:
        victim = chance.choice(list(self._nodes.ids))
        if len(self._nodes.ids) <= self._nodes.count_first:
            return None
        return self._change(f"{self._named(victim)} is removed", victim, None)

    def _replace(self, chance: random.Random, _duration_s: float) -> Strike | None:
        victim = chance.choice(list(self._nodes.ids))
        node_id = self._nodes.enlist()
        if node_id is None:
            return None
        return self._change(f"{self._named(victim)} is replaced by {node_id}", victim, node_id)

    def _change(self, words: str, victim: str, once_votes: str | None) -> Strike:
        def ask() -> object:
            with self._connect() as client:
                return self._nodes.remove(victim, client, once_votes=once_votes)

        self._nodes.attempt(words, ask)
        return Strike(words)


def _stutter(process: "subprocess.Popen[bytes]", over: threading.Event) -> None:
    """Stop the process and let it go on in turn; at the end it goes on."""
    while not over.is_set() and process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        over.wait(STUTTER_S)
        process.send_signal(signal.SIGCONT)
        over.wait(STUTTER_S)
