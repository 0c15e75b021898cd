"""Counts by size: in which bucket a value is, and what is read from the buckets."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.tally import RequestTallies, Tally, percentile


@given(st.lists(st.floats(0, 20), max_size=40))
def test_each_value_is_counted_at_the_first_bound_that_it_does_not_exceed(values: list[float]) -> None:
    bounds = (0.5, 1.0, 10.0)
    tally = Tally(bounds)
    for value in values:
        tally.add(value)
    assert sum(tally.counts) == tally.count == len(values)
    assert tally.total == pytest.approx(sum(values))
    below = 0
    for bound, count in zip(bounds, tally.counts, strict=False):
        below += count
        assert below == sum(value <= bound for value in values)


def test_many_are_counted_as_one_by_one() -> None:
    one_by_one, at_once = Tally(), Tally()
    for _ in range(7):
        one_by_one.add(0.003)
    at_once.add_many(0.003, 7)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == pytest.approx(one_by_one.total)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([0, 10, 0], 0.5, 2.0),
        ([5, 5, 0], 1.0, 3.0),
        ([0, 0, 4], 0.99, 3.0),
    ],
)
def test_a_percentile_is_within_its_bucket(counts: list[int], share: float, expected: float | None) -> None:
    assert percentile((1.0, 3.0), counts, share) == expected


def test_requests_are_counted_by_operation_and_outcome() -> None:
    tallies = RequestTallies()
    now_s = perf_counter()
    tallies.succeeded("set", now_s)
    tallies.succeeded("set", now_s - 20)
    tallies.refused("set", "busy", now_s)
    tallies.succeeded("get", now_s)
    assert {one[0]: one[2] for one in tallies.all() if one[1] == "ok"}["set"].counts[-1] == 1
    assert [(operation, outcome, tally.count) for operation, outcome, tally in tallies.all()] == [
        ("get", "ok", 1),
        ("set", "busy", 1),
        ("set", "ok", 2),
    ]
