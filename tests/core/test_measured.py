"""What a node remembers of its network."""

from raftdb.core.measured import GAP_HALF_LIFE_MS, PEERS_REMEMBERED_MAX, Measured

TICK_MS = 25


def after_gap(ticks: int, *, gap_ticks_max: int = 1000) -> Measured:
    measured = Measured()
    measured.heard("n1", 1, 1, gap_ticks_max=gap_ticks_max)
    for _ in range(ticks):
        measured.tick(TICK_MS)
    measured.heard("n1", 1, 2, gap_ticks_max=gap_ticks_max)
    return measured


def test_the_largest_gap_counts_and_smaller_ones_do_not_hide_it() -> None:
    measured = after_gap(40)
    measured.tick(TICK_MS)
    measured.heard("n1", 1, 3, gap_ticks_max=1000)
    assert 39 < measured.largest_gap_ticks <= 40


def test_a_gap_counts_for_half_after_its_half_life() -> None:
    measured = after_gap(40)
    for _ in range(GAP_HALF_LIFE_MS // TICK_MS):
        measured.tick(TICK_MS)
    assert abs(measured.largest_gap_ticks - 20) < 0.01


def test_a_gap_counts_for_no_more_than_its_bound() -> None:
    assert after_gap(40, gap_ticks_max=24).largest_gap_ticks == 24


def test_the_time_between_two_leaders_or_terms_is_no_gap() -> None:
    for leader, term in (("n2", 1), ("n1", 2)):
        measured = Measured()
        measured.heard("n1", 1, 1, gap_ticks_max=1000)
        measured.tick(TICK_MS)
        measured.heard(leader, term, 2, gap_ticks_max=1000)
        assert measured.largest_gap_ticks == 0


def test_a_heartbeat_that_comes_late_begins_no_gap() -> None:
    measured = after_gap(4)
    for _ in range(10):
        measured.tick(TICK_MS)
    measured.heard("n1", 1, 1, gap_ticks_max=1000)
    measured.heard("n1", 1, 3, gap_ticks_max=1000)
    assert measured.largest_gap_ticks == 10


def test_a_majority_is_as_near_as_its_farthest_node() -> None:
    measured = Measured()
    for peer, milliseconds in (("n2", 5), ("n3", 80), ("n4", 40), ("gone", 1)):
        measured.trip(peer, milliseconds)
    peers = ("n2", "n3", "n4", "n5")
    assert [measured.trip_to(peers, count=count) for count in (1, 2, 3, 4)] == [5, 40, 80, 80]
    assert Measured().trip_to(peers, count=2) == 0


def test_trips_to_strangers_are_not_remembered_without_end() -> None:
    measured = Measured()
    for number in range(2 * PEERS_REMEMBERED_MAX):
        measured.trip(f"n{number}", 7)
    measured.trip("n0", 1)
    remembered = [measured.trip_ms(f"n{number}") for number in range(2 * PEERS_REMEMBERED_MAX)]
    assert remembered == [1] + [7] * (PEERS_REMEMBERED_MAX - 1) + [None] * PEERS_REMEMBERED_MAX


def test_one_trip_that_is_late_says_nothing_and_some_in_a_row_say_that_the_way_is_long() -> None:
    measured = Measured()
    for milliseconds, expected in ((1, 1), (1, 1), (800, 1), (1, 1), (800, 1), (810, 1), (820, 800), (1, 1)):
        measured.trip("n2", milliseconds)
        assert measured.trip_ms("n2") == expected
