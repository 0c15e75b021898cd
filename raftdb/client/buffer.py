"""An interactive transaction as it grows: what was read, what is to be written, and what it would read by now. No I/O.

A `Buffer` remembers of each key that was read its value and its revision, and of each write the command. A read sees
the transaction's own writes: commands are evaluated here, on what is known of their key, exactly as the machine would.
A write alone needs no read: what it does to a key that is not known is evaluated once somebody reads the key.

The commit is one entry of the log with the commands as they were given, executed only if all revisions read are still
the same: so what was evaluated here is what happens there, or nothing happens.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from raftdb.client.model import Value
from raftdb.commands.spec import NOT_AN_INTEGER, Access, lookup, parse
from raftdb.errors import CommandFailed, RequestRefused, required
from raftdb.limits import CEILING, COMMAND_BYTES_CEILING, VALUE_BYTES_CEILING
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, parse_integer

Effect: TypeAlias = "Callable[[bytes | None, Sequence[bytes]], bytes | None]"
"""What a command makes of the value of its key (None: missing), given its arguments without the key."""


def _append(old: bytes | None, arguments: Sequence[bytes]) -> bytes:
    value_bytes = len(old or b"") + len(arguments[0])
    if value_bytes > VALUE_BYTES_CEILING:
        raise CommandFailed("value is too long", hint=f"the limit is {VALUE_BYTES_CEILING} bytes")
    return (old or b"") + arguments[0]


def _set_range(old: bytes | None, arguments: Sequence[bytes]) -> bytes | None:
    offset, text = int(arguments[0]), arguments[1]
    if not text:
        return old
    if offset + len(text) > VALUE_BYTES_CEILING:
        raise CommandFailed("value is too long", hint=f"the limit is {VALUE_BYTES_CEILING} bytes")
    data = old or b""
    return data[:offset].ljust(offset, b"\0") + text + data[offset + len(text) :]


def _increment(old: bytes | None, delta: int) -> bytes:
    number = 0 if old is None else parse_integer(old)
    if number is None or not INTEGER_MIN <= number + delta <= INTEGER_MAX:
        raise CommandFailed(NOT_AN_INTEGER)
    return b"%d" % (number + delta)


def _delete(old: bytes | None, arguments: Sequence[bytes]) -> None:
    return None


def _replace(old: bytes | None, arguments: Sequence[bytes]) -> bytes:
    return arguments[0]


def _set(old: bytes | None, arguments: Sequence[bytes]) -> bytes | None:
    words = {word.upper() for word in arguments[1:]}
    prevented = (b"NX" in words and old is not None) or (b"XX" in words and old is None)
    return old if prevented else arguments[0]


def _expire(old: bytes | None, arguments: Sequence[bytes]) -> bytes | None:
    return None if int(arguments[0]) <= 0 else old


EFFECTS: dict[str, Effect] = {
    "set": _set,
    "append": _append,
    "setrange": _set_range,
    "del": _delete,
    "incr": lambda old, arguments: _increment(old, 1),
    "decr": lambda old, arguments: _increment(old, -1),
    "incrby": lambda old, arguments: _increment(old, int(arguments[0])),
    "getset": _replace,
    "expire": _expire,
    "persist": lambda old, arguments: old,
}
"""The commands that write one key, and what they make of its value. `mset` is several of `set`."""

_CONDITIONS = frozenset({b"NX", b"XX"})
_ABSOLUTE = (_set, _delete, _replace)
"""Effects for which the old value makes no difference, if there is no condition."""

ANSWERED_BY_GET = frozenset({"get", "strlen", "exists", "mget"})
"""The reads that a transaction can answer: those of values. Others would see what it cannot watch, or its own writes
not at all."""


class Buffer:
    """The reads and writes of one transaction. `commands` are the writes in order; `watched` keys and revisions."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, tuple[bytes, ...]]] = []
        self.watched: dict[bytes, int] = {}
        self._values: dict[bytes, bytes | None] = {}  # of the keys whose value is known by now
        self._effects: dict[bytes, list[tuple[Effect, Sequence[bytes]]]] = {}  # writes to keys that are not
        self._bytes = 0

    def knows(self, key: bytes) -> bool:
        """Whether `value` can tell what the key holds without a read."""
        return key in self._values

    def value(self, key: bytes) -> bytes | None:
        """What the transaction would read; the key is known."""
        return self._values[key]

    def remember(self, key: bytes, value: bytes | None, revision: int) -> None:
        """A read of the key brought this; the transaction's own writes are put on top.

        Of several reads at a time the first counts. Raises `CommandFailed` if one of the writes would fail.
        """
        self.watched.setdefault(key, revision)
        if key in self._values:
            return
        for effect, arguments in self._effects.get(key, ()):
            value = effect(value, arguments)
        self._effects.pop(key, None)
        self._values[key] = value

    def write(self, name: str, arguments: Sequence[bytes]) -> None:
        """Add a command that writes.

        Raises `RequestRefused` if it is none, malformed, or the transaction becomes too large, and `CommandFailed` if
        it would fail on what the key is known to hold. Then nothing is added.
        """
        name = name.lower()
        parse(name, arguments, limits=CEILING)
        effect = EFFECTS.get(name)
        if name != "mset" and effect is None:
            raise _not_here(name)
        size = sum(map(len, arguments))
        if self._bytes + size > COMMAND_BYTES_CEILING:
            raise RequestRefused(
                "too_large", f"the transaction's arguments have more than {COMMAND_BYTES_CEILING} bytes"
            )
        if effect is not None:
            self._apply(arguments[0], effect, arguments[1:])
        else:
            for key, value in zip(arguments[::2], arguments[1::2], strict=True):
                self._apply(key, _replace, [value])
        self.commands.append((name, tuple(arguments)))
        self._bytes += size

    def _apply(self, key: bytes, effect: Effect, arguments: Sequence[bytes]) -> None:
        if key in self._values:
            self._values[key] = effect(self._values[key], arguments)
        elif effect in _ABSOLUTE and not _CONDITIONS.intersection(map(bytes.upper, arguments[1:])):
            self._effects.pop(key, None)
            self._values[key] = effect(None, arguments)
        else:
            self._effects.setdefault(key, []).append((effect, arguments))


def is_read(name: str, arguments: Sequence[bytes]) -> bool:
    """Whether a command is a read that a transaction answers; False for a write.

    Raises `RequestRefused` if it is malformed, or a read of another kind.
    """
    parse(name, arguments, limits=CEILING)
    spec = required(lookup(name), "such command, though it was parsed")
    if spec.access is Access.WRITE:
        return False
    if spec.name not in ANSWERED_BY_GET:
        raise _not_here(spec.name)
    return True


def answer(name: str, values: Sequence[bytes | None]) -> Value:
    """What a read (see `is_read`) answers if these are the values of the keys that it names."""
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
