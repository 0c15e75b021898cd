"""Lists: transactions that read lists and append to them, of which some serial order has to explain all reads.

Half of them are interactive, so that a leader may die between their reads and their commit, half are one request.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from cli.torture.recorder import Attempt, Ending, Recorder
from cli.torture.workload import PART_SHOWN_MAX, Checked, Line, Problem, Worker, Workload, shown
from raftdb.client.sync_client import Client
from raftdb.simulation.serializability import Appended, Observed, Outcome, Seen, check_serializable

LISTS = 4
"""Lists that are in use at a time."""
TRANSACTIONS_PER_LIST = 80
"""Transactions before the clients change to new lists, because long lists take long to compare."""
STEPS_MAX = 4
SEPARATOR = b"."

Steps = tuple[Appended | Seen, ...]


class Lists(Workload):
    """See the module."""

    name = "lists"
    clients = 3

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        super().__init__(number, seed, recorder)
        self.observed: list[Observed] = []
        self._begun = 0

    def step(self, client: Client[bytes], worker: Worker) -> None:
        """One transaction, which appends at least once."""
        with self.lock:
            self._begun += 1
            name, generation = f"{worker.name}-{self._begun}", self._begun // TRANSACTIONS_PER_LIST
        chance = worker.chance
        keys = [self._key(generation, chance.randrange(LISTS)) for _ in range(chance.randint(1, STEPS_MAX))]
        appends = [chance.random() < 0.5 for _ in keys[1:]]
        appends.insert(chance.randrange(len(keys)), True)
        planned = [
            Appended(key, f"{name}-{place}".encode()) if is_append else Seen(key, ())
            for place, (key, is_append) in enumerate(zip(keys, appends, strict=True))
        ]
        run = self._interactive if chance.random() < 0.5 else self._at_once
        run(client, name, tuple(planned))

    def finish(self, client: Client[bytes]) -> None:
        """Read each list."""
        for generation in range(self._begun // TRANSACTIONS_PER_LIST + 1):
            for place in range(LISTS):
                key = self._key(generation, place)
                attempt = self.certain(partial(client.get, key))
                self._note(f"last-{generation}-{place}", attempt, (Seen(key, elements_of(attempt.value)),))

    def check(self) -> Checked:
        """Search for a serial order of all of them."""
        problems = []
        for text in check_serializable(self.observed):
            named = [one for one in self.observed if one.name in text.split()]
            problems.append(Problem(text, [line_of(one) for one in named[:PART_SHOWN_MAX]]))
        return Checked(problems)

    def history(self) -> Iterator[Line]:
        """All transactions, with what they read and appended."""
        return map(line_of, self.observed)

    def _key(self, generation: int, place: int) -> bytes:
        return f"l{self.number}-{generation}-{place}".encode()

    def _interactive(self, client: Client[bytes], name: str, planned: Steps) -> None:
        transaction = client.transaction()

        def body() -> Steps:
            return tuple(
                Seen(step.key, elements_of(transaction.get(step.key)))
                if isinstance(step, Seen)
                else self._append(transaction, step)
                for step in planned
            )

        read = self.attempt(body, writes=False)
        if read.ending is not Ending.OK:
            self._note(name, read, planned, outcome=Outcome.NOT_EXECUTED)
            return
        commit = self.attempt(transaction.commit, writes=True)
        transaction.rollback()
        steps: Steps = read.value
        self._note(name, commit, steps, invoked=read.invoked)

    @staticmethod
    def _append(transaction: Any, step: Appended) -> Appended:
        transaction.append(step.key, step.element + SEPARATOR)
        return step

    def _at_once(self, client: Client[bytes], name: str, planned: Steps) -> None:
        commands = [
            ("append", [step.key, step.element + SEPARATOR])
            if isinstance(step, Appended)
            else ("mget", [step.key])
            for step in planned
        ]
        attempt = self.attempt(lambda: client.transact(commands).results, writes=True)
        steps = planned
        if attempt.ending is Ending.OK:
            steps = tuple(
                Seen(step.key, elements_of(result[0])) if isinstance(step, Seen) else step
                for step, result in zip(planned, attempt.value, strict=True)
            )
        self._note(name, attempt, steps)

    def _note(
        self,
        name: str,
        attempt: Attempt,
        steps: Steps,
        *,
        invoked: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        outcome = outcome or _OUTCOMES[attempt.ending]
        if outcome is not Outcome.OK:
            steps = tuple(step for step in steps if isinstance(step, Appended))
        begin = attempt.invoked if invoked is None else invoked
        with self.lock:
            self.observed.append(Observed(name, begin, attempt.returned, outcome, steps))


_OUTCOMES = {
    Ending.OK: Outcome.OK,
    Ending.FAILED: Outcome.NOT_EXECUTED,
    Ending.REFUSED: Outcome.NOT_EXECUTED,
    Ending.UNKNOWN: Outcome.UNKNOWN,
}
"""A transaction that failed has executed nothing: it was one with a conflict, or it is undone as a whole."""


def elements_of(value: bytes | None) -> tuple[bytes, ...]:
    """The elements of a stored list."""
    return tuple((value or b"").split(SEPARATOR)[:-1])


def line_of(observed: Observed) -> Line:
    """A transaction as it is written to a file."""
    return {
        "transaction": observed.name,
        "invoked_ns": observed.invoked,
        "returned_ns": observed.returned,
        "outcome": str(observed.outcome),
        "steps": [
            ["append", shown(step.key), shown(step.element)]
            if isinstance(step, Appended)
            else ["read", shown(step.key), shown(step.elements)]
            for step in observed.steps
        ],
    }
