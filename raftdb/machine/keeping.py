"""Replies as sessions keep them: without what is in the state anyway, and with it again if they are asked for.

A session keeps each reply until its client acknowledges it. A `receive` hands out megabytes that stand in the queue, so
a kept reply has only the ids, and is completed when it is asked for again (`CommandType.keeping`).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from raftdb.errors import ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.operations import GuardedOperation, TransactionOperation, Work, executed
from raftdb.machine.reply import Result
from raftdb.machine.service import Command, Keeping
from raftdb.machine.services import KEEPINGS

Change: TypeAlias = Callable[[Keeping, Command, Result], Result]
"""What is done with the reply of one command, by the way in which that is kept."""


def shortened(operation: Work, reply: Result | ReplyError) -> Result | ReplyError:
    """Return the reply to an operation as it is kept."""
    return _changed(operation, reply, lambda keeping, command, part: keeping.shortened(part))


def completed(view: KeyValueView, operation: Work, kept: Result | ReplyError) -> Result | ReplyError:
    """Return the reply to an operation of which this is kept."""
    return _changed(operation, kept, lambda keeping, command, part: keeping.completed(view, command, part))


def _changed(operation: Work, reply: Result | ReplyError, change: Change) -> Result | ReplyError:
    """The reply with those parts changed that belong to commands which are kept otherwise than they are answered."""
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
        return Result(before + [_changed(command, part, change) for command, part in pairs], reply.revision)
    keeping = KEEPINGS.get(type(operation))
    return reply if keeping is None else change(keeping, operation, reply)


def _is_shortened(transaction: TransactionOperation) -> bool:
    commands = (*transaction.commands, *transaction.otherwise)
    return any(type(command) in KEEPINGS for command in commands)
