"""Replies as sessions keep them: without what is in the state anyway, and with it again if they are asked for.

A session keeps each reply until its client acknowledges it. A `receive` hands out megabytes that stand in the queue, so
a kept reply has only the ids, and is completed when it is asked for again (`CommandType.keeping`).
"""

from typing import Any

from raftdb.errors import ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.operations import GuardedOperation, TransactionOperation, Work, executed
from raftdb.machine.reply import Result
from raftdb.machine.services import KEEPINGS


def shortened(operation: Work, reply: Result | ReplyError) -> Result | ReplyError:
    """Return the reply to an operation as it is kept."""
    if isinstance(reply, ReplyError):
        return reply
    if isinstance(operation, GuardedOperation):
        operation = operation.operation
    if isinstance(operation, TransactionOperation):
        if not _is_shortened(operation):
            return reply
        parts: Any = reply.value
        before, commands, replies = executed(operation, parts)
        pairs = zip(commands, replies, strict=True)
        return Result(before + [shortened(command, part) for command, part in pairs], reply.revision)
    keeping = KEEPINGS.get(type(operation))
    return reply if keeping is None else keeping.shortened(reply)


def completed(view: KeyValueView, operation: Work, kept: Result | ReplyError) -> Result | ReplyError:
    """Return the reply to an operation of which this is kept."""
    if isinstance(kept, ReplyError):
        return kept
    if isinstance(operation, GuardedOperation):
        operation = operation.operation
    if isinstance(operation, TransactionOperation):
        if not _is_shortened(operation):
            return kept
        parts: Any = kept.value
        before, commands, replies = executed(operation, parts)
        pairs = zip(commands, replies, strict=True)
        return Result(before + [completed(view, command, part) for command, part in pairs], kept.revision)
    keeping = KEEPINGS.get(type(operation))
    return kept if keeping is None else keeping.completed(view, operation, kept)


def _is_shortened(transaction: TransactionOperation) -> bool:
    commands = (*transaction.commands, *transaction.otherwise)
    return any(type(command) in KEEPINGS for command in commands)
