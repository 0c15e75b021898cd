"""The samples of the Charts page: differences of the same figures, a bounded number, and marks among them."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftdb.server import charts
from raftdb.server.charts import COLUMNS, SAMPLES_MAX, Charts, differences
from raftdb.tally import SECONDS, Tally


def figures(**more: Any) -> dict[str, Any]:
    """The figures of a node that has done nothing."""
    nothing = {"counts": [0] * (len(SECONDS) + 1), "total_s": 0.0}
    histograms = dict.fromkeys(("request_s", "commit_s", "fsync_s", "loop_lag_s"), nothing)
    counters = dict.fromkeys(("reads", "writes", "failed", "log_writes", "log_entries"), 0)
    levels = {"proposals_pending": 3, "pending_requests": 5, "memory_bytes": 1_000}
    files = {"file_bytes": {"log": 4_096, "state": 8_192}}
    return {**histograms, **counters, **levels, **files, **more}


def histogram(*seconds: float) -> dict[str, Any]:
    tally = Tally()
    for value in seconds:
        tally.add(value)
    return {"counts": tally.counts, "total_s": tally.total}


def test_a_sample_tells_what_was_done_since_the_one_before() -> None:
    before = figures(reads=10, writes=100, commit_s=histogram(9.0, 9.0, 9.0))
    now = figures(reads=10, writes=150, failed=1, commit_s=histogram(9.0, 9.0, 9.0, 0.004, 0.004))
    found = differences(now, before, 2.0)
    assert (found["reads_per_s"], found["writes_per_s"], found["failed_per_s"]) == (0.0, 25.0, 0.5)
    assert found["commit_p50_ms"] == pytest.approx(3.75)
    assert found["fsync_p99_ms"] is None, "there was none"
    assert (found["proposals_pending"], found["requests_pending"]) == (3, 5)
    assert (found["log_file_bytes"], found["state_file_bytes"]) == (4_096, 8_192)
    unknown = differences(figures(file_bytes={}), before, 2.0)
    assert unknown["log_file_bytes"] is None, "its disk was not measured yet"


class Sampled:
    """A node whose figures a test says, and its charts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view = SimpleNamespace(
            id="n1",
            checkpoint_index=0,
            leader=None,
            term=1,
            commit_index=10,
            applied_index=7,
            last_index=12,
            followed={},
        )
        self.figures = figures()
        self.now_s = 0.0
        monkeypatch.setattr(charts, "figures_of", lambda node: self.figures)
        node = SimpleNamespace(driver=SimpleNamespace(view=self.view))
        self.charts = Charts(cast(Any, node), clock_ms=lambda: int(self.now_s * 1000) + 1)

    def sample(self, seconds: float = 1.0) -> None:
        self.now_s += seconds
        self.charts.sample(self.now_s)


def test_columns_are_as_long_as_each_other_and_no_more_than_a_quarter_of_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampled = Sampled(monkeypatch)
    assert sampled.charts.since(0)["columns"] == dict.fromkeys(COLUMNS, ())
    for _ in range(SAMPLES_MAX + 50):
        sampled.sample()
    columns = sampled.charts.since(0)["columns"]
    assert {len(column) for column in columns.values()} == {SAMPLES_MAX}
    assert columns["behind_entries"][-1] == 3
    newest = columns["time_ms"][-1]
    assert list(sampled.charts.since(newest - 2_000)["columns"]["time_ms"]) == [newest - 1_000, newest]


def test_a_sample_that_is_late_makes_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = Sampled(monkeypatch)
    sampled.sample()
    sampled.figures = figures(writes=500, log_writes=4, log_entries=500)
    sampled.sample(seconds=5.0)
    columns = sampled.charts.since(0)["columns"]
    assert columns["writes_per_s"] == (100.0,)
    assert columns["batch_entries"] == (125.0,)


def test_leaders_and_checkpoints_are_marked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = Sampled(monkeypatch)
    sampled.sample()
    sampled.view.leader = SimpleNamespace(id="n2")
    sampled.sample()
    sampled.sample()
    sampled.view.leader = None
    sampled.sample()
    sampled.view.leader, sampled.view.checkpoint_index = SimpleNamespace(id="n2"), 9
    sampled.sample()
    sampled.view.leader, sampled.view.term = SimpleNamespace(id="n1"), 2
    sampled.sample()
    marks = [
        {name: value for name, value in mark.items() if name != "time_ms"}
        for mark in sampled.charts.since(0)["marks"]
    ]
    assert marks == [
        {"kind": "leader", "leader": "n2", "term": 1},
        {"kind": "checkpoint", "index": 9},
        {"kind": "leader", "leader": "n1", "term": 2},
    ]


def test_what_lags_most_is_told_where_the_node_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = Sampled(monkeypatch)
    sampled.view.followed = {"n2": SimpleNamespace(match_index=12), "n3": SimpleNamespace(match_index=4)}
    sampled.sample()
    sampled.sample()
    assert sampled.charts.since(0)["columns"]["follower_behind_entries"] == (8,)
