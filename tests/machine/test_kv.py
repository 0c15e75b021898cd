"""What each command answers and leaves behind (interface, section 4), and that the table of handlers is complete."""

import shlex

import pytest

from cli.console.render import typed
from raftdb.commands.spec import ACCESS, NOT_AN_INTEGER, Access, CommandSpec, ReplyKind, parse, specs_by_name
from raftdb.errors import Fatal, LocalProtocolError, ReplyError
from raftdb.limits import KEYS_PER_COMMAND_MAX, REPLY_BYTES_MAX, VALUE_BYTES_CEILING
from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.entries import stamp
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN
from raftdb.machine.keyspace import decode_value, encode_string
from raftdb.machine.reply import Result
from raftdb.machine.services import BESIDE, COMMAND_TYPES, READS, WRITES
from raftdb.machine.strings import Delete, Get, Set, Strlen
from raftdb.machine.values import state_key_of
from tests.machine.database import MACHINE, Database


@pytest.fixture
def database() -> Database:
    return Database()


def test_every_command_has_one_handler_of_its_access() -> None:
    assert set(READS) == {type_ for type_ in COMMAND_TYPES if ACCESS[type_] is Access.READ}
    assert set(WRITES) == {type_ for type_ in COMMAND_TYPES if ACCESS[type_] is Access.WRITE}


def test_the_story_of_the_shell(database: Database) -> None:
    assert database.value(Ping()) == "PONG"
    assert database.value(Set(b"kunci", b"satu")) == "OK"
    assert database.value(Append(b"kunci", b"dua")) == "OK"
    assert database.value(Get(b"kunci")) == b"satudua"
    assert database.value(Strlen(b"kunci")) == 7
    assert database.value(Delete(b"kunci")) == b"satudua"
    assert database.value(Get(b"kunci")) == b""


def test_missing_keys_answer_as_empty(database: Database) -> None:
    assert database.run(Get(b"k")) == Result(b"", 0)
    assert database.run(Strlen(b"k")) == Result(0, 0)
    assert database.run(Delete(b"k")) == Result(b"", 0)
    assert database.run(Exists((b"k",))) == Result(0, None)
    assert database.run(MultiGet((b"k",))) == Result([None], None)
    assert database.layer.changes == {}


def test_an_empty_value_is_not_a_missing_key(database: Database) -> None:
    database.run(Set(b"k", b""))
    assert database.run(Get(b"k")) == Result(b"", 1)
    assert database.value(Exists((b"k",))) == 1
    assert database.run(Delete(b"k")) == Result(b"", 1)


def test_revisions_are_the_index_of_the_last_change(database: Database) -> None:
    """Hazard B58: deletion and re-creation give another revision."""
    assert database.run(Set(b"k", b"1")) == Result("OK", 1)
    assert database.run(Append(b"k", b"2")) == Result("OK", 2)
    assert database.run(IncrementBy(b"k", 1)) == Result(13, 3)
    assert database.run(Get(b"k")) == Result(b"13", 3)
    assert database.run(Strlen(b"k")) == Result(2, 3)
    assert database.run(MultiSet(((b"k", b"13"),))) == Result("OK", None)
    assert database.run(Get(b"k")) == Result(b"13", 6)
    assert database.run(Delete(b"k")) == Result(b"13", 6)
    database.run(Set(b"k", b"13"))
    assert database.run(Get(b"k")) == Result(b"13", 9)


def test_exists_counts_a_key_as_often_as_it_is_named(database: Database) -> None:
    database.run(MultiSet(((b"a", b""), (b"b", b""))))
    assert database.value(Exists((b"a", b"b", b"a", b"c"))) == 3


def test_mset_keeps_the_last_value_of_a_key_and_mget_the_order(database: Database) -> None:
    database.run(MultiSet(((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))))
    assert database.value(MultiGet((b"b", b"c", b"a", b"b"))) == [b"2", None, b"3", b"2"]


def test_counters_are_64_bit_and_say_so(database: Database) -> None:
    assert database.value(IncrementBy(b"n", INTEGER_MAX)) == INTEGER_MAX
    assert database.error(IncrementBy(b"n", 1)) == "increment or decrement would overflow"
    assert database.value(Get(b"n")) == b"%d" % INTEGER_MAX
    assert database.value(IncrementBy(b"n", -1)) == INTEGER_MAX - 1
    assert database.value(IncrementBy(b"m", INTEGER_MIN)) == INTEGER_MIN
    assert database.error(IncrementBy(b"m", -1)) == "increment or decrement would overflow"


@pytest.mark.parametrize(
    "text", [b"", b"x", b"1.5", b"01", b" 1", b"+1", b"-0", b"nan", b"1" * 5000, b"%d" % 2**63]
)
def test_what_is_no_integer_is_not_counted(database: Database, text: bytes) -> None:
    database.run(Set(b"k", text))
    assert database.error(IncrementBy(b"k", 1)) == NOT_AN_INTEGER == "value is not an integer or out of range"


@pytest.mark.parametrize("key", [b"", b"k" * 481, b"k" * 511, b"k" * 512, b"k" * 65536])
def test_bad_keys_are_answered_and_change_nothing(database: Database, key: bytes) -> None:
    """Hazard B67: a frontend refuses them, but apply must not depend on it."""
    for command in (
        *(Get(key), Set(key, b""), Strlen(key), Delete(key), Append(key, b"")),
        *(
            Exists((b"a", key)),
            IncrementBy(key, 1),
            MultiGet((b"a", key)),
            MultiSet(((b"a", b""), (key, b""))),
        ),
    ):
        assert "key" in database.error(command)
    assert database.layer.changes == {}


def test_values_have_a_limit_that_no_configuration_moves(database: Database) -> None:
    """Hazard B64."""
    half = bytes(VALUE_BYTES_CEILING // 2)
    database.run(Set(b"k", half))
    assert database.value(Append(b"k", half)) == "OK"
    for command in (
        *(Append(b"k", b"1"), Append(b"new", half + half + b"1"), Set(b"new", half + half + b"1")),
        MultiSet(((b"a", b""), (b"new", half + half + b"1"))),
    ):
        assert database.error(command) == "value is too long"
    assert database.value(Strlen(b"k")) == VALUE_BYTES_CEILING


def test_a_reply_has_a_limit(database: Database) -> None:
    database.run(Set(b"k", bytes(VALUE_BYTES_CEILING)))
    fitting = REPLY_BYTES_MAX // VALUE_BYTES_CEILING
    assert database.value(MultiGet((b"k",) * fitting)) is not None
    assert database.error(MultiGet((b"k",) * KEYS_PER_COMMAND_MAX)) == "reply is too long"


def test_reads_beside_the_log_answer_as_within_it(database: Database) -> None:
    database.run(MultiSet(((b"a", b"1"), (b"b", b"2"))))
    for command in (Ping(), Get(b"a"), Strlen(b"a"), Exists((b"a", b"x")), MultiGet((b"a", b"x"))):
        assert MACHINE.read(command, database.layer) == database.run(command)
    assert isinstance(MACHINE.read(Get(b""), database.layer), ReplyError)


def test_a_write_cannot_be_read(database: Database) -> None:
    for command in (Set(b"k", b""), Delete(b"k"), Append(b"k", b""), IncrementBy(b"k", 1), MultiSet(())):
        with pytest.raises(LocalProtocolError):
            MACHINE.read(command, database.layer)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", stamp(b"", 0), stamp(b"\x81\x18\x3f", 0), stamp(b"\x81\x18\x45", 0), b"\x03" + bytes(9)],
)
def test_an_entry_that_cannot_be_decoded_stops_the_node(database: Database, data: bytes) -> None:
    """Hazard B107: skipping it would be to diverge."""
    with pytest.raises(Fatal, match="index 5"):
        MACHINE.apply(5, 1, data, database.layer)


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x02" + bytes(16), bytes(17), bytes(30)])
def test_a_stored_value_of_unknown_form_stops_the_node(database: Database, record: bytes) -> None:
    database.layer.put(state_key_of(database.layer, b"k"), record)
    for command in (Get(b"k"), Append(b"k", b""), IncrementBy(b"k", 1), Delete(b"k"), MultiGet((b"k",))):
        with pytest.raises(Fatal):
            database.run(command)


def test_the_stored_form_never_changes() -> None:
    record = encode_string(b"data", revision=258, expires_ms=770)
    assert record == bytes.fromhex("01 0000000000000102 0000000000000302") + b"data"
    assert decode_value(record) == (1, 258, 770, b"data")


def test_an_error_reply_keeps_no_frames_alive(database: Database) -> None:
    reply = database.run(Get(b""))
    assert isinstance(reply, ReplyError)
    assert reply.__traceback__ is None
    assert reply.__context__ is None


@pytest.mark.parametrize("spec", specs_by_name(), ids=lambda spec: str(spec.name))
def test_the_examples_of_the_table_are_true(database: Database, spec: CommandSpec) -> None:
    kinds = {ReplyKind.STATUS: str, ReplyKind.STRING: bytes, ReplyKind.INTEGER: int, ReplyKind.ARRAY: list}
    for example in spec.examples:
        name, *arguments = shlex.split(example.line)
        command = parse(name, [argument.encode() for argument in arguments])
        value, beside = database.value(command), BESIDE.get(type(command))
        if beside is not None:
            value = beside(command, value, lambda name: 0)
        assert typed(value) == example.reply  # type: ignore[arg-type]  # a value that can be shown, example
        if name == spec.name and value is not None:
            assert type(value) is kinds[spec.reply]
