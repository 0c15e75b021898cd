"""The wheel of times: what is added is due once, at its time or within a slot after it, unless it is taken back."""

from hypothesis import given
from hypothesis import strategies as st

from raftdb.node.timers import SLOT_MS, Timers

TIMES = st.floats(min_value=0, max_value=100_000)


@given(st.lists(st.tuples(TIMES, TIMES, st.booleans()), max_size=30))
def test_everything_is_due_once_at_its_time(steps: list[tuple[float, float, bool]]) -> None:
    timers = Timers[float]()
    now_ms = 1e9
    expected: dict[int, float] = {}
    for number, (delay_ms, step_ms, taken_back) in enumerate(steps):
        slot = timers.add(now_ms + delay_ms, number, now_ms + delay_ms)
        if taken_back:
            timers.remove(slot, number)
        else:
            expected[number] = now_ms + delay_ms
        now_ms += step_ms
        for due, time_ms in timers.until(now_ms).items():
            assert expected.pop(due) == time_ms <= now_ms
        assert all(time_ms > now_ms - SLOT_MS for time_ms in expected.values())
    assert timers.until(now_ms + 1e6).keys() == expected.keys()


def test_what_is_due_already_can_not_be_taken_back() -> None:
    timers = Timers[str]()
    slot = timers.add(100, 1, "one")
    assert timers.until(200) == {1: "one"}
    timers.remove(slot, 1)
    assert timers.add(50, 2, "late") >= slot
    assert timers.until(1_000) == {2: "late"}
