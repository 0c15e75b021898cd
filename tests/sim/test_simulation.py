"""The shipped replica under the simulator: seeds that must pass, runs that must repeat, a world that is hostile."""

import io
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from raftdb.simulation.cluster import Report, Simulation
from raftdb.simulation.linearizability import Verdict
from raftdb.simulation.options import Faults, draw_options
from raftdb.simulation.scheduler import Chance
from raftdb.simulation.story import CHECKS, simulate
from tests.sim import pool

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = 200
SEEDS_LONG = 5_000
STEPS = 8_000
UNKNOWN_SHARE_MAX = 0.1
"""Of the runs, how many may end without a verdict on the clients' histories: those are counted, not passed."""


def run_seed(seed: int) -> Report:
    return Simulation(seed, nodes=5, steps=STEPS).run()


@pytest.mark.timeout(7200)
def test_every_seed_holds_every_promise(is_long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    totals: Counter[str] = Counter()
    broken: list[str] = []
    with pool.pool() as processes:
        for report in processes.map(run_seed, range(SEEDS_LONG if is_long else SEEDS)):
            totals.update(report.faults)
            totals.update(report.operations)
            totals.update(
                seeds=1,
                steps=report.steps,
                leaders=report.leaders,
                committed=report.committed,
                compactions=report.compactions,
                installs=report.installs,
                answered=report.reads + report.writes,
                transactions=report.transactions,
                conflicts=report.conflicts,
                slow_networks=report.options.slow_way_us > 0,
                unknown_histories=report.linearizable is Verdict.UNKNOWN,
            )
            if not report.passed:
                broken.append(f"seed {report.seed}: {report.violation}")
    seconds = time.perf_counter() - began
    with capsys.disabled():
        print(f"\n{dict(totals)} in {seconds:.0f} s: {totals['steps'] / seconds:.0f} steps/s", end="")
    assert not broken, "\n".join(broken)
    assert totals["unknown_histories"] <= UNKNOWN_SHARE_MAX * totals["seeds"]
    assert totals["answered"] > 100 * totals["seeds"], "the faults left clients nothing to do"
    assert totals["installs"] > totals["seeds"] // 2, "too few followers needed a snapshot"
    assert totals["transactions"] > 10 * totals["seeds"], "too few transactions"
    assert totals["conflicts"] > totals["seeds"], "too few transactions met others"
    strikes = ("partition", "half_open", "crash", "blackout", "pause", "stall", "sync_error", "disk_full")
    for fault in (*strikes, "bit_flip", "wipe", "put_back", "night", "sleep", "slow_networks"):
        assert totals[fault] > 0, f"no {fault} in all of the seeds"
    for operation in ("AddMember", "RemoveMember", "UpdateAddresses", "transferred"):
        assert totals[operation] > totals["seeds"] // 10, f"too little of {operation}"


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 7])
def test_clusters_of_other_sizes_hold_their_promises(nodes: int) -> None:
    for seed in range(1_000, 1_004):
        report = Simulation(seed, nodes=nodes, steps=2_000).run()
        assert report.passed, (seed, report.violation)


@pytest.mark.parametrize("seed", [7, 23])
def test_a_seed_replays_byte_for_byte_in_another_process(seed: int, tmp_path: Path) -> None:
    """With other hashes of strings and bytes, so that no order of a set can matter (hazard B66)."""
    traces = []
    for hash_seed in ("1", "4242"):
        path = tmp_path / f"trace-{hash_seed}"
        program = f"from raftdb.simulation.story import simulate; simulate({seed}, 5, 3000, {str(path)!r})"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        traces.append((path.read_bytes(), done.stdout.replace(str(path), "")))
    assert traces[0] == traces[1]
    assert len(traces[0][0].splitlines()) > 500


def test_different_seeds_give_different_runs() -> None:
    fingerprints = {Simulation(seed, steps=500).run().fingerprint for seed in range(5)}
    assert len(fingerprints) == 5


def test_every_class_of_faults_is_off_in_about_half_of_the_seeds() -> None:
    worlds = [draw_options(Chance(seed), nodes=5, steps=1).faults for seed in range(400)]
    for field in fields(Faults):
        off = sum(getattr(faults, field.name) == 0 for faults in worlds)
        assert 140 < off < 260, (field.name, off)


def test_the_story_tells_the_elections_the_checks_and_the_verdict(tmp_path: Path) -> None:
    out, trace = io.StringIO(), tmp_path / "trace"
    assert simulate(7, 5, 3_000, str(trace), out) == 0
    story = out.getvalue()
    for part in ("became leader", "entries committed", "every check held", "all faults are over", *CHECKS):
        assert part in story
    assert "verdict: every check held" in trace.read_text()
    assert simulate(7, 0, 10, None, out) == 2
