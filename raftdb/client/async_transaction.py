"""The calls of a transaction (see `transaction` for what it is): reads at once, writes when it is committed."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar

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
from raftdb.client.methods import LINEARIZABLE, Condition, get_with_revision, increment, set_arguments
from raftdb.client.model import Value
from raftdb.client.transaction import QUEUED, TransactionState
from raftdb.commands.spec import COMMANDS
from raftdb.errors import Conflict, RaftdbError, Unavailable

T = TypeVar("T")


class AsyncRun(Protocol):
    """Makes one call of a client."""

    async def __call__(self, method: Method[T], /) -> T:
        """The result; raises `RaftdbError`."""
        ...


class AsyncTransaction(TransactionState[V]):
    """One transaction of a client, made by its `transaction`. It belongs to one thread or task.

    Use it as a context, or end it by `commit` or `rollback`. Its methods mean what those of the client mean, with two
    differences: a read sees the writes of this transaction before it, and a write is only noted. A write whose result
    depends on the old value (`incr`, `setrange`, `delete`, `pop`, `getset`, `set` with a condition) reads it first.
    Afterwards every use but `rollback` raises `LocalProtocolError`.
    """

    def __init__(self, owner: object, form: Form[V], run: AsyncRun) -> None:
        """`run` makes one call of the client `owner`, and `form` is what byte strings come back as."""
        super().__init__(owner, form)
        self._run = run

    async def get(self, key: Text) -> V | None:
        """The value of a key; None if there is no such key."""
        return self._shown(await self._read(to_bytes(key)))

    async def mget(self, keys: Iterable[Text]) -> list[V | None]:
        """The values of several keys, in their order; None for a missing one."""
        return [self._shown(await self._read(key)) for key in several(keys, "the keys of mget")]

    async def exists(self, *keys: Text) -> int:
        """How many of the keys exist, each as often as it is named."""
        return sum([await self._read(key) is not None for key in map(to_bytes, keys)])

    async def strlen(self, key: Text) -> int:
        """The length of a value in bytes; 0 if there is no such key."""
        return len(await self._read(to_bytes(key)) or b"")

    async def set(
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
        holds = only_if is None or (await self._read(arguments[0]) is None) == (only_if == "missing")
        self._write("set", *arguments)
        return holds

    async def delete(self, *keys: Text) -> int:
        """Delete keys; how many of them there were. They are read for that: `execute("del", [key])` does not."""
        count = 0
        for key in map(to_bytes, keys):
            count += await self._read(key) is not None
            self._write("del", key)
        return count

    async def pop(self, key: Text) -> V | None:
        """Delete a key; the value it had, or None."""
        name = to_bytes(key)
        old = await self._read(name)
        self._write("del", name)
        return self._shown(old)

    async def append(self, key: Text, value: Text) -> None:
        """Append text to a value; creates the key if there is none."""
        self._write("append", key, value)

    async def setrange(self, key: Text, offset: int, value: Text) -> int:
        """Write over a value; its length then. It is read for that, which `execute("setrange", ...)` does not."""
        name = to_bytes(key)
        await self._read(name)
        self._write("setrange", name, whole(offset, "an offset"), value)
        return len(await self._read(name) or b"")

    async def incr(self, key: Text, by: int = 1) -> int:
        """Add to a number; the sum. It is read for that: `execute("incr", [key])` does not, and conflicts less."""
        name = to_bytes(key)
        await self._read(name)
        self._write(*increment(name, by))
        return int(await self._read(name) or b"0")

    async def getset(self, key: Text, value: Text) -> V | None:
        """Store a value; the one before, or None."""
        name, content = to_bytes(key), to_bytes(value)
        old = await self._read(name)
        self._write("set", name, content)
        return self._shown(old)

    async def mset(self, pairs: Pairs) -> None:
        """Store several values."""
        arguments = pairs_of(pairs)
        if arguments:
            self._write("mset", *arguments)

    async def expire(self, key: Text, ttl: Lifetime) -> None:
        """Let a key that exists live for so long, from the commit on, in seconds or as a `timedelta`, rounded up to
        whole seconds; delete it if that is 0 or less."""
        self._write("expire", key, seconds(ttl))

    async def persist(self, key: Text) -> None:
        """Let a key live for ever."""
        self._write("persist", key)

    async def execute(self, name: str, arguments: Iterable[Text] = ()) -> Value:
        """Any command that a transaction can hold: the result of a read, or `QUEUED` for a write, which reads nothing.

        Raises `RequestRefused` if it is malformed or not for transactions.
        """
        self._check_open()
        words = several(arguments, "the arguments of a command")
        if is_read(command_name(name), words):
            keys = words[COMMANDS[name.lower()].keys]
            return in_form(answer(name, [await self._read(key) for key in keys]), self._form)
        self._write(name, *words)
        return QUEUED

    async def _read(self, key: bytes) -> bytes | None:
        """What the transaction sees of a key."""
        self._check_open()
        if not self._buffer.knows(key):
            self._buffer.remember(key, *await self._run(get_with_revision(as_bytes, key, LINEARIZABLE)))
        return self._buffer.value(key)

    async def commit(self) -> int:
        """Execute it: the index of its entry, 0 if there was nothing to do.

        Raises `Conflict` if a key that was read has changed: nothing was executed. `CommandFailed`: a command failed,
        and nothing was executed. `Unavailable`: nothing was executed, and it is still open: commit again.
        `OutcomeUnknown` and `SessionExpired`: it may have been executed.
        """
        if not self._begin_commit():
            return 0
        try:
            committed = await self._run(self._commit_method())
        except BaseException as error:
            self._commit_failed(error)
            raise
        return committed.index

    async def check(self) -> None:
        """Raise `Conflict` if a key that was read has changed, so that the commit would; the transaction stays open."""
        self._check_open()
        try:
            await self._run(self._check_method())
        except Conflict as error:
            self._failure = error
            raise

    @asynccontextmanager
    async def judging_exceptions(self) -> AsyncIterator[None]:
        """Let an exception of the block pass only if what was read was of one moment; else `Conflict` is raised."""
        try:
            yield
        except RaftdbError:
            raise
        except Exception:
            if self.is_open and len(self._buffer.watched) > 1:
                with suppress(Unavailable):
                    await self.check()
            raise

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        if error is None and self.is_open:
            try:
                await self.commit()
            finally:
                self.rollback()
        else:
            self.rollback()
