# Made from async_transaction.py by .ci/unasync.py: what is to be changed is changed there.
"""The methods of a transaction (see `transaction`): reads are answered at once, writes are kept for the commit."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar, Unpack

from raftdb.client.answers import in_form
from raftdb.client.buffer import answer, is_read
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
    whole,
)
from raftdb.client.methods import LINEARIZABLE, Condition, increment, see, set_arguments
from raftdb.client.model import Value
from raftdb.client.service_methods import PutOptions, put_arguments
from raftdb.client.transaction import QUEUED, Ending, TransactionState
from raftdb.commands.spec import COMMANDS
from raftdb.errors import Conflict, RaftdbError, Unavailable

T = TypeVar("T")


class Run(Protocol):
    """Makes one call of a client."""

    def __call__(self, method: Method[T], /) -> T:
        """Returns the result. Raises `RaftdbError`."""
        ...


class Transaction(TransactionState[V]):
    """One transaction of a client, made by its method `transaction`. It belongs to one thread or task.

    Use it as a context, or end it by `commit` or `rollback`. Its methods are those of the client, with two differences:
    a read sees the earlier writes of this transaction, and a write is kept for the commit. A write whose result depends
    on the old value (`incr`, `setrange`, `delete`, `pop`, `getset`, `set` with a condition) reads that first, and so
    watches the key. After the end every method but `rollback` raises `LocalProtocolError`. Reads raise `RaftdbError` as
    the client's do.
    """

    def __init__(self, owner: object, form: Form[V], run: Run, job: Ending | None = None) -> None:
        """`run` makes one call of the client `owner`, and `form` converts the byte strings of results. `job` ends with
        the commit."""
        super().__init__(owner, form, job)
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
        session: bool = False,
    ) -> bool:
        """Store a value; returns False if the condition `only_if` does not hold."""
        arguments = set_arguments(key, value, ttl, keep_ttl, only_if, session)
        holds = only_if is None or (self._read(arguments[0]) is None) == (only_if == "missing")
        self._write("set", *arguments)
        return holds

    def delete(self, *keys: Text) -> int:
        """Delete keys; returns how many there were. They are read for that, which `execute("del", [key])` does not
        do."""
        count = 0
        for key in map(to_bytes, keys):
            count += self._read(key) is not None
            self._write("del", key)
        return count

    def pop(self, key: Text) -> V | None:
        """Delete a key; returns its old value, or None if there was no such key."""
        name = to_bytes(key)
        old = self._read(name)
        self._write("del", name)
        return self._shown(old)

    def append(self, key: Text, value: Text) -> None:
        """Append bytes to the value of a key, which is created if there is none."""
        self._write("append", key, value)

    def setrange(self, key: Text, offset: int, value: Text) -> int:
        """Overwrite a value; returns its new length. It is read for that, which `execute("setrange", ...)` does not
        do."""
        name = to_bytes(key)
        self._read(name)
        self._write("setrange", name, whole(offset, "an offset"), value)
        return len(self._read(name) or b"")

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to a number; returns the sum. It is read for that, which `execute("incr", [key])` does not do, so that
        has fewer conflicts."""
        name = to_bytes(key)
        self._read(name)
        self._write(*increment(name, by))
        return int(self._read(name) or b"0")

    def getset(self, key: Text, value: Text) -> V | None:
        """Store a value; returns the old one, or None if there was no such key."""
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
        """Let a key, if there is one, live for `ttl` from the commit on, in seconds or as a `timedelta`, rounded up to
        whole seconds; 0 or less deletes it."""
        self._write("expire", key, seconds(ttl))

    def persist(self, key: Text) -> None:
        """Let a key live for ever."""
        self._write("persist", key)

    def put(self, queue: Text, value: Text, **options: Unpack[PutOptions]) -> None:
        """Put a message into a queue. For the options see `raftdb.client.sync_queues.Queue.put`."""
        self._write("enqueue", *put_arguments(to_bytes(queue), value, options))

    def execute(self, name: str, arguments: Iterable[Text] = ()) -> Value:
        """Execute any command that a transaction can hold. Returns the result of a read, or `QUEUED` for a write, which
        reads nothing.

        Raises `RequestRefused` if the command is malformed, or cannot be in a transaction.
        """
        self._check_open()
        words = several(arguments, "the arguments of a command")
        if is_read(command_name(name), words):
            keys = words[COMMANDS[name.lower()].keys]
            return in_form(answer(name, [self._read(key) for key in keys]), self._form)
        self._write(name, *words)
        return QUEUED

    def _read(self, key: bytes) -> bytes | None:
        """The value of a key as the transaction sees it; None if there is no such key."""
        self._check_open()
        if not self._buffer.knows(key):
            seen = self._run(see(as_bytes, key, LINEARIZABLE))
            self._buffer.remember(key, seen.value, seen.revision, seen.index)
        return self._buffer.value(key)

    def commit(self) -> int:
        """Execute the transaction; returns the index of its entry, 0 if there was nothing to execute.

        Raises `Conflict` if a key that was read has changed, and `CommandFailed` if a command failed; nothing was
        executed then. After `Unavailable` nothing was executed, the transaction is still open, and may be committed
        again. After `OutcomeUnknown` and `SessionExpired` it may have been executed.
        """
        if not self._begin_commit():
            return 0
        try:
            committed = self._run(self._commit_method())
        except BaseException as error:
            self._commit_failed(error)
            raise
        if self._job is not None:
            self._job.ended()
        return committed.index

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
        """Raise `Conflict` in place of an exception other than `RaftdbError` if the values that were read are not of
        one moment."""
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
