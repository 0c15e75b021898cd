"""The table of commands: every row is complete, and `parse` refuses what it must, with the right code."""

import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.commands.spec import (
    ACCESS,
    COMMANDS,
    GROWING,
    OTHER_NAMES,
    Access,
    Arity,
    CommandSpec,
    lookup,
    parse,
    specs_by_group,
    specs_by_name,
    suggest_name,
    unparse,
)
from raftdb.commands.transactions import build_transaction, called_by_name, grows, is_read
from raftdb.errors import CODES, ReplyError, RequestRefused
from raftdb.limits import (
    COMMAND_BYTES_CEILING,
    KEY_BYTES_MAX,
    KEYS_PER_COMMAND_MAX,
    SCAN_LIMIT_DEFAULT,
    SCAN_LIMIT_MAX,
    TTL_MS_MAX,
    VALUE_BYTES_CEILING,
    Limits,
)
from raftdb.machine import services
from raftdb.machine.batches import DeleteMany, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.expiry import ExpireAfter, GetAndExpire, RemoveExpiry, TimeToLive
from raftdb.machine.integers import INTEGER_MAX, INTEGER_MIN, parse_integer
from raftdb.machine.keys import Clear
from raftdb.machine.locks.holding import LeaveLine, Renew, Unlock, UnlockOwned
from raftdb.machine.operations import ClientOperation, Mode, SessionOperation, TransactionOperation
from raftdb.machine.queues.deliveries import Ack, Extend, Nack
from raftdb.machine.queues.managing import Purge, QueueDelete, QueueRemove
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, DeletePrefix, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.services import COMMAND_TYPES, keys_named
from raftdb.machine.sessions import CloseSession, RegisterSession
from raftdb.machine.strings import KEEP_TTL, NO_TTL, Condition, Delete, FencedSet, Get, GetSet, Set

KEYS = st.binary(min_size=1, max_size=KEY_BYTES_MAX)
NAMES = st.sampled_from(sorted(COMMANDS))


def refused(name: str, *arguments: bytes, limits: Limits | None = None) -> RequestRefused:
    """The error that `parse` raises."""
    with pytest.raises(RequestRefused) as raised:
        parse(name, arguments, limits=limits or Limits())
    assert raised.value.code in CODES
    return raised.value


def arguments_of(spec: CommandSpec, count: int) -> list[bytes]:
    """So many arguments that the command takes: those of its examples, or numbers."""
    for example in spec.examples:
        name, *words = shlex.split(example.line)
        if name == spec.name and len(words) >= count:
            return [word.encode() for word in words[:count]]
    return [b"%d" % number for number in range(1, count + 1)]


def test_every_command_type_has_a_name() -> None:
    assert set(ACCESS) == set(COMMAND_TYPES)
    assert all(command.names or command.log_name for command in services.COMMANDS.values())


def test_what_grows_is_every_write_but_those_that_end_something_or_let_it_stay() -> None:
    writes = {type_ for type_ in COMMAND_TYPES if ACCESS[type_] is Access.WRITE}
    of_values = {Clear, Delete, DeleteMany, DeletePrefix, ExpireAfter, GetAndExpire, RemoveExpiry}
    of_locks = {Renew, Unlock, UnlockOwned, LeaveLine}
    of_queues = {Dequeue, Receive, Ack, Nack, Extend, QueueRemove, Purge, QueueDelete}
    assert writes - of_values - of_locks - of_queues == GROWING
    assert all(spec.grows == (spec.command in GROWING) for spec in COMMANDS.values())


@pytest.mark.parametrize("spec", specs_by_name(), ids=lambda spec: str(spec.name))
def test_every_row_is_complete(spec: CommandSpec) -> None:
    assert spec.name == spec.name.lower() == spec.syntax.split()[0]
    assert spec.summary.endswith(".")
    assert spec.examples
    assert any(example.line.split()[0] == spec.name for example in spec.examples)
    assert spec.access is ACCESS[spec.command]
    needed = spec.syntax.partition("[")[0].split()[1:]
    assert len(needed) == spec.arity.minimum
    assert ("..." in spec.syntax) == (spec.arity.maximum is None)
    arguments = arguments_of(spec, spec.arity.minimum)
    assert type(spec.build(arguments)) is spec.command
    assert len(arguments[spec.keys]) + len(arguments[spec.values]) == len(arguments)


def test_key_positions_are_those_of_redis() -> None:
    assert COMMANDS["ping"].key_positions == (0, 0, 0)
    assert COMMANDS["set"].key_positions == (1, 1, 1)
    assert COMMANDS["mget"].key_positions == (1, -1, 1)
    assert COMMANDS["mset"].key_positions == (1, -1, 2)


def test_the_two_orders_hold_every_row_once() -> None:
    names = [spec.name for spec in specs_by_name()]
    assert names == sorted(COMMANDS)
    grouped = specs_by_group()
    assert list(grouped) == [
        *("values", "counters", "several keys", "expiry", "keys", "scanning"),
        *("transactions", "queues", "locks", "connection"),
    ]
    assert sorted(spec.name for specs in grouped.values() for spec in specs) == names
    assert all(grouped.values())


def test_names_are_known_in_any_case() -> None:
    assert lookup("SeT") is COMMANDS["set"]
    assert parse("DEL", [b"k"]) == Delete(b"k")
    assert lookup("nothing") is None


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("sett", "set"),
        ("GTE", "get"),
        ("strln", "strlen"),
        ("apend", "append"),
        ("incrbyy", "incrby"),
        ("pong", "ping"),
    ],
)
def test_misspelt_names_are_guessed(misspelt: str, meant: str) -> None:
    assert suggest_name(misspelt) == meant
    error = refused(misspelt)
    assert error.code == "unknown_command"
    assert error.hint is not None
    assert repr(meant) in error.hint


def test_words_from_elsewhere_lead_to_our_names() -> None:
    assert set(OTHER_NAMES.values()) <= set(COMMANDS)
    assert not set(OTHER_NAMES) & set(COMMANDS)
    assert suggest_name("Delete") == "del"


def test_names_that_mean_nothing_get_the_list() -> None:
    assert suggest_name("zzzzzzzz") is None
    assert suggest_name("") is None
    hint = refused("zzzzzzzz").hint
    assert hint is not None
    assert "strlen" in hint


def test_a_hostile_name_is_not_repeated_at_length() -> None:
    error = refused("x" * 1_000_000)
    assert len(error.message) < 100
    assert "\n" not in refused("a\nb\x1b[31m").message


@pytest.mark.parametrize("spec", specs_by_name(), ids=lambda spec: str(spec.name))
def test_wrong_numbers_of_arguments_show_the_syntax(spec: CommandSpec) -> None:
    wrong = [count for count in range(6) if not spec.arity.accepts(count)]
    assert wrong
    for count in wrong:
        error = refused(spec.name, *[b"1"] * count)
        assert error.code == "wrong_arity"
        assert error.hint is not None
        assert spec.syntax in error.hint


def test_arity() -> None:
    assert [count for count in range(7) if Arity(2, None, step=2).accepts(count)] == [2, 4, 6]
    assert [count for count in range(7) if Arity(1, 3).accepts(count)] == [1, 2, 3]


@pytest.mark.parametrize(
    "spec", [spec for spec in specs_by_name() if spec.arity.minimum], ids=lambda spec: spec.name
)
def test_bad_keys_are_refused_wherever_they_stand(spec: CommandSpec) -> None:
    """Hazard B67: LMDB takes no empty key and none over 511 bytes; the log must never hold one."""
    count = spec.arity.minimum
    if spec.arity.maximum is None and (spec.keys.stop is None or not count):
        count += spec.arity.step
    for position in range(count)[spec.keys]:
        arguments = arguments_of(spec, count)
        for key in (b"", b"k" * (spec.key_bytes_max + 1), b"k" * 511, b"k" * 65536):
            arguments[position] = key
            failure = refused(spec.name, *arguments)
            assert failure.code == "bad_key"
            assert failure.message.startswith("a key " if spec.key_bytes_max == 480 else "a name ")
        arguments[position] = b"\x00" * spec.key_bytes_max
        parse(spec.name, arguments)


def test_large_values_are_refused() -> None:
    limits = Limits(value_bytes=10, command_bytes=40)
    assert parse("set", [b"k", b"v" * 10], limits=limits) == Set(b"k", b"v" * 10)
    for name, arguments in {
        "set": [b"k", b"v" * 11],
        "append": [b"k", b"v" * 11],
        "mset": [b"a", b"", b"b", b"v" * 11],
        "incrby": [b"k", b"1" * 11],
    }.items():
        assert refused(name, *arguments, limits=limits).code == "too_large"


def test_a_key_may_be_longer_than_a_value() -> None:
    parse("get", [b"k" * 20], limits=Limits(value_bytes=10))


def test_large_commands_are_refused() -> None:
    pairs = [b"key", b"v" * 10] * 4
    assert type(parse("mset", pairs, limits=Limits(value_bytes=10, command_bytes=52))) is MultiSet
    assert refused("mset", *pairs, limits=Limits(value_bytes=10, command_bytes=51)).code == "too_large"
    parse("mget", [b"k"] * KEYS_PER_COMMAND_MAX)
    assert refused("mget", *[b"k"] * (KEYS_PER_COMMAND_MAX + 1)).code == "too_large"


@pytest.mark.parametrize("name", ["value_bytes", "command_bytes"])
def test_limits_have_ceilings(name: str) -> None:
    ceiling = {"value_bytes": VALUE_BYTES_CEILING, "command_bytes": COMMAND_BYTES_CEILING}[name]
    Limits(**{name: ceiling})
    for wrong in (0, -1, ceiling + 1):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: wrong})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"+1",
        b"01",
        b"-0",
        b" 1",
        b"1 ",
        b"1_0",
        b"1.0",
        b"0x1",
        b"nan",
        b"inf",
        b"9" * 5000,
        b"\xd9\xa1",
    ],
)
def test_only_the_canonical_spelling_is_an_integer(text: bytes) -> None:
    assert parse_integer(text) is None
    assert refused("incrby", b"k", text).code == "bad_request"


def test_integers_have_64_bits() -> None:
    for value in (INTEGER_MIN, -1, 0, 1, INTEGER_MAX):
        assert parse("incrby", [b"k", b"%d" % value]) == IncrementBy(b"k", value)
    for value in (INTEGER_MIN - 1, INTEGER_MAX + 1):
        assert refused("incrby", b"k", b"%d" % value).code == "bad_request"


@given(st.integers(-(2**70), 2**70))
def test_integers_are_read_as_they_are_written(value: int) -> None:
    expected = value if INTEGER_MIN <= value <= INTEGER_MAX else None
    assert parse_integer(b"%d" % value) == expected


@pytest.mark.parametrize("argument", ["text", bytearray(b"v"), 1, None])
def test_only_byte_strings_are_arguments(argument: object) -> None:
    """Hazard B67: text in the log could not be decoded by any replica."""
    assert refused("set", b"k", argument).code == "bad_request"  # type: ignore[arg-type]


@given(
    NAMES, st.lists(st.one_of(KEYS, st.integers(-1000, 1000).map(lambda number: b"%d" % number)), max_size=6)
)
def test_parse_gives_a_command_or_a_refusal_and_unparse_gives_it_back(
    name: str, arguments: list[bytes]
) -> None:
    try:
        command: Command = parse(name, arguments)
    except RequestRefused:
        return
    assert parse(*unparse(command)) == command
    if name not in (
        "incr",
        "decr",
        "set",
        "scan",
        "expire",
        "lock",
        "renew",
        "fence",
        "locks",
        "enqueue",
        "queues",
    ):
        assert unparse(command) == (name, arguments)


def test_reads_and_writes() -> None:
    reads = [spec.name for spec in specs_by_name() if spec.access is Access.READ]
    assert reads == [
        *("dbsize", "exists", "fence", "get", "keys", "lockinfo", "locks", "mget", "peek", "ping", "qget"),
        *("qinfo", "qlen", "queues", "scan", "strlen", "ttl"),
    ]


def test_a_set_may_name_a_fence() -> None:
    words = [b"k", b"v", b"px", b"5", b"NX", b"fence", b"report", b"65536"]
    command = parse("set", words)
    assert command == FencedSet(b"k", b"v", b"report", 65536, 5, Condition.IF_MISSING)
    assert parse(*unparse(command)) == command
    for wrong in ([b"FENCE", b"n"], [b"FENCE", b"n", b"x"], [b"FENCE", b"n", b"0"]):
        assert refused("set", b"k", b"v", *wrong).code == "bad_request"
    for wrong in ([b"FENCE"], [b"FENCE", b"n" * 201, b"7"]):
        assert refused("set", b"k", b"v", *wrong).code == "bad_key"


@pytest.mark.parametrize(
    ("options", "ttl_ms", "condition"),
    [
        ([], NO_TTL, Condition.ALWAYS),
        ([b"EX", b"60"], 60_000, Condition.ALWAYS),
        ([b"px", b"1"], 1, Condition.ALWAYS),
        ([b"KeepTTL"], KEEP_TTL, Condition.ALWAYS),
        ([b"nx"], NO_TTL, Condition.IF_MISSING),
        ([b"XX"], NO_TTL, Condition.IF_PRESENT),
        ([b"XX", b"EX", b"5"], 5_000, Condition.IF_PRESENT),
        ([b"PX", b"%d" % TTL_MS_MAX, b"NX"], TTL_MS_MAX, Condition.IF_MISSING),
        ([b"KEEPTTL", b"xx"], KEEP_TTL, Condition.IF_PRESENT),
    ],
)
def test_options_of_set_come_in_any_case_and_order(
    options: list[bytes], ttl_ms: int, condition: Condition
) -> None:
    command = parse("set", [b"k", b"v", *options])
    assert command == Set(b"k", b"v", ttl_ms, condition)
    assert parse(*unparse(command)) == command


@pytest.mark.parametrize(
    "options",
    [
        [b"EX"],
        [b"EX", b"NX"],
        [b"EX", b"x"],
        [b"EX", b"0"],
        [b"PX", b"-1"],
        [b"EX", b"1.5"],
        [b"EX", b"%d" % (TTL_MS_MAX // 1000 + 1)],
        [b"PX", b"%d" % (TTL_MS_MAX + 1)],
        [b"EX", b"%d" % 2**63],
        [b"NX", b"XX"],
        [b"NX", b"NX"],
        [b"KEEPTTL", b"KEEPTTL"],
        [b"KEEPTTL", b"EX", b"5"],
        [b"EX", b"5", b"KEEPTTL"],
        [b"GET"],
        [b"", b""],
        [b"60"],
    ],
    ids=repr,
)
def test_other_options_of_set_are_refused(options: list[bytes]) -> None:
    error = refused("set", b"k", b"v", *options)
    assert error.code == "bad_request"
    assert error.hint is not None


def test_arguments_of_the_new_kinds() -> None:
    assert parse("cas", [b"k", b"7", b"v"]) == CompareAndSet(b"k", 7, b"v")
    assert parse("expire", [b"k", b"60"]) == ExpireAfter(b"k", 60_000)
    assert parse("expire", [b"k", b"-5"]) == ExpireAfter(b"k", 0)
    assert parse("keys", [b""]) == Keys(b"")
    assert parse("scan", []) == Scan(b"", b"", SCAN_LIMIT_DEFAULT)
    assert parse("scan", [b"p"]) == Scan(b"p", b"", SCAN_LIMIT_DEFAULT)
    assert parse("scan", [b"p", b"pa"]) == Scan(b"p", b"pa", SCAN_LIMIT_DEFAULT)
    assert parse("scan", [b"p", b"pa", b"1000"]) == Scan(b"p", b"pa", SCAN_LIMIT_MAX)
    for name, arguments, code in (
        ("cas", [b"k", b"-1", b"v"], "bad_request"),
        ("cas", [b"k", b"x", b"v"], "bad_request"),
        ("expire", [b"k", b"soon"], "bad_request"),
        ("expire", [b"k", b"%d" % (2**63 - 1)], "bad_request"),
        ("scan", [b"", b"", b"0"], "bad_request"),
        ("scan", [b"", b"", b"1001"], "bad_request"),
        ("scan", [b"", b"", b"all"], "bad_request"),
        ("scan", [b"k" * 481], "bad_key"),
        ("scan", [b"", b"k" * 481], "bad_key"),
        ("keys", [b"k" * 481], "bad_key"),
    ):
        assert refused(name, *arguments).code == code, (name, arguments)


def test_a_transaction_is_made_of_commands_by_name() -> None:
    made = build_transaction(
        [("SET", [b"a", b"1"]), ("get", [b"a"])], watched=[(b"k", 7), (b"l", 0)], mode=Mode.ATOMIC
    )
    assert made == TransactionOperation((Set(b"a", b"1"), Get(b"a")), ((b"k", 7), (b"l", 0)), Mode.ATOMIC)
    assert build_transaction([]) == TransactionOperation(())


@pytest.mark.parametrize(
    ("commands", "watched", "code", "message"),
    [
        ([("ping", []), ("sett", [])], [], "unknown_command", "command 2: unknown command 'sett'"),
        ([("get", [])], [], "wrong_arity", "command 1: wrong number of arguments for 'get'"),
        ([("get", [b""])], [], "bad_key", "command 1: a key must not be empty"),
        ([("set", [b"k", b"v" * 11])], [], "too_large", "command 1: a value has 11 bytes: the limit is 10"),
        ([("set", [b"k", b"v" * 9])] * 3, [], "too_large", "the transaction has 30 bytes: the limit is 25"),
        ([], [(b"", 1)], "bad_key", "a watched key has 0 bytes, not 1 to 480"),
        ([], [(b"k" * 481, 1)], "bad_key", "a watched key has 481 bytes, not 1 to 480"),
        ([], [(b"k", -1)], "bad_request", "a watched revision is 0 or above, and below 2^63"),
        ([], [(b"k", 2**63)], "bad_request", "a watched revision is 0 or above, and below 2^63"),
        ([], [(b"k" * 20, 0)] * 2, "too_large", "the transaction has 40 bytes: the limit is 25"),
        ([("ping", [])] * 2_049, [], "too_large", "touches at least 2049 keys: the limit is 2048"),
    ],
)
def test_what_is_wrong_with_a_transaction_is_said_with_the_place(
    commands: list[tuple[str, list[bytes]]], watched: list[tuple[bytes, int]], code: str, message: str
) -> None:
    with pytest.raises(RequestRefused) as raised:
        build_transaction(commands, watched=watched, limits=Limits(value_bytes=10, command_bytes=25))
    assert raised.value.code == code
    assert message in raised.value.message


def test_what_a_transaction_names_bounds_its_time() -> None:
    commands: tuple[Command, ...] = (
        *(Ping(), MultiGet(()), MultiGet((b"a", b"b", b"c")), MultiSet(((b"a", b""), (b"b", b"")))),
        *(Scan(b"", b"", 50), Keys(b""), DatabaseSize()),
    )
    assert keys_named(TransactionOperation(commands, ((b"w", 1),))) == 1 + 1 + 1 + 3 + 2 + 1 + 1 + 1


def test_operations_grow_if_what_is_in_them_does() -> None:
    """Who is short of space can still delete, and begin the session that the delete is sent in."""
    name, write, end = b"s" * 16, Set(b"k", b"v"), Delete(b"k")
    growing: tuple[ClientOperation, ...] = (
        write,
        GetSet(b"k", b"v"),
        TransactionOperation((end, write)),
        SessionOperation(name, 1, 1, write),
    )
    others: tuple[ClientOperation, ...] = (
        *(
            end,
            ExpireAfter(b"k", 1),
            RemoveExpiry(b"k"),
            TransactionOperation((end, Get(b"k"))),
            TransactionOperation(()),
        ),
        *(SessionOperation(name, 1, 1, end), RegisterSession(name), CloseSession(name)),
        SessionOperation(name, 1, 1, TransactionOperation((end,))),
    )
    assert all(grows(operation) for operation in growing)
    assert not any(grows(operation) for operation in others)


def test_only_a_reading_command_needs_no_entry() -> None:
    assert all(is_read(command) for command in (Get(b"k"), TimeToLive(b"k"), Keys(b""), Ping()))
    name = b"s" * 16
    for operation in (
        *(Set(b"k", b"v"), TransactionOperation((Get(b"k"),)), SessionOperation(name, 1, 1, Get(b"k"))),
        *(RegisterSession(name), CloseSession(name)),
    ):
        assert not is_read(operation)


def test_the_table_is_light_to_import() -> None:
    """A one-shot command pays for this import before it can do anything."""
    code = "import sys, raftdb.commands.spec; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = done.stdout.split()
    assert not set(loaded) & {
        "cbor2",
        "asyncio",
        "aiohttp",
        "difflib",
        "json",
        "logging",
        "raftdb.core",
        "raftdb.wire",
    }


@pytest.mark.parametrize("name", ["get", "GET", "Get"])
def test_a_refusal_calls_a_command_what_its_caller_called_it(name: str) -> None:
    with pytest.raises(RequestRefused, match=f"wrong number of arguments for '{name}'"):
        parse(name, [])


def test_a_failure_within_a_transaction_names_its_command_as_it_was_called() -> None:
    error = called_by_name(ReplyError("no", hint="yes", failed_command=1), ["set", "INCR"])
    assert (error.message, error.hint, error.failed_command) == ("command 2 (INCR): no", "yes", 1)
    whole = ReplyError("too many")
    assert called_by_name(whole, ["set"]) is whole
