"""What a node keeps of what it has applied: each change of a value, whatever made it, and no more than fits."""

import gc

import pytest

from raftdb.errors import Compacted
from raftdb.machine.batches import DeleteMany, MultiSet
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.expiry import ExpireAfter, RemoveExpiry
from raftdb.machine.keys import Clear, Rename
from raftdb.machine.locks.holding import Lock
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, TransactionOperation
from raftdb.machine.scanning import DeletePrefix
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Binding, Delete, Get, Set
from raftdb.node import history as module
from raftdb.node.history import Kind, value_of
from tests.node.changing import Log, Shown, shown

SESSION = b"s" * 16


def test_entries_have_their_changes_with_the_values_before_and_after_however_slices_are_cut() -> None:
    operations = (Set(b"a", b"1"), Set(b"a", b"2"), Get(b"a"), Append(b"a", b"3"), Delete(b"a"), Delete(b"a"))
    expected = [
        [(b"a", Kind.PUT, None, b"1")],
        [(b"a", Kind.PUT, b"1", b"2")],
        [(b"a", Kind.PUT, b"2", b"23")],
        [(b"a", Kind.DELETE, b"23", None)],
    ]
    together, alone = Log(), Log()
    assert together.apply(*operations) == expected
    assert [changes for one in operations for changes in alone.apply(one)] == expected
    assert together.entries() == alone.entries()
    assert [entry.revision for entry in alone.entries()] == [1, 2, 4, 5]
    assert alone.history.applied == 6
    after = value_of(alone.entries()[2].changes[0][3])
    assert after is not None
    assert after.revision == 4


def test_a_transaction_has_its_changes_in_order_and_none_if_it_is_undone() -> None:
    log = Log()
    pair = (Set(b"a", b"1"), Set(b"b", b"x"), IncrementBy(b"a", 4))
    assert log.apply(TransactionOperation(pair, (), Mode.ATOMIC)) == [
        [(b"a", Kind.PUT, None, b"1"), (b"b", Kind.PUT, None, b"x"), (b"a", Kind.PUT, b"1", b"5")]
    ]
    undone = (Set(b"a", b"2"), IncrementBy(b"b", 1))
    assert log.apply(TransactionOperation(undone, (), Mode.ATOMIC)) == []


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (MultiSet(((b"a", b"2"), (b"c", b"3"))), [(b"a", 0, b"1", b"2"), (b"c", 0, None, b"3")]),
        (DeleteMany((b"a", b"c", b"b")), [(b"a", 1, b"1", None), (b"b", 1, b"2", None)]),
        (Rename(b"a", b"b"), [(b"b", 0, b"2", b"1"), (b"a", 1, b"1", None)]),
        (DeletePrefix(b"a"), [(b"a", 1, b"1", None)]),
        (ExpireAfter(b"a", 0), [(b"a", 1, b"1", None)]),
        (ExpireAfter(b"a", 5), [(b"a", 0, b"1", b"1")]),
        (RemoveExpiry(b"a"), []),
        (Lock(b"l", owner=b"o"), []),
        (Clear(), [(b"a", 1, b"1", None), (b"b", 1, b"2", None)]),
    ],
)
def test_every_way_in_which_a_value_changes(operation: Operation, expected: list[Shown]) -> None:
    log = Log()
    log.apply(MultiSet(((b"a", b"1"), (b"b", b"2"))))
    assert log.apply(operation) == ([expected] if expected else [])


def test_a_value_whose_time_is_up_ends_when_it_is_removed() -> None:
    log = Log()
    log.apply(Set(b"a", b"1", 100), Set(b"b", b"2", 100))
    log.time_ms += 200
    assert log.apply(Set(b"b", b"3"), Expire()) == [
        [(b"b", Kind.EXPIRE, b"2", None), (b"b", Kind.PUT, None, b"3")],
        [(b"a", Kind.EXPIRE, b"1", None)],
    ]


def test_values_that_are_bound_to_a_session_are_deleted_with_it_and_who_wrote_is_known() -> None:
    log = Log()
    bound = SessionOperation(SESSION, 1, 1, Set(b"a", b"1", binding=Binding.SESSION))
    log.apply(RegisterSession(SESSION), bound, Set(b"b", b"2"))
    assert [entry.session for entry in log.entries()] == [SESSION, None]
    assert log.apply(CloseSession(SESSION)) == [[(b"a", Kind.DELETE, b"1", None)]]


def test_an_end_of_all_lists_them_also_if_they_changed_in_the_same_entry_and_again_after_it() -> None:
    log = Log()
    log.apply(Set(b"a", b"1"))
    again = (Set(b"b", b"2"), Clear(), Set(b"a", b"3"), Clear(), Set(b"c", b"4"))
    expected = [
        (b"b", Kind.PUT, None, b"2"),
        (b"a", Kind.DELETE, b"1", None),
        (b"b", Kind.DELETE, b"2", None),
        (b"a", Kind.PUT, None, b"3"),
        (b"a", Kind.DELETE, b"3", None),
        (b"c", Kind.PUT, None, b"4"),
    ]
    assert log.apply(TransactionOperation(again, (), Mode.ATOMIC), Expire()) == [expected]


def test_an_end_of_too_many_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_LISTED_MAX", 2)
    log = Log()
    log.apply(Set(b"a", b"1"), Set(b"b", b"2"))
    assert log.apply(Clear()) == [[(b"a", Kind.DELETE, b"1", None), (b"b", Kind.DELETE, b"2", None)]]
    log.apply(*(Set(key, b"1") for key in (b"a", b"b", b"c")))
    assert log.apply(Clear(), Set(b"d", b"4")) == [[(b"d", Kind.PUT, None, b"4")]]
    assert log.history.begin == 7
    with pytest.raises(Compacted) as caught:
        log.history.after(6, limit=1)
    assert caught.value.begin == 7


def test_an_entry_with_too_much_in_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRY_BYTES_MAX", 10_000)
    log = Log()
    log.apply(Set(b"a", b"1"), Set(b"b", b"2"))
    assert log.apply(Set(b"a", b"x" * 10_000), Set(b"a", b"y")) == []
    assert log.history.begin == 4, "the value before the last one is as long"
    assert log.history.reach.entries == log.history.reach.bytes == 0


def test_the_oldest_make_room_and_what_is_left_is_whole() -> None:
    log = Log(bytes_max=20_000)
    for number in range(1, 1_001):
        log.apply(Set(b"k", b"%d" % number))
    reach = log.history.reach
    assert reach.bytes <= 20_000
    kept = log.entries()
    assert reach.entries == len(kept) > 20
    assert [entry.revision for entry in kept] == list(range(reach.begin + 1, 1_001))
    assert shown(kept[0].changes) == [(b"k", Kind.PUT, b"%d" % reach.begin, b"%d" % (reach.begin + 1))]
    assert log.history.after(990, limit=3) == kept[-10:-7]
    assert log.history.after(5_000, limit=3) == []
    with pytest.raises(Compacted):
        log.history.after(reach.begin - 1, limit=1)


def test_the_old_go_with_the_next_change_by_the_clusters_clock() -> None:
    log = Log(seconds_max=60)
    for _ in range(5):
        log.apply(Set(b"k", b"1"))
        log.time_ms += 30_000
    assert [entry.revision for entry in log.entries()] == [3, 4, 5], "what is 60 s old is kept"
    log.time_ms += 600_000
    assert log.apply(Get(b"k")) == []
    assert log.history.begin == 2, "nothing new has changed, and whoever looks back finds what was"
    log.apply(Set(b"k", b"2"))
    reach = log.history.reach
    assert (reach.begin, reach.entries, reach.clock_ms) == (5, 1, 1_000 + 4 * 30_000)
    with pytest.raises(Compacted):
        log.history.after(4, limit=1)


def test_a_history_that_has_no_room_and_no_time_is_empty_and_goes_on() -> None:
    log = Log(bytes_max=1, seconds_max=1)
    assert [log.apply(Set(b"k", b"1")) for _ in range(3)] == [[], [], []]
    assert log.history.begin == 3


def test_what_is_let_go_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RELEASED_TOGETHER", 10)
    log = Log(bytes_max=module.ENTRY_BYTES * 10)
    log.apply(*(Set(b"k", b"%d" % number) for number in range(200)))
    assert len(log.history._entries) < 30
    assert [entry.revision for entry in log.entries()] == list(range(log.history.begin + 1, 201))


def test_what_is_kept_is_left_out_of_garbage_collections() -> None:
    log = Log()
    log.apply(Set(b"k", b"0"))
    gc.collect()
    before = len(gc.get_objects())
    for number in range(500):
        log.apply(Set(b"k", b"%d" % number), Delete(b"k"))
    gc.collect()
    assert len(log.entries()) > 1_000
    assert len(gc.get_objects()) - before < 100
