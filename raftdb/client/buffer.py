"""The reads and writes of an interactive transaction, and the values that it sees. No I/O.

A `Buffer` keeps the value and the revision of each key that was read, and the command of each write. A read sees the
transaction's own writes: commands are evaluated here on the known value of their key, by the code of the machine. A
write needs no read: its effect on a key that is not known is evaluated once the key is read.

The commit is one entry of the log with the commands as they were given, which is executed only if all revisions that
were read are still the same. So the commands have the effect that was evaluated here, or none.
"""

from collections.abc import Sequence
from dataclasses import replace

from raftdb.client.model import Value
from raftdb.commands.spec import Access, lookup
from raftdb.commands.transactions import parse_part
from raftdb.errors import RequestRefused, required
from raftdb.limits import CEILING, COMMAND_BYTES_CEILING
from raftdb.machine.batches import MultiSet
from raftdb.machine.keyspace import VALUE_COUNT_KEY, decode_value, encode_string, pack_number
from raftdb.machine.layer import Layer
from raftdb.machine.service import Command
from raftdb.machine.services import WRITES
from raftdb.machine.strings import Binding, Condition, Delete, FencedSet, GetSet, Set, unfenced
from raftdb.machine.values import state_key_of

EVALUATED = frozenset(
    {"set", "append", "setrange", "del", "incr", "decr", "incrby", "getset", "expire", "persist"}
)
"""The commands that write the value of one key, and nothing else. `mset` is evaluated as several `set`."""

BESIDE_VALUES = frozenset(
    {
        *("enqueue", "ack", "nack", "extend", "qset", "qremove", "redrive", "purge", "qdel"),
        *("lock", "renew", "unlock", "fence"),
    }
)
"""The commands about queues and locks that need no answer. No value depends on them, so they are sent as they are. What
takes a message out of a queue is none of them: its answer would come with the commit, when it is too late for it."""

ANSWERED_BY_GET = frozenset({"get", "strlen", "exists", "mget"})
"""The reads that a transaction can answer, which are those of values. Others would read what it cannot watch, or would
not see its own writes."""


class Buffer:
    """The reads and writes of one transaction. `commands` has the writes in order, `watched` the revision of each key
    that was read, the earliest at the index `watched_at`."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, tuple[bytes, ...]]] = []
        self.watched: dict[bytes, int] = {}
        self.watched_at = 0
        self._values: dict[bytes, bytes | None] = {}  # of the keys whose value is known
        self._writes: dict[bytes, list[Command]] = {}  # to the other keys
        self._bytes = 0

    def knows(self, key: bytes) -> bool:
        """Whether the value of the key is known without a read."""
        return key in self._values

    def value(self, key: bytes) -> bytes | None:
        """The value of a known key as the transaction sees it; None if there is no such key."""
        return self._values[key]

    def remember(self, key: bytes, value: bytes | None, revision: int, index: int) -> None:
        """Take the result of a read of the key at this index, and evaluate the transaction's own writes on it.

        The first of several reads counts. Raises `CommandFailed` if one of the writes would fail.
        """
        self.watched.setdefault(key, revision)
        self.watched_at = min(self.watched_at, index) or index
        if key in self._values:
            return
        for command in self._writes.get(key, ()):
            value = _after(command, key, value)
        self._writes.pop(key, None)
        self._values[key] = value

    def write(self, name: str, arguments: Sequence[bytes]) -> None:
        """Add a command that writes.

        Raises `RequestRefused` if it is not such a command, is malformed, or makes the transaction too large, and
        `CommandFailed` if it would fail on the known value of the key. Nothing is added then.
        """
        name = name.lower()
        command = parse_part(name, arguments, limits=CEILING)
        if name not in EVALUATED and name not in BESIDE_VALUES and not isinstance(command, MultiSet):
            raise _not_here(name)
        size = sum(map(len, arguments))
        if self._bytes + size > COMMAND_BYTES_CEILING:
            raise RequestRefused(
                "too_large", f"the transaction's arguments have more than {COMMAND_BYTES_CEILING} bytes"
            )
        if isinstance(command, MultiSet):
            for key, value in command.pairs:
                self._apply(key, Set(key, value))
        elif name in EVALUATED:
            self._apply(arguments[0], _without_others(command))
        self.commands.append((name, tuple(arguments)))
        self._bytes += size

    def _apply(self, key: bytes, command: Command) -> None:
        if key in self._values:
            self._values[key] = _after(command, key, self._values[key])
        elif _is_absolute(command):
            self._writes.pop(key, None)
            self._values[key] = _after(command, key, None)
        else:
            self._writes.setdefault(key, []).append(command)


def _without_others(command: Command) -> Command:
    """The command without what does not depend on the key: whether a lock is held, and which session it is sent in, is
    asked at the commit."""
    if isinstance(command, FencedSet):
        command = unfenced(command)
    return replace(command, binding=Binding.NONE) if isinstance(command, Set) else command


class _OneValue:
    """A key space with the value of one key, or without one. Its clock stands still, so nothing expires in it."""

    def __init__(self, state_key: bytes, record: bytes | None) -> None:
        self._records = {} if record is None else {state_key: record, VALUE_COUNT_KEY: pack_number(1)}

    def get(self, key: bytes, /) -> bytes | None:
        """See `raftdb.machine.layer.KeyValueView`."""
        return self._records.get(key)

    def head(self, key: bytes, length: int, /) -> bytes | None:
        """See `KeyValueView`."""
        record = self.get(key)
        return None if record is None else record[:length]

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return nothing: a command that writes one value does not scan."""
        return []


def _after(command: Command, key: bytes, value: bytes | None) -> bytes | None:
    """The value of `key` after the command, as the machine computes it. Raises `CommandFailed` if the command fails."""
    state_key = state_key_of(_OneValue(b"", None), key)
    record = None if value is None else encode_string(value, revision=1)
    layer = Layer(_OneValue(state_key, record))
    WRITES[type(command)](layer, command, 2)
    record = layer.changes.get(state_key, record)
    return None if record is None else decode_value(record).data


def _is_absolute(command: Command) -> bool:
    """True if the new value does not depend on the old one."""
    if isinstance(command, Set):
        return command.condition is Condition.ALWAYS
    return isinstance(command, Delete | GetSet)


def is_read(name: str, arguments: Sequence[bytes]) -> bool:
    """True if the command is a read that a transaction can answer, False if it is sent with the commit.

    Raises `RequestRefused` if it is malformed, or a read of another kind.
    """
    parse_part(name, arguments, limits=CEILING)
    spec = required(lookup(name), "such command, though it was parsed")
    if spec.access is Access.WRITE or spec.name in BESIDE_VALUES:
        return False
    if spec.name not in ANSWERED_BY_GET:
        raise _not_here(spec.name)
    return True


def answer(name: str, values: Sequence[bytes | None]) -> Value:
    """The answer of a read (see `is_read`), given the values of the keys that it names; None for a key that does not
    exist."""
    match name.lower():
        case "get":
            return values[0] or b""
        case "strlen":
            return len(values[0] or b"")
        case "exists":
            return sum(value is not None for value in values)
        case _:
            return list(values)


def _not_here(name: str) -> RequestRefused:
    return RequestRefused(
        "bad_request",
        f"{name!r} cannot be used inside a transaction",
        hint="do it before or after: a transaction reads and writes the values of keys that it names",
    )
