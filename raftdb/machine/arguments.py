"""How arguments that are no keys and no values are read: numbers, times to live, beginnings of keys.

Every function takes an argument of the right size, and raises `RequestRefused` for one of the wrong kind.
"""

from raftdb.errors import RequestRefused
from raftdb.limits import KEY_BYTES_MAX, TTL_MS_MAX
from raftdb.machine.integers import NOT_AN_INTEGER, parse_integer


def integer(text: bytes, *, hint: str) -> int:
    """A whole number of 64 bits."""
    value = parse_integer(text)
    if value is None:
        raise RequestRefused("bad_request", NOT_AN_INTEGER, hint=hint)
    return value


def ttl_ms(text: bytes, unit_ms: int) -> int:
    """A time to live in milliseconds, given as a number of units of `unit_ms` each; it may be 0 or below."""
    value_ms = integer(text, hint="a whole number, such as 60") * unit_ms
    if value_ms > TTL_MS_MAX:
        raise bad_ttl(f"a time to live is at most {TTL_MS_MAX} milliseconds")
    return value_ms


def bad_ttl(hint: str) -> RequestRefused:
    """The error for an invalid time to live."""
    return RequestRefused("bad_request", "invalid time to live", hint=hint)


def prefix_of(text: bytes) -> bytes:
    """The beginning of keys, or a key that need not be one."""
    if len(text) > KEY_BYTES_MAX:
        raise RequestRefused(
            "bad_key", f"the beginning of a key has {len(text)} bytes: the limit is {KEY_BYTES_MAX}"
        )
    return text


def seconds_ms(what: str, text: bytes, *, is_above_0: bool = False) -> int:
    """A time in milliseconds, given in seconds with up to three decimals; `what` is its name in errors."""
    whole, point, fraction = text.partition(b".")
    is_number = whole.isdigit() and (fraction.isdigit() or not point) and len(fraction) <= 3
    if not is_number or len(whole) > len(str(TTL_MS_MAX)):
        raise RequestRefused("bad_request", f"{what} is not a time", hint="seconds, such as 30 or 0.5")
    value_ms = int(whole) * 1000 + int(fraction.ljust(3, b"0"))
    if value_ms > TTL_MS_MAX or (is_above_0 and value_ms == 0):
        lowest = 1 if is_above_0 else 0
        raise RequestRefused("bad_request", f"{what} is from {lowest} to {TTL_MS_MAX} milliseconds")
    return value_ms


def shown_seconds(time_ms: int) -> bytes:
    """A time in seconds, with decimals if it needs them, as `seconds_ms` reads it."""
    seconds, rest = divmod(time_ms, 1000)
    return b"%d.%03d" % (seconds, rest) if rest else b"%d" % seconds
