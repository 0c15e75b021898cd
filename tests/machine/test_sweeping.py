"""Very many keys that are gone at one point of the log, and are removed step by step."""

from collections.abc import Iterator

import pytest

from raftdb.machine import sweeping
from raftdb.machine.batches import Exists, MultiSet
from raftdb.machine.counters import IncrementBy
from raftdb.machine.drawing import DrawKey
from raftdb.machine.keys import Clear
from raftdb.machine.keyspace import ABANDONED_PREFIX, KEY_VALUE_PREFIX
from raftdb.machine.layer import Layer
from raftdb.machine.operations import Expire, Mode, TransactionOperation
from raftdb.machine.reply import Page, Result
from raftdb.machine.revisions import ReadRevisions
from raftdb.machine.scanning import DatabaseSize, Keys, ReadPage, Scan
from raftdb.machine.strings import Get, Set
from raftdb.machine.sweeper import next_deadline_ms
from raftdb.machine.sweeping import HEAD_BYTES, abandon, is_pending, remove_some
from raftdb.machine.values import values_prefix
from tests.machine.database import EVERYTHING, KEY_VALUE_END, MACHINE, Database, check_books
from tests.machine.views import DictionaryView

COUNT = 10_000
STEP = 3


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_ABANDONED_MAX", STEP)


def records(database: Database) -> int:
    """How many values of all generations are in the state."""
    return len(database.layer.scan(KEY_VALUE_PREFIX, KEY_VALUE_END, limit=EVERYTHING, length=0))


def sweeps(database: Database) -> Iterator[int]:
    """Let a leader do what is due, and tell how many values are left after each step."""
    database.now_ms += 1
    while (due_ms := next_deadline_ms(database.layer)) is not None and due_ms < database.now_ms:
        database.run(Expire())
        check_books(database.layer)
        yield records(database)


def test_all_keys_are_gone_at_once_and_removed_in_steps(database: Database) -> None:
    for first in range(0, COUNT, 1000):
        database.run(MultiSet(tuple((b"%06d" % number, b"x") for number in range(first, first + 1000))))
    applied = database.applied(Clear())
    assert applied.reply == Result(None, None)
    assert applied.deadline_ms == 0
    for command, told in (
        (Get(b"000001"), b""),
        (Exists((b"000001", b"009999")), 0),
        (DatabaseSize(), 0),
        (Keys(b""), []),
        (Scan(b"", b"", 10), []),
    ):
        assert database.value(command) == told
    for query, result in (
        (ReadPage(b"", b"", 10), Page([], None)),
        (DrawKey(bytes(480)), None),
        (ReadRevisions((b"000001",)), [0]),
    ):
        assert MACHINE.read(query, database.layer) == Result(result, None)
    database.run(Set(b"000001", b"new"))
    assert list(sweeps(database)) == [*range(COUNT - 1000 + 1, 0, -1000), 1]
    assert database.value(Keys(b"")) == [b"000001"]
    assert database.value(Get(b"000001")) == b"new"


@pytest.mark.usefixtures("small_steps")
def test_values_that_expire_go_with_the_others(database: Database) -> None:
    database.run(MultiSet(tuple((b"stays%d" % number, b"") for number in range(4))))
    for number in range(4):
        database.run(Set(b"ends%d" % number, b"", 10 * (number + 1)))
    database.run(Clear())
    database.run(Set(b"ends0", b"", 25))
    database.run(Set(b"ends9", b"", 99))
    database.now_ms = 30
    assert database.value(DatabaseSize()) == 1
    left = list(sweeps(database))
    assert left[-1] == 1
    assert database.value(Keys(b"")) == [b"ends9"]
    assert all(before - after <= 4 + STEP for before, after in zip([10, *left], left, strict=False))


@pytest.mark.usefixtures("small_steps")
def test_each_time_all_keys_go(database: Database) -> None:
    for generation in range(300):
        database.run(Set(b"k", b"%d" % generation))
        assert database.value(Get(b"k")) == b"%d" % generation
        database.run(Clear())
        assert database.value(Get(b"k")) == b""
        if generation % 100 == 0:
            database.run(Expire())
    assert records(database) > 250
    assert len(database.layer.scan(ABANDONED_PREFIX, b"b", limit=EVERYTHING)) == 1
    assert list(sweeps(database))[-1] == 0
    prefix = values_prefix(database.layer)
    database.run(Clear())
    assert values_prefix(database.layer) == prefix, "nothing was there"
    assert not is_pending(database.layer)


@pytest.mark.parametrize("mode", Mode)
def test_a_flush_stands_at_its_place_in_a_transaction(database: Database, mode: Mode) -> None:
    database.run(Set(b"old", b"1"))
    work = (Set(b"a", b"1"), Clear(), DatabaseSize(), Set(b"b", b"2"), Get(b"a"), DatabaseSize())
    assert database.value(TransactionOperation(work, mode=mode)) == ["OK", "OK", 0, "OK", b"", 1]
    assert database.value(Keys(b"")) == [b"b"]
    assert list(sweeps(database)) == [1]


def test_a_flush_that_is_undone_leaves_all_as_it_was(database: Database) -> None:
    database.run(Set(b"a", b"text"))
    before = values_prefix(database.layer)
    work = TransactionOperation((Clear(), Set(b"a", b"x"), IncrementBy(b"a", 1)), mode=Mode.ATOMIC)
    assert database.error(work) == "value is not an integer or out of range"
    assert values_prefix(database.layer) == before
    assert database.value(Get(b"a")) == b"text"
    assert not is_pending(database.layer)


def test_a_flush_changes_what_is_watched(database: Database) -> None:
    revision = database.result(Set(b"a", b"1")).revision
    database.run(Clear())
    watching = TransactionOperation((Set(b"b", b"2"),), ((b"a", revision or 0),))
    assert database.failed(watching).code == "conflict"


def test_ranges_of_any_service_are_removed_in_order_and_what_is_beside_them_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_ABANDONED_MAX", 2)
    keys = [b"A1", b"A2", b"A3", b"A4", b"B1", b"B2"]
    layer = Layer(DictionaryView(dict.fromkeys(keys, bytes(HEAD_BYTES + 1))))
    forgotten: list[tuple[bytes, int]] = []
    forget = {ord("B"): lambda layer, key, head: forgotten.append((key, len(head)))}
    abandon(layer, b"A", b"A1", b"A2")
    abandon(layer, b"B1", b"B1", b"B2")
    abandon(layer, b"A", b"A2", b"A4")
    steps = []
    while is_pending(layer):
        assert layer.deadline_ms == 0
        remove_some(layer, forget)
        steps.append([key for key, _ in layer.scan(b"A", b"C", limit=9)])
    assert steps[0] == [b"A3", b"A4", b"B1", b"B2"]
    assert steps[-1] == [b"A4", b"B2"]
    assert forgotten == [(b"B1", HEAD_BYTES)]
