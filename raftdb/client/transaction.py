"""An interactive, serializable transaction of the blocking client, and what it shares with the asynchronous one.

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

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from raftdb.client.answers import in_form
from raftdb.client.buffer import Buffer, answer, is_read
from raftdb.client.flow import Method
from raftdb.client.given import (
    Form,
    Lifetime,
    Pairs,
    Text,
    V,
    as_bytes,
    command_name,
    pairs_of,
    seconds,
    several,
    to_bytes,
)
from raftdb.client.methods import (
    LINEARIZABLE,
    Condition,
    get_with_revision,
    increment,
    set_arguments,
    transact,
)
from raftdb.client.model import TransactionAnswer, Value
from raftdb.commands.spec import COMMANDS
from raftdb.errors import Conflict, LocalProtocolError, RaftdbError, Unavailable

T = TypeVar("T")

QUEUED = "QUEUED"
"""What `execute` answers to a write: it waits for the commit."""

_entered: ContextVar[tuple["TransactionState[Any]", ...]] = ContextVar("entered", default=())
"""The transactions whose blocks this thread or task is in."""


class Run(Protocol):
    """Makes one call of a blocking client."""

    def __call__(self, method: Method[T], /) -> T:
        """The result; raises `RaftdbError`."""


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


class Transaction(TransactionState[V]):
    """One transaction of a `Client`, made by `Client.transaction`. It belongs to one thread.

    Use it in a `with` block, or end it by `commit` or `rollback`. Its methods mean what those of the client mean, with
    two differences: a read sees the writes of this transaction before it, and a write is only noted. A write whose
    result depends on the old value (`incr`, `delete`, `pop`, `getset`, `set` with a condition) reads it first.
    Afterwards every use but `rollback` raises `LocalProtocolError`.
    """

    def __init__(self, owner: object, form: Form[V], run: Run) -> None:
        """`run` makes one call of the client `owner`, and `form` is what byte strings come back as."""
        super().__init__(owner, form)
        self._run = run

    def get(self, key: Text) -> V | None:
        """The value of a key; None if there is no such key."""
        return self._shown(self._read(to_bytes(key)))

    def mget(self, keys: Iterable[Text]) -> list[V | None]:
        """The values of several keys, in their order; None for a missing one."""
        return [self._shown(self._read(key)) for key in several(keys, "the keys of mget")]

    def exists(self, *keys: Text) -> int:
        """How many of the keys exist, each as often as it is named."""
        return sum([self._read(key) is not None for key in map(to_bytes, keys)])

    def strlen(self, key: Text) -> int:
        """The length of a value in bytes; 0 if there is no such key."""
        return len(self._read(to_bytes(key)) or b"")

    def set(
        self,
        key: Text,
        value: Text,
        *,
        ttl: Lifetime | None = None,
        keep_ttl: bool = False,
        only_if: Condition | None = None,
    ) -> bool:
        """Store a value; with a condition, whether it holds."""
        arguments = set_arguments(key, value, ttl, keep_ttl, only_if)
        holds = only_if is None or (self._read(arguments[0]) is None) == (only_if == "missing")
        self._write("set", *arguments)
        return holds

    def delete(self, *keys: Text) -> int:
        """Delete keys; how many of them there were. They are read for that: `execute("del", [key])` does not."""
        count = 0
        for key in map(to_bytes, keys):
            count += self._read(key) is not None
            self._write("del", key)
        return count

    def pop(self, key: Text) -> V | None:
        """Delete a key; the value it had, or None."""
        name = to_bytes(key)
        old = self._read(name)
        self._write("del", name)
        return self._shown(old)

    def append(self, key: Text, value: Text) -> None:
        """Put text behind a value; creates the key if there is none."""
        self._write("append", key, value)

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to a number; the sum. It is read for that: `execute("incr", [key])` does not, and conflicts less."""
        name = to_bytes(key)
        self._read(name)
        self._write(*increment(name, by))
        return int(self._read(name) or b"0")

    def getset(self, key: Text, value: Text) -> V | None:
        """Store a value; the one before, or None."""
        name, content = to_bytes(key), to_bytes(value)
        old = self._read(name)
        self._write("set", name, content)
        return self._shown(old)

    def mset(self, pairs: Pairs) -> None:
        """Store several values."""
        arguments = pairs_of(pairs)
        if arguments:
            self._write("mset", *arguments)

    def expire(self, key: Text, ttl: Lifetime) -> None:
        """Let a key that exists live for so long, from the commit on, in seconds or as a `timedelta`, rounded up to
        whole seconds; delete it if that is 0 or less."""
        self._write("expire", key, seconds(ttl))

    def persist(self, key: Text) -> None:
        """Let a key live for ever."""
        self._write("persist", key)

    def execute(self, name: str, arguments: Iterable[Text] = ()) -> Value:
        """Any command that a transaction can hold: the result of a read, or `QUEUED` for a write, which reads nothing.

        Raises `RequestRefused` if it is malformed or not for transactions.
        """
        self._check_open()
        words = several(arguments, "the arguments of a command")
        if is_read(command_name(name), words):
            keys = words[COMMANDS[name.lower()].keys]
            return in_form(answer(name, [self._read(key) for key in keys]), self._form)
        self._write(name, *words)
        return QUEUED

    def _read(self, key: bytes) -> bytes | None:
        """What the transaction sees of a key."""
        self._check_open()
        if not self._buffer.knows(key):
            self._buffer.remember(key, *self._run(get_with_revision(as_bytes, key, LINEARIZABLE)))
        return self._buffer.value(key)

    def commit(self) -> int:
        """Execute it: the index of its entry, 0 if there was nothing to do.

        Raises `Conflict` if a key that was read has changed: nothing was executed. `CommandFailed`: a command failed,
        and nothing was executed. `Unavailable`: nothing was executed, and it is still open: commit again.
        `OutcomeUnknown` and `SessionExpired`: it may have been executed.
        """
        if not self._begin_commit():
            return 0
        try:
            return self._run(self._commit_method()).index
        except BaseException as error:
            self._commit_failed(error)
            raise

    def check(self) -> None:
        """Raise `Conflict` if a key that was read has changed, so that the commit would; the transaction stays open."""
        self._check_open()
        try:
            self._run(self._check_method())
        except Conflict as error:
            self._failure = error
            raise

    @contextmanager
    def judging_exceptions(self) -> Iterator[None]:
        """Let an exception of the block pass only if what was read was of one moment; else `Conflict` is raised."""
        try:
            yield
        except RaftdbError:
            raise
        except Exception:
            if self.is_open and len(self._buffer.watched) > 1:
                with suppress(Unavailable):
                    self.check()
            raise

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        if error is None and self.is_open:
            try:
                self.commit()
            finally:
                self.rollback()
        else:
            self.rollback()
