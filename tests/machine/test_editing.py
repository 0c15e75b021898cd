"""Parts of values: what Redis does with SETRANGE, and the limits that are ours."""

import pytest

from raftdb.commands.spec import parse, unparse
from raftdb.errors import RequestRefused
from raftdb.limits import VALUE_BYTES_CEILING
from raftdb.machine.batches import Exists
from raftdb.machine.editing import Append, SetRange
from raftdb.machine.expiry import TimeToLive
from raftdb.machine.reply import Result
from raftdb.machine.strings import Get, Set
from tests.machine.database import Database, check_books


@pytest.fixture
def database() -> Database:
    return Database()


def test_a_part_is_written_over_and_the_rest_stays(database: Database) -> None:
    database.run(Set(b"k", b"Hello world"))
    assert database.run(SetRange(b"k", 6, b"there")) == Result(11, 2)
    assert database.run(Get(b"k")) == Result(b"Hello there", 2)
    assert database.value(SetRange(b"k", 9, b"mometer")) == 16
    assert database.value(Get(b"k")) == b"Hello themometer"
    assert database.value(SetRange(b"k", 0, b"J")) == 16
    assert database.value(Get(b"k")) == b"Jello themometer"


def test_zero_bytes_fill_up_what_is_shorter_or_missing(database: Database) -> None:
    assert database.run(SetRange(b"k", 3, b"x")) == Result(4, 1)
    assert database.value(Get(b"k")) == b"\0\0\0x"
    assert database.value(SetRange(b"k", 6, b"y")) == 7
    assert database.value(Get(b"k")) == b"\0\0\0x\0\0y"
    check_books(database.layer)


def test_an_empty_text_changes_nothing_and_creates_nothing(database: Database) -> None:
    assert database.run(SetRange(b"k", 5, b"")) == Result(0, 0)
    assert database.value(Exists((b"k",))) == 0
    database.run(Set(b"k", b"v"))
    assert database.run(SetRange(b"k", VALUE_BYTES_CEILING * 2, b"")) == Result(1, 3)
    assert database.run(Get(b"k")) == Result(b"v", 3)


def test_the_expiry_stays(database: Database) -> None:
    database.run(Set(b"k", b"v", 60_000))
    database.run(SetRange(b"k", 1, b"w"))
    assert database.value(TimeToLive(b"k")) == 60
    check_books(database.layer)


def test_the_value_has_the_limit_of_all_values(database: Database) -> None:
    assert database.value(SetRange(b"k", VALUE_BYTES_CEILING - 1, b"x")) == VALUE_BYTES_CEILING
    for offset in (VALUE_BYTES_CEILING, 2**63 - 1):
        assert database.error(SetRange(b"k", offset, b"x")) == "value is too long"
    assert database.error(Append(b"k", b"x")) == "value is too long"


@pytest.mark.parametrize("offset", [b"-1", b"x", b"", b"1.5", b"%d" % 2**63])
def test_an_offset_that_is_none_is_refused(offset: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse("setrange", [b"k", offset, b"v"])
    assert refused.value.code == "bad_request"


def test_it_is_spelt_as_it_was_given() -> None:
    assert unparse(parse("SETRANGE", [b"k", b"7", b"v"])) == ("setrange", [b"k", b"7", b"v"])
