"""Writes within a session happen once, whatever the network and the cluster do. Time is a number here."""

from collections.abc import Callable, Iterable
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.client import methods
from raftdb.client.flow import SESSIONS_PER_CALL_MAX, CallLimits
from raftdb.client.protocol import Stamp
from raftdb.client.session import SEQUENCES_AHEAD_MAX, Place, Session
from raftdb.errors import (
    CommandFailed,
    Conflict,
    LocalProtocolError,
    OutcomeUnknown,
    SessionExpired,
    Unavailable,
)
from raftdb.machine.strings import Set
from tests.client.fake_api import Canned, error
from tests.client.virtual import Fate, World

CALL_MS = 3_000.0
CALLS = [(client, lane, number) for client in range(2) for lane in range(3) for number in range(4)]
"""Two clients, each with three calls at a time, one after the other in each lane."""


def world_of(fates: Iterable[Fate], seed: int, plant: Callable[[World], None] = lambda world: None) -> World:
    """The end of a world in which each call of `CALLS` increments a counter of its own, and one of all."""
    world = World(seed=seed, fates=fates)
    plant(world)
    clients = [world.client(number) for number in range(2)]

    def start(client: int, lane: int, number: int) -> None:
        if (client, lane, number) not in CALLS:
            return
        commands = [("incr", [f"{client}-{lane}-{number}"]), ("incr", ["all"])]
        flow = clients[client].flow(
            methods.transact(bytes, commands, {}, "atomic"), CallLimits(world.now_ms, CALL_MS)
        )
        world.start((client, lane, number), flow, lambda: start(client, lane, number + 1))

    for client in range(2):
        for lane in range(3):
            start(client, lane, 0)
    world.run()
    return world


def count_effects(world: World) -> None:
    """Raise `AssertionError` unless each call took effect as often as it says."""
    assert len(world.done) == len(CALLS)
    values = world.state.contents()
    for call in CALLS:
        outcome = world.done[call]
        effects = int(values.get(b"%d-%d-%d" % call, b"0"))
        if isinstance(outcome, OutcomeUnknown | SessionExpired):
            assert effects <= 1, (call, outcome)
        elif isinstance(outcome, Unavailable):
            assert effects == 0, (call, outcome)
        else:
            assert not isinstance(outcome, Exception), (call, outcome)
            assert effects == 1, (call, outcome)


fates = st.lists(st.sampled_from(Fate), max_size=60)


@settings(max_examples=300, deadline=None)
@given(fates, st.integers(0, 2**32))
def test_every_acknowledged_call_took_effect_once(given: list[Fate], seed: int) -> None:
    """Hazard B53: lost requests and replies, late and repeated ones, elections and forgotten sessions."""
    count_effects(world_of(given, seed))


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.WELL])
def test_each_fate_alone_costs_no_call_its_answer(fate: Fate) -> None:
    world = world_of([fate] * 3, 1)
    count_effects(world)
    assert not [outcome for outcome in world.done.values() if isinstance(outcome, Exception)]


def renumber(world: World) -> None:
    """Plant a client that takes a new sequence for each attempt."""
    numbers = count(1)

    def spoil(content: Any) -> None:
        if content and "session" in content:
            content["session"] |= {"seq": next(numbers), "acknowledged": 1}

    world.spoil = spoil


def forget_sessions(world: World) -> None:
    """Plant a client that repeats its writes as if they had a session."""
    world.spoil = lambda content: content and content.pop("session", None)


@pytest.mark.parametrize("plant", [renumber, forget_sessions])
def test_a_client_that_numbers_badly_is_found(plant: Callable[[World], None]) -> None:
    random = Random(1)

    def search() -> None:
        for seed in range(50):
            count_effects(world_of(random.choices(list(Fate), k=40), seed, plant))

    with pytest.raises(AssertionError):
        search()


def test_what_was_lost_is_sent_again_under_its_number() -> None:
    world = World(seed=1, fates=iter([Fate.WELL, Fate.REPLY_LOST, Fate.SILENCE, Fate.UNKNOWN]))
    client = world.client(0)
    world.start("first", client.flow(methods.integer("incr", "n"), CallLimits(0.0, 60_000.0)))
    world.run()
    assert world.done == {"first": 1}
    assert world.state.contents() == {b"n": b"1"}


def end_of(world: World, method: Any, *, timeout_ms: float = CALL_MS, sessions: bool = True) -> object:
    """What one call of a new client ends with."""
    world.start("call", world.client(0, sessions=sessions).flow(method, CallLimits(world.now_ms, timeout_ms)))
    world.run()
    return world.done["call"]


def fates_of(*fates: Fate) -> World:
    """A world in which the first exchanges go like this, and all others well."""
    return World(seed=1, fates=fates)


def test_a_session_is_registered_before_the_first_write_and_only_then() -> None:
    world = fates_of()
    client = world.client(0)
    for number in range(3):
        world.start(number, client.flow(methods.integer("incr", "n"), CallLimits(0.0, CALL_MS)))
        world.run()
    assert (world.state.session_count, world.state.database.index) == (1, 1 + 3)
    world = fates_of()
    assert end_of(world, methods.integer("incr", "n"), sessions=False) == 1
    assert end_of(world, methods.get(bytes, "n", "linearizable")) == b"1"
    assert world.state.session_count == 0


def test_calls_that_begin_together_register_one_session() -> None:
    world = fates_of(Fate.REPLY_LOST)
    client = world.client(0)
    for number in range(20):
        world.start(number, client.flow(methods.integer("incr", "n"), CallLimits(0.0, CALL_MS)))
    world.run()
    assert sorted(world.done.values()) == list(range(1, 21))  # type: ignore[type-var]
    assert world.state.session_count == 1


def test_an_unknown_outcome_is_told_at_the_deadline_and_unavailable_if_nothing_was_sent() -> None:
    assert isinstance(
        end_of(fates_of(Fate.WELL, *[Fate.SILENCE] * 99), methods.integer("incr", "n")), OutcomeUnknown
    )
    assert isinstance(
        end_of(fates_of(Fate.WELL, *[Fate.REFUSED] * 99), methods.integer("incr", "n")), Unavailable
    )
    # A registration may have happened or not: the write has not.
    assert isinstance(end_of(fates_of(*[Fate.SILENCE] * 99), methods.integer("incr", "n")), Unavailable)


def close_door(world: World, is_closed: Callable[[], bool]) -> None:
    """From when `is_closed` says so, the leader is short of space."""
    node = world.cluster.nodes[0]
    answer = node.answer

    def guarded(method: str, path: str, *more: Any) -> Canned:
        return (
            error(503, "no_space") if path == "/v1/execute" and is_closed() else answer(method, path, *more)
        )

    vars(node)["answer"] = guarded


def test_a_refusal_after_an_unanswered_attempt_proves_nothing() -> None:
    """A leader that has become short of space refuses at the door, the repetition of what it did before as well."""
    before, after = fates_of(Fate.WELL), fates_of(Fate.WELL, Fate.REPLY_LOST)
    close_door(before, lambda: True)
    close_door(after, lambda: b"n" in after.state.contents())
    assert isinstance(end_of(before, methods.integer("incr", "n")), Unavailable)
    assert isinstance(end_of(after, methods.integer("incr", "n")), OutcomeUnknown)
    assert (before.state.contents(), after.state.contents()) == ({}, {b"n": b"1"})


def test_a_write_that_never_left_goes_on_in_a_new_session() -> None:
    world = fates_of(Fate.WELL, Fate.FORGOTTEN)
    assert end_of(world, methods.integer("incr", "n")) == 1
    world = fates_of(Fate.WELL, Fate.REFUSED, Fate.BUSY, Fate.FORGOTTEN)
    assert end_of(world, methods.integer("incr", "n")) == 1


def test_a_write_that_may_have_happened_in_an_expired_session_is_not_repeated() -> None:
    world = fates_of(Fate.WELL, Fate.REPLY_LOST, Fate.FORGOTTEN)
    outcome = end_of(world, methods.integer("incr", "n"))
    assert isinstance(outcome, SessionExpired)
    assert outcome.hint is not None
    assert "may or may not" in outcome.hint
    assert world.state.contents() == {b"n": b"1"}


def test_a_cluster_that_forgets_every_session_is_told_of() -> None:
    world = fates_of(*[Fate.WELL, Fate.FORGOTTEN] * SESSIONS_PER_CALL_MAX)
    outcome = end_of(world, methods.integer("incr", "n"))
    assert isinstance(outcome, SessionExpired)
    assert "one after the other" in outcome.message
    assert not world.state.contents()


def test_a_repeated_failure_is_the_same_failure() -> None:
    world = fates_of(Fate.WELL, Fate.REPLY_LOST)
    world.state.database.run(Set(b"n", b"text"))
    assert isinstance(end_of(world, methods.integer("incr", "n")), CommandFailed)
    world = fates_of(Fate.WELL, Fate.REPLY_LOST)
    outcome = end_of(world, methods.cas("n", 7, "x"))
    assert isinstance(outcome, Conflict)
    assert outcome.keys == (b"n",)
    assert world.state.database.index == 3


def test_a_cas_whose_first_reply_was_lost_succeeds_once() -> None:
    """Without a session the second attempt would find its own write, and call it a conflict."""
    world = fates_of(Fate.WELL, Fate.REPLY_LOST)
    assert end_of(world, methods.cas("n", 0, "x")) == 2


def test_without_a_session_a_lost_reply_is_unknown_and_the_write_is_not_repeated() -> None:
    world = fates_of(Fate.WELL, Fate.REPLY_LOST)
    assert isinstance(end_of(world, methods.integer("incr", "n"), sessions=False), OutcomeUnknown)
    assert world.state.contents() == {b"n": b"1"}
    assert world.exchanges == 2


def test_a_dead_cluster_is_not_stormed() -> None:
    world = fates_of(*[Fate.REFUSED] * 10_000)
    end_of(world, methods.integer("incr", "n"), timeout_ms=60_000.0)
    assert world.exchanges < 3 * 150


class TestNumbering:
    def test_the_lowest_sequence_waited_for_is_acknowledged(self) -> None:
        session = Session("a" * 32)
        places = [Place() for _ in range(4)]
        first, second = session.take(places[0]), session.take(places[1])
        assert (first.acknowledged, second) == (1, Stamp("a" * 32, 2, 1))
        session.leave(places[1])
        third = session.take(places[2])
        assert (third.sequence, third.acknowledged) == (3, 1)
        session.leave(places[2])
        session.leave(places[0])
        fourth = session.take(places[3])
        assert (fourth.sequence, fourth.acknowledged) == (4, 4)
        assert session.is_waited_for
        session.leave(places[3])
        session.leave(places[3])
        assert not session.is_waited_for

    def test_a_sequence_too_far_ahead_waits(self) -> None:
        session = Session("a" * 32)
        first = Place()
        session.take(first)
        while not session.is_full:
            place = Place()
            stamp = session.take(place)
            assert stamp.acknowledged == 1
            assert stamp.sequence <= SEQUENCES_AHEAD_MAX
            session.leave(place)
        with pytest.raises(LocalProtocolError):
            session.take(Place())
        session.leave(first)
        assert not session.is_full

    def test_calls_wait_for_one_that_holds_them_up(self) -> None:
        world = fates_of()
        client = world.client(0)
        world.start("first", client.flow(methods.integer("incr", "n"), CallLimits(0.0, CALL_MS)))
        world.run()
        slow = client.flow(methods.integer("incr", "slow"), CallLimits(world.now_ms, 1e9))
        next(slow)
        for number in range(SEQUENCES_AHEAD_MAX + 10):
            flow = client.flow(methods.integer("incr", "n"), CallLimits(world.now_ms, 1e9))
            world.start(number, flow)
        world.at(50_000.0, slow.close)
        world.at(50_001.0, world.wake)
        world.run()
        assert len(world.done) == SEQUENCES_AHEAD_MAX + 11
        assert world.state.contents() == {b"n": b"%d" % (SEQUENCES_AHEAD_MAX + 11)}
