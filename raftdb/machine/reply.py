"""The answers of operations. Apply returns them all: `ReplyError`, too, is a value there and not raised."""

from typing import NamedTuple, Protocol, TypeAlias

from raftdb.errors import Conflict, ReplyError

ELEMENT_BYTES = 64
"""The bytes that an element of a list counts for beside its own, so that many small ones are not free."""

KEY_BYTES_SHOWN = 64
"""How much of a key an error message repeats."""


class Result(NamedTuple):
    """The answer of an operation that was done: what happened, in a form that depends on no frontend.

    Each handler says what `value` is: the bytes that are or were stored, a resulting number, True or False for done or
    not, None for nothing or missing, a list of the values of several keys, a `KeyRecord` or a `Page`. For a transaction
    it is the list of its commands' answers, in which a `ReplyError` stands for a command that failed.

    `revision` belongs to the one key that the command names: of the value read, or written, or (`Delete`)
    removed; 0 if there is no such key. None for a command that names no key or several.
    """

    value: object
    revision: int | None


class Told(Protocol):
    """A result, wherever it stands: what happened, and the revision of the one key that was named."""

    @property
    def value(self) -> object:
        """See `Result`."""

    @property
    def revision(self) -> int | None:
        """See `Result`."""


class Repetition(NamedTuple):
    """The answer to an operation that was done before, at `index` in `term`, and is not done again."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    reply: Result | ReplyError


Reply: TypeAlias = Result | ReplyError | Repetition
"""What `apply` returns. All kinds are final: a `ReplyError` is an answer, not a failure of the database."""


class KeyRecord(NamedTuple):
    """All that is known of one key; `value` is None if it was not asked for.

    `expires_ms` is a time of the cluster clock, and `ttl_ms` the milliseconds left until then; None for a key that
    stays.
    """

    key: bytes
    value: bytes | None
    revision: int
    expires_ms: int | None
    ttl_ms: int | None


class Page(NamedTuple):
    """Keys in their order; the next page begins after `next_after`, which is None if there are no more keys."""

    records: list[KeyRecord]
    next_after: bytes | None


def value_bytes(value: object) -> int:
    """Return about how many bytes the value of a reply has, and so what it costs to make and to send."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Result):
        return value_bytes(value.value)
    if isinstance(value, list | tuple):
        return sum(map(value_bytes, value)) + ELEMENT_BYTES * len(value)
    if isinstance(value, ReplyError):
        keys = value.keys if isinstance(value, Conflict) else ()
        return len(value.message) + len(value.hint or "") + value_bytes(keys)
    return 0


def shown_key(key: bytes) -> str:
    """Return `key` as an error message shows it: ASCII, the same on every replica whatever its Python knows of Unicode,
    and not too long."""
    return repr(key[:KEY_BYTES_SHOWN])[1:] + ("..." if len(key) > KEY_BYTES_SHOWN else "")
