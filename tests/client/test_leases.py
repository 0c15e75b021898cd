"""When a lease is over, as its holder sees it. Time is a number here."""

from dataclasses import dataclass
from math import inf

import pytest

from raftdb.client.leases import RETRY_MS, Lease, Numbers, next_wait_ms
from raftdb.limits import WAIT_MS_MAX


@dataclass
class Clock:
    now_ms: float = 0.0

    def __call__(self) -> float:
        return self.now_ms


def lease(clock: Clock, ttl_ms: float = 15_000.0, **more: float) -> Lease:
    return Lease(ttl_ms, sent_ms=clock.now_ms, clock=clock, **more)


@pytest.mark.parametrize(
    ("ttl_ms", "over_ms"), [(15_000, 13_500), (30_000, 27_000), (2_000, 1_500), (1_000, 500)]
)
def test_it_is_over_a_margin_before_the_cluster_lets_it_end(ttl_ms: float, over_ms: float) -> None:
    clock = Clock()
    held = lease(clock, ttl_ms)
    clock.now_ms = over_ms - 1
    assert not held.is_lost
    clock.now_ms = over_ms
    assert held.is_lost


def test_a_renewal_counts_from_when_it_was_sent_and_not_from_its_answer() -> None:
    clock = Clock()
    held = lease(clock)
    clock.now_ms = 9_000
    assert held.renewed(sent_ms=5_000)
    assert held.ends_ms == 5_000 + 13_500
    assert held.due_ms == 10_000


def test_an_older_renewal_that_is_confirmed_later_shortens_nothing() -> None:
    clock = Clock()
    held = lease(clock)
    assert held.renewed(sent_ms=6_000)
    assert held.renewed(sent_ms=5_000)
    assert held.ends_ms == 6_000 + 13_500


def test_what_was_lost_stays_lost_whatever_is_confirmed_later() -> None:
    clock = Clock()
    held = lease(clock)
    clock.now_ms = 13_500
    assert not held.renewed(sent_ms=13_000)
    assert held.is_lost
    assert held.due_ms == inf


def test_a_renewal_is_due_each_third_and_soon_again_after_one_that_failed() -> None:
    clock = Clock()
    held = lease(clock)
    assert held.due_ms == 5_000
    clock.now_ms = 5_100
    held.failed()
    assert held.due_ms == 5_100 + RETRY_MS
    held.renewed(sent_ms=5_400)
    assert held.due_ms == 10_400


def test_no_renewal_is_due_beyond_the_longest_run() -> None:
    clock = Clock()
    held = lease(clock, 30_000, renewed_until_ms=25_000)
    assert held.due_ms == 10_000
    held.renewed(sent_ms=10_000)
    assert held.due_ms == 20_000
    held.renewed(sent_ms=20_000)
    assert held.due_ms == inf
    assert held.ends_ms == 47_000


def test_the_cluster_may_say_that_it_is_over() -> None:
    held = lease(Clock())
    held.end()
    assert held.is_lost
    assert not held.renewed(sent_ms=1)


def test_no_two_things_have_the_same_number_even_one_after_the_other() -> None:
    class Thing:
        pass

    numbers = Numbers()
    seen = [numbers.of(Thing()) for _ in range(10)]
    assert len(set(seen)) == 10
    one, other = Thing(), Thing()
    assert numbers.of(one) == numbers.of(one) != numbers.of(other)


@pytest.mark.parametrize(
    ("wait_ms", "asked"),
    [
        (5, [5]),
        (40_000, [39_999, 1]),
        (45_000, [41_000, 4_000]),
        (WAIT_MS_MAX, [41_000, 9_000]),
        (140_000, [50_000, 50_000, 39_999, 1]),
        (inf, [50_000, 50_000, 50_000, 50_000]),
    ],
)
def test_a_place_is_asked_for_again_and_given_up_at_the_end(wait_ms: float, asked: list[float]) -> None:
    for each in asked:
        assert next_wait_ms(wait_ms) == each
        wait_ms -= each
    assert wait_ms in (0, inf)
