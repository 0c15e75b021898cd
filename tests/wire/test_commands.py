"""Commands in the log: all of them, there and back, in the same bytes everywhere; and nothing else is decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.limits import COMMAND_BYTES_CEILING, KEYS_PER_COMMAND_MAX, VALUE_BYTES_CEILING
from raftdb.machine.batches import Exists, MultiGet, MultiSet
from raftdb.machine.connection import Ping
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import SetRange
from raftdb.machine.entries import BODY_BYTES_MAX, encode, stamp
from raftdb.machine.entries import decode as decode_entry
from raftdb.machine.expiry import ExpireAfter, RemoveExpiry, TimeToLive
from raftdb.machine.forms import FORMS
from raftdb.machine.operations import Operation
from raftdb.machine.revisions import CompareAndSet
from raftdb.machine.scanning import DatabaseSize, Keys, Scan
from raftdb.machine.service import Command
from raftdb.machine.services import COMMAND_TYPES, OPERATIONS
from raftdb.machine.strings import KEEP_TTL, Condition, Get, GetSet, Set
from raftdb.wire import cbor
from tests.wire.strategies import PLAIN_VALUES, commands, exactly_equal


def decode(body: bytes) -> Operation:
    """What stands in an entry with this body."""
    return decode_entry(stamp(body, 0))[1]


def test_every_command_type_has_a_form() -> None:
    assert set(FORMS) == {*COMMAND_TYPES, *OPERATIONS}
    for type_, form in FORMS.items():
        assert tuple(field.name for field in form.fields) == type_.__slots__


def test_numbers_in_the_log_never_change() -> None:
    """Entries of years ago are read by these numbers."""
    names = [type_.__name__ for type_ in COMMAND_TYPES]
    assert names[:18] == [
        *(
            "Ping",
            "Get",
            "Set",
            "Strlen",
            "Delete",
            "Append",
            "Exists",
            "IncrementBy",
            "MultiGet",
            "MultiSet",
        ),
        *(
            "GetSet",
            "CompareAndSet",
            "ExpireAfter",
            "RemoveExpiry",
            "TimeToLive",
            "Keys",
            "Scan",
            "DatabaseSize",
        ),
    ]
    assert list(Condition) == [Condition.ALWAYS, Condition.IF_MISSING, Condition.IF_PRESENT] == [0, 1, 2]
    forms: dict[Command, str] = {
        Set(b"k", b"v"): "83 03 416b 4176",
        Set(b"k", b"v", 1000): "86 03 416b 4176 1903e8 00 00",
        Set(b"k", b"v", KEEP_TTL, Condition.IF_PRESENT): "86 03 416b 4176 20 02 00",
        Set(b"k", b"v", condition=Condition.IF_MISSING): "86 03 416b 4176 00 01 00",
        Ping(): "81 01",
        IncrementBy(b"k", -1): "83 08 416b 20",
        MultiSet(((b"a", b""), (b"b", b"c"))): "82 0a 84 4161 40 4162 4163",
        GetSet(b"k", b"v"): "83 0b 416b 4176",
        CompareAndSet(b"k", 7, b"v"): "84 0c 416b 07 4176",
        ExpireAfter(b"k", 60_000): "83 0d 416b 19ea60",
        RemoveExpiry(b"k"): "82 0e 416b",
        TimeToLive(b"k"): "82 0f 416b",
        Keys(b"k"): "82 10 416b",
        Scan(b"k", b"", 100): "84 11 416b 40 1864",
        DatabaseSize(): "81 12",
        SetRange(b"k", 6, b"v"): "84 13 416b 06 4176",
    }
    assert {command: encode(command).hex() for command in forms} == {
        command: form.replace(" ", "") for command, form in forms.items()
    }


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
        [0],
        [63],
        [-1],
        [2**64 - 1],
        [True],
        [1.0],
        [None],
        [[1]],
        [{}],
        [1, b"more"],
        [3, b"key", b"value", 5],
        [3, b"key", b"value", 0, 0, 0],
        [3, b"key", b"value", 5, 3, 0],
        [3, b"key", b"value", 5, -1, 0],
        [3, b"key", b"value", 5, False, 0],
        [3, b"key", b"value", 5.0, 1, 0],
        [3, b"key", b"value", 5, 1],
        [3, b"key", b"value", 5, 1, 2],
        [3, b"key", b"value", 5, 1, 1, 1],
        [12, b"key", -1, b"value"],
        [17, b"prefix", b"after", b"100"],
        [2],
        [2, "text"],
        [2, None],
        [3, b"key"],
        [3, b"key", 5],
        [3, b"key", b"value", b"more"],
        [7, b"key"],
        [7, [b"key", "text"]],
        [8, b"key", True],
        [8, b"key", 1.0],
        [10, [b"key"]],
        [10, [[b"key", b"value"]]],
        {"version": 1},
        b"bytes",
        None,
    ],
    ids=repr,
)
def test_other_forms_are_refused(parts: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(cbor.encode(parts))


@given(st.lists(PLAIN_VALUES, max_size=5), st.integers(0, 20))
def test_any_fields_are_those_of_a_command_or_refused(fields: list[object], number: int) -> None:
    try:
        command = decode(cbor.encode([number, *fields]))
    except RemoteProtocolError:
        return
    assert type(command) is COMMAND_TYPES[number - 1]


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
        Set(b"k", b"v", 2**63),
        Set(b"k", b"v", 1.5),  # type: ignore[arg-type]
        Set(b"k", b"v", 1, 3),  # type: ignore[arg-type]
        CompareAndSet(b"k", -1, b"v"),
        CompareAndSet(b"k", True, b"v"),
        Scan(b"", "text", 1),  # type: ignore[arg-type]
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
        Set(b"k", bytes(BODY_BYTES_MAX)),
        MultiGet((b"k",) * (2 * KEYS_PER_COMMAND_MAX + 1)),
        MultiSet(((b"k", b"v"),) * (KEYS_PER_COMMAND_MAX + 1)),
    ):
        with pytest.raises(RequestRefused) as refused:
            encode(command)
        assert refused.value.code == "too_large"
