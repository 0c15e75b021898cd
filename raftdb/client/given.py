"""Converting the arguments of callers: keys, values, times to live, and the form of results. No I/O.

An argument of a wrong type raises `TypeError` before anything is sent: `True` is not a number here, `b"abc"` is not a
list of keys, and only text, bytes and whole numbers have one obvious form as bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

from raftdb.errors import RequestRefused
from raftdb.limits import SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN

if TYPE_CHECKING:
    # `V` has a default, so that `Client` alone is a client of bytes; the standard library has defaults from Python 3.13
    # on.
    from typing_extensions import TypeVar

    V = TypeVar("V", bound=bytes | str, default=bytes)
else:
    from typing import TypeVar

    V = TypeVar("V", bound=bytes | str)

Text: TypeAlias = bytes | str | int
"""A key, a value or an argument: `str` stands for its UTF-8, `int` for its decimal digits."""

Command: TypeAlias = tuple[str, Iterable[Text]]
"""A command's name and its arguments, as in `execute`."""

Pairs: TypeAlias = Mapping[Any, Text]
"""Keys, each a `Text`, and values. (With `Text` as its type of key a type checker would refuse a dict of `str`.)"""

Revisions: TypeAlias = Mapping[Any, int]
"""Keys, each a `Text`, and their revisions."""

Lifetime: TypeAlias = int | float | timedelta
"""A time to live; a number is in seconds."""

Form: TypeAlias = Callable[[bytes], V]
"""Converts a byte string of a result to what the caller gets."""

_TEXTS = (str, bytes, bytearray, memoryview)


def as_bytes(content: bytes) -> bytes:
    """The form of results without `decode`: the bytes themselves."""
    return content


def as_text(content: bytes) -> str:
    """The form of results with `decode=True`: decoded as UTF-8, and other bytes as lone surrogates, which `to_bytes`
    encodes again (PEP 383)."""
    return content.decode("utf-8", "surrogateescape")


def form_of(*, decode: bool) -> Form[Any]:
    """The form of results with or without `decode`."""
    return as_text if decode else as_bytes


def to_bytes(text: Text) -> bytes:
    """A key, a value or an argument as bytes. Raises `TypeError`, and `RequestRefused` for a `str` that cannot be
    encoded."""
    given: object = text
    try:
        match given:
            case bytes():
                return bytes(given)
            case str():
                # In text from the command line, bytes that are not UTF-8 are lone surrogates (PEP 383).
                return given.encode("utf-8", "surrogateescape")
            case int() if not isinstance(given, bool):
                return str(int(given)).encode()
    except ValueError as error:
        raise RequestRefused("bad_request", f"this cannot be sent: {error}", hint="send bytes") from None
    raise TypeError(f"a key or a value is bytes, str or int, not {type(given).__name__}")


def several(texts: Iterable[Text], what: str) -> list[bytes]:
    """Several keys or arguments as bytes. Raises `TypeError` for a single one, whose letters would be taken for
    several."""
    _refuse_one(texts, f"{what} are several, as a list")
    return [to_bytes(text) for text in texts]


def _refuse_one(given: object, what: str) -> None:
    if isinstance(given, _TEXTS) or not isinstance(given, Iterable):
        raise TypeError(f"{what}: not {type(given).__name__}")


def command_name(name: object) -> str:
    """`name`, if it is `str`. Raises `TypeError`."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a command is str, not {type(name).__name__}")
    return name


def commands_of(commands: Iterable[Command]) -> list[tuple[str, list[bytes]]]:
    """The commands of a transaction as names and arguments in bytes. Raises `TypeError`."""
    _refuse_one(commands, "commands are several, as a list of (name, arguments)")
    listed = []
    for command in commands:
        _refuse_one(command, "a command is a pair of its name and its arguments")
        pair: tuple[Any, ...] = tuple(command)
        if len(pair) != 2:
            raise TypeError(f"a command is a pair of its name and its arguments: not {len(pair)} things")
        listed.append((command_name(pair[0]), several(pair[1], "the arguments of a command")))
    return listed


def pairs_of(pairs: Pairs) -> list[bytes]:
    """Keys and values in turn, as bytes. Raises `TypeError`."""
    if not isinstance(pairs, Mapping):
        raise TypeError(f"keys and values are a mapping, such as a dict: not {type(pairs).__name__}")
    return [to_bytes(text) for pair in pairs.items() for text in pair]


def revisions_of(watch: Revisions | None) -> dict[bytes, int]:
    """The watched keys, as bytes, and their revisions. Raises `TypeError`."""
    if watch is None:
        return {}
    if not isinstance(watch, Mapping):
        raise TypeError(f"what is watched is a mapping of keys to revisions: not {type(watch).__name__}")
    return {to_bytes(key): whole(revision, "a revision") for key, revision in watch.items()}


def whole(number: int, what: str) -> int:
    """`number`, if it is a whole number and not a bool. Raises `TypeError`."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is int, not {type(number).__name__}")
    return int(number)


def duration(number: float, what: str) -> float:
    """`number`, if it is a time in milliseconds. Raises `TypeError`, and `RequestRefused` for a negative one or NaN."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{what} is a number of milliseconds, not {type(number).__name__}")
    if not number >= 0.0:
        raise RequestRefused("bad_request", f"{what} cannot be {number}")
    return number


def duration_or_none(number: float | None, what: str) -> float | None:
    """`duration` of a number, and None of None."""
    return None if number is None else duration(number, what)


def milliseconds(lifetime: Lifetime) -> int:
    """A time to live in whole milliseconds, rounded up, so that it never ends early. Raises `TypeError`, and
    `RequestRefused` for infinity and NaN."""
    if isinstance(lifetime, timedelta):
        return -(-lifetime // timedelta(milliseconds=1))
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        raise TypeError(f"a lifetime is seconds or a timedelta, not {type(lifetime).__name__}")
    if not isfinite(lifetime):
        raise RequestRefused(
            "bad_request", f"a lifetime cannot be {lifetime} seconds", hint="leave it out for ever"
        )
    return lifetime * 1000 if isinstance(lifetime, int) else ceil(lifetime * 1000.0)


def wait_milliseconds(wait: Lifetime) -> int:
    """How long something is waited for, in whole milliseconds. Raises as `milliseconds`, and `RequestRefused` below
    0."""
    wait_ms = milliseconds(wait)
    if wait_ms < 0:
        raise RequestRefused("bad_request", f"a wait is 0 or more seconds, not {wait}", hint="0 tries once")
    return wait_ms


def session_ttl_ms(lifetime: Lifetime) -> int:
    """The time to live of a session in whole milliseconds. Raises as `milliseconds`, and `RequestRefused` if no session
    can have it."""
    ttl_ms = milliseconds(lifetime)
    if not SESSION_TTL_MS_MIN <= ttl_ms <= SESSION_TTL_MS_MAX:
        raise RequestRefused(
            "bad_request",
            f"a session cannot live for {lifetime} seconds without its client",
            hint=f"from {SESSION_TTL_MS_MIN // 1000} to {SESSION_TTL_MS_MAX // 1000} seconds",
        )
    return ttl_ms


def seconds(lifetime: Lifetime) -> int:
    """A time to live in whole seconds, rounded up. Raises as `milliseconds`."""
    return -(-milliseconds(lifetime) // 1000)
