"""Three real nodes that are killed, frozen and started again answer like one copy of the data.

`HISTORY_SECONDS` (14) is how long the clients are busy, `HISTORY_SEED` chooses their commands and the faults. Time
is real, so a seed repeats the plan and not the run.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from raftdb.commands.model import Append, Command, Get, IncrementBy, Set
from raftdb.simulation.linearizability import Operation, Verdict, verdict_of
from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.history import WORDS, Crowd, History, check, read_all

SECONDS = float(os.environ.get("HISTORY_SECONDS", "14"))
THREADS = 8
ACKED_PER_SECOND_MIN = 10
"""Far below what any machine does: a history of refusals proves nothing."""
STORM_ROUNDS = 5


class Nemesis:
    """Does harm to one cluster, one fault after another, as its seed says."""

    def __init__(self, cluster: Cluster, seed: str) -> None:
        self.done: list[str] = []
        self._cluster = cluster
        self._random = random.Random(seed)

    def run(self, seconds: float) -> None:
        """Every fault at least once, in random order, and again until the time is over; all nodes run then."""
        faults: list[Callable[[], None]] = [
            self.kill_some,
            self.kill_leader,
            self.pause_some,
            self.pause_leader,
            self.storm,
        ]
        end = time.monotonic() + seconds
        while True:
            self._random.shuffle(faults)
            for fault in faults:
                fault()
                self._cluster.wait_serving()
                self._sleep(0.2, 0.8)
                if time.monotonic() > end and len(self.done) >= len(faults):
                    return

    def kill_some(self) -> None:
        self._kill(self._any())

    def kill_leader(self) -> None:
        self._kill(self._cluster.leader())

    def pause_some(self) -> None:
        self._pause(self._any())

    def pause_leader(self) -> None:
        self._pause(self._cluster.leader())

    def storm(self) -> None:
        """Nodes killed and started again with no regard to whether they, or enough others, are ready."""
        self.done.append("storm")
        for _ in range(STORM_ROUNDS):
            node = self._any()
            node.kill9()
            node.start()
            self._sleep(0.0, 0.6)

    def _kill(self, node: Node) -> None:
        self.done.append(f"kill {node.name}")
        node.kill9()
        self._sleep(0.0, 1.0)
        node.start()

    def _pause(self, node: Node) -> None:
        self.done.append(f"pause {node.name}")
        node.send(signal.SIGSTOP)
        try:
            self._sleep(0.5, 2.0)
        finally:
            node.send(signal.SIGCONT)

    def _any(self) -> Node:
        return self._random.choice(list(self._cluster))

    def _sleep(self, low_s: float, high_s: float) -> None:
        time.sleep(self._random.uniform(low_s, high_s))


@pytest.mark.timeout(180 + 4 * SECONDS)
def test_nodes_killed_and_frozen_under_load_are_one_linearizable_database(new_cluster: NewCluster) -> None:
    seed = os.environ.get("HISTORY_SEED") or str(random.SystemRandom().randrange(2**32))
    print(f"HISTORY_SEED={seed}")
    cluster = new_cluster(3).start()
    history = History()
    nemesis = Nemesis(cluster, seed)
    with Crowd(cluster.addresses, history, seed, threads=THREADS):
        nemesis.run(SECONDS)
    read_all(cluster.addresses, history)

    begin = time.monotonic()
    findings, problems = check(history.operations)
    print(f"faults: {', '.join(nemesis.done)}")
    print(f"endings: {dict(sorted(history.counts.items()))}")
    print(
        f"{len(findings)} keys, at most {max(finding.operations for finding in findings)} operations and "
        f"{max(finding.steps for finding in findings)} steps each, {time.monotonic() - begin:.1f} s"
    )
    assert not problems, "\n".join([f"HISTORY_SEED={seed}", *problems])
    assert verdict_of(findings) is Verdict.LINEARIZABLE
    assert sorted(finding.key for finding in findings) == sorted(history.keys)
    assert history.counts["ok"] > ACKED_PER_SECOND_MIN * SECONDS, history.counts


KEY = WORDS.encode() + b"-1"


def operation(command: Command, invoked: int, returned: int | None, result: object = None) -> Operation:
    return Operation("1", command, invoked, returned, result)


GOOD = [
    operation(Append(KEY, b"a;"), 0, 10, "OK"),
    operation(Get(KEY), 11, 12, b"a;"),
    operation(Append(KEY, b"b;"), 20, 30, "OK"),
    operation(Append(KEY, b"c;"), 25, None),
    operation(Set(b"text-1", b"x"), 0, 10, "OK"),
    operation(Set(b"text-1", b"y"), 20, 30, "OK"),
    operation(IncrementBy(b"number-1", 1), 0, 10, 1),
]
END = [operation(Get(KEY), 90, 91, b"a;b;"), operation(Get(b"text-1"), 90, 91, b"y")]


def test_a_good_history_passes() -> None:
    assert check([*GOOD, *END])[1] == []


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(operation(Get(KEY), 40, 41, b"a;"), id="a stale read of a list"),
        pytest.param(operation(Get(b"text-1"), 40, 41, b"x"), id="a stale read of a text"),
        pytest.param(operation(Get(b"number-1"), 40, 41, b""), id="a lost increment"),
        pytest.param(operation(IncrementBy(b"number-1", 1), 40, 41, 1), id="the same number twice"),
        pytest.param(operation(Get(KEY), 95, 96, b"b;"), id="a lost word"),
        pytest.param(operation(Get(KEY), 95, 96, b"b;a;"), id="words in the wrong order"),
        pytest.param(operation(Get(KEY), 95, 96, b"a;b;a;"), id="a word twice"),
        pytest.param(operation(Get(KEY), 95, 96, b"a;b;z;"), id="a word of nobody"),
    ],
)
def test_a_planted_error_is_found(planted: Operation) -> None:
    findings, problems = check([*GOOD, *END, planted])
    assert verdict_of(findings) is Verdict.VIOLATION
    assert problems


def test_a_search_out_of_budget_is_no_pass() -> None:
    findings, problems = check([*GOOD, *END], steps_max=3)
    assert verdict_of(findings) is Verdict.UNKNOWN
    assert "out of budget" in problems[0]
