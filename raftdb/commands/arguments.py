"""How the arguments of a command become the command, where that takes more than putting them in their places.

Every function takes arguments of the right number and size, and raises `RequestRefused` for one of the wrong kind.
"""

from collections.abc import Sequence

from raftdb.commands.limits import KEY_BYTES_MAX, SCAN_LIMIT_DEFAULT, SCAN_LIMIT_MAX, TTL_MS_MAX
from raftdb.commands.model import (
    KEEP_TTL,
    NO_TTL,
    Command,
    CompareAndSet,
    Condition,
    ExpireAfter,
    IncrementBy,
    Keys,
    Scan,
    Set,
    parse_integer,
)
from raftdb.errors import RequestRefused

NOT_AN_INTEGER = "value is not an integer or out of range"
"""What is said of a text that is no 64-bit signed integer, in an argument or in the store (Redis' words)."""

SET_SYNTAX = "set KEY VALUE [EX SECONDS | PX MILLISECONDS | KEEPTTL] [NX | XX]"

_UNITS_MS = {b"EX": 1000, b"PX": 1}
_CONDITIONS = {b"NX": Condition.IF_MISSING, b"XX": Condition.IF_PRESENT}


def increment_by(arguments: Sequence[bytes]) -> Command:
    """`incrby KEY NUMBER`."""
    return IncrementBy(
        arguments[0], _integer(arguments[1], hint="a whole number of 64 bits, such as 5 or -5")
    )


def set_(arguments: Sequence[bytes]) -> Command:
    """`set KEY VALUE` and its options: each kind at most once, in any case and order."""
    if len(arguments) == 2:
        return Set(arguments[0], arguments[1])
    ttl_ms, condition = NO_TTL, Condition.ALWAYS
    words = iter(arguments[2:])
    for word in words:
        option = word.upper()
        if option in _CONDITIONS and condition is Condition.ALWAYS:
            condition = _CONDITIONS[option]
        elif option == b"KEEPTTL" and ttl_ms == NO_TTL:
            ttl_ms = KEEP_TTL
        elif option in _UNITS_MS and ttl_ms == NO_TTL:
            ttl_ms = _ttl_ms(next(words, b""), _UNITS_MS[option])
            if ttl_ms <= 0:
                raise _bad_ttl("a time to live is above 0")
        else:
            raise RequestRefused(
                "bad_request", "the options of 'set' cannot be read", hint=f"the syntax is: {SET_SYNTAX}"
            )
    return Set(arguments[0], arguments[1], ttl_ms, condition)


def compare_and_set(arguments: Sequence[bytes]) -> Command:
    """`cas KEY REVISION VALUE`."""
    revision = _integer(arguments[1], hint="a revision as an answer gave it, or 0 for a missing key")
    if revision < 0:
        raise RequestRefused("bad_request", "a revision is 0 or above")
    return CompareAndSet(arguments[0], revision, arguments[2])


def expire(arguments: Sequence[bytes]) -> Command:
    """`expire KEY SECONDS`."""
    return ExpireAfter(arguments[0], max(0, _ttl_ms(arguments[1], 1000)))


def keys(arguments: Sequence[bytes]) -> Command:
    """`keys PREFIX`."""
    return Keys(_prefix(arguments[0]))


def scan(arguments: Sequence[bytes]) -> Command:
    """`scan [PREFIX [AFTER [LIMIT]]]`."""
    prefix, after, limit_text = (*arguments, *(b"", b"", b"%d" % SCAN_LIMIT_DEFAULT)[len(arguments) :])
    limit = _integer(limit_text, hint=f"from 1 to {SCAN_LIMIT_MAX}")
    if not 1 <= limit <= SCAN_LIMIT_MAX:
        raise RequestRefused("bad_request", f"the limit of a scan is from 1 to {SCAN_LIMIT_MAX}, not {limit}")
    return Scan(_prefix(prefix), _prefix(after), limit)


def _integer(text: bytes, *, hint: str) -> int:
    value = parse_integer(text)
    if value is None:
        raise RequestRefused("bad_request", NOT_AN_INTEGER, hint=hint)
    return value


def _ttl_ms(text: bytes, unit_ms: int) -> int:
    ttl_ms = _integer(text, hint="a whole number, such as 60") * unit_ms
    if ttl_ms > TTL_MS_MAX:
        raise _bad_ttl(f"a time to live is at most {TTL_MS_MAX} milliseconds")
    return ttl_ms


def _bad_ttl(hint: str) -> RequestRefused:
    return RequestRefused("bad_request", "invalid time to live", hint=hint)


def _prefix(text: bytes) -> bytes:
    if len(text) > KEY_BYTES_MAX:
        raise RequestRefused(
            "bad_key", f"the beginning of a key has {len(text)} bytes: the limit is {KEY_BYTES_MAX}"
        )
    return text
