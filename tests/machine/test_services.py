"""The list of services is sound, and what is made from it: numbers, keys, kinds, results in no frontend's words, and
what somebody may wait for."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest

from raftdb.errors import CODES, ReplyError
from raftdb.machine import forms, keyspace, services, values
from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import NOT_A_FLOAT, IncrementBy, IncrementByDecimal
from raftdb.machine.editing import Append, GetRange
from raftdb.machine.expiry import ExpireAfter, ExpiryCondition, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.keys import NO_SUCH_KEY, Clear, Copy, KindOf, Rename
from raftdb.machine.keyspace import CLOCK_KEY, CONFIGURATION_KEY, HEADER_BYTES, QUEUE_PREFIX
from raftdb.machine.layer import Layer
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, TransactionOperation
from raftdb.machine.queues.looking import QueueLength
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.reply import KeyRecord, Repetition, Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, ReadRecord, Scan
from raftdb.machine.service import Command
from raftdb.machine.services import COMMANDS, OPERATIONS, SERVICES
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import NO_TTL, PAST_TTL, Condition, Delete, Get, GetSet, Set, Strlen
from raftdb.machine.values import state_key_of
from tests.machine.database import Database, check_books

NAME = b"s" * 16
OTHER_KIND = 2
HELD = bytes((OTHER_KIND,)) + (1).to_bytes(8) + bytes(8) + b"of another service"


@pytest.fixture
def database() -> Database:
    return Database()


def test_every_number_is_given_out_once() -> None:
    numbers = [command.number for command in COMMANDS.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 64 for number in numbers)
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
    assert {key[0] for key in database.layer.changes} <= theirs


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
    (RemoveExpiry(b"k"), Result(True, 15)),
    (RemoveExpiry(b"k"), Result(False, 15)),
    (ExpireAfter(b"l", 1), Result(False, 0)),
    (ExpireAfter(b"k", 0), Result(True, 15)),
    (CompareAndSet(b"n", 0, b"1"), Result(True, 19)),
    (IncrementBy(b"n", 2), Result(3, 20)),
    (MultiSet(((b"a", b"1"), (b"b", b"2"))), Result(True, None)),
    (MultiGet((b"a", b"x")), Result([b"1", None], None)),
    (
        TransactionOperation((Delete(b"a"), Delete(b"a"), Set(b"c", b"v"))),
        Result([Result(b"1", 21), Result(None, 0), Result(True, 23)], None),
    ),
]  # fmt: skip


def test_results_say_what_happened_and_not_how_a_frontend_says_it(database: Database) -> None:
    assert [database.applied(operation).reply for operation, _ in NEUTRAL] == [
        result for _, result in NEUTRAL
    ]


NAMELESS: list[tuple[Operation, Result]] = [
    (GetSet(b"k", b"w", NO_TTL, Condition.IF_PRESENT), Result(None, 0)),
    (GetSet(b"k", b"w", 1_500, Condition.IF_MISSING), Result(None, 2)),
    (GetSet(b"k", b"x", NO_TTL, Condition.IF_MISSING), Result(b"w", 2)),
    (TimeToLive(b"k"), Result(1_500, 2)),
    (GetSet(b"k", b"x", PAST_TTL), Result(b"w", 5)),
    (Get(b"k"), Result(None, 0)),
    (MultiSet(((b"p", b"1"), (b"q", b"2")), Condition.IF_MISSING), Result(True, None)),
    (MultiSet(((b"r", b"1"), (b"q", b"3")), Condition.IF_MISSING), Result(False, None)),
    (GetAndExpire(b"p", 1_500), Result(b"1", 9)),
    (ExpireAfter(b"p", 2_000, ExpiryCondition.IF_EARLIER), Result(False, 9)),
    (GetAndExpire(b"p", PAST_TTL), Result(b"1", 9)),
    (GetAndExpire(b"p", 1_500), Result(None, 0)),
    (KindOf(b"p"), Result(None, 0)),
    (KindOf(b"q"), Result(b"string", 7)),
    (IncrementByDecimal(b"q", b"1.5e-1"), Result(b"2.15", 15)),
    (GetRange(b"q", -2, -1), Result(b"15", 15)),
    (Copy(b"q", b"r"), Result(True, None)),
    (Copy(b"p", b"r"), Result(False, None)),
    (Rename(b"q", b"r", Condition.IF_MISSING), Result(False, None)),
    (Rename(b"q", b"r"), Result(True, None)),
    (Get(b"r"), Result(b"2.15", 20)),
    (DeleteMany((b"p", b"q", b"r", b"r")), Result(1, None)),
    (Set(b"k", b"v", PAST_TTL), Result(True, 23)),
    (Set(b"k", b"v", 1_500), Result(True, 24)),
    (Clear(), Result(None, None)),
    (DatabaseSize(), Result(0, None)),
]


def test_so_do_those_of_commands_that_only_a_frontend_builds(database: Database) -> None:
    assert [database.applied(operation).reply for operation, _ in NAMELESS] == [
        result for _, result in NAMELESS
    ]


@pytest.mark.parametrize(
    ("before", "delta", "after"),
    [
        (b"10.50", b"0.1", b"10.6"),
        (b"5.0e3", b"200", b"5200"),
        (b"0.1", b"0.2", b"0.3"),
        (b"1", b"-1", b"0"),
        (b"-0.5", b"0.5", b"0"),
        (b"3", b"1e-18", b"3"),
        (b"100", b"0", b"100"),
        (b"1e308", b"1e-17", b"1" + b"0" * 308 + b".00000000000000001"),
    ],
)
def test_decimals_are_added_as_people_do(
    database: Database, before: bytes, delta: bytes, after: bytes
) -> None:
    database.run(Set(b"k", before))
    assert database.applied(IncrementByDecimal(b"k", delta)).reply == Result(after, 2)


@pytest.mark.parametrize("text", [b"", b"x", b" 1", b"1_0", b"nan", b"inf", b"1e309", b"0x1", b"1" * 257])
def test_what_is_no_decimal_is_refused_on_both_sides(database: Database, text: bytes) -> None:
    assert database.error(IncrementByDecimal(b"k", text)) == NOT_A_FLOAT
    database.run(Set(b"k", text))
    assert database.error(IncrementByDecimal(b"k", b"1")) == NOT_A_FLOAT


def test_a_sum_of_decimals_has_a_bound(database: Database) -> None:
    database.run(Set(b"k", b"9e308"))
    message = "increment would produce NaN or Infinity"
    assert database.error(IncrementByDecimal(b"k", b"9e308")) == message


def test_what_must_be_there_to_be_renamed(database: Database) -> None:
    assert database.error(Rename(b"k", b"l")) == NO_SUCH_KEY
    database.run(Set(b"k", b"v", 1_500))
    assert database.applied(Rename(b"k", b"k", Condition.IF_MISSING)).reply == Result(False, None)
    assert database.applied(Rename(b"k", b"k")).reply == Result(True, None)
    database.run(Rename(b"k", b"l"))
    assert database.applied(TimeToLive(b"l")).reply == Result(1_500, 5)
    check_books(database.layer)


def test_what_is_kept_for_a_session_is_the_same(database: Database) -> None:
    database.run(RegisterSession(NAME))
    several = TransactionOperation(
        (Set(b"k", b"v"), IncrementBy(b"k", 1), Delete(b"k"), MultiGet((b"x", b"y")))
    )
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
        before = len(database.layer.events)
        return events(operation)[before:]

    put, changed = Enqueue(b"q", b"v"), [QUEUE_PREFIX + b"q"]
    assert since(put) == changed
    assert since(Set(b"k", b"v")) == since(Delete(b"k")) == [], "nobody can wait for a value"
    assert since(QueueLength(b"q")) == []
    assert since(TransactionOperation((put, Append(b"b", b"c")))) == changed
    failing = (put, IncrementBy(b"b", 1))
    assert since(TransactionOperation(failing)) == changed
    assert since(TransactionOperation(failing, mode=Mode.ATOMIC)) == [], "what is undone did not happen"
    assert since(TransactionOperation(failing, ((b"k", 99),))) == []
    database.run(Enqueue(b"q", b"v", 50))
    database.now_ms += 51
    assert since(Expire()) == changed, "the end of a delay is a change"
    database.run(RegisterSession(NAME))
    assert since(SessionOperation(NAME, 1, 1, put)) == changed
    assert since(SessionOperation(NAME, 1, 1, put)) == [], "a repetition changes nothing"
    assert since(CloseSession(NAME)) == []


@dataclass(frozen=True, slots=True)
class WhereAmI(Command):
    """Answer the session and the next place of the entry."""


def where_am_i(layer: Layer, command: WhereAmI, revision: int) -> Result:
    return Result((layer.session, revision, layer.next_place(revision)), None)


def test_a_handler_knows_its_session_and_numbers_what_its_entry_makes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 63
    monkeypatch.setitem(services.WRITES, WhereAmI, where_am_i)
    monkeypatch.setitem(forms.FORMS, WhereAmI, forms._form(WhereAmI, number))
    monkeypatch.setitem(forms._SHAPES, (number, 1), forms._shape(forms._form(WhereAmI, number), ()))

    def values(operation: Operation) -> list[object]:
        reply = database.applied(operation).reply
        assert isinstance(reply, Result)
        inner: Any = reply.value
        return [one.value if isinstance(one, Result) else one for one in inner]

    one = WhereAmI()
    database.run(RegisterSession(NAME))
    assert values(one) == [None, 2, 0]
    assert values(one) == [None, 3, 0]
    assert values(TransactionOperation((one, Get(b"k"), one)))[::2] == [(None, 4, 0), (None, 4, 1)]
    assert values(SessionOperation(NAME, 1, 1, TransactionOperation((one, one)))) == [
        (NAME, 5, 0),
        (NAME, 5, 1),
    ]
    undone = TransactionOperation((one, IncrementBy(b"k", 2**63 - 1), IncrementBy(b"k", 1)), (), Mode.ATOMIC)
    assert isinstance(database.applied(undone).reply, ReplyError)
    assert values(one) == [None, 7, 0], "what follows in the log is in no session"


@pytest.fixture
def mixed(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A key-value store in which another service keeps something under the key k, and a string is under s."""
    monkeypatch.setitem(keyspace.KINDS, OTHER_KIND, "queue")
    database.run(Set(b"k", b"v"))
    database.run(Set(b"s", b"v"))
    database.layer.put(state_key_of(database.layer, b"k"), HELD)
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
        TransactionOperation((Set(b"s", b"w"), Get(b"k")), mode=Mode.ATOMIC),
    ):
        error = mixed.failed(command)
        assert error.message == "the key holds a queue, not a string"
        assert error.code == "wrong_type"
        assert error.code in CODES
    check_books(mixed.layer)


def test_what_is_true_of_every_kind_is_said_of_it(mixed: Database) -> None:
    assert mixed.value(Exists((b"k", b"s"))) == 2
    assert mixed.value(Keys(b"")) == [b"k", b"s"]
    assert mixed.value(DatabaseSize()) == 2
    assert mixed.value(MultiGet((b"k", b"s"))) == [None, b"v"]
    assert mixed.value(Scan(b"", b"", 9)) == [b"k", None, b"s", b"v"]
    assert mixed.value(ExpireAfter(b"k", 60_000)) == 1
    assert mixed.value(TimeToLive(b"k")) == 60
    assert mixed.value(RemoveExpiry(b"k")) == 1
    kept = mixed.layer.get(state_key_of(mixed.layer, b"k"))
    assert kept is not None
    assert (kept[0], kept[HEADER_BYTES:]) == (OTHER_KIND, HELD[HEADER_BYTES:]), "and it stays what it is"
    record = values.load(mixed.layer, b"k")
    assert record is not None
    assert mixed.value(Set(b"k", b"string")) == "OK"
    assert mixed.value(Get(b"k")) == b"string"
    check_books(mixed.layer)


def test_a_record_of_another_kind_shows_no_value(mixed: Database) -> None:
    from tests.machine.database import MACHINE

    reply = MACHINE.read(ReadRecord(b"k"), mixed.layer)
    assert reply == Result(KeyRecord(b"k", None, 1, None, None), 1)
