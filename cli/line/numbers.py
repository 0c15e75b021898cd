"""Numbers as people type them: counts and seconds."""

from cli.console.render import shorten

COUNT_DIGITS_MAX = 19
NUMBER_CHARACTERS_SHOWN_MAX = 40
"""How much of what is no number an error repeats."""


def parse_count(text: str) -> int:
    """A positive whole number that fits 63 bits, for indexes, limits and numbers of nodes; raises
    `ValueError`."""
    # Its length is looked at first: Python refuses to convert thousands of digits, in words of its own.
    if text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS_MAX and 0 < int(text) < 1 << 63:
        return int(text)
    raise ValueError(f"{shorten(text, COUNT_DIGITS_MAX)!r} is not a whole number above 0")


def parse_seconds(text: str, seconds_min: float, seconds_max: float) -> float:
    """A number of seconds from `seconds_min` to `seconds_max`; raises `ValueError`. A minimum of 0 is none itself."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds_min <= seconds <= seconds_max and seconds > 0:
        return seconds
    bounds = f"from {seconds_min:g} to" if seconds_min else "above 0 and up to"
    shown = shorten(text, NUMBER_CHARACTERS_SHOWN_MAX)
    raise ValueError(f"{shown!r} is not a number of seconds {bounds} {seconds_max:.0f}")
