"""The list of services is sound, and what is made from it: numbers, keys, kinds, results in no frontend's words, and
what somebody may wait for."""

from itertools import combinations
from typing import Any

import pytest

from raftdb.errors import CODES, ReplyError
from raftdb.machine import keyspace, values
from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.expiry import ExpireAfter, Persist, TimeToLive
from raftdb.machine.keyspace import CLOCK_KEY, CONFIGURATION_KEY, HEADER_BYTES, KEY_VALUE_PREFIX
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, Transaction
from raftdb.machine.reply import KeyRecord, Repetition, Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, ReadRecord, Scan
from raftdb.machine.services import COMMANDS, OPERATIONS, SERVICES
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import Condition, Delete, Get, GetSet, Set, Strlen
from tests.machine.database import Database, check_books

NAME = b"s" * 16
OTHER_KIND = 2
HELD = bytes((OTHER_KIND,)) + (1).to_bytes(8) + bytes(8) + b"of another service"


@pytest.fixture
def database() -> Database:
    return Database()


def test_every_number_is_given_out_once() -> None:
    numbers = sorted(command.number for command in COMMANDS.values())
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < 64
    others = [operation.number for operation in OPERATIONS.values()]
    assert len(set(others)) == len(others)
    assert all(64 < number < 256 for number in others)


def test_every_key_of_the_state_belongs_to_one_service() -> None:
    for one, other in combinations(SERVICES, 2):
        assert not set(one.prefixes) & set(other.prefixes), (one.heading, other.heading)
        assert not set(one.prefixes) & set(CLOCK_KEY + CONFIGURATION_KEY)


def test_what_services_write_is_under_their_prefixes(database: Database) -> None:
    database.run(RegisterSession(NAME))
    database.run(SessionOperation(NAME, 1, 1, Set(b"k", b"v", 1_000)))
    database.now_ms = 5_000
    database.run(Expire())
    theirs = set(b"".join(service.prefixes for service in SERVICES) + CLOCK_KEY)
    assert {key[0] for key in database.transaction.changes} <= theirs


def test_every_command_has_one_handler() -> None:
    assert all((command.read is None) != (command.write is None) for command in COMMANDS.values())


NEUTRAL: list[tuple[Operation, Result]] = [
    (Ping(), Result(None, None)),
    (Get(b"k"), Result(None, 0)),
    (Set(b"k", b"v"), Result(True, 3)),
    (Set(b"k", b"w", condition=Condition.IF_MISSING), Result(False, 3)),
    (Get(b"k"), Result(b"v", 3)),
    (Append(b"k", b"more"), Result(5, 6)),
    (GetSet(b"k", b"w"), Result(b"vmore", 7)),
    (GetSet(b"l", b"w"), Result(None, 8)),
    (Delete(b"l"), Result(b"w", 8)),
    (Delete(b"l"), Result(None, 0)),
    (TimeToLive(b"k"), Result(None, 7)),
    (TimeToLive(b"l"), Result(None, 0)),
    (Set(b"k", b"w", 1_500), Result(True, 13)),
    (TimeToLive(b"k"), Result(1_500, 13)),
    (Persist(b"k"), Result(True, 15)),
    (Persist(b"k"), Result(False, 15)),
    (ExpireAfter(b"l", 1), Result(False, 0)),
    (ExpireAfter(b"k", 0), Result(True, 15)),
    (CompareAndSet(b"n", 0, b"1"), Result(True, 19)),
    (IncrementBy(b"n", 2), Result(3, 20)),
    (MultiSet(((b"a", b"1"), (b"b", b"2"))), Result(True, None)),
    (MultiGet((b"a", b"x")), Result([b"1", None], None)),
    (
        Transaction((Delete(b"a"), Delete(b"a"), Set(b"c", b"v"))),
        Result([Result(b"1", 21), Result(None, 0), Result(True, 23)], None),
    ),
]  # fmt: skip


def test_results_say_what_happened_and_not_how_a_frontend_says_it(database: Database) -> None:
    assert [database.applied(operation).reply for operation, _ in NEUTRAL] == [
        result for _, result in NEUTRAL
    ]


def test_what_is_kept_for_a_session_is_the_same(database: Database) -> None:
    database.run(RegisterSession(NAME))
    several = Transaction((Set(b"k", b"v"), IncrementBy(b"k", 1), Delete(b"k"), MultiGet((b"x", b"y"))))
    once = SessionOperation(NAME, 1, 1, several)
    first = database.applied(once).reply
    assert isinstance(first, Result)
    again = database.applied(once).reply
    assert isinstance(again, Repetition)
    assert isinstance(again.reply, Result)
    told: Any = again.reply.value
    expected: Any = first.value
    assert [told[0], *told[2:]] == [expected[0], *expected[2:]]
    assert (type(told[1]), told[1].message) == (ReplyError, expected[1].message)


def test_what_changes_is_an_event_beside_the_reply(database: Database) -> None:
    def events(operation: Operation) -> list[bytes]:
        return list(database.applied(operation).events)

    def since(operation: Operation) -> list[bytes]:
        before = len(database.transaction.events)
        return events(operation)[before:]

    assert since(Set(b"k", b"v")) == [b"zk"]
    assert since(MultiSet(((b"a", b""), (b"b", b"")))) == [b"za", b"zb"]
    assert since(ExpireAfter(b"k", 50)) == [b"zk"]
    assert since(Get(b"k")) == since(Set(b"k", b"w", condition=Condition.IF_MISSING)) == []
    assert since(Transaction((Delete(b"a"), Append(b"b", b"c")))) == [b"za", b"zb"]
    failing = (Set(b"k", b"x"), IncrementBy(b"k", 1))
    assert since(Transaction(failing)) == [b"zk"]
    assert since(Transaction(failing, mode=Mode.ATOMIC)) == [], "what is undone did not happen"
    assert since(Transaction(failing, ((b"k", 99),))) == []
    database.run(Set(b"k", b"v", 50))
    database.now_ms += 51
    assert since(Expire()) == [b"zk"], "an end is a change"
    database.run(RegisterSession(NAME))
    assert since(SessionOperation(NAME, 1, 1, Set(b"k", b"v"))) == [b"zk"]
    assert since(SessionOperation(NAME, 1, 1, Set(b"k", b"v"))) == [], "a repetition changes nothing"
    assert since(CloseSession(NAME)) == []


@pytest.fixture
def mixed(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A key-value store in which another service keeps something under the key k, and a string is under s."""
    monkeypatch.setitem(keyspace.KINDS, OTHER_KIND, "queue")
    database.run(Set(b"k", b"v"))
    database.run(Set(b"s", b"v"))
    database.transaction.put(KEY_VALUE_PREFIX + b"k", HELD)
    return database


def test_who_expects_a_string_and_finds_another_kind_is_told(mixed: Database) -> None:
    for command in (
        *(
            Get(b"k"),
            Strlen(b"k"),
            Append(b"k", b"v"),
            IncrementBy(b"k", 1),
            GetSet(b"k", b"v"),
            Delete(b"k"),
        ),
        Transaction((Set(b"s", b"w"), Get(b"k")), mode=Mode.ATOMIC),
    ):
        error = mixed.failed(command)
        assert error.message == "the key holds a queue, not a string"
        assert error.code == ("command_failed" if isinstance(command, Transaction) else "wrong_type")
        assert error.code in CODES
    check_books(mixed.transaction)


def test_what_is_true_of_every_kind_is_said_of_it(mixed: Database) -> None:
    assert mixed.value(Exists((b"k", b"s"))) == 2
    assert mixed.value(Keys(b"")) == [b"k", b"s"]
    assert mixed.value(DatabaseSize()) == 2
    assert mixed.value(MultiGet((b"k", b"s"))) == [None, b"v"]
    assert mixed.value(Scan(b"", b"", 9)) == [b"k", None, b"s", b"v"]
    assert mixed.value(ExpireAfter(b"k", 60_000)) == 1
    assert mixed.value(TimeToLive(b"k")) == 60
    assert mixed.value(Persist(b"k")) == 1
    kept = mixed.transaction.get(KEY_VALUE_PREFIX + b"k")
    assert kept is not None
    assert (kept[0], kept[HEADER_BYTES:]) == (OTHER_KIND, HELD[HEADER_BYTES:]), "and it stays what it is"
    record = values.load(mixed.transaction, b"k")
    assert record is not None
    assert mixed.value(Set(b"k", b"string")) == "OK"
    assert mixed.value(Get(b"k")) == b"string"
    check_books(mixed.transaction)


def test_a_record_of_another_kind_shows_no_value(mixed: Database) -> None:
    from tests.machine.database import MACHINE

    reply = MACHINE.read(ReadRecord(b"k"), mixed.transaction)
    assert reply == Result(KeyRecord(b"k", None, 1, None, None), 1)
