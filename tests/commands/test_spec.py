"""The table of commands: every row is complete, and `parse` refuses what it must, with the right code."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.commands.limits import (
    COMMAND_BYTES_CEILING,
    KEY_BYTES_MAX,
    KEYS_PER_COMMAND_MAX,
    VALUE_BYTES_CEILING,
    Limits,
)
from raftdb.commands.model import (
    COMMAND_TYPES,
    INTEGER_MAX,
    INTEGER_MIN,
    Command,
    Delete,
    IncrementBy,
    MultiSet,
    Set,
    parse_integer,
)
from raftdb.commands.spec import (
    ACCESS,
    COMMANDS,
    GROWING,
    OTHER_NAMES,
    Access,
    Arity,
    CommandSpec,
    Group,
    lookup,
    parse,
    specs_by_group,
    specs_by_name,
    suggest_name,
    unparse,
)
from raftdb.errors import CODES, RequestRefused

KEYS = st.binary(min_size=1, max_size=KEY_BYTES_MAX)
NAMES = st.sampled_from(sorted(COMMANDS))


def refused(name: str, *arguments: bytes, limits: Limits | None = None) -> RequestRefused:
    """The error that `parse` raises."""
    with pytest.raises(RequestRefused) as raised:
        parse(name, arguments, limits=limits or Limits())
    assert raised.value.code in CODES
    return raised.value


def test_every_command_type_has_a_name() -> None:
    assert set(ACCESS) == set(COMMAND_TYPES)


def test_what_grows_is_every_write_but_a_delete() -> None:
    assert {type_ for type_ in COMMAND_TYPES if ACCESS[type_] is Access.WRITE} - {Delete} == GROWING
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
    arguments = [b"%d" % number for number in range(max(spec.arity.minimum, 0))]
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
    assert list(grouped) == list(Group)
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
    count = spec.arity.minimum if spec.arity.maximum else 2 * spec.arity.step
    for position in range(count)[spec.keys]:
        arguments = [b"1"] * count
        for key in (b"", b"k" * (KEY_BYTES_MAX + 1), b"k" * 511, b"k" * 65536):
            arguments[position] = key
            assert refused(spec.name, *arguments).code == "bad_key"
        arguments[position] = b"\x00" * KEY_BYTES_MAX
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
    if name not in ("incr", "decr"):
        assert unparse(command) == (name, arguments)


def test_reads_and_writes() -> None:
    reads = [spec.name for spec in specs_by_name() if spec.access is Access.READ]
    assert reads == ["exists", "get", "mget", "ping", "strlen"]


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
