"""One frozen dataclass per command. Keys and values are byte strings; replies are described in
`raftdb.machine.kv`.

A command is what is replicated: it holds everything that its effect depends on besides the state, and nothing
that a replica would have to look up, guess or draw (hazard B63).
"""

from dataclasses import dataclass
from typing import TypeAlias

INTEGER_MIN = -(2**63)
"""Smallest integer that a counter may hold: 64-bit signed, as in Redis."""
INTEGER_MAX = 2**63 - 1
"""Largest integer that a counter may hold."""

_INTEGER_TEXT_BYTES_MAX = len(str(INTEGER_MIN))


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a sign of life: `PONG`. As every read, a linearizable one proves that the leader still leads."""


@dataclass(frozen=True, slots=True)
class Get:
    """Read the value of `key`."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Set:
    """Store `value` under `key`, whatever was there; an expiry that the key had is gone."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Strlen:
    """Read the length of the value of `key`, in bytes."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `key`, and answer the value it had."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Put `value` behind the value of `key`, creating the key; an expiry that the key had stays."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Exists:
    """Count how many of `keys` exist; a key that is named twice counts twice."""

    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class IncrementBy:
    """Add `delta` (64-bit signed) to the decimal integer stored under `key`; a missing key counts as 0."""

    key: bytes
    delta: int


@dataclass(frozen=True, slots=True)
class MultiGet:
    """Read the values of `keys` at one point of the log."""

    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MultiSet:
    """Store all `pairs` of key and value at once; of a key that is named twice, the last value stays."""

    pairs: tuple[tuple[bytes, bytes], ...]


Command: TypeAlias = Ping | Get | Set | Strlen | Delete | Append | Exists | IncrementBy | MultiGet | MultiSet

COMMAND_TYPES: tuple[type[Command], ...] = (
    Ping,
    Get,
    Set,
    Strlen,
    Delete,
    Append,
    Exists,
    IncrementBy,
    MultiGet,
    MultiSet,
)
"""All command types, in the order of their numbers in the log (from 1): append only, never reuse a number."""


def parse_integer(text: bytes) -> int | None:
    """Return the 64-bit signed integer that `text` spells, or None.

    Only the canonical decimal spelling counts, as in Redis: no sign but a minus, no leading zeros, spaces or
    underscores. So equal integers have equal bytes, and `incr` never changes how a number is written.
    """
    # The length is looked at first: int() of a long text would cost time that grows faster than the text.
    if not 0 < len(text) <= _INTEGER_TEXT_BYTES_MAX:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    if not INTEGER_MIN <= value <= INTEGER_MAX or b"%d" % value != text:
        return None
    return value
