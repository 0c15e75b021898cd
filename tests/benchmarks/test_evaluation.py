"""The evaluation without clusters: what becomes of samples, what is said of them, and that what is wrong is found."""

from typing import Any

import pytest

from benchmarks.evaluation.__main__ import PARTS, parts_of
from benchmarks.evaluation.figures import dip, per_second, spread, summary
from benchmarks.evaluation.load import Sample
from benchmarks.evaluation.plan import GIB, KIB, points, quick, whole
from benchmarks.evaluation.report import HEADINGS, PROBLEMS, TEXTS, report_of, size

HEAD: dict[str, Any] = {
    "command": "python -m benchmarks.evaluation",
    "version": "0",
    "machine": {"cores": 2},
    "sync": {"median_ms": 0.1, "p99_ms": 0.2},
    "seed": 1,
    "load_average": 0.5,
    "took_s": 12.0,
    "plots": ["failover"],
}
PHASE = {"nodes": 3, "writes_per_s": 9.0, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0, "failed": 0}
WRITES = {"clients": 1, "writes_per_s": 9.0, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0, "failed": 0}
FAILOVER = {"count": 2, "median_s": 0.3, "p90_s": 0.4, "longest_s": 0.4, "seconds": [0.3, 0.4]}


def figures() -> dict[str, Any]:
    """What a run gives in which everything holds."""
    torture = {"command": "raftdb torture", "exit_code": 0, "verdict": "verdict: no promise was broken"}
    return {
        "consistency": {"writes": 5, "index": 9, "digests": {"n1": "a", "n2": "a"}, "torture": torture},
        "members": {
            "phases": [dict(PHASE)],
            "changes": [{"what": "+n2", "begin_s": 1.0, "seconds": 0.5, "lowest_share": 0.4}],
            "per_second": [9, 4],
        },
        "amounts": {
            "rows": [
                {
                    "items": 1000, "value_bytes": KIB, "write_s": 1.0, "replicate_s": 0.1, "catch_up_s": 0.2,
                    "recover_s": 0.3, "memory_mib": 40.0, "disk_mib": 2.0,
                }
            ]
        },
        "failover": dict(FAILOVER),
        "networks": {
            "wide": {
                "words": "delay 50ms", "formed_s": 1.0, "one_client": dict(WRITES), "many_clients": dict(WRITES),
                "failover": dict(FAILOVER),
            }
        },
    }  # fmt: skip


def test_rates_and_times_are_of_the_writes_between_two_moments() -> None:
    samples = [
        Sample(0.5, 0.010, True),
        Sample(1.0, 0.020, True),
        Sample(1.5, 0.500, False),
        Sample(2.0, 0.1, True),
    ]
    assert summary(samples, 0.0, 2.0) == {
        "writes_per_s": 1.0,
        "p50_ms": 10.0,
        "p99_ms": 20.0,
        "max_ms": 20.0,
        "failed": 1,
    }
    assert summary([], 0.0, 1.0)["p99_ms"] == 0.0
    assert per_second(samples, 0.0, 3) == [1, 1, 1]


def test_a_dip_is_the_worst_second_after_a_change() -> None:
    counts = [100, 100, 100, 20, 50, 100, 100, 100, 5]
    assert dip(counts, 3) == 0.2
    assert dip(counts, 0) is None, "nothing was before"
    assert dip([0, 0, 0, 5], 2) is None


def test_durations_are_told_by_their_spread() -> None:
    assert spread([0.4, 0.1, 0.2, 0.3]) == {"count": 4, "median_s": 0.2, "p90_s": 0.4, "longest_s": 0.4}
    assert spread([])["longest_s"] == 0.0


def test_no_point_has_more_data_than_allowed() -> None:
    found = points(items_max=1_000_000, bytes_max=2 * GIB)
    assert (1_000_000, 10) in found
    assert (1_000_000, KIB) in found
    assert (1_000, 1 << 20) in found
    assert max(count * length for count, length in found) <= 2 * GIB
    assert whole(1).kills == 50
    assert set(quick(1).networks) == set(whole(1).networks) == {"local", "wide", "lossy"}


def test_where_everything_holds_the_report_says_so() -> None:
    text = report_of(HEAD, figures())
    assert "Nothing was found." in text
    assert "Not measured" not in text
    assert "| 1,000 | 1 KiB | 1.0 |" in text
    assert "![Failover](failover.png)" in text
    assert "![Networks]" not in text
    assert set(PARTS) == set(HEADINGS) == set(TEXTS) == set(PROBLEMS)


@pytest.mark.parametrize(
    ("part", "path", "value", "words"),
    [
        ("consistency", ("digests", "n2"), "b", "the states differ at index 9"),
        ("consistency", ("torture", "exit_code"), 1, "has ended with 1"),
        ("members", ("phases", 0, "failed"), 3, "3 writes failed"),
        ("members", ("changes", 0, "lowest_share"), 0.0, "a second with 0% of the usual writes"),
        ("failover", ("median_s",), 0.9, "the median failover takes 0.9 s"),
        ("networks", ("wide", "one_client", "failed"), 2, "`wide` 2 writes failed"),
    ],
)
def test_what_does_not_hold_is_said(part: str, path: tuple[Any, ...], value: object, words: str) -> None:
    found = figures()
    place = found[part]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert words in report_of(HEAD, found)
    assert "Nothing was found." not in report_of(HEAD, found)


def test_parts_are_asked_for_by_name() -> None:
    assert parts_of("networks,members") == ["members", "networks"]
    assert "Not measured: consistency, amounts of data, failover, networks." in report_of(
        HEAD, {"members": figures()["members"]}
    )
    with pytest.raises(Exception, match="there is no part 'x'"):
        parts_of("x")


def test_bytes_are_told_in_the_largest_unit_that_fits() -> None:
    assert [size(count) for count in (10, KIB, 32 * KIB, 1 << 20, GIB)] == [
        "10 B",
        "1 KiB",
        "32 KiB",
        "1 MiB",
        "1 GiB",
    ]
