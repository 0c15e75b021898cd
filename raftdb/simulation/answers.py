"""Was everybody told what the committed log makes of their requests? All answers of a run, against the model.

The log is replayed once. A write's answer names the entry that gave it; a read's the state that it was read from; a
failure names none, and must be what some entry with this very operation has answered.
"""

from collections.abc import Sequence
from typing import Any

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken
from raftdb.machine import entries
from raftdb.machine.operations import Operation, SessionOperation
from raftdb.simulation.caller import WRITES, Told
from raftdb.simulation.model import Failure, Model


def check_answers(told: Sequence[Told], log: Sequence[Entry]) -> Model:
    """Raise `InvariantBroken` at the first answer that the log does not explain; returns the database in the end.

    `log` has every committed entry, in order, from index 1.
    """
    by_index: dict[int, list[Told]] = {}
    failures: list[Told] = []
    for answer in told:
        if answer.index is None:
            failures.append(answer)
        else:
            by_index.setdefault(answer.index, []).append(answer)
    model = Model()
    failed: dict[Operation, list[Any]] = {}
    for entry in log:
        made: tuple[Operation, Any] | None = None
        if entry.kind is EntryKind.COMMAND:
            time_ms, operation = entries.decode(entry.data)
            reply, index = model.apply(entry.index, time_ms, operation)
            if isinstance(reply, Failure):
                failed.setdefault(operation, []).append(reply)
            elif index == entry.index:
                made = (operation, reply)
        for answer in by_index.get(entry.index, ()):
            _check(answer, made, model)
    for answer in failures:
        if answer.reply not in failed.get(answer.operation, ()):
            raise InvariantBroken(f"{answer.operation} was told {answer.reply}, which no entry answers")
    return model


def _check(answer: Told, made: tuple[Operation, Any] | None, model: Model) -> None:
    """One answer that names an index, when the model has applied everything up to there."""
    if isinstance(answer.operation, (*WRITES, SessionOperation)):
        expected = made
    else:
        expected = (answer.operation, model.read(answer.operation))  # type: ignore[arg-type]
    if expected != (answer.operation, answer.reply):
        raise InvariantBroken(
            f"{answer.operation} was told {answer.reply!r} at {answer.index}, the model says {expected!r}"
        )
