"""The state of an interactive, serializable transaction. No I/O.

```python
with client.transaction() as transaction:
    stock = int(transaction.get("stock") or 0)
    if stock > 0:
        transaction.set("stock", str(stock - 1))
        transaction.append("orders", "one;")
```

A read is answered at once, by the cluster, with the transaction's own writes applied. Writes are kept here until the
block is left; then reads and writes become one entry of the log, which is executed only if every key that was read
still has the same revision. If not, `Conflict` names the keys that have changed. An exception in the block discards the
transaction.

Until the commit the transaction exists only in the client, so the leader may fail between a read and the commit without
losing anything.
"""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Generic, Protocol

from raftdb.client.buffer import Buffer
from raftdb.client.flow import Method
from raftdb.client.given import (
    Command,
    Form,
    Text,
    V,
    as_bytes,
    to_bytes,
)
from raftdb.client.methods import (
    transact,
)
from raftdb.client.model import TransactionAnswer
from raftdb.errors import Conflict, LocalProtocolError, Unavailable

QUEUED = "QUEUED"
"""The result of `execute` for a write, which waits for the commit."""

_entered: ContextVar[tuple["TransactionState[Any]", ...]] = ContextVar("entered", default=())
"""The transactions in whose blocks this thread or task is."""


class Ending(Protocol):
    """A job that ends with the commit of a transaction."""

    @property
    def end_command(self) -> tuple[str, tuple[bytes, ...]]:
        """The command that ends it. If it is over already, that refuses the whole transaction."""
        ...

    def ended(self) -> None:
        """Note that it has ended."""
        ...

    def refused(self, error: BaseException) -> None:
        """Note that the transaction was not committed."""
        ...


class TransactionState(Generic[V]):
    """The state of one transaction: its buffer, and whether it is open."""

    def __init__(self, owner: object, form: Form[V], job: Ending | None) -> None:
        self._owner = owner
        self._job = job
        self._form = form
        self._buffer = Buffer()
        self._ended: str | None = None
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        state = "open" if self._ended is None else self._ended
        reads, writes = len(self._buffer.watched), len(self._buffer.commands)
        return f"<{type(self).__name__} {state}: {reads} keys read, {writes} writes>"

    @property
    def is_open(self) -> bool:
        """False once it was committed or rolled back, or its commit failed in a way that ends it."""
        return self._ended is None

    @property
    def commands(self) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
        """The writes so far, in order: names and arguments."""
        return tuple(self._buffer.commands)

    @property
    def watched(self) -> Mapping[bytes, int]:
        """The keys read so far, and the revision of each (0: there was no such key)."""
        return dict(self._buffer.watched)

    def rollback(self) -> None:
        """Discard the transaction, of which nothing was executed. Does nothing if it has ended."""
        if self.is_open:
            self._ended = "rolled back"

    def _check_open(self) -> None:
        if self._ended is not None:
            raise LocalProtocolError(f"the transaction has ended: it was {self._ended}")

    def _enter(self) -> None:
        self._check_open()
        if any(other._owner is self._owner and other.is_open for other in _entered.get()):
            raise LocalProtocolError(
                "a transaction of this client is open here already, and they do not nest: hand that one on"
            )
        _entered.set((*_entered.get(), self))

    def _leave(self) -> None:
        _entered.set(tuple(other for other in _entered.get() if other is not self))

    def _write(self, name: str, *arguments: Text) -> None:
        self._check_open()
        self._buffer.write(name, [to_bytes(argument) for argument in arguments])

    def _shown(self, value: bytes | None) -> V | None:
        return None if value is None else self._form(value)

    def _begin_commit(self) -> bool:
        """End the transaction for its commit. Returns False if there is nothing to commit."""
        self._check_open()
        self._ended = "committed"
        return bool(self._buffer.commands or self._buffer.watched or self._job)

    def _commit_method(self) -> Method[TransactionAnswer]:
        ends = [] if self._job is None else [self._job.end_command]
        return self._transact([*self._buffer.commands, *ends])

    def _check_method(self) -> Method[TransactionAnswer]:
        return self._transact(())

    def _transact(self, commands: Iterable[Command]) -> Method[TransactionAnswer]:
        buffer = self._buffer
        return transact(as_bytes, commands, buffer.watched, "atomic", watched_at=buffer.watched_at)

    def lost_by(self, error: Conflict) -> bool:
        """Whether this transaction's commit or check raised `error`, and not another one's within its block."""
        return self._failure is error

    def _commit_failed(self, error: BaseException) -> None:
        """Note the commit's error. The transaction is open again if it surely was not executed and may be committed
        again."""
        self._failure = error
        if self._job is not None:
            self._job.refused(error)
        self._ended = None if isinstance(error, Unavailable) else f"ended by {type(error).__name__}"
