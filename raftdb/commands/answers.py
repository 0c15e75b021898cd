"""Turning results into the answers of the shell and HTTP (docs/interface.md).

A result of the machine says what happened: the old value, the new length, done or not. Each frontend has a table of its
own that turns results into its answers; this one is in the types of the commands (`CommandType.shown`). The form
depends only on the operation, and not on the result, because the result of a repeated operation of a session may be a
kept one.
"""

from typing import Any

from raftdb.errors import ReplyError
from raftdb.machine.operations import (
    GuardedOperation,
    Operation,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
    executed,
)
from raftdb.machine.reply import Told
from raftdb.machine.service import Query
from raftdb.machine.services import COMMANDS


def shown(operation: Operation | Query, result: Told) -> object:
    """The `result` of `operation` as it is shown to people; for an operation that is not a command, its value."""
    if isinstance(operation, WaitingOperation):
        operation = operation.operation
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if isinstance(operation, GuardedOperation):
        operation = operation.operation
    if isinstance(operation, TransactionOperation):
        replies: Any = result.value
        before, commands, answers = executed(operation, replies)
        return before + [
            reply if isinstance(reply, ReplyError) else shown(command, reply)
            for command, reply in zip(commands, answers, strict=True)
        ]
    command_type = COMMANDS.get(type(operation))  # type: ignore[arg-type]  # other operations have none
    return result.value if command_type is None else command_type.shown(result)
