"""Keys in order: by prefix, page by page, without a gap, without what is gone; and how many there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import ReplyError
from raftdb.limits import KEYS_LISTED_MAX, SCAN_LIMIT_MAX
from raftdb.machine import scanning
from raftdb.machine.batches import MultiSet
from raftdb.machine.reply import KeyRecord, Page, Result
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys, ReadPage, ReadRecord, Scan
from raftdb.machine.strings import Delete, Set
from tests.machine.database import MACHINE, Database, check_books

KEYS = st.sampled_from([b"a", b"aa", b"ab", b"b", b"b\x00", b"\xff", b"\xff\xff", b"\xff\xffa", b"k" * 480])
PREFIXES = st.sampled_from([b"", b"a", b"aa", b"b", b"c", b"\xff", b"\xff\xff", b"\xff\xff\xff", b"k" * 480])


@pytest.fixture
def database() -> Database:
    made = Database()
    made.now_ms = 1_000
    return made


def page(database: Database, query: ReadPage) -> Page:
    reply = MACHINE.read(query, database.layer)
    assert isinstance(reply, Result)
    assert isinstance(reply.value, Page)
    return reply.value


@given(st.dictionaries(KEYS, st.booleans(), max_size=9), PREFIXES, st.just(b"") | KEYS, st.integers(1, 5))
def test_pages_hold_what_is_there_in_order(
    present: dict[bytes, bool], prefix: bytes, after: bytes, limit: int
) -> None:
    """Against a dictionary, some of whose keys have expired."""
    database = Database()
    for key, stays in present.items():
        database.run(Set(key, b"v" + key, 0 if stays else 5))
    database.now_ms = 1_000
    database.run(DatabaseSize())
    alive = sorted(key for key, stays in present.items() if stays)
    assert database.value(DatabaseSize()) == len(alive)
    expected = [key for key in alive if key.startswith(prefix)]
    assert database.value(Keys(prefix)) == expected
    behind = [key for key in expected if not after or key > after]
    flat = database.value(Scan(prefix, after, limit))
    assert flat == [part for key in behind[:limit] for part in (key, b"v" + key)]
    found = page(database, ReadPage(prefix, after, limit, with_values=False))
    assert [record.key for record in found.records] == behind[:limit]
    assert found.next_after == (behind[limit - 1] if len(behind) > limit else None)


def test_page_after_page_finds_every_key_once(database: Database) -> None:
    database.run(MultiSet(tuple((b"%03d" % number, b"v") for number in range(250))))
    found: list[object] = []
    after = b""
    while True:
        flat = database.value(Scan(b"", after, 100))
        assert isinstance(flat, list)
        if not flat:
            break
        found += flat[::2]
        after = flat[-2]
    assert found == [b"%03d" % number for number in range(250)]


def test_a_page_of_long_values_ends_early(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "PAGE_BYTES_MAX", 10)
    for key in (b"a", b"b", b"c"):
        database.run(Set(key, b"123456"))
    assert database.value(Scan(b"", b"", 100)) == [b"a", b"123456", b"b", b"123456"]
    first = page(database, ReadPage(b"", b"", 100))
    assert ([record.key for record in first.records], first.next_after) == ([b"a", b"b"], b"b")
    last = page(database, ReadPage(b"", b"b", 100))
    assert ([record.key for record in last.records], last.next_after) == ([b"c"], None)
    all_keys = page(database, ReadPage(b"", b"", 100, with_values=False))
    assert len(all_keys.records) == 3


def test_records_say_all_about_a_key(database: Database) -> None:
    database.run(Set(b"a", b"1", 500))
    database.run(Set(b"b", b"2"))
    database.now_ms = 1_100
    database.run(DatabaseSize())
    first, second = KeyRecord(b"a", b"1", 1, 1_500, 400), KeyRecord(b"b", b"2", 2, None, None)
    assert page(database, ReadPage(b"", b"", 10)).records == [first, second]
    without = page(database, ReadPage(b"", b"", 10, with_values=False)).records
    assert without == [first._replace(value=None), second._replace(value=None)]
    assert MACHINE.read(ReadRecord(b"a"), database.layer) == Result(first, 1)
    assert MACHINE.read(ReadRecord(b"c"), database.layer) == Result(None, 0)
    assert isinstance(MACHINE.read(ReadRecord(b""), database.layer), ReplyError)


@pytest.mark.parametrize("limit", [0, -1, SCAN_LIMIT_MAX + 1, 2**63 - 1])
def test_limits_that_no_frontend_admits_are_answered(database: Database, limit: int) -> None:
    """Hazard B67."""
    assert database.error(Scan(b"", b"", limit)) == "limit is out of range"


@pytest.mark.parametrize("text", [b"k" * 481, b"k" * 65_536])
def test_prefixes_that_no_key_has_are_answered(database: Database, text: bytes) -> None:
    """Hazard B67."""
    for command in (Keys(text), Scan(text, b"", 1), Scan(b"", text, 1)):
        assert database.error(command) == "prefix is too long"


def test_too_many_keys_for_one_answer_are_an_error(database: Database) -> None:
    for first in range(0, KEYS_LISTED_MAX, 2_000):
        database.run(MultiSet(tuple((b"%05d" % number, b"") for number in range(first, first + 2_000))))
    assert len(database.value(Keys(b""))) == KEYS_LISTED_MAX  # type: ignore[arg-type]
    database.run(Set(b"one more", b""))
    error = database.failed(Keys(b""))
    assert error.message == "there are more than 10000 such keys"
    assert error.hint == "use scan"
    assert database.value(Keys(b"one")) == [b"one more"]


def test_the_number_of_keys_follows_every_change(database: Database) -> None:
    sizes = []
    for command in (
        *(Set(b"a", b""), Set(b"a", b""), MultiSet(((b"a", b""), (b"b", b""), (b"b", b"")))),
        *(Delete(b"a"), Delete(b"a"), Set(b"c", b"", 500)),
    ):
        database.run(command)
        sizes.append(database.value(DatabaseSize()))
    assert sizes == [1, 1, 2, 1, 1, 2]


def test_the_keys_with_a_prefix_go_a_bounded_number_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "DELETED_MAX", 3)
    database = Database()
    database.run(MultiSet(tuple((b"a%d" % number, b"v") for number in range(5))))
    database.run(Set(b"a2", b"v", 100))
    database.run(Set(b"b", b"v"))
    assert database.value(DeletePrefix(b"a")) == 3
    assert database.value(Keys(b"")) == [b"a3", b"a4", b"b"]
    assert database.value(DeletePrefix(b"a")) == 2
    assert database.value(DeletePrefix(b"a")) == 0
    assert database.value(DatabaseSize()) == 1
    check_books(database.layer)
    assert database.value(DeletePrefix(b"")) == 1
    assert database.error(DeletePrefix(b"x" * 481)) == "prefix is too long"


def test_keys_whose_time_is_up_are_not_counted_as_deleted() -> None:
    database = Database()
    database.run(Set(b"a1", b"v", 100))
    database.run(Set(b"a2", b"v"))
    database.now_ms = 200
    assert database.value(DeletePrefix(b"a")) == 1
    check_books(database.layer)
