"""Commands in the log: all of them, there and back, in the same bytes everywhere; and nothing else is decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.commands.limits import COMMAND_BYTES_CEILING, KEYS_PER_COMMAND_MAX, VALUE_BYTES_CEILING
from raftdb.commands.model import (
    COMMAND_TYPES,
    Command,
    Exists,
    Get,
    IncrementBy,
    MultiGet,
    MultiSet,
    Ping,
    Set,
)
from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.wire import cbor
from raftdb.wire.commands import COMMAND_BYTES_MAX, FORMS, VERSION, decode, encode
from tests.wire.strategies import HOSTILE_BYTES, PLAIN_VALUES, commands, exactly_equal


def test_every_command_type_has_a_form() -> None:
    assert set(FORMS) == set(COMMAND_TYPES)
    for type_, form in FORMS.items():
        assert form.names == type_.__slots__
        assert len(form.checks) == len(form.names)


def test_numbers_in_the_log_never_change() -> None:
    """Entries of years ago are read by these numbers."""
    names = [type_.__name__ for type_ in COMMAND_TYPES]
    assert names[:10] == [
        *("Ping", "Get", "Set", "Strlen", "Delete", "Append", "Exists", "IncrementBy", "MultiGet", "MultiSet")
    ]
    assert encode(Set(b"k", b"v")) == bytes.fromhex("8401 03 416b 4176")
    assert encode(Ping()) == bytes.fromhex("820101")
    assert encode(IncrementBy(b"k", -1)) == bytes.fromhex("8401 08 416b 20")
    assert encode(MultiSet(((b"a", b""), (b"b", b"c")))) == bytes.fromhex("8301 0a 84 4161 40 4162 4163")


@given(commands())
def test_commands_come_back_with_their_types(command: Command) -> None:
    data = encode(command)
    back = decode(data)
    assert exactly_equal(back, command)
    assert encode(back) == data


@given(commands(), commands())
def test_different_commands_have_different_bytes(left: Command, right: Command) -> None:
    assert (encode(left) == encode(right)) == (left == right)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [VERSION],
        [VERSION, 0],
        [VERSION, len(COMMAND_TYPES) + 1],
        [VERSION, True],
        [True, 1],
        [1.0, 1],
        [VERSION + 1, 1],
        [VERSION, 1, b"more"],
        [VERSION, 2],
        [VERSION, 2, "text"],
        [VERSION, 2, None],
        [VERSION, 3, b"key"],
        [VERSION, 3, b"key", 5],
        [VERSION, 3, b"key", b"value", b"more"],
        [VERSION, 7, b"key"],
        [VERSION, 7, [b"key", "text"]],
        [VERSION, 8, b"key", True],
        [VERSION, 8, b"key", 1.0],
        [VERSION, 10, [b"key"]],
        [VERSION, 10, [[b"key", b"value"]]],
        {"version": 1},
        b"bytes",
        None,
    ],
    ids=repr,
)
def test_other_forms_are_refused(parts: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode(parts))


@given(PLAIN_VALUES | st.lists(PLAIN_VALUES | st.integers(1, 10), max_size=5))
def test_any_value_is_a_command_or_refused(value: object) -> None:
    parts = [VERSION, *value] if isinstance(value, list) else value
    try:
        command = decode(cbor.encode(parts))
    except RemoteProtocolError:
        return
    assert type(command) in COMMAND_TYPES


@given(st.binary(max_size=60))
def test_noise_is_a_command_or_refused(data: bytes) -> None:
    try:
        assert type(decode(data)) in COMMAND_TYPES
    except RemoteProtocolError:
        return


@given(commands(), HOSTILE_BYTES)
def test_trailing_bytes_are_refused(command: Command, trailing: bytes) -> None:
    if trailing:
        with pytest.raises(RemoteProtocolError):
            decode(encode(command) + trailing)


@pytest.mark.parametrize(
    "command",
    [
        Get("text"),  # type: ignore[arg-type]
        Set(b"k", bytearray(b"v")),  # type: ignore[arg-type]
        Set(b"k", None),  # type: ignore[arg-type]
        IncrementBy(b"k", True),
        IncrementBy(b"k", 1.0),  # type: ignore[arg-type]
        IncrementBy(b"k", 2**63),
        IncrementBy(b"k", -(2**63) - 1),
        IncrementBy(b"k", 2**64),
        Exists((b"k", "text")),  # type: ignore[arg-type]
        MultiSet(((b"k", "text"),)),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_could_not_be_decoded_is_not_encoded(command: Command) -> None:
    """Hazard B67: it would be committed, and stop every node for ever."""
    with pytest.raises(LocalProtocolError):
        encode(command)


def test_the_largest_commands_pass() -> None:
    value = Set(b"k" * 480, bytes(VALUE_BYTES_CEILING))
    assert decode(encode(value)) == value
    keys = tuple(b"%d" % number for number in range(KEYS_PER_COMMAND_MAX))
    assert decode(encode(MultiGet(keys))) == MultiGet(keys)
    share = COMMAND_BYTES_CEILING // KEYS_PER_COMMAND_MAX - 5
    pairs = MultiSet(tuple((key, bytes(share)) for key in keys))
    assert decode(encode(pairs)) == pairs


def test_too_large_commands_are_refused_before_the_log() -> None:
    for command in (
        Set(b"k", bytes(COMMAND_BYTES_MAX)),
        MultiGet((b"k",) * (2 * KEYS_PER_COMMAND_MAX + 1)),
        MultiSet(((b"k", b"v"),) * (KEYS_PER_COMMAND_MAX + 1)),
    ):
        with pytest.raises(RequestRefused) as refused:
            encode(command)
        assert refused.value.code == "too_large"
