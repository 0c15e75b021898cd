"""The services of this machine, and tables made from them. A new service is a module, and a line here."""

from raftdb.machine.batches import BATCHES
from raftdb.machine.connection import CONNECTION
from raftdb.machine.counters import COUNTERS
from raftdb.machine.drawing import DRAWING
from raftdb.machine.editing import EDITING
from raftdb.machine.expiry import EXPIRY
from raftdb.machine.keys import KEYS
from raftdb.machine.locks.service import LOCKS, LOCKS_OF_SESSIONS
from raftdb.machine.operations import (
    GuardedOperation,
    Operation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.queues.service import QUEUES
from raftdb.machine.revisions import REVISIONS
from raftdb.machine.scanning import SCANNING
from raftdb.machine.service import (
    Beside,
    Command,
    CommandSpec,
    CommandType,
    Guard,
    Keeping,
    OperationType,
    Query,
    ReadHandler,
    ServiceOperation,
    WriteHandler,
)
from raftdb.machine.sessions import LEASED, NODE_SESSIONS, SESSIONS
from raftdb.machine.string_table import STRINGS
from raftdb.machine.subsequences import SUBSEQUENCES
from raftdb.machine.sweeping import Forget
from raftdb.machine.users.service import USERS

SERVICES = (
    STRINGS,
    EDITING,
    SUBSEQUENCES,
    COUNTERS,
    BATCHES,
    EXPIRY,
    KEYS,
    SCANNING,
    DRAWING,
    REVISIONS,
    QUEUES,
    LOCKS,
    LOCKS_OF_SESSIONS,
    CONNECTION,
    SESSIONS,
    LEASED,
    NODE_SESSIONS,
    USERS,
)
"""All services, in the order of help."""

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
"""The operations of services beside commands, by type."""

TABLE: tuple[CommandSpec, ...] = tuple(row for service in SERVICES for row in service.rows())
"""All rows of the table of commands, in the order of help, which is the order in which one would learn them."""

READS: dict[type[Command], ReadHandler] = {
    command.type: command.read for command in COMMANDS.values() if command.read is not None
}
"""Handlers that only read: `Machine.read` runs them beside the log, and `apply` within it."""

WRITES: dict[type[Command], WriteHandler] = {
    command.type: command.write for command in COMMANDS.values() if command.write is not None
}
"""Handlers that may change the state: only `apply` runs them."""

GUARDS: dict[type[Command], Guard] = {
    command.type: command.guard for command in COMMANDS.values() if command.guard is not None
}
"""The guards of the commands that have one."""

KEEPINGS: dict[type[Command], Keeping] = {
    command.type: command.keeping for command in COMMANDS.values() if command.keeping is not None
}
"""How sessions keep results of commands that are not kept as they are."""

BESIDE: dict[type[Command | Query], Beside] = {
    command.type: command.beside for command in COMMANDS.values() if command.beside is not None
}
"""What the leader adds to what commands have read."""

QUERIES: dict[type[Query], ReadHandler] = {
    query: handler for service in SERVICES for query, handler in service.queries.items()
}
"""Handlers of queries, which are only read beside the log."""

INVENTORIES = tuple(service.inventory for service in SERVICES if service.inventory is not None)
"""What all services have in a state."""

ENDINGS = tuple(service.ending for service in SERVICES if service.ending is not None)
"""The endings of all services."""

FORGET: dict[int, Forget] = {
    prefix: service.forget
    for service in SERVICES
    if service.forget is not None
    for prefix in service.prefixes
}
"""What removes that which is kept beside an abandoned key, by the key's first byte."""

_KEYS_NAMED = {
    command.type: command.keys_named for command in COMMANDS.values() if command.keys_named is not None
}


def keys_named(operation: Operation) -> int:
    """Return how many keys an operation names, each command of a transaction counting for at least one. That is its
    cost to apply; keys that its scans find are counted only at apply."""
    if isinstance(operation, Command):
        count = _KEYS_NAMED.get(type(operation))
        return 1 if count is None else max(1, count(operation))
    if isinstance(operation, UserOperation):
        operation = operation.operation
    if isinstance(operation, WaitingOperation):
        operation = operation.operation
    if isinstance(operation, SessionOperation):
        operation = operation.operation
    if isinstance(operation, GuardedOperation):
        return len(operation.guards) + keys_named(operation.operation)
    if not isinstance(operation, TransactionOperation):
        count = _KEYS_NAMED.get(type(operation))  # type: ignore[arg-type]  # what is no command names no key
        return 1 if count is None else max(1, count(operation))
    branches = (operation.commands, operation.otherwise)
    named = len(operation.watched) + len(operation.comparisons)
    return named + max(sum(map(keys_named, commands)) for commands in branches)
