"""Parsing arguments: numbers, and times in Redis' units, as durations or as times of the calendar.

The machine has only the cluster clock, and takes times to live that count from when an entry is applied. So a time of
the calendar becomes a time to live here, on the node that leads, by its own clock.
"""

import time

from raftdb.frontend.redis.errors import NOT_AN_INTEGER, CommandRefused
from raftdb.limits import TTL_MS_MAX
from raftdb.machine.integers import parse_integer
from raftdb.machine.strings import PAST_TTL


def integer(text: bytes) -> int:
    """A whole number of 64 bits. Raises `CommandRefused`."""
    value = parse_integer(text)
    if value is None:
        raise CommandRefused(NOT_AN_INTEGER)
    return value


def calendar_ms() -> int:
    """Milliseconds since 1970 by the clock of this machine."""
    return time.time_ns() // 1_000_000


UNITS: dict[bytes, tuple[int, bool]] = {
    b"EX": (1000, False),
    b"PX": (1, False),
    b"EXAT": (1000, True),
    b"PXAT": (1, True),
}
"""The options with a time: its unit in milliseconds, and whether it is a time of the calendar."""


def lifetime_ms(text: bytes, unit: bytes, command: str) -> int:
    """The time to live of a value in milliseconds, for `Set` and its like: above 0, or `PAST_TTL`. Raises
    `CommandRefused`."""
    unit_ms, of_calendar = UNITS[unit]
    value = integer(text)
    if value <= 0 or value * unit_ms > TTL_MS_MAX:
        raise bad_time(command)
    if not of_calendar:
        return value * unit_ms
    left_ms = value * unit_ms - calendar_ms()
    return left_ms if left_ms > 0 else PAST_TTL


def bad_time(command: str) -> CommandRefused:
    """The error for a time that is not possible."""
    return CommandRefused(f"ERR invalid expire time in '{command}' command")
