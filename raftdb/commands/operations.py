"""What an entry of the log may ask for beside a single command: several at once, and a client's sessions.

An *operation* is what is proposed, and what `raftdb.machine` applies as one. A transaction is one of them, so all of
it happens at one point of the log, or none. A `SessionOperation` wraps a command or a transaction with the number that
lets the machine tell a repetition (exactly once). What they mean in full: docs/interface.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from raftdb.commands.model import Command, Exists, MultiGet, MultiSet

SESSION_NAME_BYTES = 16
"""Length of a session's name, which its client draws at random: 128 bits, so that no two meet."""


class Mode(IntEnum):
    """What a failing command does to its transaction. The numbers are in the log: never reuse one."""

    REDIS = 0
    """Its error stands in its place among the results, and the others are executed (Redis' MULTI)."""
    ATOMIC = 1
    """Nothing of the transaction is executed."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Execute `commands` in order at one point of the log, if no key of `watched` has changed.

    `watched`: pairs of a key and the revision that it must still have, 0 for a key that must be missing.
    """

    commands: tuple[Command, ...]
    watched: tuple[tuple[bytes, int], ...] = ()
    mode: Mode = Mode.REDIS


@dataclass(frozen=True, slots=True)
class SessionOperation:
    """Execute `operation` once, however often this arrives with the same `session` and `sequence`.

    `session` is the name it was registered under, `sequence` counts from 1. The client waits for no answer below
    `acknowledged`: those need not be kept.
    """

    session: bytes
    sequence: int
    acknowledged: int
    operation: "Command | Transaction"


@dataclass(frozen=True, slots=True)
class RegisterSession:
    """Begin a session of this name, or find that it is there already."""

    session: bytes


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End a session: what is kept for it may go."""

    session: bytes


@dataclass(frozen=True, slots=True)
class Expire:
    """End everything whose time is up at the time of this entry; proposed by a leader, never by a client."""


Operation: TypeAlias = Command | Transaction | SessionOperation | RegisterSession | CloseSession | Expire
"""What one entry of the log can hold."""

ClientOperation: TypeAlias = Command | Transaction | SessionOperation | RegisterSession | CloseSession
"""What a client may ask for."""

_KEYS_NAMED: dict[type[Command], Callable[[Any], int]] = {
    Exists: lambda command: len(command.keys),
    MultiGet: lambda command: len(command.keys),
    MultiSet: lambda command: len(command.pairs),
}
"""How many keys a command names, where that is not one."""


def keys_named(operation: Operation) -> int:
    """Return how many keys an operation names, each command of a transaction counting for at least one: what it costs
    to apply. What its scans find is not known before, and counted then."""
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if not isinstance(operation, Transaction):
        count = _KEYS_NAMED.get(type(operation))  # type: ignore[arg-type]  # what is no command names no key
        return 1 if count is None else max(1, count(operation))
    named = len(operation.watched)
    for command in operation.commands:
        count = _KEYS_NAMED.get(type(command))
        named += 1 if count is None else max(1, count(command))
    return named
