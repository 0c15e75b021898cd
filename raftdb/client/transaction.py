"""An interactive, serializable transaction: what it is, and what it knows, without input and output.

```python
with client.transaction() as transaction:
    stock = int(transaction.get("stock") or 0)
    if stock > 0:
        transaction.set("stock", str(stock - 1))
        transaction.append("orders", "one;")
```

Reads are answered at once: by the cluster, with the transaction's own writes on top. Writes wait here until the block
is left; then reads and writes become one entry of the log, which is executed only if every key that was read is still
as it was read, else `Conflict` names the keys that are not. An exception in the block forgets all of it.

The transaction is nowhere but here until then: a leader may die between a read and the commit, and nothing is lost.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Generic

from raftdb.client.buffer import Buffer
from raftdb.client.flow import Method
from raftdb.client.given import (
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
"""What `execute` answers to a write: it waits for the commit."""

_entered: ContextVar[tuple["TransactionState[Any]", ...]] = ContextVar("entered", default=())
"""The transactions whose blocks this thread or task is in."""


class TransactionState(Generic[V]):
    """What a transaction is without its input and output: its buffer, and whether it is still going on."""

    def __init__(self, owner: object, form: Form[V]) -> None:
        self._owner = owner
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
        """False once it was committed or rolled back."""
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
        """Forget all of it; nothing was sent. Once it has ended, this does nothing."""
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
        """True if there is anything to commit."""
        self._check_open()
        self._ended = "committed"
        return bool(self._buffer.commands or self._buffer.watched)

    def _commit_method(self) -> Method[TransactionAnswer]:
        return transact(as_bytes, self._buffer.commands, self._buffer.watched, "atomic")

    def _check_method(self) -> Method[TransactionAnswer]:
        return transact(as_bytes, (), self._buffer.watched, "atomic")

    def lost_by(self, error: Conflict) -> bool:
        """Whether `error` is what this transaction's commit raised, and not some other conflict within its block."""
        return self._failure is error

    def _commit_failed(self, error: BaseException) -> None:
        """Only if it surely was not executed is there something left to commit."""
        self._failure = error
        self._ended = None if isinstance(error, Unavailable) else f"ended by {type(error).__name__}"
