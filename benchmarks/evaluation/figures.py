"""Figures made of samples: rates, percentiles, dips. Pure."""

from collections.abc import Sequence
from typing import Any

from benchmarks.common import percentile
from benchmarks.evaluation.load import Sample

DIP_S = 5
"""How many seconds after a change belong to it."""


def summary(samples: Sequence[Sample], begin_s: float, end_s: float) -> dict[str, Any]:
    """The writes that began between two moments: how many a second, and how long they took, in milliseconds."""
    inside = [sample for sample in samples if begin_s <= sample.began_s < end_s]
    times = sorted(sample.seconds * 1000 for sample in inside if sample.is_answered)
    return {
        "writes_per_s": round(len(times) / max(end_s - begin_s, 1e-9), 1),
        "p50_ms": round(percentile(times, 50), 2),
        "p99_ms": round(percentile(times, 99), 2),
        "max_ms": round(times[-1], 1) if times else 0.0,
        "failed": len(inside) - len(times),
    }


def per_second(samples: Sequence[Sample], begin_s: float, seconds: int) -> list[int]:
    """How many writes were answered in each second."""
    counts = [0] * seconds
    for sample in samples:
        place = int(sample.began_s + sample.seconds - begin_s)
        if sample.is_answered and 0 <= place < seconds:
            counts[place] += 1
    return counts


def dip(counts: Sequence[int], second: int) -> float | None:
    """The fewest writes of a second after a change, as a share of the mean before it; None if nothing was before."""
    before = counts[max(0, second - DIP_S) : second]
    after = counts[second : second + DIP_S]
    usual = sum(before) / len(before) if before else 0.0
    return round(min(after) / usual, 2) if usual and after else None


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, 90th percentile and longest of durations, in seconds."""
    ascending = sorted(seconds)
    return {
        "count": len(ascending),
        "median_s": round(percentile(ascending, 50), 3),
        "p90_s": round(percentile(ascending, 90), 3),
        "longest_s": round(ascending[-1], 3) if ascending else 0.0,
    }
