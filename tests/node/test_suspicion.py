"""The phi-accrual detector: what a silence means, and who is called suspected."""

import logging
import math
import random
from types import SimpleNamespace
from typing import cast

import pytest

from raftdb.core.state import RaftState
from raftdb.node.contacts import Contacts
from raftdb.node.suspicion import INTERVALS_KEPT, PHI_MAX, SUSPECTED_PHI, Arrivals, phi_of

HEARTBEAT_S = 0.075


def arrivals_of(intervals_s: list[float]) -> tuple[Arrivals, float]:
    """A peer heard in these intervals, and the time of the last arrival."""
    now_s = 1000.0
    arrivals = Arrivals(heartbeat_s=HEARTBEAT_S, now_s=now_s)
    arrivals.heard(now_s)
    for interval_s in intervals_s:
        now_s += interval_s
        arrivals.heard(now_s)
    return arrivals, now_s


@pytest.mark.parametrize(
    ("deviations", "chance"), [(0.0, 0.5), (1.0, 0.158655), (2.0, 0.0227501), (6.0, 9.86588e-10)]
)
def test_phi_is_the_logarithm_of_the_chance_of_a_longer_interval(deviations: float, chance: float) -> None:
    """Against the tail of the normal distribution as tables have it."""
    phi = phi_of(10.0 + 2.0 * deviations, mean_s=10.0, spread_s=2.0)
    assert phi == pytest.approx(-math.log10(chance), rel=1e-4)


def test_phi_grows_with_the_silence_and_has_an_end() -> None:
    arrivals, last_s = arrivals_of([HEARTBEAT_S] * 20)
    silences = [0.0, 0.05, 0.1, 0.2, 0.3, 0.6, 2.0, 60.0, 1e6]
    found = [arrivals.phi(last_s + silence_s) for silence_s in silences]
    assert found == sorted(found)
    assert found[0] < 0.2
    assert found[-1] == PHI_MAX


def test_a_silence_as_long_as_an_election_timeout_is_suspicious_with_usual_times() -> None:
    arrivals, last_s = arrivals_of([HEARTBEAT_S] * INTERVALS_KEPT)
    assert arrivals.phi(last_s + 0.2) < SUSPECTED_PHI < arrivals.phi(last_s + 0.3)


def test_a_slow_machine_is_given_more_time() -> None:
    source = random.Random(5)
    slow, slow_s = arrivals_of([source.uniform(0.05, 0.5) for _ in range(INTERVALS_KEPT)])
    calm, calm_s = arrivals_of([HEARTBEAT_S] * INTERVALS_KEPT)
    assert slow.phi(slow_s + 0.5) < SUSPECTED_PHI < calm.phi(calm_s + 0.5)


def test_a_load_that_ends_is_no_reason_for_suspicion() -> None:
    arrivals, last_s = arrivals_of([0.001] * INTERVALS_KEPT)
    assert arrivals.phi(last_s + 2 * HEARTBEAT_S) < SUSPECTED_PHI


def test_a_long_absence_does_not_make_the_next_one_look_normal() -> None:
    arrivals, last_s = arrivals_of([HEARTBEAT_S] * 10 + [60.0] * 10)
    assert arrivals.phi(last_s + 1.0) > SUSPECTED_PHI


def test_what_is_forgotten_no_longer_counts() -> None:
    """The sums that are kept agree with the window they are of, however long it has moved."""
    source = random.Random(7)
    arrivals, _ = arrivals_of([source.uniform(0.1, 1.4) for _ in range(5 * INTERVALS_KEPT)])
    kept, _ = arrivals_of([0.2] * INTERVALS_KEPT)
    now_s = arrivals.last_s or 0.0
    for _ in range(INTERVALS_KEPT):
        now_s += 0.2
        arrivals.heard(now_s)
    assert arrivals.mean_s == pytest.approx(0.2)
    assert arrivals.spread_s == pytest.approx(kept.spread_s)


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def state_of(*, leads: bool = False, leader: str | None = None, others: tuple[str, ...] = ()) -> RaftState:
    leadership = SimpleNamespace(progress=dict.fromkeys(others)) if leads else None
    return cast(RaftState, SimpleNamespace(leadership=leadership, leader_id=leader))


LEADS = state_of(leads=True, leader="n1", others=("n2", "n3"))
FOLLOWS = state_of(leader="n2")


class World:
    """Node n1 and its clock, which ticks; the peers that `pass_time` names speak at every tick."""

    def __init__(self, state: RaftState) -> None:
        self.clock = Clock()
        self.contacts = Contacts(heartbeat_s=HEARTBEAT_S, clock=self.clock)
        self.state = state
        self.contacts.look(state)

    def pass_time(self, seconds: float, *speaking: str) -> None:
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.clock.now_s += 0.025
            for peer in speaking:
                self.contacts.heard(peer)
            self.contacts.look(self.state)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    return [(record.getMessage(), record.__dict__["fields"]["peer"]) for record in caplog.records]


def test_a_peer_is_called_suspected_once_and_heard_again_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(LEADS)
    world.pass_time(2.0, "n2", "n3")
    assert said(caplog) == []
    world.pass_time(2.0, "n2")
    assert said(caplog) == [("peer suspected", "n3")]
    described = world.contacts.describe("n3")
    assert described["last_contact_seconds"] == pytest.approx(2.0, abs=0.05)
    assert described["suspicion"] >= SUSPECTED_PHI
    world.pass_time(1.0, "n2", "n3")
    assert said(caplog) == [("peer suspected", "n3"), ("peer heard again", "n3")]
    assert world.contacts.describe("n3")["suspicion"] < 1.0


def test_a_peer_that_was_never_heard_is_suspected_from_the_day_it_should_speak(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(LEADS)
    world.pass_time(1.0, "n2")
    assert said(caplog) == [("peer suspected", "n3")]
    assert "last_contact_seconds" not in world.contacts.describe("n3")


def test_nothing_is_expected_of_those_who_have_nothing_to_say() -> None:
    """A follower hears its leader alone; and a leader of old does not begin its next term with old silences."""
    world = World(LEADS)
    world.pass_time(1.0, "n2", "n3")
    world.state = FOLLOWS
    world.pass_time(10.0, "n2")
    assert world.contacts.describe("n3") == {}
    assert world.contacts.describe("n2")["suspicion"] < 1.0
    world.state = state_of()
    world.pass_time(0.1)
    assert world.contacts.describe("n2") == {}
    world.contacts.look(FOLLOWS, is_removed=True)
    assert world.contacts.describe("n2") == {}
    world.state = LEADS
    world.pass_time(0.1, "n2")
    assert world.contacts.describe("n3")["suspicion"] < SUSPECTED_PHI


def test_who_slept_itself_suspects_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(LEADS)
    world.pass_time(1.0, "n2", "n3")
    world.clock.now_s += 30.0
    world.contacts.look(world.state)
    world.pass_time(0.1)
    assert said(caplog) == []
    world.pass_time(1.0)
    assert said(caplog) == [("peer suspected", "n2"), ("peer suspected", "n3")]


def test_a_silence_that_the_core_bears_is_not_suspected_and_teaches() -> None:
    """On a slow network heartbeats are heard seconds apart, and nobody is told of each."""
    arrivals = Arrivals(heartbeat_s=0.075, now_s=0.0)
    arrivals.patience_s = 8.0
    now_s = 0.0
    for silence_s in (0.5, 0.5, 4.0, 0.5):
        now_s += silence_s
        assert not arrivals.is_suspected(now_s)
        arrivals.heard(now_s)
    assert arrivals.phi(now_s + 4.0) < 8.0
    assert not arrivals.is_suspected(now_s + 7.9)
    assert arrivals.is_suspected(now_s + 60.0)
