"""One frozen dataclass per command. Keys and values are byte strings; replies are described where they are made, in
`raftdb.machine`.

A command is what is replicated: it holds everything that its effect depends on besides the state, and nothing
that a replica would have to look up, guess or draw (hazard B63).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

INTEGER_MIN = -(2**63)
"""Smallest integer that a counter may hold: 64-bit signed, as in Redis."""
INTEGER_MAX = 2**63 - 1
"""Largest integer that a counter may hold."""

INTEGER_TEXT_BYTES_MAX = len(str(INTEGER_MIN))

NO_TTL = 0
"""A time to live that a value does not have: it stays."""
KEEP_TTL = -1
"""In place of a time to live: the expiry that the key had stays."""


class Condition(IntEnum):
    """What must hold for a `Set` to store anything. The numbers are in the log: never reuse one."""

    ALWAYS = 0
    IF_MISSING = 1
    IF_PRESENT = 2


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a sign of life: `PONG`. As every read, a linearizable one proves that the leader still leads."""


@dataclass(frozen=True, slots=True)
class Get:
    """Read the value of `key`."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Set:
    """Store `value` under `key` if `condition` holds.

    `ttl_ms`: how long it is to live, in milliseconds of the cluster clock from when this is applied; `NO_TTL`: for
    ever, an expiry that the key had is gone; `KEEP_TTL`: that stays.
    """

    key: bytes
    value: bytes
    ttl_ms: int = NO_TTL
    condition: Condition = Condition.ALWAYS


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


@dataclass(frozen=True, slots=True)
class GetSet:
    """Store `value` under `key`, and answer the value it had; an expiry that the key had is gone."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class CompareAndSet:
    """Store `value` under `key` if the key's revision is `revision`, 0 for a missing key; without an expiry."""

    key: bytes
    revision: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ExpireAfter:
    """Let `key` live for `ttl_ms` milliseconds of the cluster clock from when this is applied; delete it if that is 0
    or less."""

    key: bytes
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Persist:
    """Let `key` live for ever."""

    key: bytes


@dataclass(frozen=True, slots=True)
class TimeToLive:
    """Read how long `key` will live, in whole seconds rounded up."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """Read all keys that begin with `prefix`, in order; an error if they are more than `KEYS_LISTED_MAX`."""

    prefix: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """Read up to `limit` keys that begin with `prefix` and come after `after`, with their values, in order."""

    prefix: bytes
    after: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """Count all keys."""


Command: TypeAlias = (
    Ping
    | Get
    | Set
    | Strlen
    | Delete
    | Append
    | Exists
    | IncrementBy
    | MultiGet
    | MultiSet
    | GetSet
    | CompareAndSet
    | ExpireAfter
    | Persist
    | TimeToLive
    | Keys
    | Scan
    | DatabaseSize
)

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
    GetSet,
    CompareAndSet,
    ExpireAfter,
    Persist,
    TimeToLive,
    Keys,
    Scan,
    DatabaseSize,
)
"""All command types, in the order of their numbers in the log (from 1): append only, never reuse a number."""


def parse_integer(text: bytes) -> int | None:
    """Return the 64-bit signed integer that `text` spells, or None.

    Only the canonical decimal spelling counts, as in Redis: no sign but a minus, no leading zeros, spaces or
    underscores. So equal integers have equal bytes, and `incr` never changes how a number is written.
    """
    # The length is looked at first: int() of a long text would cost time that grows faster than the text.
    if not 0 < len(text) <= INTEGER_TEXT_BYTES_MAX:
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    if not INTEGER_MIN <= value <= INTEGER_MAX or b"%d" % value != text:
        return None
    return value
