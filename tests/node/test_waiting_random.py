"""Waiting requests under random events: nothing is lost or handed out twice, everybody is answered once and in order,
and nobody waits beside something that is there."""

import random
from collections.abc import Iterator

import pytest

from raftdb.node import orphans, waiting
from raftdb.node.turn import Answer
from tests.machine.toys import SEAT, Fill, Rise, Sit, Take, left, toys
from tests.node.bench import Bench

BOWLS = (b"a", b"b")
SEEDS = 40
STEPS = 120


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(waiting, "STEPS_PER_TURN", 7)
    with toys():
        bench = Bench(nodes=1)
        bench.lead()
        yield bench


def settle(bench: Bench) -> None:
    """The log is written, and all that follows from it has happened."""
    bench.log_is_held = False
    for _ in range(50):
        bench.write_log()
        bench.turn()


def sum_of(bench: Bench, requests: list[int]) -> int:
    """How many sweets these requests got."""
    answers = [bench.answers[each] for each in requests if each in bench.answers]
    return sum(sum(each.value) for each in answers if isinstance(each, Answer) and each.value)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_there_is_handed_out_once_and_in_order(alone: Bench, seed: int) -> None:
    chance = random.Random(seed)
    filled = dict.fromkeys(BOWLS, 0)
    waiters: dict[bytes, list[int]] = {bowl: [] for bowl in BOWLS}
    tries: dict[bytes, list[int]] = {bowl: [] for bowl in BOWLS}
    for _ in range(STEPS):
        bowl = chance.choice(BOWLS)
        match chance.randrange(6):
            case 0:
                count = chance.randint(1, 4)
                filled[bowl] += count
                alone.ask(Fill(bowl, count))
            case 1:
                tries[bowl] += alone.ask(Take(bowl))
            case 2 | 3:
                waits_ms = chance.choice([50, 2_000, 1_000_000])
                waiters[bowl] += alone.wait(Take(bowl), wait_ms=waits_ms)
            case 4:
                alone.log_is_held = not alone.log_is_held
                if not alone.log_is_held:
                    alone.write_log()
            case 5:
                alone.pass_time(chance.choice([1, 40, 500]))
    settle(alone)
    for bowl in BOWLS:
        got = sum_of(alone, waiters[bowl]) + sum_of(alone, tries[bowl])
        assert got + left(alone.state, bowl) == filled[bowl]
        unanswered = [each for each in waiters[bowl] if each not in alone.answers]
        assert not unanswered or left(alone.state, bowl) == 0, "somebody waits beside what is there"
        order = list(alone.answers)
        served = [each for each in waiters[bowl] if each in order and sum_of(alone, [each])]
        assert served == sorted(served, key=order.index), "who came first was served first"
    alone.pass_time(2_000_000)
    settle(alone)
    assert all(each in alone.answers for bowl in BOWLS for each in waiters[bowl])
    assert alone.replica.waiters.count == 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_seat_has_one_owner_and_its_line_only_those_that_ask(alone: Bench, seed: int) -> None:
    """Owners come, go without a word, come back and rise; in the end every place belongs to a request."""
    chance = random.Random(seed)
    asking: dict[bytes, int] = {}
    for _ in range(STEPS):
        owner = b"%d" % chance.randrange(8)
        request = asking.get(owner)
        answer = None if request is None else alone.answers.get(request)
        match chance.randrange(6):
            case 0 | 1 if request is None:
                (asking[owner],) = alone.wait(Sit(b"s", owner), wait_ms=chance.choice([100, 30_000]))
            case 2 if request is not None and answer is None:
                alone.turn(left=[request])
                del asking[owner]
            case 3 if answer is not None:
                if isinstance(answer, Answer) and answer.value is not None:
                    alone.ask(Rise(b"s", owner))
                del asking[owner]
            case 4:
                alone.log_is_held = not alone.log_is_held
                if not alone.log_is_held:
                    alone.write_log()
            case _:
                alone.pass_time(chance.choice([1, 200, 5_000, 9_000]))
    settle(alone)
    alone.pass_time(orphans.HELD_MS + 1_000)
    settle(alone)
    words = (alone.state.get(SEAT + b"s") or b"").split()
    line = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert sum(since > 0 for since in line.values()) == (1 if line else 0)
    held = {owner for owner, request in asking.items() if request not in alone.answers}
    assert {owner for owner, since in line.items() if not since} == held
    for owner, request in asking.items():
        answer = alone.answers.get(request)
        if isinstance(answer, Answer) and answer.value is not None:
            assert line.get(owner) == answer.value, "who was told so has the seat"
