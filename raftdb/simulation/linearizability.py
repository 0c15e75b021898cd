"""Checking that answers are linearizable: that one copy of the data could have given them (Herlihy and Wing, 1990).

A history is a list of `Operation`s: the command and the answer of each, and when it began and ended. It is linearizable
if every operation can be given one point in time between its invocation and its return, so that executing them in that
order gives the same answers. Keys are independent, so each is searched alone; a command over several keys is split into
one operation per key, which checks less than its atomicity, but never too much.

* An operation whose outcome is unknown (`returned` is None) may have taken effect at any time after its invocation, or
  never. If it changes nothing it is dropped, and so is one that surely was not executed.
* The search is that of Wing and Gong with Lowe's memory: it walks the events in the order of time, and tries each
  operation that could come next; when an operation has to return and was not placed, it undoes the last one placed. A
  set of placed operations with a value that was reached before is not tried again.
* The search may take exponential time. When its budget is used up the verdict is `UNKNOWN`, never a pass.

The rules of the commands are written here a second time, on purpose, so that they are independent of the machine's.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, parse_integer
from raftdb.machine.keys import Clear
from raftdb.machine.scanning import DatabaseSize, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.strings import Delete, Get, Set, Strlen

STEPS_MAX = 2_000_000
"""Events visited for one key before the search gives up, after a few seconds."""


class Verdict(StrEnum):
    """The outcome of a search."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "not linearizable"
    UNKNOWN = "unknown: out of budget"


class Failed(NamedTuple):
    """The answer of a command that ran and failed."""

    message: str


class Operation(NamedTuple):
    """One command of one client. Times are numbers of any unit; `result` counts only if it has `returned`.

    `result` is what `raftdb.machine.reply.Result.value` would be, or `Failed`.
    """

    client: str
    command: Command
    invoked: int
    returned: int | None
    result: Any = None


class Finding(NamedTuple):
    """The result of the search for one key; for a violation, with the first operation that no order could explain."""

    key: bytes
    verdict: Verdict
    operations: int
    steps: int
    unexplained: Operation | None = None


Value = bytes | None
"""The value of a key; None if it does not exist."""
Step = Callable[[Value], tuple[Value, Any]]
"""The effect of a command on one key: from the old value to (new value, answer)."""


class _Part(NamedTuple):
    """The part of an operation that concerns one key: its step, and its answer."""

    operation: Operation
    step: Step
    result: Any
    writes: bool


def check_history(operations: Iterable[Operation], *, steps_max: int = STEPS_MAX) -> list[Finding]:
    """One finding per key, in the order of the keys."""
    by_key: dict[bytes, list[_Part]] = {}
    of_all = []
    for operation in operations:
        if isinstance(operation.command, Clear):
            of_all.append(_Part(operation, _end, operation.result, True))
            continue
        for key, part in _parts(operation):
            if part.operation.returned is not None or part.writes:
                by_key.setdefault(key, []).append(part)
    for parts in by_key.values():
        parts += of_all
    return [_check_key(key, by_key[key], steps_max) for key in sorted(by_key)]


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The worst verdict of all keys: a violation before an unknown before a pass."""
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.VIOLATION, Verdict.UNKNOWN):
        if verdict in verdicts:
            return verdict
    return Verdict.LINEARIZABLE


def replay(value: Value, command: Command) -> tuple[Value, Any]:
    """Run a command of one key on `value`; returns (new value, answer)."""
    ((_, part),) = _parts(Operation("", command, 0, None))
    return part.step(value)


def _parts(operation: Operation) -> list[tuple[bytes, _Part]]:
    """The parts of an operation, by key."""
    command, result = operation.command, operation.result
    match command:
        case Ping() | Keys() | Scan() | DatabaseSize():
            # An answer about all keys proves nothing about one of them.
            return []
        case MultiGet(keys):
            answers = [None] * len(keys) if operation.returned is None else result
            if isinstance(answers, Failed):
                return []
            return [
                (key, _Part(operation, _read_or_none, answer, False))
                for key, answer in zip(keys, answers, strict=True)
            ]
        case MultiSet(pairs):
            return [
                (key, _Part(operation, _setting(value), result, True)) for key, value in dict(pairs).items()
            ]
        case Exists(keys):
            # A sum over several keys proves nothing about one of them.
            return [(keys[0], _Part(operation, _exists, result, False))] if len(keys) == 1 else []
    step, writes = _STEPS[type(command)](command)
    key: bytes = command.key  # type: ignore[attr-defined]  # all in the table have one
    return [(key, _Part(operation, step, result, writes))]


def _read(value: Value) -> tuple[Value, Any]:
    return value, value or b""


def _read_or_none(value: Value) -> tuple[Value, Any]:
    return value, value


def _exists(value: Value) -> tuple[Value, Any]:
    return value, int(value is not None)


def _length(value: Value) -> tuple[Value, Any]:
    return value, len(value or b"")


def _end(value: Value) -> tuple[Value, Any]:
    return None, "OK"


def _remove(value: Value) -> tuple[Value, Any]:
    return None, value or b""


def _setting(new: bytes) -> Step:
    return lambda value: (new, "OK")


def _appending(more: bytes) -> Step:
    return lambda value: ((value or b"") + more, "OK")


def _adding(delta: int) -> Step:
    def step(value: Value) -> tuple[Value, Any]:
        number = 0 if value is None else parse_integer(value)
        if number is None:
            return value, Failed("value is not an integer or out of range")
        if not INTEGER_MIN <= number + delta <= INTEGER_MAX:
            return value, Failed("increment or decrement would overflow")
        return b"%d" % (number + delta), number + delta

    return step


_STEPS: dict[type[Command], Callable[[Any], tuple[Step, bool]]] = {
    Get: lambda command: (_read, False),
    Strlen: lambda command: (_length, False),
    Set: lambda command: (_setting(command.value), True),
    Append: lambda command: (_appending(command.value), True),
    Delete: lambda command: (_remove, True),
    IncrementBy: lambda command: (_adding(command.delta), True),
}
"""The commands of one key: their steps, and whether they write."""


class _Timeline:
    """The events of one key in the order of time, as a doubly linked list from which operations are lifted.

    Event `2 i + 1` is the invocation of part `i`, `2 i + 2` its return; 0 is the head. At equal times invocations come
    first, so that operations that may be concurrent count as concurrent.
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        events: list[tuple[int, int, int]] = []
        for number, part in enumerate(parts):
            events.append((part.operation.invoked, 0, 2 * number + 1))
            if part.operation.returned is not None:
                events.append((part.operation.returned, 1, 2 * number + 2))
        order = [0, *(event for _, _, event in sorted(events))]
        size = 2 * len(parts) + 3
        self.end = size - 1
        self.next = [self.end] * size
        self.previous = [0] * size
        for left, right in zip(order, [*order[1:], self.end], strict=True):
            self.next[left] = right
            self.previous[right] = left
        self._has_return = [part.operation.returned is not None for part in parts]

    def lift(self, number: int) -> None:
        """Take out the events of one operation."""
        self._unlink(2 * number + 1)
        if self._has_return[number]:
            self._unlink(2 * number + 2)

    def put_back(self, number: int) -> None:
        """Undo the last `lift`, which was of this operation."""
        if self._has_return[number]:
            self._relink(2 * number + 2)
        self._relink(2 * number + 1)

    def _unlink(self, event: int) -> None:
        before, after = self.previous[event], self.next[event]
        self.next[before] = after
        self.previous[after] = before

    def _relink(self, event: int) -> None:
        self.next[self.previous[event]] = event
        self.previous[self.next[event]] = event


def _check_key(key: bytes, parts: Sequence[_Part], steps_max: int) -> Finding:
    """Search for an order that explains all answers about one key. At first the key does not exist."""
    timeline = _Timeline(parts)
    left_to_explain = sum(part.operation.returned is not None for part in parts)
    value: Value = None
    placed = 0  # a bit per operation
    depth_best = -1
    unexplained: Operation | None = None
    seen: set[tuple[int, Value]] = set()
    undo: list[tuple[int, Value]] = []
    event = timeline.next[0]
    steps = 0
    while left_to_explain:
        steps += 1
        if steps > steps_max:
            return Finding(key, Verdict.UNKNOWN, len(parts), steps)
        if event & 1 and event != timeline.end:
            number = event >> 1
            part = parts[number]
            after, answer = part.step(value)
            has_returned = part.operation.returned is not None
            if not has_returned or (answer == part.result and type(answer) is type(part.result)):
                reached = (placed | (1 << number), after)
                if reached not in seen:
                    seen.add(reached)
                    undo.append((number, value))
                    placed, value = reached
                    left_to_explain -= has_returned
                    timeline.lift(number)
                    event = timeline.next[0]
                    continue
            event = timeline.next[event]
            continue
        # An operation has to return here and was not placed, so the last choice was wrong.
        if event != timeline.end and len(undo) > depth_best:
            depth_best, unexplained = len(undo), parts[(event >> 1) - 1].operation
        if not undo:
            return Finding(key, Verdict.VIOLATION, len(parts), steps, unexplained)
        number, value = undo.pop()
        placed ^= 1 << number
        left_to_explain += parts[number].operation.returned is not None
        timeline.put_back(number)
        event = timeline.next[2 * number + 1]
    return Finding(key, Verdict.LINEARIZABLE, len(parts), steps)
