"""What came of an operation, as the shell and HTTP show it (docs/interface.md).

Results of the machine say what happened: the value that was there, the length that came of it, done or not. Each
frontend has a table of its own that makes its words of them; this one is in the types of the commands
(`CommandType.shown`). What was asked decides, and never what comes back: the answer to an operation of a session that
was done before may be read from where it is kept.
"""

from typing import Any

from raftdb.errors import ReplyError
from raftdb.machine.operations import Operation, SessionOperation, TransactionOperation
from raftdb.machine.reply import Told
from raftdb.machine.service import Query
from raftdb.machine.services import COMMANDS


def shown(operation: Operation | Query, result: Told) -> object:
    """The `result` of `operation` as people are shown it; of what is no command, its value as it is."""
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if isinstance(operation, TransactionOperation):
        replies: Any = result.value
        return [
            reply if isinstance(reply, ReplyError) else shown(command, reply)
            for command, reply in zip(operation.commands, replies, strict=True)
        ]
    command_type = COMMANDS.get(type(operation))  # type: ignore[arg-type]  # what is no command has none
    return result.value if command_type is None else command_type.shown(result)
