"""What a direction does with messages: exact fates and times for a seed, and its bounds."""

from collections import Counter

import pytest

from raftdb.impairment import lane as lanes
from raftdb.impairment.conditions import parse_conditions
from raftdb.impairment.lane import Lane

ALL = "delay 100ms 50ms loss 5% duplicate 2% corrupt 5% reorder 8%"
UNIFORM = [(128, 0), (154, 1), (159, 2), (159, 3), (186, 4)]
UNIFORM_OTHER_SEED = [(137, 0), (137, 1), (137, 2), (156, 3), (156, 4)]
NORMAL = [(41, 0), (92, 1), (92, 2), (92, 3), (92, 4)]
REORDERED = [(30, 3), (50, 5), (60, 6), (100, 0), (110, 1), (120, 2), (140, 4), (170, 7)]
COUNTED = (43, 31, 37, 89)


def lane(words: str, *, seed: int = 1) -> Lane[int]:
    made: Lane[int] = Lane("n1>n2", seed=seed)
    made.set(parse_conditions(words), is_cut=False)
    return made


def arrivals(
    sent: Lane[int], count: int, *, every_s: float = 0.01, size_bytes: int = 100
) -> list[tuple[int, int]]:
    """When each of `count` messages arrives that are sent one after the other, in ms, and which it is, in order."""
    for number in range(count):
        sent.put(number, size_bytes, number * every_s)
    arrived = []
    while (due_s := sent.next_due_s) is not None:
        arrived += [(round(due_s * 1000), item) for item in sent.due(due_s)]
    return arrived


def test_a_direction_without_conditions_is_open() -> None:
    made = lane("none")
    assert made.is_open
    assert arrivals(made, 3) == [(0, 0), (10, 1), (20, 2)]
    assert made.counts.passed == 3
    assert made.counts.delayed == 0


def test_each_message_is_late() -> None:
    assert arrivals(lane("delay 100ms"), 3) == [(100, 0), (110, 1), (120, 2)]


def test_jitter_is_drawn_from_the_seed_and_changes_no_order() -> None:
    uniform = "delay 100ms 50ms"
    assert arrivals(lane(uniform), 5) == UNIFORM
    assert arrivals(lane(uniform), 5) == UNIFORM
    assert arrivals(lane(uniform, seed=2), 5) == UNIFORM_OTHER_SEED
    assert arrivals(lane(f"{uniform} distribution normal"), 5) == NORMAL


def test_a_delay_is_never_less_than_nothing() -> None:
    arrived = arrivals(lane("delay 10ms 500ms distribution normal"), 200)
    assert [item for _, item in arrived] == list(range(200))
    assert all(at_ms >= 10 * item for at_ms, item in arrived)


def test_a_reordered_message_is_sent_at_once_and_overtakes_the_others() -> None:
    made = lane("delay 100ms reorder 30%")
    arrived = arrivals(made, 8)
    assert arrived == REORDERED
    assert made.counts.reordered == 3
    assert made.counts.delayed == 5


def test_messages_are_lost_doubled_and_corrupted_and_counted() -> None:
    made = lane(ALL)
    copies = Counter(item for _, item in arrivals(made, 1000))
    counts = made.counts
    assert (counts.lost, counts.duplicated, counts.corrupted, counts.reordered) == COUNTED
    assert sum(copies.values()) == counts.passed == 1000 - counts.lost + counts.duplicated - counts.corrupted
    assert counts.delayed == counts.passed - counts.reordered
    assert counts.overflowed == counts.cut == 0


def test_a_rate_lets_messages_pass_one_after_the_other() -> None:
    """100 bytes are 800 bits: a tenth of a second at 8 kbit/s."""
    assert arrivals(lane("rate 8kbit"), 3, every_s=0) == [(100, 0), (200, 1), (300, 2)]
    assert arrivals(lane("rate 8kbit delay 50ms"), 2, every_s=0.2) == [(150, 0), (350, 1)]


def test_no_more_messages_are_held_than_the_limit_says() -> None:
    made = lane("delay 100ms limit 3")
    assert [item for _, item in arrivals(made, 5)] == [0, 1, 2]
    assert made.counts.overflowed == 2


def test_no_more_bytes_are_held_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HELD_BYTES_MAX", 250)
    made = lane("delay 100ms")
    for number in range(3):
        made.put(number, 100, 0.0)
    assert (made.held_messages, made.held_bytes, made.counts.overflowed) == (2, 200, 1)
    made.due(1.0)
    made.put(4, 1000, 1.0)
    assert made.held_bytes == 1000, "one message is always held, however long"


def test_a_cut_loses_what_is_sent_and_what_is_under_way() -> None:
    made = lane("delay 100ms")
    made.put(1, 100, 0.0)
    made.set(made.conditions, is_cut=True)
    made.put(2, 100, 0.0)
    assert made.next_due_s is None
    assert not made.is_open
    assert made.counts.cut == 2
    made.set(made.conditions, is_cut=False)
    made.put(3, 100, 5.0)
    assert made.due(6.0) == [3]


def test_what_is_held_goes_first_when_the_conditions_end() -> None:
    made = lane("delay 100ms")
    made.put(1, 100, 0.0)
    made.set(parse_conditions("none"), is_cut=False)
    assert not made.is_open
    made.put(2, 100, 0.05)
    assert made.due(0.05) == []
    assert made.due(0.1) == [1, 2]
    assert made.is_open


def test_a_part_of_a_stream_is_late_instead_of_lost() -> None:
    """It is sent again after three ways, and each time it takes its way."""
    late = lane("delay 100ms loss 50%")
    times = [late.arrival_s(100, 0.0) for _ in range(200)]
    assert {round(time_s, 3) for time_s in times if time_s is not None} >= {0.1, 0.5, 0.9}
    quick = lane("loss 50%")
    assert {round(quick.arrival_s(1, 0.0) or 0.0, 3) for _ in range(50)} >= {0.0, 0.2, 0.4}
    assert lane("loss 100%").arrival_s(100, 0.0) is None


def test_chance_begins_anew_with_another_seed() -> None:
    made = lane("delay 100ms 50ms")
    arrivals(made, 5)
    made.clear()
    made.begin_anew(1)
    assert arrivals(made, 5) == UNIFORM
