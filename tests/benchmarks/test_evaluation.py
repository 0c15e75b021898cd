"""The evaluation's pure parts: what is measured, figures of samples, verdicts, and the report. No node is started."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.evaluation import consistency, failover, membership
from benchmarks.evaluation.amounts import Measured, batches, expected_s, why_not
from benchmarks.evaluation.amounts import report as report_amounts
from benchmarks.evaluation.document import Evaluation, Findings, Table, comparison, markdown, markdown_table
from benchmarks.evaluation.load import ClosedLoop, Write, errors_in_words
from benchmarks.evaluation.plan import (
    FAR,
    FULL,
    MIB,
    NETWORKS,
    POINT_BYTES_MAX,
    SLOW,
    UNDISTURBED,
    Job,
    Point,
    all_points,
    jobs,
    parse_parts,
)
from benchmarks.evaluation.plots import decades
from benchmarks.evaluation.summaries import (
    Gap,
    cumulative,
    dip_percent,
    in_bytes,
    in_seconds,
    longest_gap,
    rate,
    rates,
    spread,
)
from cli.torture.recorder import Ending
from cli.torture.verdict import Verdict
from cli.torture.workload import Checked, Problem
from raftdb.impairment import parse_conditions

JOB = Job("b", UNDISTURBED, FULL[UNDISTURBED.name])
SMALLER = [(1, 10, 0.5), (10_000, 10, 1.0), (16, MIB, 2.0)]
"""Items, bytes of each, and seconds."""
SAME = {"n1": "aa", "n2": "aa", "n3": "aa"}


def measured(point: Point, seconds: float) -> Measured:
    return Measured(
        point=point,
        writing_s=seconds,
        replicating_s=0.0,
        recovering_s=0.0,
        catching_up_s=0.0,
        memory_bytes=MIB,
        disk_bytes=MIB,
    )


def test_the_full_form_is_as_large_as_was_promised() -> None:
    points = all_points()
    assert {point.items for point in points} >= {1, 1_000_000}
    assert {point.value_bytes for point in points} >= {10, MIB}
    assert max(point.total_bytes for point in points) == POINT_BYTES_MAX == 2 << 30
    assert len(points) == len(set(points))
    assert [FULL[network.name].kills for network in NETWORKS] == [50, 50, 10]
    assert FULL[UNDISTURBED.name].memberships == (1, 3, 5, 7, 5, 3, 1)
    assert set(FULL[SLOW.name].points) < set(FULL[FAR.name].points) < set(points)


@pytest.mark.parametrize("network", NETWORKS)
def test_nodes_know_the_words_of_each_network(network: object) -> None:
    assert str(parse_conditions(getattr(network, "conditions", "")))


def test_parts_are_chosen_and_part_e_is_all_networks() -> None:
    def chosen(text: str) -> list[str]:
        return [f"{job.part} {job.network.name}" for job in jobs(parse_parts(text), quick=True)]

    assert chosen("failover,consistency") == chosen("d,a") == ["a undisturbed", "d undisturbed"]
    assert chosen("d, e") == ["d undisturbed", "d far", "d slow"]
    assert len(chosen("e")) == len(chosen("a,b,c,d,e")) == 12
    with pytest.raises(ValueError, match="no part 'x'"):
        parse_parts("a,x")


def test_a_spread_has_nearest_ranks() -> None:
    assert spread([3.0, 1.0, 2.0, 4.0]) == (4, 1.0, 2.0, 4.0, 4.0, 4.0)
    assert spread([]) == (0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert cumulative([5.0, 1.0]) == [(1.0, 50.0), (5.0, 100.0)]


def test_rates_leave_out_the_part_of_an_interval_at_the_end() -> None:
    moments = [0.1, 0.2, 0.6, 1.0]
    assert rates(moments, 0.0, 1.2, 0.5) == [(0.0, 4.0), (0.5, 2.0)]
    assert rate(moments, 0.0, 1.0) == 3.0
    assert rate(moments, 1.0, 1.0) == 0.0


def test_the_longest_gap_counts_from_the_write_before_and_to_the_write_after() -> None:
    moments = [0.0, 1.0, 1.5, 4.0, 4.1]
    assert longest_gap(moments, 1.2, 1.6) == Gap(1.5, 4.0)
    assert longest_gap(moments, 2.0, 3.0) == Gap(1.5, 4.0)
    assert longest_gap(moments, 0.5, 1.4) == Gap(0.0, 1.0)
    assert longest_gap([], 2.0, 3.0).seconds == 1.0


@pytest.mark.parametrize(
    ("before", "lowest", "percent"), [(100, 25, 75), (100, 150, 0), (0, 0, 0), (10, 0, 100)]
)
def test_a_dip_is_a_share_of_what_was_before(before: float, lowest: float, percent: float) -> None:
    assert dip_percent(before, lowest) == percent


def test_figures_are_for_people() -> None:
    assert [in_seconds(value) for value in (0.0004, 0.035, 1.2, 210.4)] == [
        "0.4 ms",
        "35 ms",
        "1.20 s",
        "210 s",
    ]
    assert [in_bytes(value) for value in (10, 1024, 2.5 * MIB, 2 << 30)] == [
        "10 B",
        "1 KiB",
        "2.5 MiB",
        "2 GiB",
    ]


@pytest.mark.parametrize(
    ("digests", "found"),
    [
        (SAME, []),
        (SAME | {"n2": "ab"}, ["at index 7 the state of n2 is not that of the other nodes"]),
        (SAME | {"n3": "none: it is damaged"}, ["n3 has no state of index 7: none: it is damaged"]),
        (
            dict.fromkeys(SAME, "none: x"),
            [f"{node} has no state of index 7: none: x" for node in sorted(SAME)],
        ),
        ({"n1": "aa", "n2": "aa"}, ["only 2 states could be compared, of 3 nodes or more"]),
        ({}, ["only 0 states could be compared, of 3 nodes or more"]),
    ],
)
def test_states_are_the_same_only_if_all_are_there_and_equal(
    digests: dict[str, str], found: list[str]
) -> None:
    assert consistency.judge_digests(digests, 7, nodes_min=3) == found


def consistency_of(digests: dict[str, str], problems: list[Problem]) -> Findings:
    verdict = Verdict(seed=1, nodes=3, folder=Path("run"), agreed_index=7, digests=digests, problems=problems)
    verdict.operations = {"registers": Counter({Ending.OK: 5})}
    verdict.checked = {"registers": Checked(problems, parts=4, undecided=1)}
    findings = Findings(job=Job("a", FAR, FULL[FAR.name]))
    consistency.report(findings, "with faults", verdict)
    return findings


def test_a_state_that_differs_is_told_first_in_the_report() -> None:
    findings = consistency_of(SAME | {"n2": "ab"}, [])
    text = markdown(Evaluation(head={}, findings=[findings]))
    assert "1 of the promises were not kept" in text
    assert "the state of n2 is not that of the other nodes" in text.partition("## (a)")[0]
    assert findings.headlines["with faults: states"] == "NOT compared or not the same"


def test_a_broken_history_is_told_and_one_that_was_not_searched_is_no_pass() -> None:
    findings = consistency_of(SAME, [Problem("registers: no order explains it")])
    assert findings.broken == ["with faults: registers: no order explains it"]
    assert ("NO, undecided 1 of 4") in [row[1] for row in findings.tables[0][1].rows]
    clean = consistency_of(SAME, [])
    assert clean.broken == []
    assert clean.headlines["with faults: states"] == "the same on all nodes"
    assert "of 1 of 4 histories of registers nothing is known" in clean.limits[0]


def test_what_does_not_fit_is_said_and_not_measured() -> None:
    point = Point(1024, MIB)
    free_bytes = 1 << 50
    assert why_not(point, [], free_bytes=free_bytes, limit_s=60) is None
    assert "of disk" in str(why_not(point, [], free_bytes=1 << 30, limit_s=60))
    smaller = [measured(Point(*size), seconds) for *size, seconds in SMALLER]
    assert expected_s(point, smaller) == 96.5
    assert expected_s(Point(1_000_000, 10), smaller) == 50.5
    assert expected_s(point, []) == 0.0
    assert "it would take some 96 s" in str(why_not(point, smaller, free_bytes=free_bytes, limit_s=60))


@pytest.mark.parametrize("point", [Point(1, 10), Point(2_500, 10), Point(1_000, 1024), Point(3, MIB)])
def test_all_items_are_written_once(point: Point) -> None:
    assert [item for batch in batches(point) for item in batch] == list(range(point.items))
    assert all(
        len(batch) * point.value_bytes <= max(256 * 1024, point.value_bytes) for batch in batches(point)
    )


def test_the_course_of_a_cluster_becomes_figures_of_each_phase_and_each_change() -> None:
    course = membership.Course(
        phases=[membership.Phase(1, 0.0, 10.0), membership.Phase(2, 12.0, 22.0)],
        changes=[membership.Change("add n2", "+n2", 1, 10.0, 11.0)],
    )
    load = ClosedLoop(lambda: (), clients=0, seed=1)
    moments = [0.1 * number for number in range(220) if not 104 < number < 118]
    load.writes = [Write(moment - 0.05, moment, "") for moment in moments] + [Write(0.0, 11.0, "no_leader")]
    findings = membership.report(JOB, course, load)
    (_, phases), (_, changes) = findings.tables
    assert phases.rows[0] == ("1", "10", "50 ms", "50 ms", "50 ms", "none")
    assert findings.missed == [
        "at 1 of 1 changes there was a half second with less than a tenth of the writes both before and after: add n2",
        "writes failed: no_leader 1, of 208",
    ]
    assert changes.rows == [("add n2", "1.00 s", "10", "0", "100 %", "1.40 s")]
    assert findings.headlines["failed writes"] == "1 of 208"
    assert errors_in_words(load.writes) == "no_leader 1"
    assert findings.plots[0].panels[2].series[0].points[:2] == [(0.0, 1.0), (11.0, 2.0)]


@pytest.mark.parametrize(("seconds", "is_missed"), [(0.5, False), (0.9, True)])
def test_a_median_election_that_takes_too_long_is_said(seconds: float, is_missed: bool) -> None:
    job = Job("d", UNDISTURBED, FULL[UNDISTURBED.name])
    done = [failover.Failover(seconds, seconds, 1, 0)] * 50
    assert bool(failover.report(job, done).missed) is is_missed
    assert failover.report(Job("d", SLOW, FULL[SLOW.name]), done).missed == []


def test_failovers_become_a_distribution() -> None:
    done = [failover.Failover(0.1 * number, 0.2 * number, 1 + number % 2, 0) for number in range(1, 5)]
    findings = failover.report(Job("d", SLOW, FULL[SLOW.name]), done)
    assert findings.headlines["election: median, p90, longest"] == "200 ms, 400 ms, 400 ms"
    assert findings.headlines["elections that succeeded at once"] == "2 of 4"
    assert findings.limits == ["4 kills are too few for a p90 or p99: these are the longest ones"]


@pytest.mark.parametrize(
    ("smallest", "largest", "expected"),
    [(0.02, 0.04, (0.008, 0.125)), (1, 1_000, (0.8, 1250)), (1, 1, (0.8, 12.5))],
)
def test_logarithmic_axes_have_at_least_two_powers_of_ten(
    smallest: float, largest: float, expected: tuple[float, float]
) -> None:
    assert decades(smallest, largest) == pytest.approx(expected)


def test_the_report_reads_without_plots_and_compares_networks() -> None:
    one = Findings(
        job=JOB, headlines={"writes/s": "100"}, tables=[("Rates:", Table(("a", "b|c"), [("1", "2")]))]
    )
    other = Findings(job=Job("b", SLOW, FULL[SLOW.name]), headlines={"longest": "2 s"}, limits=["too short"])
    report_amounts(one, [measured(Point(1, 10), 1.0)])
    evaluation = Evaluation(head={"seed": "7"}, findings=[one, other], limits=["one machine"])
    text = markdown(evaluation)
    for line in (
        "| seed | 7 |",
        "| writes/s | 100 | - |",
        "| longest | - | 2 s |",
        "* one machine",
        "* (b) Adding and removing nodes, slow network: too short",
        "| a | b\\|c |",
        "Of what was checked, every promise was kept.",
    ):
        assert f"\n{line}\n" in text
    assert "![" not in text
    evaluation.drawn = {"c-undisturbed"}
    assert "![Time over amount of data](c-undisturbed.png)" in markdown(evaluation)
    assert comparison([one]).columns == ("", "undisturbed")
    assert markdown_table(Table(("x",), [("a\nb",)]))[-1] == "| a b |"


def test_a_cluster_that_is_slower_for_good_has_not_stopped() -> None:
    course = membership.Course(
        phases=[membership.Phase(1, 0.0, 10.0), membership.Phase(2, 12.0, 22.0)],
        changes=[membership.Change("add n2", "+n2", 1, 10.0, 11.0)],
    )
    load = ClosedLoop(lambda: (), clients=0, seed=1)
    fast, slow = [0.01 * number for number in range(1_000)], [10.0 + 0.25 * number for number in range(50)]
    load.writes = [Write(moment, moment, "") for moment in (*fast, *slow)]
    findings = membership.report(JOB, course, load)
    assert findings.missed == []
    assert findings.tables[1][1].rows[0][4] == "96 %"
