"""What is renewed when, together with what, and what is told when it is lost."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from raftdb.client.keeping import TOGETHER_MAX, Batch, Keeping, Kept, Sort
from raftdb.client.leases import Lease, now_ms
from raftdb.client.renewing import Renewals, send
from raftdb.errors import Fenced, Unavailable

WAIT_S = 20.0


@dataclass
class Clock:
    now_ms: float = 0.0

    def __call__(self) -> float:
        return self.now_ms


def nothing() -> None:
    pass


def kept(
    clock: Callable[[], float],
    token: bytes,
    *,
    queue: bytes | None = None,
    ttl_ms: float = 15_000.0,
    on_lost: Callable[[], None] = nothing,
) -> Kept:
    lease = Lease(ttl_ms, sent_ms=clock(), clock=clock)
    return Kept(lease, queue or b"lock", token, Sort.LOCK if queue is None else Sort.DELIVERY, on_lost)


def test_what_is_due_is_renewed_together_locks_in_one_request_and_deliveries_by_queue() -> None:
    clock, keeping = Clock(), Keeping()
    one, other = kept(clock, b"1"), kept(clock, b"2", ttl_ms=12_000)
    mail = [kept(clock, b"m-%d" % number, queue=b"mail", ttl_ms=12_000) for number in range(3)]
    jobs = kept(clock, b"j", queue=b"jobs", ttl_ms=12_000)
    for held in (one, other, *mail, jobs):
        keeping.add(held)
    assert keeping.next_due_ms() == 4_000
    assert keeping.due(3_999) == []
    clock.now_ms = 5_000
    locks, deliveries, others = keeping.due(5_000)
    assert locks.commands() == [
        ("renew", [b"lock", b"1", b"TTL", b"15.000"]),
        ("renew", [b"lock", b"2", b"TTL", b"12.000"]),
    ]
    assert deliveries.commands() == [("extend", [b"mail", b"12.000", b"m-0", b"m-1", b"m-2"])]
    assert others.kept == (jobs,)


def test_a_request_has_a_bounded_number_of_renewals() -> None:
    clock, keeping = Clock(), Keeping()
    for number in range(TOGETHER_MAX + 1):
        keeping.add(kept(clock, b"%d" % number))
    clock.now_ms = 6_000
    assert [len(batch.kept) for batch in keeping.due(6_000)] == [TOGETHER_MAX, 1]


def test_what_is_lost_is_taken_once_and_kept_no_longer() -> None:
    clock, keeping = Clock(), Keeping()
    held = kept(clock, b"1")
    keeping.add(held)
    assert keeping.next_end_ms() == 13_500
    assert keeping.take_lost() == []
    clock.now_ms = 13_500
    assert keeping.take_lost() == [held]
    assert keeping.take_lost() == []
    assert not keeping.remove(held)
    assert keeping.next_end_ms() == keeping.next_due_ms() == inf


@dataclass
class Cluster:
    """Renews what it is sent, but for the tokens that are over; or is not there."""

    over: set[bytes] = field(default_factory=set)
    is_away: bool = False
    sent: list[list[bytes]] = field(default_factory=list)
    renewed: threading.Event = field(default_factory=threading.Event)

    def renew(self, batch: Batch, timeout_ms: float) -> int:
        tokens = [one.token for one in batch.kept]
        self.sent.append(tokens)
        if self.is_away:
            raise Unavailable("no_leader", "nobody leads")
        live = [token for token in tokens if token not in self.over]
        if len(live) < len(tokens) and batch.sort is not Sort.DELIVERY and len(tokens) > 1:
            raise Fenced("one is over")
        self.renewed.set()
        return len(live)

    def close(self) -> None:
        pass


def test_of_several_locks_only_that_is_lost_which_is_over() -> None:
    held = [kept(now_ms, token) for token in (b"1", b"2", b"3")]
    cluster = Cluster(over={b"2"})
    send(cluster, Batch(tuple(held)))
    assert cluster.sent == [[b"1", b"2", b"3"], [b"1"], [b"2"], [b"3"]]
    assert [one.lease.is_lost for one in held] == [False, True, False]


def test_of_several_deliveries_only_that_is_lost_which_is_over() -> None:
    held = [kept(now_ms, token, queue=b"mail") for token in (b"1", b"2")]
    send(Cluster(over={b"1"}), Batch(tuple(held)))
    assert [one.lease.is_lost for one in held] == [True, False]


def test_a_cluster_that_cannot_be_reached_loses_nothing_before_its_time() -> None:
    held = kept(now_ms, b"1")
    send(Cluster(is_away=True), Batch((held,)))
    assert not held.lease.is_lost
    assert held.lease.ends_ms < now_ms() + held.lease.ttl_ms


def test_the_threads_renew_and_tell_of_what_is_lost() -> None:
    cluster, lost = Cluster(), threading.Event()
    renewals = Renewals(lambda: cluster)
    held = kept(now_ms, b"1", ttl_ms=1_200, on_lost=lost.set)
    renewals.keep(held)
    assert cluster.renewed.wait(WAIT_S)
    assert not lost.is_set()
    cluster.is_away = True
    assert lost.wait(WAIT_S)
    assert held.lease.is_lost


def test_what_is_dropped_is_not_told_of() -> None:
    cluster, lost, other_lost = Cluster(is_away=True), threading.Event(), threading.Event()
    renewals = Renewals(lambda: cluster)
    held = kept(now_ms, b"1", ttl_ms=1_000, on_lost=lost.set)
    renewals.keep(held)
    renewals.drop(held)
    renewals.keep(kept(now_ms, b"2", ttl_ms=1_100, on_lost=other_lost.set))
    assert other_lost.wait(WAIT_S)
    assert not lost.is_set()


def test_what_the_cluster_says_is_over_is_told_of_long_before_its_time() -> None:
    cluster, lost = Cluster(over={b"1"}), threading.Event()
    renewals = Renewals(lambda: cluster)
    held = kept(now_ms, b"1", ttl_ms=3_600_000, on_lost=lost.set)
    held.lease = Lease(3_600_000, sent_ms=now_ms() - 2_000_000)
    renewals.keep(held)
    assert lost.wait(WAIT_S)
