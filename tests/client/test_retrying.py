"""How often and when a transaction is tried again. Time is a number here."""

from random import Random

from raftdb.client.retrying import CALL_MS_MIN, PAUSE_MS_FIRST, PAUSE_MS_MAX, Attempts


def test_pauses_are_drawn_below_a_limit_that_grows() -> None:
    attempts = Attempts(max_attempts=100, timeout_ms=1e9, now_ms=0.0, random=Random(1))
    pauses = []
    for number in range(20):
        pause_ms = attempts.pause_ms(0.0)
        assert pause_ms is not None
        assert 0.0 <= pause_ms <= min(PAUSE_MS_FIRST * 2**number, PAUSE_MS_MAX)
        pauses.append(pause_ms)
    assert max(pauses[10:]) > PAUSE_MS_MAX / 2
    assert len(set(pauses)) == len(pauses)


def test_attempts_are_counted() -> None:
    attempts = Attempts(max_attempts=3, timeout_ms=1e9, now_ms=0.0, random=Random(1))
    assert [attempts.pause_ms(0.0) is not None for _ in range(3)] == [True, True, False]


def test_one_deadline_is_for_all_of_them() -> None:
    attempts = Attempts(max_attempts=100, timeout_ms=1_000.0, now_ms=50.0, random=Random(1))
    assert attempts.call_timeout_ms(50.0) == 1_000.0
    assert attempts.call_timeout_ms(850.0) == 200.0
    assert attempts.call_timeout_ms(2_000.0) == CALL_MS_MIN
    assert attempts.pause_ms(500.0) is not None
    assert attempts.pause_ms(1_050.0) is None
