"""The figures that pages see of a node: counted by what clients did, not by what pages ask."""

from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast

from raftdb.server.figures import figures_of
from raftdb.server.measures import Measured
from raftdb.tally import RequestTallies, Tally


def node(doors: dict[str, RequestTallies]) -> Measured:
    """The parts of a node that counts nothing but requests."""
    tally = Tally()
    counts = SimpleNamespace(
        commit_seconds=tally, apply_seconds=tally, applied_entries=7, elections=1, leader_changes=2
    )
    view = SimpleNamespace(counts=counts, pending_count=0, proposals_count=0, waiting_count=0, key_count=3)
    driver = SimpleNamespace(view=view, watchdog=SimpleNamespace(lag_seconds=tally))
    usages = {"log": SimpleNamespace(file_bytes=5), "state": SimpleNamespace(file_bytes=6)}
    disk = SimpleNamespace(
        sync_seconds=tally, batch_entries=tally, space=SimpleNamespace(room_bytes=99, usages=usages)
    )
    memory = SimpleNamespace(levels=lambda: {"requests": 1, "changes": 2})
    no_one = cast(Any, None)
    return Measured(
        driver=cast(Any, driver),
        disk=cast(Any, disk),
        network=no_one,
        memory=cast(Any, memory),
        pauses=no_one,
        doors=doors,
    )


def test_requests_of_all_doors_are_counted_by_operation_and_as_reads() -> None:
    doors = {"http": RequestTallies(), "redis": RequestTallies()}
    now_s = perf_counter()
    for operation in ("set", "get", "key", "keys", "GET /v1/status", "POST /v1/snapshot"):
        doors["http"].succeeded(operation, now_s)
    doors["redis"].succeeded("get", now_s - 20.0)
    doors["redis"].refused("set", "busy", now_s)
    figures = figures_of(node(doors))
    assert figures["requests"] == {
        "GET /v1/status": 1,
        "POST /v1/snapshot": 1,
        "get": 2,
        "key": 1,
        "keys": 1,
        "set": 1,
    }
    assert (figures["reads"], figures["writes"], figures["failed"]) == (4, 1, 1)
    counts = figures["request_s"]["counts"]
    assert (sum(counts), counts[-1], len(counts)) == (7, 1, len(figures["bounds_s"]) + 1)
    assert (figures["memory_bytes"], figures["store_bytes"], figures["free_bytes"]) == (3, 11, 99)
    assert figures["file_bytes"] == {"log": 5, "state": 6}
