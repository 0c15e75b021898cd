"""What a node counts of itself, turn by turn."""

import pytest

from raftdb.core.update import Trace
from raftdb.machine.happenings import Happening
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Receive
from raftdb.node.counts import NodeCounts
from raftdb.node.view import NodeView
from tests.node.bench import NO_TAIL, Bench


def test_a_write_counts_from_its_proposal_to_the_turn_that_applies_it() -> None:
    bench = Bench()
    bench.lead()
    counts = bench.replica.counts
    before, applied_before = counts.commit_seconds.count, counts.applied_entries
    bench.log_is_held = True
    bench.write(b"a", b"b")
    assert NodeView(bench.replica).proposals_count == 2
    assert counts.commit_seconds.count == before
    bench.now_ms += 40.0
    bench.log_is_held = False
    bench.write_log()
    assert NodeView(bench.replica).proposals_count == 0
    assert counts.commit_seconds.count == before + 2
    assert counts.commit_seconds.total == pytest.approx(0.08)
    assert counts.applied_entries == applied_before + 2
    assert counts.apply_seconds.count > 0


def test_writes_that_are_refused_count_by_their_reason() -> None:
    bench = Bench(nodes=3)
    bench.write(b"a")
    assert dict(bench.replica.counts.proposals_failed) == {"no_leader": 1}
    bench.lead()
    bench.write(b"b", b"c")
    bench.turn(ticks=1_000)
    assert dict(bench.replica.counts.proposals_failed) == {"no_leader": 1, "outcome_unknown": 2}


def test_elections_and_leaders_are_counted() -> None:
    counts = NodeCounts()
    counts.told(
        [
            Trace("became candidate", (("term", 2),)),
            Trace("became follower", (("term", 3), ("leader", None), ("was", "candidate"))),
            Trace("follows", (("leader", "n2"), ("term", 3))),
            Trace("committed", (("commit_index", 7),)),
            Trace("became candidate", (("term", 4),)),
            Trace("became leader", (("term", 4),)),
        ]
    )
    assert (counts.elections, counts.leader_changes) == (2, 2)


def test_entries_that_leave_the_log_are_counted() -> None:
    bench = Bench(policy=NO_TAIL)
    bench.lead()
    for _ in range(3):
        bench.write(*(b"v" for _ in range(10)))
        if bench.frozen is not None:
            bench.flush_and_tell()
    assert bench.replica.counts.compacted_entries == bench.core.log.base.index > 0


def test_what_happens_to_queues_is_counted_as_it_is_applied() -> None:
    bench = Bench()
    bench.lead()
    bench.do(Enqueue(b"q", b"v"))
    bench.do(Receive(b"q"))
    counts = bench.replica.counts
    assert counts.happened == {Happening.ENQUEUED: 1, Happening.DELIVERED: 1}
    assert counts.queue_wait_seconds.count == 1
