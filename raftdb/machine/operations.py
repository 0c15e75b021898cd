"""The operations beside a single command that an entry may hold: several commands at once, and operations done once
however often they are sent.

An *operation* is proposed and applied as one. A `TransactionOperation` is one of them: what a client's transaction
comes to when it is committed. So all of it happens at one point of the log, or none. A `SessionOperation` wraps a
command or a transaction with the number that lets the machine tell a repetition (exactly once). What they mean in full:
docs/interface.md.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from raftdb.machine.service import Command, Query, ServiceOperation


class Mode(IntEnum):
    """What a failing command does to its transaction. The numbers are in the log: never reuse one."""

    REDIS = 0
    """Its error stands in its place among the results, and the others are executed (Redis' MULTI)."""
    ATOMIC = 1
    """Nothing of the transaction is executed."""


class Relation(IntEnum):
    """How what is there has to compare with an operand. The numbers are in the log: never reuse one."""

    EQUAL = 0
    NOT_EQUAL = 1
    LESS = 2
    GREATER = 3


class Comparison(NamedTuple):
    """A condition on one key: how its revision (a number, 0 for a missing key) or its value (bytes) compares with
    `operand`. The value of a missing key only is not equal to anything."""

    key: bytes
    relation: Relation
    operand: int | bytes


@dataclass(frozen=True, slots=True)
class TransactionOperation:
    """Execute `commands` in order at one point of the log, if no key of `watched` has changed.

    `watched`: pairs of a key and the revision that it must still have, 0 for a key that must be missing. `watched_at`:
    the index of the earliest state in which they were seen, so that a missing key that came and went has changed, too;
    0 if nobody says.

    With `comparisons` it branches: if not all of them hold, `otherwise` is executed instead of `commands`. Before the
    answers stands True or False then, for which of the two it was.
    """

    commands: tuple[Command, ...]
    watched: tuple[tuple[bytes, int], ...] = ()
    mode: Mode = Mode.REDIS
    comparisons: tuple[Comparison, ...] = ()
    otherwise: tuple[Command, ...] = ()
    watched_at: int = 0


def executed(
    operation: TransactionOperation, answers: list[Any]
) -> tuple[list[Any], tuple[Command, ...], list[Any]]:
    """Return what stands before the answers of the commands of a transaction, the commands that were executed, and
    their answers."""
    if not operation.comparisons:
        return [], operation.commands, answers
    return answers[:1], operation.commands if answers[0] else operation.otherwise, answers[1:]


@dataclass(frozen=True, slots=True)
class GuardedOperation:
    """Execute `operation` if the guards of the commands `guards` do not object (`CommandType.guard`); they themselves
    are not executed. The answer is that of `operation`."""

    guards: tuple[Command, ...]
    operation: "Command | TransactionOperation"


Work: TypeAlias = Command | TransactionOperation | GuardedOperation
"""The operations that may stand in a session, and be done once."""


@dataclass(frozen=True, slots=True)
class SessionOperation:
    """Execute `operation` once, however often this arrives with the same `session` and `sequence`.

    `session` is the name it was registered under, `sequence` counts from 1. The client waits for no answer below
    `acknowledged`: those need not be kept.
    """

    session: bytes
    sequence: int
    acknowledged: int
    operation: Work


@dataclass(frozen=True, slots=True)
class WaitingOperation:
    """Execute `operation`, whose sender waits until it is served (`raftdb.machine.waiting`): a place in a line is taken
    for it, and no session keeps the reply that it has got nothing yet. Only a leader proposes this."""

    operation: "Command | SessionOperation"


@dataclass(frozen=True, slots=True)
class UserOperation:
    """Execute `operation` if `user` may. It was admitted when the users had last changed at the index `revision`: if
    they have changed since, it is judged anew, on every replica alike."""

    user: bytes
    revision: int
    operation: Any
    """What a client asks for, or a `WaitingOperation` with it; or a query, which is never in the log."""


@dataclass(frozen=True, slots=True)
class Expire:
    """End all values and sessions whose time is up at the time of this entry; proposed by a leader, never by a
    client."""


ClientOperation: TypeAlias = Work | SessionOperation | ServiceOperation
"""The operations that a client may ask for."""

Submission: TypeAlias = ClientOperation | UserOperation | Query
"""What a node is asked for: a client's operation or a query, on behalf of a user or not."""

Operation: TypeAlias = ClientOperation | WaitingOperation | UserOperation | Expire
"""The operations that one entry of the log can hold."""


def asked_of(operation: Any) -> Any:
    """Return what is asked for, without the user on whose behalf it is."""
    return operation.operation if type(operation) is UserOperation else operation


def on_behalf_of(whose: object, operation: Any) -> Any:
    """Return `operation` on behalf of the same user as `whose`, if that is on behalf of one."""
    return replace(whose, operation=operation) if isinstance(whose, UserOperation) else operation
