"""Integers as they are stored: 64 bits, in the one decimal spelling."""

from typing import Annotated, TypeAlias

INTEGER_MIN = -(2**63)
"""Smallest integer that a counter may hold: 64-bit signed, as in Redis."""
INTEGER_MAX = 2**63 - 1
"""Largest integer that a counter may hold."""

INTEGER_TEXT_BYTES_MAX = len(str(INTEGER_MIN))

NOT_AN_INTEGER = "value is not an integer or out of range"
"""The error for a text that is no 64-bit signed integer, in an argument or in the store (Redis' words)."""


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


def is_not_negative(value: int) -> bool:
    """Return whether `value` is 0 or above."""
    return value >= 0


NotNegative: TypeAlias = Annotated[int, is_not_negative]
"""The type of a field of a command that is 0 or above: entries with others cannot be made."""
