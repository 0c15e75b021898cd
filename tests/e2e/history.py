"""Clients that write down what they asked, when, and what came back; and the question whether that was one database.

What they ask is the plan of `cli.torture.registers`, and how it is checked, too. These clients know nothing but HTTP:
every one sends through random nodes and follows redirects, repeats nothing, and has no session. What was surely not
executed leaves no trace in the history; what may have been (504, a connection lost after sending) has no end: it may
take effect at any later time.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cli.torture import registers
from cli.torture.registers import WORDS, Plan, words_of
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get
from raftdb.simulation.linearizability import STEPS_MAX, Failed, Finding, Operation, Verdict
from tests.e2e.raw_http import (
    NOT_EXECUTED,
    REDIRECTS_MAX,
    Acked,
    Connection,
    NotSent,
    Outcome,
    Refused,
    Unknown,
    command_body,
    outcome_of,
)
from tests.e2e.waiting import wait_for

__all__ = ["WORDS", "Crowd", "History", "Plan", "Recorder", "check", "read_all"]

CLIENT_TIMEOUT_S = 8.0
"""Longer than a node takes to say that the outcome is unknown."""
PAUSE_S = 0.01


class History:
    """The operations of all clients; safe for use by several threads. Times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.counts: Counter[str] = Counter()
        """How many operations ended in each way: ok, failed (422), unknown, and the codes of refusals."""
        self._lock = threading.Lock()

    def record(self, operation: Operation, ending: str) -> None:
        with self._lock:
            self.operations.append(operation)
            self.counts[ending] += 1

    def refused(self, code: str) -> None:
        """Count a command that was surely not executed."""
        with self._lock:
            self.counts[code] += 1

    def wait_for_acks(self, count: int) -> None:
        """Until so many more commands are acknowledged."""
        goal = self.counts["ok"] + count
        wait_for(lambda: self.counts["ok"] >= goal, f"{count} acknowledged commands")


class Recorder:
    """One client, which asks a random node each time. Not for use by several threads."""

    def __init__(self, name: str, addresses: Sequence[str], history: History, seed: str) -> None:
        self.name = name
        self.random = random.Random(seed)
        self._addresses = list(addresses)
        self._history = history
        self._connections: dict[str, Connection] = {}

    def run(self, command: Command) -> bool:
        """One attempt, written down; false if the command was surely not executed."""
        invoked = time.monotonic_ns()
        outcome = self._send(*words_of(command))
        returned = time.monotonic_ns()
        match outcome:
            case None:
                self._history.refused("unreachable")
                return False
            case Refused(status=422, message=message):
                failed = Operation(self.name, command, invoked, returned, Failed(message))
                self._history.record(failed, "failed")
            case Refused(status=status, code=code):
                assert status in {307, 503}, outcome
                assert code in NOT_EXECUTED, outcome
                self._history.refused(code)
                return False
            case Unknown():
                self._history.record(Operation(self.name, command, invoked, None), "unknown")
            case Acked(result=result):
                answer = result_of(command, result)
                self._history.record(Operation(self.name, command, invoked, returned, answer), "ok")
        return True

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _send(self, *words: str) -> Outcome | None:
        """One command through a random node, redirects followed; None if a node could not be reached."""
        address, target = self.random.choice(self._addresses), "/v1/execute"
        body = command_body(words[0], words[1:])
        for _ in range(REDIRECTS_MAX):
            connection = self._connections.get(address)
            if connection is None:
                connection = Connection(address, timeout_s=CLIENT_TIMEOUT_S)
                self._connections[address] = connection
            try:
                response = connection.ask("POST", target, body)
            except NotSent:
                return None
            except (OSError, http.client.HTTPException) as error:
                return Unknown(repr(error))
            if response.status != 307:
                return outcome_of(response)
            address, target = response.location
        return Refused(307, "not_leader")


class Crowd:
    """Threads with a `Recorder` each, which carry out the plan until they are stopped."""

    def __init__(
        self, addresses: Sequence[str], history: History, plan: Plan, seed: str, *, threads: int
    ) -> None:
        self._plan = plan
        self._recorders = [
            Recorder(str(number), addresses, history, f"{seed}/{number}") for number in range(1, threads + 1)
        ]
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(recorder,)) for recorder in self._recorders
        ]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60.0)
            assert not thread.is_alive()
        if self._failures:
            raise self._failures[0]

    def _guarded(self, recorder: Recorder) -> None:
        try:
            while not self._stop.is_set():
                recorder.run(self._plan.next())
                self._stop.wait(recorder.random.uniform(0, 2 * PAUSE_S))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread of the test
            self._failures.append(error)
        finally:
            recorder.close()


def read_all(addresses: Sequence[str], history: History, keys: Sequence[bytes]) -> None:
    """Read every key once more, after everything else, into the history."""
    recorder = Recorder("last", addresses, history, "last")
    for key in keys:
        wait_for(lambda key=key: recorder.run(Get(key)), f"an answer to get {key!r}")  # type: ignore[misc]
    recorder.close()


def result_of(command: Command, result: Any) -> Any:
    """The answer as the machine gave it: values are bytes, in JSON they are text like a status."""
    if isinstance(command, Get | Delete) and isinstance(result, str):
        return result.encode()
    return result


def check(operations: Sequence[Operation], *, steps_max: int = STEPS_MAX) -> tuple[list[Finding], list[str]]:
    """What the search said of each key, and everything that is wrong, in sentences; none if all is well.

    A key whose search ran out of `steps_max` is a problem too: nothing is known of it.
    """
    findings, problems = registers.check(operations, steps_max=steps_max)
    undecided = [
        f"{finding.key.decode()}: {finding.verdict} ({finding.operations} operations, {finding.steps} steps)"
        for finding in findings
        if finding.verdict is Verdict.UNKNOWN
    ]
    return findings, [*undecided, *(problem.text for problem in problems)]
