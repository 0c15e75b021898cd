"""What an operation needs its sender to be allowed, read off its fields.

A field says by its name what stands in it: `key`, `keys`, `pairs` and so on are names of the command's service, and
`prefix` is the beginning of all names that it may find. What says it otherwise stands in `_OTHER`. A command of which
nothing is known needs the right to everything; a test holds the whole table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from raftdb.machine.batches import MultiSet
from raftdb.machine.connection import CONNECTION
from raftdb.machine.drawing import DrawKey
from raftdb.machine.keys import Clear, Copy, Rename
from raftdb.machine.locks.levels import ReadLockLevels
from raftdb.machine.locks.service import LOCKS
from raftdb.machine.operations import (
    GuardedOperation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.queues.levels import ReadQueueLevels
from raftdb.machine.queues.managing import QueueSet
from raftdb.machine.queues.redriving import Redrive
from raftdb.machine.queues.service import QUEUES
from raftdb.machine.scanning import DatabaseSize
from raftdb.machine.service import Access, Command, Query
from raftdb.machine.services import COMMANDS, SERVICES
from raftdb.machine.strings import FencedSet
from raftdb.machine.subsequences import CommonSubsequence
from raftdb.machine.users.rights import Domain, Need

Needs = Callable[[Any], Sequence[Need]]
"""What an operation of one type needs."""

_KEYS, _QUEUES, _LOCKS = Domain.KEYS, Domain.QUEUES, Domain.LOCKS


def _one(field: str, domain: Domain, *, changes: bool) -> Needs:
    return lambda operation: (Need(domain, getattr(operation, field), changes),)


def _many(field: str, domain: Domain, *, changes: bool) -> Needs:
    return lambda operation: [Need(domain, name, changes) for name in getattr(operation, field)]


def _prefix(field: str, domain: Domain, *, changes: bool) -> Needs:
    return lambda operation: (Need(domain, getattr(operation, field), changes, is_prefix=True),)


def _all_names(domain: Domain, *, changes: bool) -> Needs:
    need = (Need(domain, b"", changes, is_prefix=True),)
    return lambda operation: need


_BY_FIELD: dict[str, Callable[..., Needs]] = {
    "key": _one,
    "queue": _one,
    "name": _one,
    "keys": _many,
    "prefix": _prefix,
}
"""What the first field of an operation says, by its name."""


def _of_queue_set(command: QueueSet) -> Sequence[Need]:
    """The queue, and another one that its dead messages are to go to."""
    targets = [value for name, value in command.settings if name == b"dead_letter" and value]
    return [Need(_QUEUES, name, changes=True) for name in (command.queue, *targets)]


_OTHER: dict[type[Any], Needs] = {
    MultiSet: lambda command: [Need(_KEYS, key, changes=True) for key, _ in command.pairs],
    FencedSet: lambda command: (Need(_KEYS, command.key, True), Need(_LOCKS, command.lock, False)),
    CommonSubsequence: lambda command: (
        Need(_KEYS, command.first, False),
        Need(_KEYS, command.second, False),
    ),
    Rename: lambda command: (Need(_KEYS, command.source, True), Need(_KEYS, command.target, True)),
    Copy: lambda command: (Need(_KEYS, command.source, False), Need(_KEYS, command.target, True)),
    Clear: _all_names(_KEYS, changes=True),
    DatabaseSize: _all_names(_KEYS, changes=False),
    DrawKey: _all_names(_KEYS, changes=False),
    QueueSet: _of_queue_set,
    Redrive: lambda command: [
        Need(_QUEUES, name, changes=True) for name in (command.queue, command.target) if name
    ],
    ReadQueueLevels: _all_names(_QUEUES, changes=False),
    ReadLockLevels: _all_names(_LOCKS, changes=False),
    **{command.type: lambda command: () for command in CONNECTION.commands},
}
"""What is needed by operations whose first field does not say it."""


def _needs_of(kind: type[Any], domain: Domain, *, changes: bool) -> Needs | None:
    names = [field.name for field in fields(kind)]
    make = _BY_FIELD.get(names[0]) if names else None
    return None if make is None else make(names[0], domain, changes=changes)


def _table() -> dict[type[Any], Needs]:
    table: dict[type[Any], Needs] = {}
    for service in SERVICES:
        domain = _QUEUES if service is QUEUES else _LOCKS if service is LOCKS else _KEYS
        writing: list[type[Any]] = [
            command.type for command in service.commands if COMMANDS[command.type].access is Access.WRITE
        ]
        for kind in (*(command.type for command in service.commands), *service.queries):
            found = _needs_of(kind, domain, changes=kind in writing)
            if found is not None:
                table[kind] = found
    return table | _OTHER


NEEDS = _table()
"""What each type of command and query needs. Types that are missing here are for administrators."""

ADMINISTRATION = tuple(Need(domain, b"", changes=True, is_prefix=True) for domain in Domain)
"""What an operation needs of which nothing is known."""


def needs(operation: object) -> Iterator[Need]:
    """All that an operation needs, each part of it counting. Those of sessions need nothing of their own: their names
    are secrets of who began them."""
    if isinstance(operation, SessionOperation | WaitingOperation | UserOperation):
        yield from needs(operation.operation)
    elif isinstance(operation, GuardedOperation):
        for guard in operation.guards:
            yield from needs(guard)
        yield from needs(operation.operation)
    elif isinstance(operation, TransactionOperation):
        for key in (*(key for key, _ in operation.watched), *(one.key for one in operation.comparisons)):
            yield Need(_KEYS, key, changes=False)
        for command in (*operation.commands, *operation.otherwise):
            yield from needs(command)
    elif isinstance(operation, Command | Query):
        found = NEEDS.get(type(operation))
        yield from ADMINISTRATION if found is None else found(operation)
