"""How long to wait for what comes over a link."""

from raftdb.transport.trips import TRIPS_REMEMBERED, TRIPS_WAITED, Trips


def test_what_was_never_measured_is_waited_for_as_long_as_may_be() -> None:
    trips = Trips()
    assert trips.typical_s is None
    assert trips.wait_s(least_s=3, most_s=30) == 30


def test_a_wait_is_so_many_of_the_longest_trips_within_its_bounds() -> None:
    trips = Trips()
    trips.note(0.001)
    assert trips.wait_s(least_s=3, most_s=30) == 3
    trips.note(0.5)
    assert trips.wait_s(least_s=3, most_s=30) == 0.5 * TRIPS_WAITED
    trips.note(7.0)
    assert trips.wait_s(least_s=3, most_s=30) == 30
    assert trips.typical_s == 0.5


def test_old_trips_are_forgotten_and_all_are_when_a_wait_was_too_short() -> None:
    trips = Trips()
    trips.note(7.0)
    for _ in range(TRIPS_REMEMBERED):
        trips.note(0.5)
    assert (trips.typical_s, trips.wait_s(least_s=3, most_s=30)) == (0.5, 0.5 * TRIPS_WAITED)
    trips.forget()
    assert trips.wait_s(least_s=3, most_s=30) == 30
