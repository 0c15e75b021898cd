"""Exactly once: a repeated sequence gets the answer it got, and what may have been done is never done again."""

import pytest

from raftdb.errors import Conflict, Deadlock, Fatal, Fenced, ReplyError, SessionExpired
from raftdb.limits import SESSION_IDLE_MS, SESSION_REPLIES_MAX, SESSIONS_MAX
from raftdb.machine import sessions, sweeper
from raftdb.machine.batches import MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.keyspace import REPLY_PREFIX
from raftdb.machine.locks.holding import Lock
from raftdb.machine.operations import Expire, Mode, Operation, SessionOperation, TransactionOperation
from raftdb.machine.replies import decode_reply, encode_reply
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.service import Command
from raftdb.machine.session_records import IDLE_GRAIN_MS, SessionOwner, registered_at
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession, session_count
from raftdb.machine.strings import Binding, Delete, Get, GetSet, Set
from tests.machine.database import Database, bounded, check_books

NAME = b"s" * 16
OTHER = b"t" * 16
LEASED = b"l" * 16


@pytest.fixture
def database() -> Database:
    """With a session that was registered at index 1 and term 1, and then a term later."""
    made = Database()
    made.now_ms = 1_000
    assert made.run(RegisterSession(NAME)) == Result("OK", None)
    made.term = 2
    return made


def once(
    sequence: int,
    operation: Command | TransactionOperation,
    *,
    acknowledged: int | None = None,
    session: bytes = NAME,
) -> SessionOperation:
    """The operation in the session; all before it is acknowledged unless it is said."""
    return SessionOperation(session, sequence, acknowledged or sequence, operation)


def expired(database: Database, operation: Operation) -> str:
    error = database.failed(operation)
    assert isinstance(error, SessionExpired)
    assert error.code == "session_expired"
    return error.message


def test_a_repetition_is_answered_as_it_was_and_not_done_again(database: Database) -> None:
    """Hazard B53: with the index and the term at which it was done."""
    assert database.run(once(1, IncrementBy(b"n", 5))) == Result(5, 2)
    database.term = 9
    for _ in range(3):
        assert database.run(once(1, IncrementBy(b"n", 5))) == Repetition(2, 2, Result(5, 2))
    assert database.value(Get(b"n")) == b"5"
    assert database.run(once(2, IncrementBy(b"n", 1))) == Result(6, 7)
    check_books(database.layer)


SEVERAL = TransactionOperation(
    (Set(b"k", b"1"), IncrementBy(b"list", 1), MultiGet((b"k", b"x")), Get(b""), Ping())
)

ANSWERS: dict[str, tuple[Command | TransactionOperation, object]] = {
    "status": (Set(b"k", b"v"), "OK"),
    "string": (GetSet(b"list", b"v"), b"\xff\x00"),
    "integer": (IncrementBy(b"n", -(2**63)), -(2**63)),
    "nil": (Set(b"k", b"v", condition=2), None),  # type: ignore[arg-type]
    "list": (MultiGet((b"list", b"x", b"list")), [b"\xff\x00", None, b"\xff\x00"]),
    "nothing": (TransactionOperation(()), []),
}


@pytest.mark.parametrize(("operation", "value"), ANSWERS.values(), ids=ANSWERS)
def test_every_kind_of_answer_is_kept(
    database: Database, operation: Command | TransactionOperation, value: object
) -> None:
    database.run(Set(b"list", b"\xff\x00"))
    first = database.result(once(1, operation))
    assert first.value == value
    again = database.repetition(once(1, operation))
    assert again == Repetition(3, 2, first)
    assert isinstance(again.reply, Result)
    assert type(again.reply.value) is type(value)


def same_error(left: object, right: object) -> bool:
    """Errors have no equality of their own."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_error, left, right))
    if isinstance(left, ReplyError) and isinstance(right, ReplyError):
        return type(left) is type(right) and vars(left) == vars(right)
    return left == right


@pytest.mark.parametrize(
    "operation",
    [
        IncrementBy(b"text", 1),
        Get(b""),
        CompareAndSet(b"text", 99, b"v"),
        TransactionOperation((Set(b"a", b"1"), IncrementBy(b"text", 1)), mode=Mode.ATOMIC),
        TransactionOperation((Set(b"a", b"1"),), ((b"text", 99), (b"other", 5))),
        TransactionOperation((), ((b"", 5),)),
    ],
    ids=repr,
)
def test_a_failure_is_an_answer_that_is_kept(
    database: Database, operation: Command | TransactionOperation
) -> None:
    """Also if it would succeed by now."""
    database.run(Set(b"text", b"x"))
    first = database.run(once(1, operation))
    assert isinstance(first, ReplyError)
    database.run(MultiSet(((b"text", b"5"), (b"other", b"v"))))
    again = database.repetition(once(1, operation))
    assert (again.index, again.term) == (3, 2)
    assert same_error(again.reply, first)
    assert database.value(Get(b"a")) == b""
    check_books(database.layer)


def test_errors_within_a_transaction_are_kept_in_their_places(database: Database) -> None:
    first = database.result(once(1, SEVERAL)).value
    again = database.repetition(once(1, SEVERAL)).reply
    assert isinstance(first, list)
    assert isinstance(again, Result)
    assert isinstance(again.value, list)
    assert [type(value) for value in first] == [str, int, list, ReplyError, str]
    assert same_error(again.value, first)
    assert database.value(Get(b"list")) == b"1"


def test_another_operation_under_the_same_number_is_a_mistake(database: Database) -> None:
    """Hazard B56: and changes nothing; the first one can still be asked for."""
    database.run(once(1, Append(b"k", b"x")))
    for other in (Append(b"k", b"y"), Set(b"k", b"x"), TransactionOperation((Append(b"k", b"x"),))):
        assert database.error(once(1, other)) == "sequence 1 was used for something else"
    assert database.repetition(once(1, Append(b"k", b"x"))).index == 2
    assert database.value(Get(b"k")) == b"x"


def test_what_is_acknowledged_is_forgotten_and_never_done_again(database: Database) -> None:
    for sequence in (1, 2, 3):
        database.run(once(sequence, IncrementBy(b"n", 1), acknowledged=1))
    database.run(once(4, IncrementBy(b"n", 1), acknowledged=3))
    assert expired(database, once(1, IncrementBy(b"n", 1), acknowledged=1)) == (
        "the answer to sequence 1 is no longer kept"
    )
    expired(database, once(2, IncrementBy(b"n", 1)))
    assert database.repetition(once(3, IncrementBy(b"n", 1), acknowledged=1)).reply == Result(3, 4)
    assert database.value(Get(b"n")) == b"4"
    check_books(database.layer)


def test_sequences_may_come_in_any_order_above_what_is_acknowledged(database: Database) -> None:
    for sequence in (5, 2, 4):
        database.run(once(sequence, Append(b"k", b"%d" % sequence), acknowledged=2))
    assert database.value(Get(b"k")) == b"524"
    assert database.repetition(once(2, Append(b"k", b"2"), acknowledged=2)).index == 3
    assert database.run(once(3, Append(b"k", b"3"), acknowledged=2)) == Result("OK", 7)
    check_books(database.layer)


@pytest.mark.parametrize("gap", [sessions.PROBED_MAX, sessions.PROBED_MAX + 1, 2**62])
def test_a_leap_of_what_is_acknowledged_removes_all_below(database: Database, gap: int) -> None:
    for sequence in range(1, 11):
        database.run(once(sequence, Ping(), acknowledged=1))
    database.run(once(1 + gap, Ping()))
    assert len(database.layer.scan(REPLY_PREFIX, b"s", limit=99)) == 1
    check_books(database.layer)


@pytest.mark.parametrize(("sequence", "acknowledged"), [(0, 0), (1, 0), (1, 2), (5, 2**63 - 1)])
def test_numbers_that_make_no_sense_are_answered(
    database: Database, sequence: int, acknowledged: int
) -> None:
    """Hazard B67."""
    operation = SessionOperation(NAME, sequence, acknowledged, Append(b"k", b"x"))
    assert "sequence" in database.error(operation)


@pytest.mark.parametrize("name", [b"", b"s" * 15, b"s" * 17, b"s" * 600])
def test_names_of_another_length_are_answered(database: Database, name: bytes) -> None:
    """Hazard B67."""
    for operation in (RegisterSession(name), CloseSession(name), once(1, Ping(), session=name)):
        assert database.error(operation) == "the name of a session has 16 bytes"


def test_an_unknown_session_is_refused_and_not_made(database: Database) -> None:
    """Hazard B56."""
    for _ in range(2):
        assert expired(database, once(1, Append(b"k", b"x"), session=OTHER)) == "no such session"
    assert database.value(Get(b"k")) == b""
    check_books(database.layer)


def test_to_register_again_finds_what_is_there(database: Database) -> None:
    database.run(once(1, IncrementBy(b"n", 1)))
    assert database.run(RegisterSession(NAME)) == Repetition(1, 1, Result("OK", None))
    assert database.repetition(once(1, IncrementBy(b"n", 1))).index == 2
    check_books(database.layer)


def test_a_closed_session_is_gone_with_its_replies(database: Database) -> None:
    database.run(once(1, Append(b"k", b"x")))
    database.run(once(2, Append(b"k", b"x"), acknowledged=1))
    assert database.value(CloseSession(NAME)) == "OK"
    assert database.value(CloseSession(NAME)) == "OK"
    expired(database, once(2, Append(b"k", b"x"), acknowledged=1))
    check_books(database.layer)
    database.run(RegisterSession(NAME))
    assert database.result(once(2, Append(b"k", b"x"))).value == "OK", "a new session knows no old replies"
    assert database.value(Get(b"k")) == b"xxx"


def test_only_an_entry_ends_an_idle_session(database: Database) -> None:
    """Hazard B55: between the time and the entry it lives, and an operation that comes first keeps it alive."""
    deadline_ms = 1_000 + SESSION_IDLE_MS + IDLE_GRAIN_MS
    database.now_ms = deadline_ms + 50_000
    assert database.run(once(1, IncrementBy(b"n", 1))) == Result(1, 2)
    assert database.value(Expire()) == 0
    assert database.run(once(2, IncrementBy(b"n", 1))) == Result(2, 4)
    database.now_ms += SESSION_IDLE_MS + IDLE_GRAIN_MS + 1
    assert database.value(Expire()) == 1
    expired(database, once(2, IncrementBy(b"n", 1)))
    check_books(database.layer)


def test_a_session_that_is_used_lives(database: Database) -> None:
    """Never shorter than promised, whenever it was used last."""
    sequence = 0
    for step_ms in (1, 10, IDLE_GRAIN_MS - 1, IDLE_GRAIN_MS, SESSION_IDLE_MS - 1) * 3:
        database.now_ms += step_ms
        database.run(Expire())
        sequence += 1
        assert database.run(once(sequence, Ping())) == Result("PONG", None)
    database.now_ms += SESSION_IDLE_MS - 1
    assert database.value(Expire()) == 0
    assert database.repetition(once(sequence, Ping())).reply == Result("PONG", None)
    check_books(database.layer)


def test_the_deadline_is_not_written_with_every_operation(database: Database) -> None:
    deadlines = [key for key in database.layer.changes if key.startswith(b"y")]
    for sequence in range(1, 20):
        database.now_ms += IDLE_GRAIN_MS // 20
        database.run(once(sequence, Ping()))
    assert [key for key in database.layer.changes if key.startswith(b"y")] == deadlines


def test_one_session_too_many_ends_the_one_that_was_idle_for_longest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    assert SESSIONS_MAX == 65_536
    names = [b"%016d" % number for number in range(4)]
    for name in names[:2]:
        database.now_ms += 1
        database.run(RegisterSession(name))
    database.now_ms += 2 * IDLE_GRAIN_MS
    database.run(once(1, Ping()))
    database.run(once(1, Ping(), session=names[0]))
    database.run(RegisterSession(names[2]))
    check_books(database.layer)
    expired(database, once(1, Ping(), session=names[1]))
    for name in (NAME, names[0], names[2]):
        database.run(once(2, Ping(), session=name))
    database.run(RegisterSession(names[3]))
    check_books(database.layer)


def test_sessions_of_clients_and_nodes_make_no_room_for_each_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    monkeypatch.setattr(sessions, "NODE_SESSIONS_MAX", 2)
    node, other, third = b"n" * 16, b"o" * 16, b"p" * 16
    database.run(RegisterSession(node, SessionOwner.NODE))
    database.run(once(1, IncrementBy(b"n", 1), session=node))
    for number in range(5):
        database.now_ms += 2 * IDLE_GRAIN_MS
        database.run(RegisterSession(b"%016d" % number))
        check_books(database.layer)
    expired(database, once(1, Ping()))
    assert database.repetition(once(1, IncrementBy(b"n", 1), session=node)).reply == Result(1, 3)
    for name in (other, third):
        database.now_ms += 1
        database.run(RegisterSession(name, SessionOwner.NODE))
        check_books(database.layer)
    expired(database, once(1, IncrementBy(b"n", 1), session=node))
    assert database.run(once(1, Ping(), session=b"%016d" % 2)) == Result("PONG", None)
    assert session_count(database.layer) == 5


def test_idle_sessions_of_nodes_end_like_all_others(database: Database) -> None:
    node = b"n" * 16
    database.run(RegisterSession(node, SessionOwner.NODE))
    database.run(once(1, Ping(), session=node))
    database.now_ms += SESSION_IDLE_MS + IDLE_GRAIN_MS
    assert database.value(Expire()) == 0
    database.now_ms += 1
    assert database.value(Expire()) == 2
    expired(database, once(2, Ping(), session=node))
    assert session_count(database.layer) == 0
    check_books(database.layer)


def test_sessions_of_one_moment_make_room_without_getting_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    for name in (b"z" * 16, b"b" * 16, b"y" * 16, b"a" * 16, b"c" * 16, b"x" * 16):
        database.run(RegisterSession(name))
        check_books(database.layer)


def test_too_many_replies_are_refused_for_good_and_end_the_session_at_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSION_REPLIES_MAX", 3)
    monkeypatch.setattr(sessions, "REFUSALS_MAX", 2)
    assert SESSION_REPLIES_MAX == 1_024
    for sequence in (1, 2, 3):
        database.result(once(sequence, IncrementBy(b"n", 1), acknowledged=1))
    refused = database.run(once(4, IncrementBy(b"n", 1), acknowledged=1))
    assert isinstance(refused, ReplyError)
    assert refused.message == "too many replies are not acknowledged"
    # Room by now: but a late copy of what was refused must not be done, for its client was told that it was not.
    database.result(once(5, IncrementBy(b"n", 1), acknowledged=3))
    assert same_error(database.repetition(once(4, IncrementBy(b"n", 1), acknowledged=1)).reply, refused)
    assert database.value(Get(b"n")) == b"4"
    check_books(database.layer)
    database.run(once(6, IncrementBy(b"n", 1), acknowledged=3))
    database.run(once(7, IncrementBy(b"n", 1), acknowledged=3))
    ended = database.run(once(8, IncrementBy(b"n", 1), acknowledged=3))
    assert isinstance(ended, SessionExpired)
    expired(database, once(3, IncrementBy(b"n", 1)))
    assert database.value(Get(b"n")) == b"4"
    check_books(database.layer)


def test_too_many_bytes_of_replies_are_refused_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSION_REPLY_BYTES_MAX", 5_000)
    for sequence in (1, 2, 3):
        database.run(Set(b"k", bytes(4_000)))
        database.run(once(sequence, Delete(b"k"), acknowledged=1))
    assert database.value(Get(b"k")) == bytes(4_000), "the third was refused"
    database.run(once(4, Delete(b"k"), acknowledged=3))
    assert database.value(Get(b"k")) == b""
    check_books(database.layer)


def test_a_sweep_of_sessions_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "ENDINGS", bounded(sessions.SESSIONS, count_max=2))
    for number in range(4):
        database.run(RegisterSession(b"%016d" % number))
        database.run(once(1, Ping(), session=b"%016d" % number))
    database.now_ms += SESSION_IDLE_MS + IDLE_GRAIN_MS + 1
    assert [database.value(Expire()) for _ in range(4)] == [2, 2, 1, 0]
    check_books(database.layer)


def test_a_sweep_ends_no_further_session_once_it_has_removed_enough(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions may have thousands of answers each, and an entry holds up everything else."""
    monkeypatch.setattr(sweeper, "ENDINGS", bounded(sessions.SESSIONS, cost_max=5))
    for number in range(4):
        name = b"%016d" % number
        database.run(RegisterSession(name))
        for sequence in range(1, 4):
            database.run(once(sequence, Ping(), session=name, acknowledged=1))
    database.now_ms += SESSION_IDLE_MS + IDLE_GRAIN_MS + 1
    assert [database.value(Expire()) for _ in range(4)] == [2, 2, 1, 0]
    check_books(database.layer)


def test_a_session_needs_no_write_to_answer_once(database: Database) -> None:
    """What only reads is kept as well: the answer is that of then."""
    database.run(Set(b"k", b"1"))
    database.run(once(1, Get(b"k")))
    database.run(Set(b"k", b"2"))
    assert database.repetition(once(1, Get(b"k"))).reply == Result(b"1", 2)


def test_the_form_of_kept_replies_never_changes() -> None:
    head = "0102030405060708 0000000000000005 0000000000000003"
    forms: dict[str, Result | ReplyError] = {
        "00000022 83 00 624f4b 05": Result("OK", 5),
        "00000024 83 00 83 4178 f6 20 f6": Result([b"x", None, -1], None),
        "00000033 86 01 6e636f6d6d616e645f6661696c6564 6177 6168 02 80": ReplyError(
            "w", hint="h", failed_command=2
        ),
        "0000002e 86 01 68636f6e666c696374 6177 f6 f6 81 416b": Conflict("w", keys=(b"k",)),
        "0000002a 86 01 6666656e636564 6177 f6 01 80": Fenced("w", failed_command=1),
        "00000030 86 01 68646561646c6f636b 6177 f6 f6 82 416f 416c": Deadlock("w", cycle=((b"o", b"l"),)),
        "00000033 86 01 6f73657373696f6e5f65787069726564 6177 f6 f6 80": SessionExpired("w"),
    }
    for form, reply in forms.items():
        record = bytes.fromhex(head + form)
        assert encode_reply(reply, digest=bytes(range(1, 9)), index=5, term=3).hex() == record.hex()
        assert same_error(decode_reply(record), reply)


@pytest.mark.parametrize("body", [b"", b"\x80", b"\x83\x02\x00\x00", b"\xff", b"\x00"])
def test_a_kept_reply_of_unknown_form_stops_the_node(database: Database, body: bytes) -> None:
    database.run(once(1, Ping()))
    ((key, record),) = database.layer.scan(REPLY_PREFIX, b"s", limit=9)
    database.layer.put(key, record[:28] + body)
    with pytest.raises(Fatal):
        database.run(once(1, Ping()))


def leased(database: Database, ttl_ms: int = 10_000) -> None:
    database.run(RegisterSession(LEASED, ttl_ms=ttl_ms))
    database.run(SessionOperation(LEASED, 1, 1, Set(b"bound", b"v", binding=Binding.SESSION)))


def is_there(database: Database) -> bool:
    check_books(database.layer)
    return registered_at(database.layer, LEASED) is not None


def test_a_session_with_a_time_to_live_ends_soon_after_its_last_use_with_all_that_is_bound_to_it(
    database: Database,
) -> None:
    """Locks of it do not keep it, unlike those of a session without one."""
    leased(database)
    database.run(SessionOperation(LEASED, 2, 2, Lock(b"door", ttl_ms=60_000)))
    database.now_ms += 10_000
    database.run(Expire())
    assert is_there(database)
    database.now_ms += 2_501
    database.run(Expire())
    assert not is_there(database)
    assert database.value(Get(b"bound")) == b""
    assert database.value(Lock(b"door", owner=b"ana")) is not None


@pytest.mark.parametrize(
    "use",
    [KeepSession(LEASED), RegisterSession(LEASED), SessionOperation(LEASED, 7, 1, Get(b"k"))],
    ids=lambda use: type(use).__name__,
)
def test_any_use_keeps_it(database: Database, use: Operation) -> None:
    leased(database)
    for _ in range(10):
        database.now_ms += 9_999
        database.run(use)
        database.run(Expire())
        assert is_there(database)
    database.now_ms += 12_501
    database.run(Expire())
    assert not is_there(database)


def test_a_session_gets_another_time_to_live_and_counts_from_then(database: Database) -> None:
    database.run(RegisterSession(LEASED))
    database.run(SessionOperation(LEASED, 1, 1, Lock(b"door", ttl_ms=60_000)))
    assert database.value(KeepSession(LEASED, 4_000)) is True
    database.now_ms += 4_000
    database.run(KeepSession(LEASED, 20_000))
    database.now_ms += 20_000
    database.run(Expire())
    assert is_there(database)
    database.now_ms += 5_001
    database.run(Expire())
    assert not is_there(database)


def test_what_keeps_a_session_begins_none(database: Database) -> None:
    """Under its name what was done before would be done again."""
    assert isinstance(database.failed(KeepSession(LEASED, 5_000)), SessionExpired)
    leased(database)
    database.run(CloseSession(LEASED))
    assert isinstance(database.failed(KeepSession(LEASED)), SessionExpired)
    assert not is_there(database)


@pytest.mark.parametrize("ttl_ms", [1, 999, 24 * 3_600_000 + 1])
def test_a_time_to_live_is_from_a_second_to_a_day(database: Database, ttl_ms: int) -> None:
    assert database.error(RegisterSession(LEASED, ttl_ms=ttl_ms)) == "invalid time to live"
    database.run(RegisterSession(LEASED))
    assert database.error(KeepSession(LEASED, ttl_ms)) == "invalid time to live"


def test_sessions_with_a_time_to_live_make_no_room_for_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    leased(database)
    database.now_ms += 1
    database.run(RegisterSession(OTHER))
    assert is_there(database)
    assert registered_at(database.layer, NAME) is None
    database.run(KeepSession(OTHER, 60_000))
    assert database.failed(RegisterSession(NAME)).code == "busy"
