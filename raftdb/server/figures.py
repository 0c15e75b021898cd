"""What a node counts, as plain numbers for pages: they see it four times a second, and take differences.

Counters only grow, from the start of the process on. How long something took is told as a histogram: `counts[i]` values
were at most `bounds_s[i]` and above the bound before, the last count those above all bounds. From two looks at it a
page has the rate and the percentiles of the time between.
"""

from collections.abc import Mapping
from typing import Any

from raftdb.commands.spec import lookup
from raftdb.machine.service import Access
from raftdb.server.measures import Measured
from raftdb.tally import SECONDS, Tally

PATHS_THAT_READ = ("key", "keys")
"""What reads of keys are called that are no command: `GET /v1/keys` and `GET /v1/keys/{key}`."""


def figures_of(node: Measured) -> Mapping[str, Any]:
    """The figures of now."""
    view, disk = node.driver.view, node.disk
    counts, guard = view.counts, disk.space
    requests: dict[str, int] = {}
    failed = reads = writes = 0
    durations = [0] * (len(SECONDS) + 1)
    for tallies in node.doors.values():
        for operation, outcome, tally in tallies.all():
            count = tally.count
            if outcome != "ok":
                failed += count
                continue
            requests[operation] = requests.get(operation, 0) + count
            durations = [sum(pair) for pair in zip(durations, tally.counts, strict=True)]
            spec = lookup(operation)
            is_read = operation in PATHS_THAT_READ if spec is None else spec.access is Access.READ
            reads += count * is_read
            writes += count * (spec is not None and not is_read)
    return {
        "bounds_s": SECONDS,
        "requests": requests,
        "reads": reads,
        "writes": writes,
        "failed": failed,
        "request_s": _histogram_of(durations, 0.0),
        "commit_s": _histogram(counts.commit_seconds),
        "apply_s": _histogram(counts.apply_seconds),
        "fsync_s": _histogram(disk.sync_seconds),
        "loop_lag_s": _histogram(node.driver.watchdog.lag_seconds),
        "applied_entries": counts.applied_entries,
        "log_writes": disk.batch_entries.count,
        "log_entries": int(disk.batch_entries.total),
        "elections": counts.elections,
        "leader_changes": counts.leader_changes,
        "pending_requests": view.pending_count,
        "proposals_pending": view.proposals_count,
        "waiting": view.waiting_count,
        "keys": view.key_count,
        "memory_bytes": sum(node.memory.levels().values()),
        "free_bytes": guard.room_bytes,
        "store_bytes": sum(usage.file_bytes for usage in guard.usages.values()),
        "file_bytes": {name: usage.file_bytes for name, usage in sorted(guard.usages.items())},
    }


def _histogram(tally: Tally) -> dict[str, object]:
    return _histogram_of(tally.counts, tally.total)


def _histogram_of(counts: list[int], total_s: float) -> dict[str, object]:
    return {"counts": list(counts), "total_s": round(total_s, 6)}
