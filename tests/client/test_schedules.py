"""When something is due: intervals from the epoch, and times of day in zones with their odd nights."""

from datetime import datetime

import pytest

from raftdb.client.schedules import schedule_of
from raftdb.errors import RequestRefused


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("1h30m", 5_400), ("45s", 45), ("1d", 86_400), ("1d2h3m4s", 93_784)]
)
def test_an_interval_counts_from_the_epoch(text: str, seconds: int) -> None:
    schedule = schedule_of(text)
    assert schedule.latest(0) == 0
    assert schedule.latest(seconds - 0.001) == 0
    assert schedule.latest(1_000_000_000) == 1_000_000_000 // seconds * seconds
    assert schedule.following(0) == seconds
    assert schedule.following(1) == seconds


@pytest.mark.parametrize(
    ("tz", "slot"), [("UTC", "2026-05-04T02:00+00:00"), ("Asia/Jakarta", "2026-05-04T02:00+07:00")]
)
def test_a_time_of_day_is_that_of_its_zone(tz: str, slot: str) -> None:
    schedule, slot_s = schedule_of("02:00", tz), at(slot)
    assert schedule.latest(slot_s) == slot_s
    assert schedule.latest(slot_s + 86_399.9) == slot_s
    assert schedule.latest(slot_s - 0.001) == slot_s - 86_400
    assert schedule.following(slot_s) == slot_s + 86_400
    assert schedule.following(slot_s - 1) == slot_s


def test_a_time_that_the_clock_leaves_out_is_due_when_it_would_have_been() -> None:
    schedule = schedule_of("02:30", "Europe/Berlin")
    before, odd, after = (
        at("2026-03-28T02:30+01:00"),
        at("2026-03-29T03:30+02:00"),
        at("2026-03-30T02:30+02:00"),
    )
    assert schedule.following(before) == odd
    assert schedule.following(odd) == after
    assert schedule.latest(after - 1) == odd
    assert schedule.latest(odd - 1) == before


def test_a_time_that_comes_twice_is_due_once() -> None:
    schedule = schedule_of("02:30", "Europe/Berlin")
    first, next_day = at("2026-10-25T02:30+02:00"), at("2026-10-26T02:30+01:00")
    assert schedule.latest(next_day - 1) == first
    assert schedule.following(first) == next_day


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "24:00", "2:00", "02:60", "1m1h", "0s", "367d", "-5m", "٣m"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused):
        schedule_of(text)


def test_a_zone_that_nobody_knows_is_refused() -> None:
    with pytest.raises(RequestRefused, match="no time zone"):
        schedule_of("02:00", "Mars/Olympus")
    with pytest.raises(RequestRefused, match="no time zone"):
        schedule_of("02:00", "../../etc/passwd")
