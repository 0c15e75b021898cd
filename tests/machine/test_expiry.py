"""Values that live for a while: by the cluster clock alone, ended by an entry, seen by nobody after their time."""

import pytest

from raftdb.limits import SESSION_IDLE_MS, TTL_MS_MAX
from raftdb.machine import expiry, scanning, sweeper, values
from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.clock import read_clock
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.expiry import ExpireAfter, RemoveExpiry, TimeToLive
from raftdb.machine.keyspace import CLOCK_KEY
from raftdb.machine.layer import Layer
from raftdb.machine.operations import Expire
from raftdb.machine.reply import Page, Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, ReadPage, Scan
from raftdb.machine.service import Command
from raftdb.machine.sessions import RegisterSession
from raftdb.machine.strings import KEEP_TTL, Condition, Delete, Get, GetSet, Set, Strlen
from tests.machine.database import MACHINE, Database, bounded, check_books
from tests.machine.views import DictionaryView


@pytest.fixture
def database() -> Database:
    made = Database()
    made.now_ms = 1_000
    return made


def test_the_clock_moves_with_entries_and_never_back(database: Database) -> None:
    database.run(Get(b"k"))
    assert read_clock(database.layer) == 1_000
    for time_ms in (0, 999, 1_000):
        database.now_ms = time_ms
        database.layer.changes.pop(b"never", None)
        layer = Layer(database.layer)
        below, database.layer = database.layer, layer
        database.run(Get(b"k"))
        database.layer = below
        assert CLOCK_KEY not in layer.changes, "written only when it moves"
    database.now_ms = 1_001
    database.run(Get(b"k"))
    assert read_clock(database.layer) == 1_001


def test_a_failing_command_moves_the_clock_too(database: Database) -> None:
    database.error(Get(b""))
    assert read_clock(database.layer) == 1_000


def test_a_value_is_there_to_its_time_and_not_beyond(database: Database) -> None:
    """Times are rounded down: at 1,500 it may have lived for a part of its last millisecond only (hazard B71)."""
    database.run(Set(b"k", b"v", 500))
    database.now_ms = 1_500
    assert database.result(Get(b"k")) == Result(b"v", 1)
    assert database.value(TimeToLive(b"k")) == 0
    assert database.value(Expire()) == 0
    database.now_ms = 1_501
    assert database.result(Get(b"k")) == Result(b"", 0)
    check_books(database.layer)


MISSING = {
    "get": (Get(b"k"), Result(b"", 0)),
    "strlen": (Strlen(b"k"), Result(0, 0)),
    "exists": (Exists((b"k",)), Result(0, None)),
    "mget": (MultiGet((b"k",)), Result([None], None)),
    "ttl": (TimeToLive(b"k"), Result(-2, 0)),
    "keys": (Keys(b""), Result([], None)),
    "scan": (Scan(b"", b"", 10), Result([], None)),
    "dbsize": (DatabaseSize(), Result(0, None)),
    "del": (Delete(b"k"), Result(b"", 0)),
    "expire": (ExpireAfter(b"k", 1000), Result(0, 0)),
    "persist": (RemoveExpiry(b"k"), Result(0, 0)),
    "append": (Append(b"k", b"5"), Result("OK", 2)),
    "incr": (IncrementBy(b"k", 5), Result(5, 2)),
    "getset": (GetSet(b"k", b"5"), Result(b"", 2)),
    "cas": (CompareAndSet(b"k", 0, b"5"), Result("OK", 2)),
    "set": (Set(b"k", b"5"), Result("OK", 2)),
    "mset": (MultiSet(((b"k", b"5"),)), Result("OK", None)),
    "set nx": (Set(b"k", b"5", condition=Condition.IF_MISSING), Result("OK", 2)),
    "set xx": (Set(b"k", b"5", condition=Condition.IF_PRESENT), Result(None, 0)),
    "set keepttl": (Set(b"k", b"5", KEEP_TTL), Result("OK", 2)),
}


@pytest.mark.parametrize(("command", "answer"), MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("swept", [False, True])
def test_a_value_whose_time_is_up_is_missing_to_every_command(
    database: Database, command: Command, answer: Result, swept: bool
) -> None:
    database.run(Set(b"k", b"1", 500))
    database.now_ms = 1_501
    if swept:
        assert database.value(Expire()) == 1
        database.index -= 1
    assert database.result(command) == answer
    check_books(database.layer)
    if answer.revision == 2:
        assert database.value(Get(b"k")) == b"5"
        assert database.value(TimeToLive(b"k")) == -1


def test_appending_and_counting_keep_the_expiry_and_setting_clears_it(database: Database) -> None:
    def ttl_after(command: Command) -> object:
        database.run(Set(b"k", b"5", 9_500))
        database.run(command)
        check_books(database.layer)
        return database.value(TimeToLive(b"k"))

    assert ttl_after(Append(b"k", b"5")) == 10
    assert ttl_after(IncrementBy(b"k", 5)) == 10
    assert ttl_after(Set(b"k", b"6", KEEP_TTL)) == 10
    assert ttl_after(Set(b"k", b"6", KEEP_TTL, Condition.IF_PRESENT)) == 10
    assert ttl_after(Set(b"k", b"6", condition=Condition.IF_MISSING)) == 10
    assert ttl_after(ExpireAfter(b"k", 60_000)) == 60
    assert ttl_after(Set(b"k", b"6", 1)) == 1
    for command in (
        *(Set(b"k", b"5"), MultiSet(((b"k", b"5"),)), GetSet(b"k", b"5"), RemoveExpiry(b"k")),
        Set(b"k", b"5", condition=Condition.IF_PRESENT),
    ):
        assert ttl_after(command) == -1, command
    assert ttl_after(ExpireAfter(b"k", 0)) == -2
    assert ttl_after(ExpireAfter(b"k", -5)) == -2
    assert ttl_after(Delete(b"k")) == -2


def test_the_time_that_is_left_is_rounded_up(database: Database) -> None:
    for ttl_ms, seconds in ((1, 1), (999, 1), (1_000, 1), (1_001, 2), (TTL_MS_MAX, -(-TTL_MS_MAX // 1000))):
        database.run(Set(b"k", b"v", ttl_ms))
        assert database.value(TimeToLive(b"k")) == seconds


def test_conditions_of_set_answer_nil_and_the_present_revision(database: Database) -> None:
    only_new, only_old = Condition.IF_MISSING, Condition.IF_PRESENT
    assert database.run(Set(b"k", b"1", condition=only_old)) == Result(None, 0)
    assert database.run(Set(b"k", b"1", 500, only_new)) == Result("OK", 2)
    assert database.run(Set(b"k", b"2", 500, only_new)) == Result(None, 2)
    assert database.run(Set(b"k", b"2", 900, only_old)) == Result("OK", 4)
    assert database.run(Get(b"k")) == Result(b"2", 4)
    database.now_ms = 1_901
    assert database.run(Get(b"k")) == Result(b"", 0)


def test_a_change_of_expiry_is_a_change(database: Database) -> None:
    """Who watches the key sees it, as in Redis (hazard B58)."""
    database.run(Set(b"k", b"v"))
    assert database.run(ExpireAfter(b"k", 1_000)) == Result(1, 2)
    assert database.run(Get(b"k")) == Result(b"v", 2)
    assert database.run(RemoveExpiry(b"k")) == Result(1, 4)
    assert database.run(RemoveExpiry(b"k")) == Result(0, 4)
    assert database.run(ExpireAfter(b"k", 0)) == Result(1, 4)
    assert database.run(Get(b"k")) == Result(b"", 0)


@pytest.mark.parametrize("ttl_ms", [-3, TTL_MS_MAX + 1, 2**63 - 1, -(2**63)])
def test_times_that_no_frontend_admits_are_answered(database: Database, ttl_ms: int) -> None:
    """Hazard B67."""
    assert database.error(Set(b"k", b"v", ttl_ms)) == "invalid time to live"
    assert database.error(Set(b"k", b"v", ttl_ms, Condition.IF_PRESENT)) == "invalid time to live"
    database.run(Set(b"k", b"v"))
    if ttl_ms > 0:
        assert database.error(ExpireAfter(b"k", ttl_ms)) == "invalid time to live"


def test_a_sweep_ends_what_is_due_and_nothing_else(database: Database) -> None:
    for number in range(10):
        database.run(Set(b"%d" % number, b"v", 100 * (1 + number)))
    database.run(Set(b"stays", b"v"))
    database.now_ms = 1_501
    assert database.value(Expire()) == 5
    assert database.value(Keys(b"")) == [b"5", b"6", b"7", b"8", b"9", b"stays"]
    assert MACHINE.next_deadline_ms(database.layer) == 1_600
    assert database.value(Expire()) == 0
    check_books(database.layer)


def test_a_sweep_is_bounded_and_the_next_one_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "ENDINGS", bounded(expiry.EXPIRY, count_max=3))
    for number in range(8):
        database.run(Set(b"%d" % number, b"v", 100))
    database.now_ms = 1_101
    assert [database.value(Expire()) for _ in range(4)] == [3, 3, 2, 0]
    assert MACHINE.next_deadline_ms(database.layer) is None
    database.run(Set(b"0", b"again", 100))
    assert MACHINE.next_deadline_ms(database.layer) == 1_201
    check_books(database.layer)


def test_what_was_set_anew_is_not_ended_by_its_old_deadline(database: Database) -> None:
    database.run(Set(b"a", b"old", 500))
    database.run(Set(b"a", b"new", 5_000))
    database.run(Set(b"b", b"old", 500))
    database.run(Set(b"b", b"new"))
    database.run(Set(b"c", b"old", 500))
    database.run(Delete(b"c"))
    database.now_ms = 2_000
    assert database.value(Expire()) == 0
    assert database.value(MultiGet((b"a", b"b", b"c"))) == [b"new", b"new", None]
    assert MACHINE.next_deadline_ms(database.layer) == 6_000


def test_an_expiry_without_a_time_ends_what_was_due_before(database: Database) -> None:
    """A leader that does not know the time yet stamps 0: no time passes."""
    database.run(Set(b"k", b"v", 500))
    database.now_ms = 1_501
    database.run(Get(b"k"))
    database.run(Set(b"other", b"v", 500))
    database.now_ms = 0
    assert database.value(Expire()) == 1
    assert database.value(Keys(b"")) == [b"other"]


def test_reads_beside_the_log_go_by_the_applied_clock(database: Database) -> None:
    database.run(Set(b"k", b"v", 500))
    view = database.layer
    assert MACHINE.read(Get(b"k"), view) == Result(b"v", 1)
    database.now_ms = 5_000
    assert MACHINE.read(Get(b"k"), view) == Result(b"v", 1), "no entry has said that time has passed"
    database.run(Get(b"other"))
    assert MACHINE.read(Get(b"k"), view) == Result(b"", 0)


def test_dbsize_leaves_out_what_is_due_up_to_a_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "EXPIRED_COUNTED_MAX", 3)
    for number in range(5):
        database.run(Set(b"%d" % number, b"v", 100))
    database.run(Set(b"stays", b"v"))
    assert database.value(DatabaseSize()) == 6
    database.now_ms = 1_101
    assert database.value(DatabaseSize()) == 3
    database.value(Expire())
    assert database.value(DatabaseSize()) == 1


def test_a_scan_passes_no_more_than_a_bound_of_what_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep takes a while to remove very many; nothing may be called the end before."""
    monkeypatch.setattr(scanning, "EXPIRED_PASSED_MAX", 3)
    monkeypatch.setattr(scanning, "KEYS_LISTED_MAX", 2)
    database.run(Set(b"a", b"v"))
    for number in range(8):
        database.run(Set(b"b%d" % number, b"v", 100))
    database.run(Set(b"c", b"v"))
    database.now_ms = 1_101
    for ended in (Keys(b""), Keys(b"b"), Scan(b"", b"a", 2)):
        assert database.error(ended) == "too many keys have just ended"
    assert database.value(Scan(b"", b"", 4)) == [b"a", b"v"]
    view, after, found = database.layer, b"", []
    for _ in range(4):
        reply = MACHINE.read(ReadPage(b"", after, 4), view)
        assert isinstance(reply, Result)
        page = reply.value
        assert isinstance(page, Page)
        found += [record.key for record in page.records]
        if page.next_after is None:
            break
        after = page.next_after
    assert found == [b"a", b"c"]
    database.run(Expire())
    assert database.value(Keys(b"")) == [b"a", b"c"]


def test_the_front_of_the_index_is_not_scanned_again_and_again(database: Database) -> None:
    """What a sweep removed lies as deletions before the front until the next checkpoint."""

    class CountingView(DictionaryView):
        firsts: list[bytes] = []  # noqa: RUF012 - one test, one view

        def scan(
            self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
        ) -> list[tuple[bytes, bytes]]:
            self.firsts.append(first)
            return super().scan(first, end, limit=limit, length=length)

    view = CountingView()
    database = Database(view)
    database.run(Set(b"k", b"v", 500))
    database.now_ms = 600
    database.run(Expire())
    MACHINE.next_deadline_ms(database.layer)
    of_values = [first for first in view.firsts if first.startswith(b"x")]
    assert of_values[-1] == b"x" + (500).to_bytes(8) + b"\0k\0"


def test_sessions_have_a_deadline_that_values_do_not_hide(database: Database) -> None:
    database.run(RegisterSession(b"s" * 16))
    session_ms = MACHINE.next_deadline_ms(database.layer)
    assert session_ms is not None
    assert session_ms > database.now_ms + SESSION_IDLE_MS
    database.run(Set(b"k", b"v", 500))
    assert MACHINE.next_deadline_ms(database.layer) == 1_500
    database.now_ms = session_ms + 1
    assert database.value(Expire()) == 2
    assert MACHINE.next_deadline_ms(database.layer) is None
    check_books(database.layer)
