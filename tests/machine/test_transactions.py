"""Several commands at one point of the log: all or none of them, and only if what they depend on has not changed."""

from dataclasses import dataclass, replace

import pytest

from raftdb.errors import Conflict, Fenced, QueueFull, ReplyError
from raftdb.limits import REPLY_BYTES_MAX, TRANSACTION_KEYS_MAX, VALUE_BYTES_CEILING
from raftdb.machine import services, transactions
from raftdb.machine.batches import DeleteMany, Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.entries import encode, stamp
from raftdb.machine.expiry import ExpireAfter, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.keys import Clear, Rename
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.operations import Comparison, Expire, Mode, Operation, Relation, TransactionOperation
from raftdb.machine.queues.managing import QueueSet
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.reply import Result
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.strings import PAST_TTL, Delete, Get, GetSet, Set, Strlen, set_
from raftdb.wire import cbor
from tests.machine.database import MACHINE, Database, changes_but_clock, check_books
from tests.machine.views import DictionaryView

MODES = pytest.mark.parametrize("mode", Mode)


@pytest.fixture
def database() -> Database:
    made = Database()
    made.now_ms = 1_000
    return made


def conflict(database: Database, *watched: tuple[bytes, int], mode: Mode = Mode.REDIS) -> tuple[bytes, ...]:
    """The keys that are said to have changed; nothing else is changed by that."""
    error = database.failed(TransactionOperation((Set(b"never", b"v"),), watched, mode))
    assert isinstance(error, Conflict)
    assert error.code == "conflict"
    return error.keys


@MODES
def test_nothing_is_a_transaction_too(database: Database, mode: Mode) -> None:
    assert database.run(TransactionOperation((), mode=mode)) == Result([], None)


@MODES
def test_all_commands_are_answered_in_order_and_share_a_revision(database: Database, mode: Mode) -> None:
    database.run(Set(b"old", b"1"))
    commands = (Set(b"a", b"1"), Get(b"old"), Delete(b"old"), IncrementBy(b"n", 5), Ping(), Get(b"x"))
    assert database.value(TransactionOperation(commands, mode=mode)) == ["OK", b"1", b"1", 5, "PONG", b""]
    assert database.run(Get(b"a")) == Result(b"1", 2)
    assert database.run(Get(b"n")) == Result(b"5", 2)
    check_books(database.layer)


@MODES
def test_reads_see_the_commands_before_them(database: Database, mode: Mode) -> None:
    """Hazard B61: of every kind, and only those."""
    database.run(MultiSet(((b"b", b"0"), (b"gone", b"v"))))
    commands = (
        *(
            Get(b"k"),
            Set(b"k", b"1"),
            Get(b"k"),
            Append(b"k", b"2"),
            Get(b"k"),
            GetSet(b"k", b"3"),
            Get(b"k"),
        ),
        *(Exists((b"k", b"gone")), Delete(b"gone"), Exists((b"gone",)), MultiGet((b"gone", b"k"))),
        *(Keys(b""), Scan(b"", b"b", 10), DatabaseSize()),
        *(ExpireAfter(b"k", 5_000), TimeToLive(b"k"), RemoveExpiry(b"k"), TimeToLive(b"k")),
    )
    assert database.value(TransactionOperation(commands, mode=mode)) == [
        *(b"", "OK", b"1", "OK", b"12", b"12", b"3"),
        *(2, b"v", 0, [None, b"3"]),
        *([b"b", b"k"], [b"k", b"3"], 2),
        *(1, 5, 1, -1),
    ]
    check_books(database.layer)


def test_a_failing_command_is_an_error_in_its_place_and_the_others_run(database: Database) -> None:
    """Hazard B62: as in Redis, nothing is rolled back."""
    database.run(Set(b"s", b"x"))
    commands = (
        *(Set(b"a", b"1"), IncrementBy(b"s", 1), IncrementBy(b"n", 1), Get(b"")),
        *(CompareAndSet(b"s", 9, b"y"), Set(b"z", b"1")),
    )
    results = database.value(TransactionOperation(commands))
    assert isinstance(results, list)
    assert [getattr(result, "code", result) for result in results] == [
        *("OK", "command_failed", 1, "command_failed", "conflict", "OK")
    ]
    assert results[1].message == "value is not an integer or out of range"
    assert results[4].keys == (b"s",)
    assert database.value(MultiGet((b"a", b"s", b"n", b"z"))) == [b"1", b"x", b"1", b"1"]
    check_books(database.layer)


def test_in_the_atomic_mode_a_failing_command_undoes_all(database: Database) -> None:
    database.run(Set(b"s", b"x"))
    database.run(Set(b"t", b"x", 5_000))
    commands = (
        *(Set(b"a", b"1", 500), Delete(b"s"), RemoveExpiry(b"t"), Set(b"s", b"y")),
        *(IncrementBy(b"s", 1), Set(b"z", b"1")),
    )
    error = database.failed(TransactionOperation(commands, mode=Mode.ATOMIC))
    assert (error.code, error.failed_command) == ("command_failed", 4)
    assert error.message == "value is not an integer or out of range"
    assert database.value(MultiGet((b"a", b"s", b"t", b"z"))) == [None, b"x", b"x", None]
    assert MACHINE.next_deadline_ms(database.layer) == 6_000
    check_books(database.layer)


@dataclass(frozen=True, slots=True)
class GiveBack(Command):
    """A command of those that name something held. Whoever holds it knows the word."""

    word: bytes


def guard(view: KeyValueView, command: GiveBack) -> None:
    if command.word != b"held":
        raise Fenced("it is over")


@MODES
def test_who_no_longer_holds_what_a_command_names_is_refused_before_the_first(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.GUARDS, GiveBack, guard)
    layer = Layer(DictionaryView())

    def execute(command: Command, upper: Layer, revision: int) -> Result:
        return set_(upper, command, revision) if isinstance(command, Set) else Result(True, None)

    def told(*commands: Command, watched: tuple[tuple[bytes, int], ...] = ()) -> Result | Fenced | Conflict:
        try:
            return transactions.run(layer, TransactionOperation(commands, watched, mode), 1, execute)
        except (Fenced, Conflict) as error:
            return error

    fenced = told(Set(b"a", b"1"), GiveBack(b"held"), GiveBack(b"over"), GiveBack(b"over"))
    assert isinstance(fenced, Fenced)
    assert (fenced.code, fenced.message, fenced.failed_command) == ("fenced", "it is over", 2)
    assert layer.changes == {}
    assert isinstance(told(GiveBack(b"over"), watched=((b"a", 7),)), Conflict)
    assert told(Set(b"a", b"1"), GiveBack(b"held")) == Result([Result(True, 1), Result(True, None)], None)
    assert b"z\0a" in layer.changes


def test_a_failed_compare_and_set_fails_an_atomic_transaction_as_any_command_does(database: Database) -> None:
    database.run(Set(b"k", b"v"))
    commands = (Set(b"a", b"1"), CompareAndSet(b"k", 99, b"w"))
    error = database.failed(TransactionOperation(commands, mode=Mode.ATOMIC))
    assert (type(error), error.code, error.failed_command) == (ReplyError, "command_failed", 1)
    assert error.message == "the revision of 'k' is 1, not 99"


def test_a_refusal_that_has_a_type_of_its_own_keeps_it(database: Database) -> None:
    database.run(QueueSet(b"mail", ((b"max_length", b"1"),)))
    commands = (Set(b"a", b"1"), Enqueue(b"mail", b"1"), Enqueue(b"mail", b"2"))
    error = database.failed(TransactionOperation(commands, mode=Mode.ATOMIC))
    assert (type(error), error.failed_command) == (QueueFull, 2)


@MODES
def test_a_changed_revision_is_a_conflict_that_names_the_keys(database: Database, mode: Mode) -> None:
    for key in (b"a", b"b", b"c"):
        database.run(Set(key, b"v"))
    assert conflict(database, (b"a", 1), (b"b", 3), (b"x", 0), (b"c", 0), mode=mode) == (b"b", b"c")
    assert database.value(Get(b"never")) == b""
    held = TransactionOperation((Set(b"d", b"v"),), ((b"a", 1), (b"b", 2), (b"x", 0)), mode)
    assert database.value(held) == ["OK"]


def test_the_message_of_a_conflict_stays_short(database: Database) -> None:
    error = database.failed(TransactionOperation((), tuple((b"%d" % number, 7) for number in range(1_000))))
    assert error.message == "changed meanwhile: '0', '1', '2' and 997 more"
    error = database.failed(TransactionOperation((), ((b"\xc3\xa9\n" + bytes(400), 7),)))
    assert error.message.isascii()
    assert len(error.message) < 300


OWN_WRITES: dict[str, tuple[Command, ...]] = {
    "set": (Set(b"k", b"v"),),
    "the same value again": (Set(b"k", b"old"),),
    "append": (Append(b"k", b""),),
    "getset": (GetSet(b"k", b"old"),),
    "mset": (MultiSet(((b"k", b"old"),)),),
    "expire": (ExpireAfter(b"k", 60_000),),
    "del": (Delete(b"k"),),
    "del and set": (Delete(b"k"), Set(b"k", b"old")),
    "set and del": (Set(b"k", b"x"), Delete(b"k")),
}


@pytest.mark.parametrize("commands", OWN_WRITES.values(), ids=OWN_WRITES)
@pytest.mark.parametrize("at_once", [False, True])
def test_any_change_of_a_watched_key_is_seen(
    database: Database, commands: tuple[Command, ...], at_once: bool
) -> None:
    """Hazard B58: by whomever, and also deletion and re-creation with the same value, in one entry too."""
    database.run(Set(b"k", b"old"))
    for operation in (TransactionOperation(commands),) if at_once else commands:
        database.run(operation)
    assert conflict(database, (b"k", 1)) == (b"k",)


def test_what_changes_nothing_is_no_conflict(database: Database) -> None:
    database.run(Set(b"k", b"old"))
    for command in (
        *(Get(b"k"), RemoveExpiry(b"k"), Set(b"k", b"v", condition=1), CompareAndSet(b"k", 9, b"v")),  # type: ignore[arg-type]
        *(Delete(b"other"), IncrementBy(b"k", 1)),
    ):
        database.run(command)
    assert database.value(TransactionOperation((Get(b"k"),), ((b"k", 1),))) == [b"old"]


def test_expiry_of_a_watched_key_is_a_change_at_the_time_of_the_entry(database: Database) -> None:
    """Hazard B57: before and after the sweep."""
    database.run(Set(b"k", b"1", 500))
    held = TransactionOperation((IncrementBy(b"k", 1),), ((b"k", 1),))
    database.now_ms = 1_501
    error = database.run(held)
    assert isinstance(error, Conflict)
    assert error.keys == (b"k",)
    database.run(Expire())
    assert isinstance(database.run(held), Conflict)
    assert database.value(Get(b"k")) == b""


def test_a_key_that_had_expired_when_it_was_watched_is_missing_and_stays_so(database: Database) -> None:
    """Hazard B57: watched as missing, it runs; also if the sweep comes in between."""
    database.run(Set(b"k", b"9", 500))
    database.now_ms = 1_501
    assert database.run(Get(b"k")) == Result(b"", 0)
    for _ in range(2):
        layer = Layer(database.layer)
        data = stamp(encode(TransactionOperation((IncrementBy(b"k", 1),), ((b"k", 0),))), 1_501)
        assert MACHINE.apply(9, 1, data, layer).reply == Result([1], None)
        database.run(Expire())


def test_revisions_are_compared_before_anything_is_done(database: Database) -> None:
    database.run(Set(b"k", b"v"))
    held = TransactionOperation((Set(b"k", b"w"), Set(b"k", b"x")), ((b"k", 1),))
    assert database.value(held) == ["OK", "OK"]
    assert conflict(database, (b"k", 1)) == (b"k",)


@pytest.mark.parametrize("key", [b"", b"k" * 481, b"k" * 65_536])
def test_a_watched_key_that_cannot_be_one_is_answered(database: Database, key: bytes) -> None:
    """Hazard B67."""
    assert "key" in database.error(TransactionOperation((Set(b"k", b"v"),), ((key, 0),)))


@MODES
def test_a_reply_that_is_too_long_undoes_all(database: Database, mode: Mode) -> None:
    database.run(Set(b"k", bytes(VALUE_BYTES_CEILING)))
    fitting = (Get(b"k"),) * (REPLY_BYTES_MAX // VALUE_BYTES_CEILING - 1)
    error = database.failed(TransactionOperation((Set(b"a", b"1"), *fitting, Get(b"k")), mode=mode))
    assert error.message == "the reply is too long"
    assert error.failed_command == 1 + len(fitting)


def test_what_it_touches_has_a_limit_that_no_configuration_moves(database: Database) -> None:
    """Hazard B64: an entry that no leader of ours encodes is answered, too."""
    pings = cbor.encode([64, 0, [], 0, [[1]] * (TRANSACTION_KEYS_MAX + 1)])
    reply = MACHINE.apply(9, 1, stamp(pings, 0), database.layer).reply
    assert isinstance(reply, ReplyError)
    assert reply.message == "the transaction touches too many keys"


@MODES
def test_what_its_scans_pass_counts_and_undoes_all(database: Database, mode: Mode) -> None:
    """What a scan finds, and what of the transaction's own changes it passes as deleted."""
    database.run(MultiSet(tuple((b"%04d" % number, b"") for number in range(500))))
    reads = (Scan(b"", b"", 500), Keys(b"0"))
    assert len(database.value(TransactionOperation(reads * 2, mode=mode))) == 4  # type: ignore[arg-type]
    for last in (Scan(b"", b"", 49), Keys(b"00")):
        passing = TransactionOperation((Set(b"k", b""), *reads, *reads, last), mode=mode)
        assert database.error(passing) == "the transaction touches too many keys"
    deleting = tuple(Delete(b"%04d" % number) for number in range(500))
    passing = TransactionOperation((*deleting, *(Scan(b"", b"", 1),) * 4), mode=mode)
    assert database.error(passing) == "the transaction touches too many keys"
    assert database.value(TransactionOperation((*deleting, Scan(b"", b"", 1)), mode=mode)) == [b""] * 500 + [
        []
    ]


@MODES
def test_values_that_are_moved_count_however_short_the_commands_are(database: Database, mode: Mode) -> None:
    database.run(Set(b"k", bytes(VALUE_BYTES_CEILING - 9)))
    moves = (Append(b"k", b"1"), Strlen(b"k"), RemoveExpiry(b"k"), ExpireAfter(b"k", 1_000))
    assert isinstance(database.result(TransactionOperation(moves[:2], mode=mode)).value, list)
    error = database.failed(TransactionOperation((Set(b"a", b"1"), *moves * 500), mode=mode))
    assert (error.message, error.failed_command) == ("the transaction reads and writes too much", 3)


def test_a_transaction_moves_the_clock_once(database: Database) -> None:
    """So that all of it happens at one time, and what it sets ends together."""
    database.now_ms = 5_000
    database.run(TransactionOperation((Set(b"a", b"1", 1_000), Set(b"b", b"1", 1_000), TimeToLive(b"a"))))
    before = changes_but_clock(database.layer.changes)
    database.now_ms = 6_001
    assert database.value(TransactionOperation((Exists((b"a", b"b")),))) == [0]
    assert changes_but_clock(database.layer.changes) == before


BRANCHES = (Set(b"k", b"then"),), (Set(b"k", b"else"), Get(b"k"))


def branched(database: Database, *comparisons: Comparison) -> object:
    """Which of the two was executed, by its answers."""
    then, otherwise = BRANCHES
    reply = database.applied(TransactionOperation(then, (), Mode.REDIS, comparisons, otherwise)).reply
    assert isinstance(reply, Result)
    assert isinstance(reply.value, list)
    which, *answers = reply.value
    assert len(answers) == (len(then) if which else len(otherwise))
    assert database.value(Get(b"k")) == (b"then" if which else b"else")
    return which


@pytest.mark.parametrize(
    ("relation", "operand", "holds"),
    [
        (Relation.EQUAL, 1, True),
        (Relation.EQUAL, 2, False),
        (Relation.NOT_EQUAL, 0, True),
        (Relation.LESS, 2, True),
        (Relation.LESS, 1, False),
        (Relation.GREATER, 0, True),
        (Relation.GREATER, 1, False),
        (Relation.EQUAL, b"5", True),
        (Relation.EQUAL, b"6", False),
        (Relation.NOT_EQUAL, b"6", True),
        (Relation.LESS, b"6", True),
        (Relation.LESS, b"5", False),
        (Relation.GREATER, b"4", True),
        (Relation.GREATER, b"55", False),
    ],
)
def test_a_transaction_branches_by_what_is_there(
    relation: Relation, operand: int | bytes, holds: bool
) -> None:
    database = Database()
    database.run(Set(b"c", b"5"))
    assert branched(database, Comparison(b"c", relation, operand)) is holds


def test_a_missing_key_has_revision_0_and_no_value() -> None:
    database = Database()
    database.run(Set(b"c", b"5", 100))
    database.now_ms = 200
    assert branched(database, Comparison(b"c", Relation.EQUAL, 0)) is True
    assert branched(database, Comparison(b"c", Relation.NOT_EQUAL, b"5")) is True
    for relation in (Relation.EQUAL, Relation.LESS, Relation.GREATER):
        assert branched(database, Comparison(b"c", relation, b"")) is False


def test_all_comparisons_must_hold_and_nothing_is_done_where_the_other_branch_is_empty() -> None:
    database = Database()
    database.run(Set(b"c", b"5"))
    true, false = Comparison(b"c", Relation.EQUAL, 1), Comparison(b"c", Relation.EQUAL, b"x")
    assert branched(database, true, true) is True
    assert branched(database, true, false) is False
    nothing = database.applied(TransactionOperation((Delete(b"k"),), (), Mode.ATOMIC, (false,))).reply
    assert nothing == Result([False], None)
    assert database.value(Get(b"k")) == b"else"


def test_the_branch_that_is_taken_is_checked_and_undone_as_a_whole() -> None:
    database = Database()
    database.run(Set(b"c", b"x"))
    failing = (Set(b"k", b"v"), IncrementBy(b"c", 1))
    false = Comparison(b"c", Relation.EQUAL, 0)
    error = database.failed(TransactionOperation((Set(b"k", b"v"),), (), Mode.ATOMIC, (false,), failing))
    assert error.failed_command == 1
    assert database.value(Get(b"k")) in (b"", None)
    watched = TransactionOperation((), ((b"c", 99),), Mode.ATOMIC, (false,), failing)
    assert isinstance(database.failed(watched), Conflict), "what is watched comes first"


@pytest.mark.parametrize(
    "come_and_go",
    [
        (Set(b"k", b"v"), Delete(b"k")),
        (Set(b"k", b"v"), DeleteMany((b"k",))),
        (Set(b"k", b"v"), Rename(b"k", b"l")),
        (Set(b"k", b"v"), Set(b"k", b"v", PAST_TTL)),
        (Set(b"k", b"v"), ExpireAfter(b"k", 0)),
        (Set(b"k", b"v"), GetAndExpire(b"k", PAST_TTL)),
        (Set(b"k", b"v"), Clear()),
        (Set(b"k", b"v", 10), Get(b"k")),
        (Set(b"k", b"v", 10), Expire()),
        (TransactionOperation((Set(b"k", b"v"), Delete(b"k"))),),
        (TransactionOperation((Set(b"k", b"v"), Clear())),),
    ],
    ids=repr,
)
def test_a_missing_key_that_came_and_went_has_changed(
    database: Database, come_and_go: tuple[Operation, ...]
) -> None:
    database.run(Set(b"l", b"v"))
    seen_at = database.index
    watching = TransactionOperation((Set(b"m", b"v"),), ((b"k", 0),), watched_at=seen_at)
    assert database.value(watching) == ["OK"]
    for operation in come_and_go:
        database.run(operation)
    database.now_ms += 20
    assert database.value(Exists((b"k",))) == 0
    assert database.failed(watching).code == "conflict"
    again = replace(watching, watched_at=database.index)
    assert database.value(again) == ["OK"], "and who looks now sees it missing"
    assert database.value(replace(watching, watched_at=0)) == ["OK"], "and who does not say since when"


def test_what_other_keys_do_is_no_change_of_a_missing_one(database: Database) -> None:
    """But for those of its slot, and of as many keys as here there is none."""
    database.run(Set(b"old", b"v"))
    watching = TransactionOperation((Get(b"old"),), ((b"k", 0),), watched_at=database.index)
    for number in range(100):
        database.run(Set(b"%d" % number, b"v"))
        database.run(Delete(b"%d" % number))
    assert database.value(watching) == [b"v"]
    database.run(TransactionOperation((Set(b"k", b"v"), IncrementBy(b"k", 1)), mode=Mode.ATOMIC))
    assert database.value(watching) == [b"v"], "what was undone leaves no trace"
    watching = replace(watching, watched_at=database.index)
    database.run(Clear())
    assert database.value(watching) == [b""], "nothing was made before all were removed"
