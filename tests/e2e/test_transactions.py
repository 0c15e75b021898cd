"""Transactions on real processes whose leaders are killed: money is neither made nor lost, and there is a serial order.

`TRANSACTION_KILLS` (3, with `--long` 20) is how many leaders die in each test, all while clients are busy.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from raftdb.client.sync_client import Client
from raftdb.client.sync_transaction import Transaction
from raftdb.errors import Conflict, OutcomeUnknown, Unavailable
from raftdb.simulation.serializability import Appended, Observed, Outcome, Seen, check_serializable
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import NewCluster
from tests.e2e.waiting import wait_for

KILLS = 3
KILLS_LONG = 20
DONE_BETWEEN_MIN = 40
"""Transactions that are done between a leader's death and the next one's."""
PATIENCE_MS = 60_000.0
MOVERS = 20
ACCOUNTS = [f"account-{number}" for number in range(10)]
FUNDS = 100
APPENDERS = 8
LISTS = 4
LIST_ROUND = 150
"""Transactions of one client before it goes over to new lists: long lists take long to send."""


@contextmanager
def busy(count: int, work: Callable[[int, threading.Event], None]) -> Iterator[None]:
    """Threads that do `work(number, stop)` while the block runs; what one of them meets with is raised at its end."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number, stop)
        except BaseException as error:  # noqa: BLE001 - raised again below, by the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(3 * PATIENCE_MS / 1000)
            assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.fixture
def kills(is_long: bool) -> int:
    """How many leaders die."""
    return int(os.environ.get("TRANSACTION_KILLS") or (KILLS_LONG if is_long else KILLS))


def kill_leaders(cluster: Cluster, kills: int, done: Callable[[], int], seed: str) -> None:
    """Kill the leader so many times, each time once clients have `done` more, and start it again when they have done
    some without it. Ends with all nodes running."""
    source = random.Random(seed)

    def wait_for_more(count: int) -> None:
        goal = done() + count
        wait_for(lambda: done() >= goal, f"{count} more transactions")

    for _ in range(kills):
        wait_for_more(source.randint(DONE_BETWEEN_MIN, 3 * DONE_BETWEEN_MIN))
        leader = cluster.leader()
        leader.kill9()
        wait_for_more(source.randint(0, DONE_BETWEEN_MIN))
        leader.start()
        cluster.wait_serving()


@pytest.mark.timeout(1800)
def test_money_moved_while_leaders_die_is_all_there(new_cluster: NewCluster, kills: int) -> None:
    """Every acknowledged move happened once, the sum holds at every read, and the moves explain the balances."""
    cluster = new_cluster(3).start()
    with Client(cluster.addresses, timeout_ms=PATIENCE_MS) as client:
        for account in ACCOUNTS:
            client.set(account, str(FUNDS))
    acked: list[set[str]] = [set() for _ in range(MOVERS)]
    reads = [0]

    def move(number: int, stop: threading.Event) -> None:
        source = random.Random(f"mover {number}")
        with Client(cluster.addresses, timeout_ms=PATIENCE_MS) as client:

            @client.transactional
            def transfer(transaction: Transaction, name: str, giver: str, taker: str, amount: int) -> None:
                left = int(transaction.get(giver) or 0) - amount
                held = int(transaction.get(taker) or 0) + amount
                transaction.set(giver, str(left))
                transaction.set(taker, str(held))
                transaction.set(f"move/{name}", f"{giver} {taker} {amount}")

            count = 0
            while not stop.is_set():
                count += 1
                giver, taker = source.sample(ACCOUNTS, 2)
                transfer(f"{number}.{count}", giver, taker, source.randint(1, 9))
                acked[number].add(f"{number}.{count}")

    def look(number: int, stop: threading.Event) -> None:
        with Client(cluster.addresses, timeout_ms=PATIENCE_MS) as client:
            while not stop.is_set():
                balances = client.execute("mget", ACCOUNTS).value
                assert isinstance(balances, list)
                total = sum(int(balance) for balance in balances if isinstance(balance, bytes))
                assert total == FUNDS * len(ACCOUNTS), balances
                reads[0] += 1

    with busy(1, look), busy(MOVERS, move):
        kill_leaders(cluster, kills, lambda: min(reads[0], sum(map(len, acked))), "bank")
    with Client(cluster.addresses, timeout_ms=PATIENCE_MS) as client:
        moves = {
            item.key.decode().removeprefix("move/"): item.value.decode() for item in client.scan("move/")
        }
        balances = {account: int(client.get(account) or 0) for account in ACCOUNTS}
    told = set().union(*acked)
    print(
        f"{len(told)} moves acknowledged, {len(moves)} made, {kills} leaders killed, {reads[0]} reads of the sum"
    )
    assert told == set(moves), sorted(told ^ set(moves))[:10]
    expected = dict.fromkeys(ACCOUNTS, FUNDS)
    for words in moves.values():
        giver, taker, amount = words.split()
        expected[giver] -= int(amount)
        expected[taker] += int(amount)
    assert balances == expected
    assert len(told) >= DONE_BETWEEN_MIN * kills
    assert reads[0] >= DONE_BETWEEN_MIN * kills


class Lists:
    """Clients of list-append transactions, and what they saw. `sessions`: whether unknown outcomes are repeated."""

    def __init__(self, cluster: Cluster, *, sessions: bool) -> None:
        self.history: list[Observed] = []
        self.conflicts = 0
        self.done = 0
        """Transactions that were acknowledged."""
        self._cluster = cluster
        self._sessions = sessions
        self._lock = threading.Lock()

    def work(self, number: int, stop: threading.Event) -> None:
        source = random.Random(f"lists {number}")
        timeout_ms = PATIENCE_MS if self._sessions else 4_000.0
        with Client(self._cluster.addresses, timeout_ms=timeout_ms, sessions=self._sessions) as client:
            count = 0
            while not stop.is_set():
                count += 1
                observed = self._run(client, source, f"{number}.{count}", count // LIST_ROUND)
                with self._lock:
                    self.history.append(observed)
                    self.done += observed.outcome is Outcome.OK

    def _run(self, client: Client, source: random.Random, name: str, generation: int) -> Observed:
        """One transaction of a few reads and appends; in what order, chance decides."""
        steps: list[Appended | Seen] = []
        invoked = time.monotonic_ns()
        try:
            with client.transaction() as transaction:
                for place in range(source.randint(1, 4)):
                    key = f"list-{generation}-{source.randrange(LISTS)}".encode()
                    if source.random() < 0.5:
                        element = f"{name}.{place}".encode()
                        transaction.append(key, element + b" ")
                        steps.append(Appended(key, element))
                    else:
                        steps.append(Seen(key, tuple((transaction.get(key) or b"").split())))
        except (Conflict, Unavailable) as error:
            self.conflicts += isinstance(error, Conflict)
            return Observed(name, invoked, 0, Outcome.NOT_EXECUTED, _appends(steps))
        except OutcomeUnknown:
            return Observed(name, invoked, 0, Outcome.UNKNOWN, _appends(steps))
        return Observed(name, invoked, time.monotonic_ns(), Outcome.OK, tuple(steps))

    def read_all(self) -> None:
        """Look at every list once more, when everything is over."""
        keys = sorted({step.key for observed in self.history for step in observed.steps})
        with Client(self._cluster.addresses, timeout_ms=PATIENCE_MS) as client:
            for number, key in enumerate(keys):
                invoked = time.monotonic_ns()
                seen = Seen(key, tuple((client.get(key) or b"").split()))
                self.history.append(
                    Observed(f"last.{number}", invoked, time.monotonic_ns(), Outcome.OK, (seen,))
                )


def _appends(steps: list[Appended | Seen]) -> tuple[Appended | Seen, ...]:
    return tuple(step for step in steps if isinstance(step, Appended))


@pytest.mark.timeout(1800)
def test_list_append_histories_have_a_serial_order(new_cluster: NewCluster, kills: int) -> None:
    """With sessions and without them, in one history: what some repeat and others give up must fit together."""
    cluster = new_cluster(3).start()
    repeating, giving_up = Lists(cluster, sessions=True), Lists(cluster, sessions=False)
    with busy(APPENDERS // 2, repeating.work), busy(APPENDERS // 2, _renamed(giving_up.work)):
        kill_leaders(cluster, kills, lambda: min(repeating.done, giving_up.done), "lists")
    repeating.history += giving_up.history
    repeating.read_all()
    outcomes = {
        outcome.value: sum(observed.outcome is outcome for observed in repeating.history)
        for outcome in Outcome
    }
    print(f"{outcomes}, {repeating.conflicts + giving_up.conflicts} conflicts, {kills} leaders killed")
    problems = check_serializable(repeating.history)
    assert not problems, "\n".join(problems)
    assert outcomes["ok"] >= 2 * DONE_BETWEEN_MIN * kills, outcomes


def _renamed(work: Callable[[int, threading.Event], None]) -> Callable[[int, threading.Event], None]:
    """The same work under numbers of its own: elements are never used twice."""
    return lambda number, stop: work(100 + number, stop)
