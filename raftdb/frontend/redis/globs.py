"""Redis' patterns of names: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before a literal character.

A pattern becomes a regular expression in which each star takes as little as possible and is not tried again (it is
possessive up to the next literal), so that the time of a search does not grow with a power of the number of stars.
"""

import re
from collections.abc import Callable
from functools import lru_cache

PATTERN_BYTES_MAX = 1024
"""Longest pattern; longer ones match nothing."""

_SPECIAL = b"*?[\\"


def literal_prefix(pattern: bytes) -> bytes:
    """The prefix of every name that matches."""
    for place, byte in enumerate(pattern):
        if byte in _SPECIAL:
            return pattern[:place]
    return pattern


@lru_cache(maxsize=64)
def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """A function that tests whether a name matches."""
    if len(pattern) > PATTERN_BYTES_MAX:
        return lambda name: False
    compiled = re.compile(_expression(pattern), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None


def _expression(pattern: bytes) -> bytes:
    """Between two stars a piece is matched where it comes first (an atomic group): a later place never helps."""
    pieces = _pieces(pattern)
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + b"".join(b"(?>.*?%b)" % piece for piece in middle if piece) + b".*" + last


def _pieces(pattern: bytes) -> list[bytes]:
    """The regular expressions of the pieces between stars."""
    pieces = [b""]
    place = 0
    while place < len(pattern):
        byte = pattern[place : place + 1]
        place += 1
        if byte == b"*":
            pieces.append(b"")
        elif byte == b"?":
            pieces[-1] += b"."
        elif byte == b"[":
            text, place = _choice(pattern, place)
            pieces[-1] += text
        else:
            if byte == b"\\" and place < len(pattern):
                byte = pattern[place : place + 1]
                place += 1
            pieces[-1] += re.escape(byte)
    return pieces


def _choice(pattern: bytes, place: int) -> tuple[bytes, int]:
    """The class that begins at `place`, after its bracket, and the place where the pattern goes on."""
    negated = pattern[place : place + 1] == b"^"
    place += negated
    bytes_: set[int] = set()
    while place < len(pattern) and pattern[place : place + 1] != b"]":
        if pattern[place : place + 1] == b"\\" and place + 1 < len(pattern):
            place += 1
            bytes_.add(pattern[place])
        elif pattern[place + 1 : place + 2] == b"-" and place + 2 < len(pattern):
            first, last = sorted((pattern[place], pattern[place + 2]))
            bytes_ |= set(range(first, last + 1))
            place += 2
        else:
            bytes_.add(pattern[place])
        place += 1
    place += 1
    if negated:
        bytes_ = set(range(256)) - bytes_
    if not bytes_:
        return b"(?!)", place
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(bytes_)), place
