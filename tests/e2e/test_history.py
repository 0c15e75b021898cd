"""Three real nodes that are killed, frozen and started again answer like one copy of the data.

`HISTORY_ROUNDS` (2, with `--long` 12) is how often each fault comes, `HISTORY_SEED` decides commands and faults: a seed
repeats what is asked and what is done to the nodes. Time is real, so who leads then, and what came first, it does not.
"""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get, Set
from raftdb.simulation.linearizability import Operation, Verdict, verdict_of
from tests.e2e.cluster import Cluster, Node
from tests.e2e.conftest import NewCluster
from tests.e2e.history import WORDS, Crowd, History, Plan, check, read_all

ROUNDS = 2
ROUNDS_LONG = 12
THREADS = 8
ACKS_BETWEEN_MIN = 20
"""Acknowledged commands between two faults: a history of refusals proves nothing."""
STORM_KILLS = 5
ANY = "any"
LEADER = "leader"


class Fault(NamedTuple):
    """What is done to the nodes once `acks` more commands were acknowledged.

    `victims`: their numbers, or None for whoever leads. `meanwhile`: how many commands are acknowledged before the node
    is started or woken; None: it is left until the others follow another leader.
    """

    how: str
    acks: int
    victims: tuple[int, ...] | None
    meanwhile: int | None


def faults(seed: str, rounds: int, nodes: int) -> Iterator[Fault]:
    """Each fault once in a round, in random order."""
    source = random.Random(seed)
    kinds = [("kill", ANY), ("kill", LEADER), ("pause", ANY), ("pause", LEADER), ("storm", ANY)]
    for _ in range(rounds):
        for how, whom in source.sample(kinds, len(kinds)):
            count = STORM_KILLS if how == "storm" else 1
            victims = tuple(source.randrange(nodes) for _ in range(count)) if whom == ANY else None
            # Clients that asked a frozen node wait for it: then few acknowledgements are to be had.
            meanwhile = source.choice([None, source.randint(0, 5 if how == "pause" else 60)])
            yield Fault(how, source.randint(ACKS_BETWEEN_MIN, 3 * ACKS_BETWEEN_MIN), victims, meanwhile)


class Nemesis:
    """Does harm to one cluster, one fault after another."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self.done: list[str] = []
        self._cluster = cluster
        self._history = history

    def carry_out(self, fault: Fault) -> None:
        """All nodes run, and know who leads, before and after."""
        self._history.wait_for_acks(fault.acks)
        nodes = list(self._cluster)
        victims = (
            [self._cluster.leader()] if fault.victims is None else [nodes[number] for number in fault.victims]
        )
        self.done.append(f"{fault.how} {' '.join(node.name for node in victims)}")
        if fault.how == "storm":
            self._storm(victims, answers=fault.meanwhile is None)
        elif fault.how == "kill":
            victims[0].kill9()
            self._wait(victims[0], fault.meanwhile)
            victims[0].start()
        else:
            victims[0].send(signal.SIGSTOP)
            try:
                self._wait(victims[0], fault.meanwhile)
            finally:
                victims[0].send(signal.SIGCONT)
        self._cluster.wait_serving()

    def _wait(self, victim: Node, acks: int | None) -> None:
        if acks is None:
            self._cluster.leader(self._cluster.others(victim))
        else:
            self._history.wait_for_acks(acks)

    def _storm(self, victims: Sequence[Node], *, answers: bool) -> None:
        """Nodes killed and started again with no regard to whether they, or enough others, are ready; if it `answers`,
        the next is killed once this one does."""
        for node in victims:
            node.kill9()
            node.start()
            if answers:
                node.status()


@pytest.mark.timeout(3600)
def test_nodes_killed_and_frozen_under_load_are_one_linearizable_database(
    new_cluster: NewCluster, is_long: bool
) -> None:
    seed = os.environ.get("HISTORY_SEED") or str(random.SystemRandom().randrange(2**32))
    rounds = int(os.environ.get("HISTORY_ROUNDS") or (ROUNDS_LONG if is_long else ROUNDS))
    print(f"HISTORY_SEED={seed}")
    cluster = new_cluster(3).start()
    history, plan = History(), Plan(seed)
    nemesis = Nemesis(cluster, history)
    with Crowd(cluster.addresses, history, plan, seed, threads=THREADS):
        for fault in faults(seed, rounds, nodes=3):
            nemesis.carry_out(fault)
        history.wait_for_acks(ACKS_BETWEEN_MIN)
    read_all(cluster.addresses, history, plan.keys)

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
    assert sorted(finding.key for finding in findings) == sorted(plan.keys)
    assert len(nemesis.done) == 5 * rounds
    assert history.counts["ok"] >= ACKS_BETWEEN_MIN * 5 * rounds, history.counts


def commands_of(seed: str) -> list[Command]:
    plan = Plan(seed)
    return [plan.next() for _ in range(1_000)]


def test_a_seed_repeats_its_commands_and_its_faults() -> None:
    assert commands_of("1") == commands_of("1") != commands_of("2")
    assert list(faults("1", 20, nodes=3)) == list(faults("1", 20, nodes=3)) != list(faults("2", 20, nodes=3))


def test_no_value_is_written_twice() -> None:
    commands = commands_of("1")
    written = [command.value for command in commands if isinstance(command, Set | Append)]
    assert len(set(written)) == len(written) > 300
    assert {type(command) for command in commands} == {Append, Delete, Get, IncrementBy, Set}


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
