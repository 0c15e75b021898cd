"""raftdb: a replicated, durable key-value database on Raft, started with one command.

```python
from raftdb import Client

with Client("127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003") as client:
    client.set("kunci", "satu")
    client.get("kunci")  # b"satu"
```

The packages are layers, and imports run one way only, to the right: server | simulation > frontend > forwarding > node
> transport | client > commands > machine > wire > core > single modules such as memory > limits > errors > endpoint.
This module loads nothing until one of its names is asked for: a one-shot command imports it and must be quick.
`storage` (LMDB) and `cli` (the shell) are packages of the same distribution beside it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftdb.client.async_client import AsyncClient
    from raftdb.client.async_elections import AsyncElection
    from raftdb.client.async_jobs import AsyncJob
    from raftdb.client.async_locks import AsyncHeld, AsyncLock, AsyncReadWriteLock
    from raftdb.client.async_queues import AsyncQueue
    from raftdb.client.async_schedules import AsyncEvery
    from raftdb.client.async_transaction import AsyncTransaction
    from raftdb.client.async_watching import AsyncWatch
    from raftdb.client.backup import BackupDamaged
    from raftdb.client.comparing import Comparison
    from raftdb.client.credentials import Credentials
    from raftdb.client.encryption import Tls
    from raftdb.client.http1 import Sink
    from raftdb.client.leases import LockLost, LockTimeout, SessionLost
    from raftdb.client.model import (
        Answer,
        AuditEvent,
        Change,
        KeyPage,
        KeyValue,
        LogEntry,
        LogPage,
        Member,
        Membership,
        NewToken,
        NodeStatus,
        Role,
        Token,
        TransactionAnswer,
        User,
        Value,
    )
    from raftdb.client.retrying import transactional
    from raftdb.client.service_methods import Put
    from raftdb.client.sync_client import Client
    from raftdb.client.sync_elections import Election
    from raftdb.client.sync_jobs import Job
    from raftdb.client.sync_locks import Held, Lock, ReadWriteLock
    from raftdb.client.sync_queues import Queue
    from raftdb.client.sync_schedules import Every
    from raftdb.client.sync_transaction import Transaction
    from raftdb.client.sync_watching import Watch
    from raftdb.errors import (
        CommandFailed,
        Compacted,
        Conflict,
        Deadlock,
        Fenced,
        Forbidden,
        LeaderHint,
        LocalProtocolError,
        OutcomeUnknown,
        QueueFull,
        RaftdbError,
        RemoteProtocolError,
        RequestRefused,
        SessionExpired,
        Unauthenticated,
        Unavailable,
    )

__version__ = "0.1.0"

__all__ = [
    "Client",
    "AsyncClient",
    "Tls",
    "transactional",
    "Transaction",
    "AsyncTransaction",
    "Lock",
    "AsyncLock",
    "ReadWriteLock",
    "AsyncReadWriteLock",
    "Held",
    "AsyncHeld",
    "Queue",
    "AsyncQueue",
    "Job",
    "AsyncJob",
    "Put",
    "Election",
    "AsyncElection",
    "Every",
    "AsyncEvery",
    "RaftdbError",
    "Conflict",
    "Fenced",
    "Deadlock",
    "LockTimeout",
    "LockLost",
    "SessionLost",
    "QueueFull",
    "Unavailable",
    "OutcomeUnknown",
    "SessionExpired",
    "CommandFailed",
    "RequestRefused",
    "Unauthenticated",
    "Forbidden",
    "RemoteProtocolError",
    "LocalProtocolError",
    "BackupDamaged",
    "Comparison",
    "Answer",
    "TransactionAnswer",
    "Value",
    "KeyValue",
    "KeyPage",
    "NodeStatus",
    "Member",
    "Membership",
    "LeaderHint",
    "LogPage",
    "LogEntry",
    "Credentials",
    "AuditEvent",
    "User",
    "Role",
    "Token",
    "NewToken",
    "Sink",
    "Watch",
    "AsyncWatch",
    "Change",
    "Compacted",
]

_MODULES = {
    "Client": "raftdb.client.sync_client",
    "AsyncClient": "raftdb.client.async_client",
    "Tls": "raftdb.client.encryption",
    "transactional": "raftdb.client.retrying",
    "Transaction": "raftdb.client.sync_transaction",
    "AsyncTransaction": "raftdb.client.async_transaction",
    "Lock": "raftdb.client.sync_locks",
    "AsyncLock": "raftdb.client.async_locks",
    "ReadWriteLock": "raftdb.client.sync_locks",
    "AsyncReadWriteLock": "raftdb.client.async_locks",
    "Held": "raftdb.client.sync_locks",
    "AsyncHeld": "raftdb.client.async_locks",
    "Queue": "raftdb.client.sync_queues",
    "AsyncQueue": "raftdb.client.async_queues",
    "Job": "raftdb.client.sync_jobs",
    "AsyncJob": "raftdb.client.async_jobs",
    "Put": "raftdb.client.service_methods",
    "Comparison": "raftdb.client.comparing",
    "Election": "raftdb.client.sync_elections",
    "AsyncElection": "raftdb.client.async_elections",
    "Every": "raftdb.client.sync_schedules",
    "AsyncEvery": "raftdb.client.async_schedules",
    "LockTimeout": "raftdb.client.leases",
    "LockLost": "raftdb.client.leases",
    "SessionLost": "raftdb.client.leases",
    "BackupDamaged": "raftdb.client.backup",
    "Credentials": "raftdb.client.credentials",
    "Sink": "raftdb.client.http1",
    "Watch": "raftdb.client.sync_watching",
    "AsyncWatch": "raftdb.client.async_watching",
    "LeaderHint": "raftdb.errors",
    **dict.fromkeys(
        (
            "RaftdbError",
            "Conflict",
            "Fenced",
            "Deadlock",
            "QueueFull",
            "Unavailable",
            "OutcomeUnknown",
            "SessionExpired",
            "CommandFailed",
            "RequestRefused",
            "Unauthenticated",
            "Forbidden",
            "RemoteProtocolError",
            "LocalProtocolError",
            "Compacted",
        ),
        "raftdb.errors",
    ),
    **dict.fromkeys(
        (
            "Answer",
            "TransactionAnswer",
            "Value",
            "KeyValue",
            "KeyPage",
            "NodeStatus",
            "Member",
            "Membership",
            "LogPage",
            "LogEntry",
            "Change",
            "AuditEvent",
            "User",
            "Role",
            "Token",
            "NewToken",
        ),
        "raftdb.client.model",
    ),
}
"""Where each public name lives."""


if not TYPE_CHECKING:
    # Out of sight of type checkers, for which it would make every misspelt name a public one.
    def __getattr__(name: str) -> object:
        """Load a public name when it is first asked for (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value: object = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
