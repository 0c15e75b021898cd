"""Clients that write down what they asked, when, and what came back; and the question whether that was one database.

What they ask is a list that a seed alone decides (`Plan`): who takes the next command, and when, is the machine's.
Every client sends through random nodes and follows redirects. What was surely not executed leaves no trace in the
history; what may have been (504, a connection lost after sending) has no end: it may take effect at any later time.

Searching for an order may take exponential time, so the keys change every `OPERATIONS_PER_KEY_MAX` commands. Old ones
are still read now and then, and once at the end: what was true before a fault has to be true after it.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get, Set
from raftdb.simulation.linearizability import STEPS_MAX, Failed, Finding, Operation, Verdict, check_history
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

OPERATIONS_PER_KEY_MAX = 150
CLIENT_TIMEOUT_S = 8.0
"""Longer than a node takes to say that the outcome is unknown."""
PAUSE_S = 0.01
OLD_READS = 0.05
"""Share of the commands that read a key of any generation."""
WORDS = "words"
"""Keys that are only appended to and read."""
TEXT = "text"
"""Keys that are set, appended to, read, deleted, and sometimes counted up in vain."""
NUMBER = "number"
"""Keys that are set to numbers, counted up and down, read and deleted."""
KINDS = (WORDS, TEXT, NUMBER)


class Plan:
    """The commands of a run, in their order; safe for use by several threads."""

    def __init__(self, seed: str) -> None:
        self.keys: list[bytes] = []
        """All keys, in the order of their first use."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._number = 0
        self._generation = dict.fromkeys(KINDS, 0)
        self._used = dict.fromkeys(KINDS, OPERATIONS_PER_KEY_MAX)

    def next(self) -> Command:
        """The next command."""
        with self._lock:
            self._number += 1
            return self._choose()

    def _choose(self) -> Command:
        """Some command on a key of now; the number of the command makes its value unlike any other."""
        chance = self._random.random
        if self.keys and chance() < OLD_READS:
            return Get(self._random.choice(self.keys))
        kind = self._random.choice(KINDS)
        key = self._key(kind)
        value = f"{self._number};".encode()
        share = chance()
        if share < 0.4:
            return Get(key)
        if kind == WORDS:
            return Append(key, value)
        if share < 0.5:
            return Delete(key)
        if kind == TEXT:
            if share < 0.53:
                return IncrementBy(key, 1)
            return Set(key, value) if share < 0.75 else Append(key, value)
        if share < 0.65:
            # Far enough apart that counting never leads from one to another.
            return Set(key, b"%d" % (self._number * 1_000_000))
        return IncrementBy(key, 1)

    def _key(self, kind: str) -> bytes:
        if self._used[kind] >= OPERATIONS_PER_KEY_MAX:
            self._generation[kind] += 1
            self._used[kind] = 0
            self.keys.append(b"%s-%d" % (kind.encode(), self._generation[kind]))
        self._used[kind] += 1
        return b"%s-%d" % (kind.encode(), self._generation[kind])


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


def words_of(command: Command) -> tuple[str, ...]:
    """The command as a person would type it."""
    match command:
        case Get(key):
            return "get", key.decode()
        case Set(key, value):
            return "set", key.decode(), value.decode()
        case Append(key, value):
            return "append", key.decode(), value.decode()
        case Delete(key):
            return "del", key.decode()
        case IncrementBy(key, 1):
            return "incr", key.decode()
    raise AssertionError(command)


def result_of(command: Command, result: Any) -> Any:
    """The answer as the machine gave it: values are bytes, in JSON they are text like a status."""
    if isinstance(command, Get | Delete) and isinstance(result, str):
        return result.encode()
    return result


def check(operations: Sequence[Operation], *, steps_max: int = STEPS_MAX) -> tuple[list[Finding], list[str]]:
    """What the search said of each key, and everything that is wrong, in sentences; none if all is well.

    A key whose search ran out of `steps_max` is a problem too: nothing is known of it.
    """
    findings = check_history(settled(operations), steps_max=steps_max)
    problems = [
        f"{finding.key.decode()}: {finding.verdict} ({finding.operations} operations, {finding.steps} steps); "
        f"unexplained: {finding.unexplained}"
        for finding in findings
        if finding.verdict is not Verdict.LINEARIZABLE
    ]
    appends: dict[bytes, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.command, Append) and operation.command.key.startswith(WORDS.encode()):
            appends.setdefault(operation.command.key, []).append(operation)
    for key in sorted(appends):
        problems += check_words(key, appends[key], last_value(key, operations))
    return findings, problems


def settled(operations: Sequence[Operation]) -> list[Operation]:
    """The operations without the appends of unknown outcome that the last read shows never to have happened.

    Only of keys that nobody sets or deletes can that be said. It makes the search shorter, and no less strict: whoever
    saw such a word has no explanation left.
    """
    words = {
        operation.command.key
        for operation in operations
        if isinstance(operation.command, Append) and operation.command.key.startswith(WORDS.encode())
    }
    values = {key: last_value(key, operations) for key in sorted(words)}
    return [
        operation
        for operation in operations
        if operation.returned is not None
        or not isinstance(operation.command, Append)
        or operation.command.key not in values
        or operation.command.value in values[operation.command.key]
    ]


def last_value(key: bytes, operations: Sequence[Operation]) -> bytes:
    """What the read of `key` that began last has found."""
    reads = [
        operation
        for operation in operations
        if operation.command == Get(key) and operation.returned is not None
    ]
    assert reads, f"{key!r} was never read"
    value = max(reads, key=lambda operation: operation.invoked).result
    assert isinstance(value, bytes)
    return value


def check_words(key: bytes, appends: Sequence[Operation], value: bytes) -> list[str]:
    """Every acknowledged word stands in `value` exactly once, no word behind one that was sent after its answer."""
    name = key.decode()
    by_word = {append.command.value: append for append in appends if isinstance(append.command, Append)}
    words = [word + b";" for word in value.split(b";")[:-1]]
    problems = []
    if lost := sorted(
        word for word, append in by_word.items() if append.returned is not None and word not in words
    ):
        problems.append(f"{name}: acknowledged, and lost: {lost[:10]}")
    if strange := sorted(set(words) - set(by_word)):
        problems.append(f"{name}: nobody wrote {strange[:10]}")
    if len(words) != len(set(words)):
        problems.append(f"{name}: a word was appended twice")
    latest = -1
    for word in words:
        if word in by_word:
            returned = by_word[word].returned
            if returned is not None and returned < latest:
                problems.append(f"{name}: {word!r} stands behind a word that was sent after its answer")
            latest = max(latest, by_word[word].invoked)
    return problems
