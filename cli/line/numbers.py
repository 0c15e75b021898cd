"""Parsing typed numbers: counts and seconds."""

from cli.console.render import shorten

COUNT_DIGITS_MAX = 19
NUMBER_CHARACTERS_SHOWN_MAX = 40
"""Most characters of a bad number that an error repeats."""


def parse_count(text: str) -> int:
    """A positive whole number below 2^63, for indexes, limits and numbers of nodes. Raises `ValueError`."""
    # The length is checked first, because Python refuses to convert thousands of digits with an error of its own.
    if text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS_MAX and 0 < int(text) < 1 << 63:
        return int(text)
    raise ValueError(f"{shorten(text, COUNT_DIGITS_MAX)!r} is not a whole number above 0")


def parse_seconds(text: str, seconds_min: float, seconds_max: float) -> float:
    """A number of seconds from `seconds_min` to `seconds_max`, and above 0. Raises `ValueError`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds_min <= seconds <= seconds_max and seconds > 0:
        return seconds
    bounds = f"from {seconds_min:g} to" if seconds_min else "above 0 and up to"
    shown = shorten(text, NUMBER_CHARACTERS_SHOWN_MAX)
    raise ValueError(f"{shown!r} is not a number of seconds {bounds} {seconds_max:.0f}")


LIFETIME_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
LIFETIME_DIGITS_MAX = 9
LIFETIME_S_MAX = 10 * 365 * 86_400
"""The longest lifetime that can be typed: ten years."""


def parse_lifetime(text: str) -> int:
    """A time such as `30d`, `12h`, `15m` or `90s`, in seconds. Raises `ValueError`."""
    digits, unit = text[:-1], text[-1:].lower()
    if (
        digits.isascii()
        and digits.isdigit()
        and len(digits) <= LIFETIME_DIGITS_MAX
        and unit in LIFETIME_UNITS_S
    ):
        seconds = int(digits) * LIFETIME_UNITS_S[unit]
        if 0 < seconds <= LIFETIME_S_MAX:
            return seconds
    shown = shorten(text, NUMBER_CHARACTERS_SHOWN_MAX)
    raise ValueError(f"{shown!r} is not a time up to ten years, such as 30d, 12h, 15m or 90s")
