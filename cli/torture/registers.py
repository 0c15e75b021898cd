"""Registers: single commands on single keys, whose answers have to be those of one copy of the data.

What is asked is a list that a seed alone decides (`Plan`): who takes the next command, and when, is the machine's. What
was surely not executed leaves no trace in the history; what may have been has no end: it may take effect at any later
time.

Searching for an order may take exponential time, so the keys change every `OPERATIONS_PER_KEY_MAX` commands. Old ones
are still read now and then, and once at the end: what was true before a fault has to be true after it.
"""

import random
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from cli.torture.recorder import Ending, Recorder
from cli.torture.workload import PART_SHOWN_MAX, Checked, Line, Problem, Worker, Workload, shown
from raftdb.client.sync_client import Client
from raftdb.errors import LocalProtocolError
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get, Set
from raftdb.simulation.linearizability import (
    STEPS_MAX,
    Failed,
    Finding,
    Operation,
    Verdict,
    check_history,
)

OPERATIONS_PER_KEY_MAX = 150
OLD_READS = 0.05
"""Share of the commands that read a key of any generation."""
WORDS = "words"
"""Keys that are only appended to and read."""
TEXT = "text"
"""Keys that are set, appended to, read, deleted, and sometimes counted up in vain."""
NUMBER = "number"
"""Keys that are set to numbers, counted up and down, read and deleted."""
KINDS = (WORDS, TEXT, NUMBER)
STEPS_PER_KEY_MAX = STEPS_MAX // 4
"""Events that are visited for one key: the memory of a search grows with them, to some 100 MB here."""
SHRINK_STEPS_MAX = 20_000
"""Events that are visited each time that a violation is tried to be shown with fewer operations."""


class Plan:
    """The commands of a run, in their order; safe for use by several threads."""

    def __init__(self, seed: str, prefix: str = "") -> None:
        """All keys begin with `prefix`."""
        self.keys: list[bytes] = []
        """All keys, in the order of their first use."""
        self._prefix = prefix
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._number = 0
        self._generation: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._used: dict[str, int] = dict.fromkeys(KINDS, OPERATIONS_PER_KEY_MAX)

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
            self.keys.append(self._name(kind))
        self._used[kind] += 1
        return self._name(kind)

    def _name(self, kind: str) -> bytes:
        return f"{self._prefix}{kind}-{self._generation[kind]}".encode()


class Registers(Workload):
    """See the module."""

    name = "registers"
    clients = 4

    def __init__(self, number: int, seed: str, recorder: Recorder) -> None:
        super().__init__(number, seed, recorder)
        self.plan = Plan(f"{seed}/{number}", f"r{number}-")
        self.operations: list[Operation] = []

    def step(self, client: Client[bytes], worker: Worker) -> None:
        """The next command of the plan."""
        self._run(client, worker.name, self.plan.next())

    def finish(self, client: Client[bytes]) -> None:
        """Read all keys."""
        for key in self.plan.keys:
            attempt = self.certain(partial(client.get, key))
            self._note(Operation("last", Get(key), attempt.invoked, attempt.returned, attempt.value or b""))

    def check(self) -> Checked:
        """Search for one order for each key."""
        findings, problems = check(self.operations, steps_max=STEPS_PER_KEY_MAX)
        undecided = sum(finding.verdict is Verdict.UNKNOWN for finding in findings)
        return Checked(problems, len(findings), undecided)

    def history(self) -> Iterator[Line]:
        """All operations but those that were surely not executed."""
        return map(line_of, self.operations)

    def _run(self, client: Client[bytes], name: str, command: Command) -> None:
        words = words_of(command)
        writes = not isinstance(command, Get)
        attempt = self.attempt(lambda: client.execute(words[0], words[1:]).value, writes=writes)
        if attempt.ending is Ending.REFUSED:
            return
        is_unknown = attempt.ending is Ending.UNKNOWN
        result = attempt.value
        if attempt.ending is Ending.FAILED:
            result = Failed(str(attempt.error))
        returned = None if is_unknown else attempt.returned
        self._note(Operation(name, command, attempt.invoked, returned, result))

    def _note(self, operation: Operation) -> None:
        with self.lock:
            self.operations.append(operation)


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
    raise LocalProtocolError(f"no plan has {command}")


def line_of(operation: Operation) -> Line:
    """An operation as it is written to a file; `returned_ns` is null if its outcome is unknown."""
    return {
        "client": operation.client,
        "command": " ".join(words_of(operation.command)),
        "invoked_ns": operation.invoked,
        "returned_ns": operation.returned,
        "result": None if operation.returned is None else shown(operation.result),
    }


def is_words(key: bytes) -> bool:
    """Whether this is a key that is only appended to and read."""
    return f"{WORDS}-".encode() in key


def check(
    operations: Sequence[Operation], *, steps_max: int = STEPS_MAX
) -> tuple[list[Finding], list[Problem]]:
    """What the search said of each key, and all that is wrong; nothing if all is well.

    Of a key whose search ran out of `steps_max` nothing is known: that is no problem, and no pass either, and its
    finding says so.
    """
    findings = check_history(settled(operations), steps_max=steps_max)
    problems = [
        Problem(
            f"{shown(finding.key)}: {finding.verdict} ({finding.operations} operations); "
            f"no order explains {finding.unexplained}",
            [line_of(operation) for operation in smallest(finding, operations)],
        )
        for finding in findings
        if finding.verdict is Verdict.VIOLATION
    ]
    appends: dict[bytes, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.command, Append) and is_words(operation.command.key):
            appends.setdefault(operation.command.key, []).append(operation)
    for key in sorted(appends):
        problems += map(Problem, check_words(key, appends[key], last_value(key, operations)))
    return findings, problems


def smallest(finding: Finding, operations: Sequence[Operation]) -> list[Operation]:
    """Fewer operations of a key that no order explains either.

    What began after the unexplained operation had returned is left out, and then as many reads as can be: the rest
    stays, for without a write the reads of it would seem wrong.
    """
    mine = [one for one in operations if getattr(one.command, "key", None) == finding.key]
    end = None if finding.unexplained is None else finding.unexplained.returned
    if end is not None:
        cut = [
            one._replace(returned=None, result=None)
            if one.returned is not None and one.returned > end
            else one
            for one in mine
            if one.invoked <= end
        ]
        mine = cut if _is_violation(cut) else mine
    for one in [one for one in mine if isinstance(one.command, Get)]:
        fewer = [other for other in mine if other is not one]
        if _is_violation(fewer):
            mine = fewer
    return sorted(mine, key=lambda one: one.invoked)[-PART_SHOWN_MAX:]


def _is_violation(operations: Sequence[Operation]) -> bool:
    findings = check_history(operations, steps_max=SHRINK_STEPS_MAX)
    return any(finding.verdict is Verdict.VIOLATION for finding in findings)


def settled(operations: Sequence[Operation]) -> list[Operation]:
    """The operations without the appends of unknown outcome that the last read shows never to have happened.

    Only of keys that nobody sets or deletes can that be said. It makes the search shorter, and no less strict: whoever
    saw such a word has no explanation left.
    """
    words = {
        operation.command.key
        for operation in operations
        if isinstance(operation.command, Append) and is_words(operation.command.key)
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
    if not reads:
        raise LocalProtocolError(f"{key!r} was never read")
    value: Any = max(reads, key=lambda operation: operation.invoked).result
    return bytes(value)


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
