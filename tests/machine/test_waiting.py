"""What the machine does for senders that wait: a place in a line, and replies that no session keeps."""

from collections.abc import Iterator

import pytest

from raftdb.errors import LocalProtocolError, ReplyError
from raftdb.machine.entries import decode, encode, stamp
from raftdb.machine.operations import SessionOperation, TransactionOperation, WaitingOperation
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.sessions import RegisterSession, is_decided
from raftdb.machine.strings import Get
from raftdb.machine.waiting import is_nothing
from tests.machine.database import Database
from tests.machine.toys import Fill, Rise, Sit, Take, toys

NAME = b"n" * 16


@pytest.fixture
def database() -> Iterator[Database]:
    with toys():
        yield Database()


def test_what_says_nothing() -> None:
    assert is_nothing(None)
    assert is_nothing([])
    assert not any(map(is_nothing, (0, b"", "OK", False, [None], [b""])))


def test_an_operation_that_waits_has_a_form_in_the_log(database: Database) -> None:
    for inner in (Take(b"b", 2), SessionOperation(NAME, 70_000, 300, Sit(b"s", b"me"))):
        operation = WaitingOperation(inner)
        assert decode(stamp(encode(operation), 5)) == (5, operation)
    with pytest.raises(LocalProtocolError):
        encode(WaitingOperation(TransactionOperation((Get(b"k"),))))  # type: ignore[arg-type]


def test_a_place_is_taken_only_for_who_waits(database: Database) -> None:
    assert database.applied(Sit(b"s", b"a")).reply == Result(1, None)
    assert database.applied(Sit(b"s", b"b")).reply == Result(None, None)
    assert database.applied(WaitingOperation(Sit(b"s", b"c"))).reply == Result(None, None)
    database.run(Rise(b"s", b"a"))
    assert database.applied(Sit(b"s", b"c")).reply == Result(4, None), "b had no place"


def test_a_session_keeps_no_reply_that_there_is_nothing_yet(database: Database) -> None:
    database.run(RegisterSession(NAME))
    attempt = WaitingOperation(SessionOperation(NAME, 1, 1, Take(b"b")))
    assert database.applied(attempt).reply == Result([], None)
    assert not is_decided(database.layer, attempt.operation)  # type: ignore[arg-type]
    database.run(Fill(b"b", 3))
    assert database.applied(attempt).reply == Result([1], None)
    assert is_decided(database.layer, attempt.operation)  # type: ignore[arg-type]
    again = database.applied(attempt).reply
    assert isinstance(again, Repetition)
    assert again.reply == Result([1], None)
    alike = database.applied(SessionOperation(NAME, 1, 1, Take(b"b"))).reply
    assert isinstance(alike, Repetition), "waiting is no part of the digest"
    other = database.applied(WaitingOperation(SessionOperation(NAME, 1, 1, Take(b"b", 2)))).reply
    assert isinstance(other, ReplyError)


def test_a_session_keeps_that_an_attempt_without_waiting_got_nothing(database: Database) -> None:
    database.run(RegisterSession(NAME))
    once = SessionOperation(NAME, 1, 1, Take(b"b"))
    assert database.applied(once).reply == Result([], None)
    database.run(Fill(b"b", 3))
    again = database.applied(once).reply
    assert isinstance(again, Repetition)
    assert again.reply == Result([], None)


def test_what_is_decided_of_a_session(database: Database) -> None:
    assert is_decided(database.layer, SessionOperation(NAME, 1, 1, Take(b"b"))), "there is no such session"
    database.run(RegisterSession(NAME))
    assert not is_decided(database.layer, SessionOperation(NAME, 2, 1, Take(b"b")))
    database.run(SessionOperation(NAME, 3, 3, Take(b"b")))
    assert is_decided(database.layer, SessionOperation(NAME, 2, 1, Take(b"b"))), "it is no longer kept"
