"""The services of this machine, and what is read off them. A new service is a module, and a line here."""

from raftdb.machine.batches import BATCHES
from raftdb.machine.connection import CONNECTION
from raftdb.machine.counters import COUNTERS
from raftdb.machine.editing import EDITING
from raftdb.machine.expiry import EXPIRY
from raftdb.machine.operations import Operation, SessionOperation, Transaction
from raftdb.machine.revisions import REVISIONS
from raftdb.machine.scanning import SCANNING
from raftdb.machine.service import (
    Command,
    CommandSpec,
    CommandType,
    OperationType,
    Query,
    ReadHandler,
    ServiceOperation,
    WriteHandler,
)
from raftdb.machine.sessions import SESSIONS
from raftdb.machine.strings import STRINGS

SERVICES = (STRINGS, EDITING, COUNTERS, BATCHES, EXPIRY, SCANNING, REVISIONS, CONNECTION, SESSIONS)
"""All of them, in the order of help."""

COMMANDS: dict[type[Command], CommandType] = {
    command.type: command for service in SERVICES for command in service.commands
}
"""All commands by their types."""

COMMAND_TYPES: tuple[type[Command], ...] = tuple(
    sorted(COMMANDS, key=lambda command_type: COMMANDS[command_type].number)
)
"""All types of commands, in the order of their numbers in the log."""

OPERATIONS: dict[type[ServiceOperation], OperationType] = {
    operation.type: operation for service in SERVICES for operation in service.operations
}
"""What services do beside commands, by type."""

TABLE: tuple[CommandSpec, ...] = tuple(row for service in SERVICES for row in service.rows())
"""All rows of the table of commands, in the order of help: as one would learn them."""

READS: dict[type[Command], ReadHandler] = {
    command.type: command.read for command in COMMANDS.values() if command.read is not None
}
"""Handlers that only look: what `Machine.read` runs beside the log, and `apply` within it."""

WRITES: dict[type[Command], WriteHandler] = {
    command.type: command.write for command in COMMANDS.values() if command.write is not None
}
"""Handlers that may change the state: only `apply` runs them."""

QUERIES: dict[type[Query], ReadHandler] = {
    query: handler for service in SERVICES for query, handler in service.queries.items()
}
"""Handlers of what is only read beside the log."""

ENDINGS = tuple(service.ending for service in SERVICES if service.ending is not None)
"""What ends at times of the cluster clock."""

_KEYS_NAMED = {
    command.type: command.keys_named for command in COMMANDS.values() if command.keys_named is not None
}


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
