"""When something is to run: `every`'s schedules. No I/O, and no clock: all are told the time.

A schedule is a row of *slots*, instants at which something is due. They follow from the schedule alone, so processes on
many machines agree on them without talking: an interval counts from the epoch (`10m`: at 00:00, 00:10, ... UTC), and a
time of day is that of a named zone.

In the night in which clocks go forward, a time that is left out is due at the moment at which the clock would have
shown it (02:30 becomes 03:30 then); where clocks go back, a time that comes twice is due the first time only. So there
is one slot a day.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias

from raftdb.errors import RequestRefused

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

INTERVAL_S_MIN = 1
INTERVAL_S_MAX = 366 * 86_400

_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_INTERVAL = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_TIME_OF_DAY = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Interval:
    """Slots that are `seconds` apart, one of them at the epoch."""

    seconds: int

    def latest(self, now_s: float) -> int:
        """The last slot at or before `now_s`; both are seconds since the epoch."""
        return int(now_s // self.seconds) * self.seconds

    def following(self, slot_s: int) -> int:
        """The slot after `slot_s`."""
        return self.latest(slot_s) + self.seconds


@dataclass(frozen=True, slots=True)
class Daily:
    """One slot a day, when it is `time` in `zone`."""

    time: time
    zone: "ZoneInfo"

    def latest(self, now_s: float) -> int:
        """The last slot at or before `now_s`; both are seconds since the epoch."""
        day = datetime.fromtimestamp(now_s, self.zone).date() + timedelta(days=1)
        while (slot_s := self._on(day.toordinal())) > now_s:
            day -= timedelta(days=1)
        return slot_s

    def following(self, slot_s: int) -> int:
        """The slot after `slot_s`."""
        day = datetime.fromtimestamp(slot_s, self.zone).date().toordinal() - 1
        while (following_s := self._on(day)) <= slot_s:
            day += 1
        return following_s

    def _on(self, day: int) -> int:
        date = datetime.fromordinal(day).date()
        return int(datetime.combine(date, self.time, self.zone).astimezone(UTC).timestamp())


Schedule: TypeAlias = Interval | Daily


def schedule_of(text: str, tz: str = "UTC") -> Schedule:
    """The schedule of `"10m"`, `"1h30m"`, `"45s"`, `"1d"`, or of a time of day in the zone `tz`, such as `"02:00"` in
    `"Asia/Jakarta"`. Raises `TypeError`, and `RequestRefused` for what is none of these, and for an unknown zone."""
    if not isinstance(text, str):
        raise TypeError(f"a schedule is str, such as '10m' or '02:00', not {type(text).__name__}")
    if (found := _INTERVAL.fullmatch(text)) is not None:
        seconds = sum(
            int(count or 0) * unit_s for count, unit_s in zip(found.groups(), _UNITS_S.values(), strict=True)
        )
        if not INTERVAL_S_MIN <= seconds <= INTERVAL_S_MAX:
            raise RequestRefused("bad_request", f"an interval lasts from a second to a year, not {text}")
        return Interval(seconds)
    try:
        if (found := _TIME_OF_DAY.fullmatch(text)) is not None:
            hour, minute, second = (int(part or 0) for part in found.groups())
            return Daily(time(hour, minute, second), _zone(tz))
    except ValueError:
        pass
    raise RequestRefused(
        "bad_request",
        f"{text!r} is no schedule",
        hint="write '10m', '1h30m', '45s', '1d', or a time of day as '02:00'",
    )


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RequestRefused(
            "bad_request",
            f"there is no time zone {name!r} here",
            hint="write it as 'Asia/Jakarta', or install tzdata",
        ) from None
