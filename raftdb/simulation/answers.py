"""Checking all answers of a run against the model: each must be the one that the committed log gives.

The log is replayed once. The answer to a write names its entry, and the answer to a read the index of the state that
was read. A failure names no index, and must be the answer of some entry with the same operation, or, of a read, that of
some state.
"""

from collections.abc import Sequence
from typing import Any

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken
from raftdb.machine import entries
from raftdb.machine.operations import Operation, SessionOperation
from raftdb.simulation.caller import WRITES, AnswerToCheck
from raftdb.simulation.model import Model
from raftdb.simulation.modelled import Failure


def check_answers(told: Sequence[AnswerToCheck], log: Sequence[Entry]) -> Model:
    """Raise `InvariantBroken` at the first answer that the log does not explain. Returns the final database.

    `log` has every committed entry, in order, from index 1.
    """
    by_index: dict[int, list[AnswerToCheck]] = {}
    failures: list[AnswerToCheck] = []
    for answer in told:
        if answer.index is None:
            failures.append(answer)
        else:
            by_index.setdefault(answer.index, []).append(answer)
    model = Model()
    failed: dict[Operation, list[Any]] = {}
    unseen: list[tuple[Any, Any]] = []
    """The reads that have failed, with their failures, until a state is found that answers so."""
    again: dict[int, list[AnswerToCheck]] = {}
    """By index: answers that are not those of the first time, until an entry is found that gives them again."""
    for answer in failures:
        if is_read(answer.operation) and (answer.operation, answer.reply) not in unseen:
            unseen.append((answer.operation, answer.reply))
    for entry in log:
        made: tuple[Operation, Any] | None = None
        if entry.kind is EntryKind.COMMAND:
            time_ms, operation = entries.decode(entry.data)
            reply, index = model.apply(entry.index, time_ms, operation)
            if isinstance(reply, Failure):
                failed.setdefault(operation, []).append(reply)
            elif index == entry.index:
                made = (operation, reply)
            elif index in again:
                again[index] = [
                    one for one in again[index] if (one.operation, one.reply) != (operation, reply)
                ]
        for answer in by_index.get(entry.index, ()):
            if (
                isinstance(answer.operation, SessionOperation)
                and made is not None
                and made[1] != answer.reply
            ):
                again.setdefault(entry.index, []).append(answer)
            else:
                _check(answer, made, model)
        unseen = [read for read in unseen if model.read(read[0]) != read[1]]
    for answer in (one for answers in again.values() for one in answers):
        raise InvariantBroken(
            f"{answer.operation} was told {answer.reply!r} at {answer.index}, which it was not, also not again"
        )
    if unseen:
        raise InvariantBroken(f"{unseen[0][0]} was told {unseen[0][1]}, which no state answers")
    for answer in failures:
        if is_read(answer.operation):
            continue
        if answer.reply not in failed.get(answer.operation, ()):
            raise InvariantBroken(f"{answer.operation} was told {answer.reply}, which no entry answers")
    return model


def is_read(operation: Operation) -> bool:
    """True for what is not in the log."""
    return not isinstance(operation, (*WRITES, SessionOperation))


def _check(answer: AnswerToCheck, made: tuple[Operation, Any] | None, model: Model) -> None:
    """Check an answer that names an index, once the model has applied everything up to that."""
    if not is_read(answer.operation):
        expected = made
    else:
        expected = (answer.operation, model.read(answer.operation))  # type: ignore[arg-type]
    if expected != (answer.operation, answer.reply):
        raise InvariantBroken(
            f"{answer.operation} was told {answer.reply!r} at {answer.index}, the model says {expected!r}"
        )
