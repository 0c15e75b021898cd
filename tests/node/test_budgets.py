"""What one turn does has a bound, whoever asks for it; and what is too long for a turn is done beside the loop."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from raftdb import budgets
from raftdb.machine.batches import Exists, MultiSet
from raftdb.machine.operations import TransactionOperation
from raftdb.machine.services import keys_named
from raftdb.machine.strings import Get, Set
from raftdb.node import pending
from raftdb.node.aside import Aside
from raftdb.node.pending import ReadRequest
from raftdb.node.turn import Inputs
from tests.node.bench import Bench

ROOT = Path(budgets.__file__).parents[1]


def test_every_budget_is_used() -> None:
    names = [name for name in vars(budgets) if name.isupper() and name != "MIB"]
    sources = [path.read_text() for path in ROOT.glob("raftdb/**/*.py") if path.name != "budgets.py"]
    assert len(names) >= 14
    for name in names:
        assert any(len(re.findall(rf"\b{name}\b", source)) >= 2 for source in sources), name


@pytest.fixture
def alone() -> Bench:
    bench = Bench(nodes=1)
    bench.lead()
    return bench


@pytest.mark.parametrize("stale", [False, True])
def test_reads_of_a_turn_are_bounded_by_the_keys_that_they_look_at(
    alone: Bench, monkeypatch: pytest.MonkeyPatch, stale: bool
) -> None:
    """The answer of `exists` is a number, however long it takes; and stale reads take as long as all others."""
    monkeypatch.setattr(pending, "READ_BYTES_MAX", 10 * budgets.KEY_BYTES)
    keys = Exists(tuple(b"%d" % number for number in range(6)))
    reads = [ReadRequest(1_000 + number, keys, stale) for number in range(6)]
    answered = []
    effects = alone.replica.turn(Inputs(reads=reads))
    while effects.more:
        answered.append(len(effects.answers))
        effects = alone.replica.turn(Inputs())
    answered.append(len(effects.answers))
    assert sum(answered) == 6
    assert max(answered) == 2


def test_no_stale_read_is_lost_behind_those_that_wait(alone: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "READ_BYTES_MAX", 1)
    reads = [ReadRequest(1_000 + number, Get(b"k"), number % 2 == 0) for number in range(6)]
    effects = alone.replica.turn(Inputs(reads=reads))
    answers = [request_id for request_id, _ in effects.answers]
    while effects.more:
        effects = alone.replica.turn(Inputs())
        answers += [request_id for request_id, _ in effects.answers]
    assert sorted(answers) == [1_000 + number for number in range(6)]


async def test_what_is_aside_runs_on_a_thread_one_after_the_other() -> None:
    aside = Aside()
    running: list[int] = []

    def work(number: int) -> tuple[int, int]:
        running.append(number)
        assert len(running) == 1
        running.remove(number)
        return number, threading.get_ident()

    done = await asyncio.gather(*(aside.run(work, number) for number in range(20)))
    assert [number for number, _ in done] == list(range(20))
    assert threading.get_ident() not in [thread for _, thread in done]
    with pytest.raises(ZeroDivisionError):
        await aside.run(lambda: 1 / 0)


def test_an_operation_of_many_keys_is_counted_without_being_encoded() -> None:
    many = budgets.KEYS_ON_LOOP_MAX + 1
    pairs = tuple((b"%d" % number, b"") for number in range(many))
    for operation in (
        MultiSet(pairs),
        TransactionOperation((Set(b"k", b""),) * many),
        TransactionOperation((MultiSet(pairs),)),
    ):
        assert keys_named(operation) == many
