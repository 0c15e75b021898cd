"""The last quarter of an hour of a node, for the Charts page: a sample a second of what its counters have done since.

The samples are made of the figures that `/v1/events` tells (`raftdb.server.figures`): what grows becomes a rate, a
histogram its percentiles over that second, and a level stays as it is. A second is as long as it was: a loop that was
held up makes one longer sample, and no peak that was none. `SAMPLES_MAX` samples of some twenty numbers are kept, a few
hundred kilobytes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raftdb.server.figures import figures_of
from raftdb.server.measures import Measured
from raftdb.tally import SECONDS, percentile

PERIOD_SECONDS = 1.0
SAMPLES_MAX = 900
MARKS_MAX = 200
"""Changes of leaders, and checkpoints, that are kept."""

COLUMNS = (
    "time_ms",
    "reads_per_s",
    "writes_per_s",
    "failed_per_s",
    "request_p50_ms",
    "request_p99_ms",
    "commit_p50_ms",
    "commit_p99_ms",
    "fsync_p50_ms",
    "fsync_p99_ms",
    "batch_entries",
    "proposals_pending",
    "requests_pending",
    "behind_entries",
    "follower_behind_entries",
    "memory_bytes",
    "loop_lag_p99_ms",
    "log_file_bytes",
    "state_file_bytes",
)
"""What a sample has. A percentile, and a mean, of what did not happen in its second is null."""

Sample = tuple[float | None, ...]


class Charts:
    """Samples one node. Everything is called on the event loop."""

    def __init__(
        self, node: Measured, *, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    ) -> None:
        self._node = node
        self._clock_ms = clock_ms
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self._marks: deque[dict[str, Any]] = deque(maxlen=MARKS_MAX)
        self._before: Mapping[str, Any] | None = None
        self._before_s = 0.0
        self._leader: tuple[str | None, int] = (None, 0)
        self._checkpoint_index = node.driver.view.checkpoint_index

    async def run(self) -> None:
        """Sample again and again."""
        while True:
            self.sample(time.monotonic())
            await asyncio.sleep(PERIOD_SECONDS)

    def sample(self, now_s: float) -> None:
        """Take a sample of the time since the last one, which ended at `now_s` of a monotonic clock."""
        now, before, view = figures_of(self._node), self._before, self._node.driver.view
        time_ms = self._clock_ms()
        if before is not None and now_s > self._before_s:
            behind = {
                "behind_entries": max(0, view.commit_index - view.applied_index),
                "follower_behind_entries": self._follower_behind(),
                "batch_entries": self._batch_entries(now, before),
            }
            rates = differences(now, before, now_s - self._before_s)
            values = {**rates, **behind, "time_ms": time_ms}
            self._samples.append(tuple(values[name] for name in COLUMNS))
        self._before, self._before_s = now, now_s
        self._mark(time_ms)

    def since(self, after_ms: int) -> dict[str, Any]:
        """The samples and marks that are later than `after_ms`, as columns."""
        rows = [sample for sample in self._samples if sample[0] is not None and sample[0] > after_ms]
        columns: list[Sequence[float | None]] = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
        return {
            "node": self._node.driver.view.id,
            "period_ms": int(PERIOD_SECONDS * 1000),
            "columns": dict(zip(COLUMNS, columns, strict=True)),
            "marks": [mark for mark in self._marks if mark["time_ms"] > after_ms],
        }

    def _mark(self, time_ms: int) -> None:
        """Note what is marked in all charts."""
        view = self._node.driver.view
        leader = (None if view.leader is None else view.leader.id, view.term)
        if leader[0] is not None and leader != self._leader:
            self._marks.append({"time_ms": time_ms, "kind": "leader", "leader": leader[0], "term": leader[1]})
        if leader[0] is not None:
            self._leader = leader
        if view.checkpoint_index != self._checkpoint_index:
            self._checkpoint_index = view.checkpoint_index
            mark = {"time_ms": time_ms, "kind": "checkpoint", "index": self._checkpoint_index}
            self._marks.append(mark)

    def _follower_behind(self) -> float | None:
        """How many entries the follower lacks that lacks most; None where this node does not lead."""
        view = self._node.driver.view
        matches = [followed.match_index for followed in view.followed.values()]
        return max(0, view.last_index - min(matches)) if matches else None

    def _batch_entries(self, now: Mapping[str, Any], before: Mapping[str, Any]) -> float | None:
        writes = now["log_writes"] - before["log_writes"]
        entries = now["log_entries"] - before["log_entries"]
        return round(entries / writes, 2) if writes else None


def differences(now: Mapping[str, Any], before: Mapping[str, Any], seconds: float) -> dict[str, float | None]:
    """What two looks at the figures say of the time between them."""

    def per_second(read: Callable[[Mapping[str, Any]], int]) -> float:
        return round(max(0, read(now) - read(before)) / seconds, 2)

    def percentile_ms(name: str, share: float) -> float | None:
        pairs = zip(now[name]["counts"], before[name]["counts"], strict=True)
        found = percentile(SECONDS, [after - earlier for after, earlier in pairs], share)
        return None if found is None else round(found * 1000, 3)

    return {
        "reads_per_s": per_second(lambda figures: figures["reads"]),
        "writes_per_s": per_second(lambda figures: figures["writes"]),
        "failed_per_s": per_second(lambda figures: figures["failed"]),
        "request_p50_ms": percentile_ms("request_s", 0.5),
        "request_p99_ms": percentile_ms("request_s", 0.99),
        "commit_p50_ms": percentile_ms("commit_s", 0.5),
        "commit_p99_ms": percentile_ms("commit_s", 0.99),
        "fsync_p50_ms": percentile_ms("fsync_s", 0.5),
        "fsync_p99_ms": percentile_ms("fsync_s", 0.99),
        "loop_lag_p99_ms": percentile_ms("loop_lag_s", 0.99),
        "proposals_pending": now["proposals_pending"],
        "requests_pending": now["pending_requests"],
        "memory_bytes": now["memory_bytes"],
        "log_file_bytes": now["file_bytes"].get("log"),
        "state_file_bytes": now["file_bytes"].get("state"),
    }
