"""The comparison with etcd and Redis: what it reads of others' output, which rows it refuses, how it takes ratios."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.generators import Ask, Generator, Loaded, LoadError, Mark, read_h2load, read_redis_benchmark
from benchmarks.peer_table import Row, line_of, summarize
from benchmarks.peers import Shape, measure

ASK = Ask("set", 64, 1, seconds=1.0, warm_up_s=0.0, keys=9, value_bytes=64, seed=1)
H2LOAD = """\
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 3.00s, 4454.50 req/s, 413.26KB/s
requests: 8912 total, 8912 started, 8912 done, 8909 succeeded, 3 failed, 2 errored, 1 timeout
status codes: 8900 2xx, 9 3xx, 1 4xx, 0 5xx
"""
REDIS_BENCHMARK = """\
WARNING: Could not fetch server CONFIG
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","20000.50","0.026","0.008","0.031","0.055","0.057","0.060"
"""


class FakeSystem:
    """A system of one node, this process, that counts the writes it is told of."""

    name = "fake"

    def __init__(self, leaders: Sequence[str] = ("n1", "n1")) -> None:
        self._leaders = list(leaders)
        self.written = 0

    def pids(self) -> dict[str, int]:
        return {"n1": os.getpid(), "n2": os.getpid()}

    def leader(self) -> str:
        return self._leaders.pop(0)

    def ports(self) -> dict[str, str]:
        return {"fake": "127.0.0.1:1"}

    def fill(self, pairs: Sequence[tuple[str, str]]) -> None:
        raise NotImplementedError

    def writes(self) -> int:
        return self.written


def generator(system: FakeSystem, *, operations: int, committed: int) -> Generator:
    def run(address: str, ask: Ask, folder: Path, mark: Mark) -> Loaded:
        mark()
        system.written += committed
        mark()
        return Loaded(operations, operations / ask.seconds, {"p50": 1.0, "p99": 2.0}, {}, cpu_seconds=0.5)

    return Generator("fake.py", "fake", "one", False, run)


def measured(system: FakeSystem, *, operations: int, committed: int) -> Row:
    load = generator(system, operations=operations, committed=committed)
    return measure(system, load, "127.0.0.1:1", ASK, folder=Path(), round_number=1)


def test_a_row_has_the_costs_of_each_role_for_each_operation() -> None:
    row = measured(FakeSystem(), operations=1_000, committed=1_200)
    assert row[:9] == (1, "set", 64, 1, "fake", "fake", "fake.py", "one", 1_000.0)
    assert row.cpu_us["generator"] == 500
    assert set(row.cpu_us) == {"leader", "follower", "generator"}
    assert set(row.written_bytes) == set(row.memory_mib) == {"leader", "follower"}
    assert row.memory_mib["leader"] > 1


def test_a_row_is_refused_if_fewer_writes_were_committed_than_answered() -> None:
    with pytest.raises(LoadError, match="1000 writes were answered, and 999 committed"):
        measured(FakeSystem(), operations=1_000, committed=999)


def test_a_row_is_refused_if_another_node_leads_at_its_end() -> None:
    with pytest.raises(LoadError, match="n1 led no longer"):
        measured(FakeSystem(["n1", "n2"]), operations=1, committed=1)


def test_a_row_is_refused_if_nothing_was_answered() -> None:
    with pytest.raises(LoadError, match="nothing was answered"):
        measured(FakeSystem(), operations=0, committed=0)


def test_of_h2load_the_successes_are_read_and_redirects_are_none() -> None:
    assert read_h2load(H2LOAD) == (8900, 12)


def test_h2load_that_did_not_get_to_its_end_is_an_error_with_its_words() -> None:
    with pytest.raises(LoadError, match="connection refused"):
        read_h2load("requests: 0 total, 0 started, 0 done, 0 succeeded, 9 failed\nconnection refused\n")


def test_of_redis_benchmark_the_figures_are_read_by_their_names() -> None:
    found = read_redis_benchmark(REDIS_BENCHMARK)
    assert (found["rps"], found["p50_latency_ms"], found["p99_latency_ms"]) == (20000.5, 0.031, 0.057)


def test_redis_benchmark_without_figures_is_an_error_with_its_words() -> None:
    with pytest.raises(LoadError, match="OOM"):
        read_redis_benchmark(REDIS_BENCHMARK.rpartition('"SET"')[0] + "Error from server: OOM")


def test_a_shape_is_connections_and_how_deep() -> None:
    assert Shape.read("64") == (64, 1)
    assert Shape.read("64x16") == (64, 16)
    assert [str(Shape.read(text)) for text in ("64", "64x16")] == ["64", "64x16"]


@pytest.mark.parametrize("text", ["", "x", "64x", "x16", "0", "64x0", "-1", "4x4x4"])
def test_nothing_else_is_a_shape(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|^(0|64x0|-1)$"):
        Shape.read(text)


def row(round_number: int, system: str, generator_name: str, per_second: float) -> Row:
    return Row(
        round_number, "set", 64, 1, system, "any", generator_name, "one",
        per_second, {}, {}, cpu_us={"leader": 1.0}, memory_mib={"leader": 1.0}, written_bytes={},
    )  # fmt: skip


def test_a_ratio_is_to_the_fastest_of_the_other_system_in_the_same_round() -> None:
    rows = [
        row(1, "raftdb", "load.py", 200), row(1, "etcd", "h2load", 100), row(1, "etcd", "grpc_load.py", 50),
        row(2, "etcd", "h2load", 50), row(2, "etcd", "grpc_load.py", 100), row(2, "raftdb", "load.py", 400),
        row(3, "raftdb", "load.py", 300), row(3, "etcd", "h2load", 600), row(3, "etcd", "grpc_load.py", 100),
    ]  # fmt: skip
    summaries = summarize(rows)
    assert [(summary["system"], summary["generator"]) for summary in summaries] == [
        ("raftdb", "load.py"),
        ("etcd", "grpc_load.py"),
        ("etcd", "h2load"),
    ]
    assert summaries[0]["per_second"] == {"median": 300, "lowest": 200, "highest": 400}
    assert summaries[0]["ratios"] == {"etcd": {"median": 2.0, "lowest": 0.5, "highest": 4.0}}
    assert summaries[1]["ratios"] == {}
    assert "etcd 2.00 [0.50 to 4.00]" in line_of(summaries[0])


def test_raftdb_is_compared_with_itself_by_the_same_generator() -> None:
    rows = [
        row(1, "uncompacted", "load.py", 100), row(1, "uncompacted", "h2load", 800),
        row(1, "compacting", "load.py", 90), row(1, "compacting", "h2load", 400),
    ]  # fmt: skip
    found = {(each["system"], each["generator"]): each["ratios"] for each in summarize(rows)}
    assert found["compacting", "load.py"]["uncompacted"]["median"] == 0.9
    assert found["compacting", "h2load"]["uncompacted"]["median"] == 0.5
    assert found["uncompacted", "h2load"] == {}
