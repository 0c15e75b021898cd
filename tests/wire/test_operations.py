"""Entries of the log: every operation there and back, in the same bytes everywhere; and nothing else is decoded."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftdb.errors import LocalProtocolError, RemoteProtocolError, RequestRefused
from raftdb.limits import COMMAND_BYTES_CEILING, TIME_MS_MAX, TRANSACTION_KEYS_MAX
from raftdb.machine.batches import MultiGet
from raftdb.machine.connection import Ping
from raftdb.machine.entries import (
    BODY_BYTES_MAX,
    PREFIX_BYTES,
    VERSION,
    decode,
    encode,
    session_payload,
    stamp,
)
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    SessionOperation,
    TransactionOperation,
    UserOperation,
    WaitingOperation,
)
from raftdb.machine.service import Command, ServiceOperation
from raftdb.machine.services import OPERATIONS
from raftdb.machine.session_records import SessionOwner
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.machine.users.service import (
    Presence,
    PutRole,
    PutToken,
    PutUser,
    RemoveRole,
    RemoveToken,
    RemoveUser,
)
from raftdb.wire import cbor
from tests.wire.strategies import HOSTILE_BYTES, exactly_equal, operations

NAME = b"s" * 16
TIMES = st.sampled_from([0, 1, TIME_MS_MAX]) | st.integers(0, TIME_MS_MAX)


def test_the_form_of_entries_never_changes() -> None:
    """Entries of years ago are read by it."""
    several = TransactionOperation((Get(b"a"), Set(b"b", b"c")), ((b"a", 5), (b"b", 0)), Mode.ATOMIC)
    several_form = "85 1840 01 84 4161 05 4162 00 00 82 82 02 4161 83 03 4162 4163"
    name_form = "50" + "73" * 16
    forms: list[tuple[Operation, str]] = [
        (Set(b"k", b"v"), "83 03 416b 4176"),
        (TransactionOperation(()), "85 1840 00 80 00 80"),
        (several, several_form),
        (
            SessionOperation(NAME, 300, 70_000, several),
            f"85 1841 {name_form} 19012c 1a00011170 {several_form}",
        ),
        (SessionOperation(NAME, 1, 1, Ping()), f"85 1841 {name_form} 01 01 81 01"),
        (RegisterSession(NAME), f"82 1842 {name_form}"),
        (RegisterSession(NAME, SessionOwner.NODE), f"84 1842 {name_form} 01 00"),
        (RegisterSession(NAME, ttl_ms=10_000), f"84 1842 {name_form} 00 192710"),
        (CloseSession(NAME), f"82 1843 {name_form}"),
        (KeepSession(NAME), f"82 184a {name_form}"),
        (KeepSession(NAME, 10_000), f"83 184a {name_form} 192710"),
        (Expire(), "81 1844"),
        (GuardedOperation((Fence(b"l", 7),), Ping()), "83 1845 81 83 1835 416c 07 81 01"),
        (
            SessionOperation(NAME, 1, 1, GuardedOperation((Fence(b"l", 7),), Ping())),
            f"85 1841 {name_form} 01 01 83 1845 81 83 1835 416c 07 81 01",
        ),
        (WaitingOperation(Ping()), "82 1850 81 01"),
        (
            WaitingOperation(SessionOperation(NAME, 1, 1, Ping())),
            f"82 1850 85 1841 {name_form} 01 01 81 01",
        ),
        (UserOperation(b"ana", 300, Ping()), "84 1851 43616e61 19012c 81 01"),
        (
            UserOperation(b"ana", 7, WaitingOperation(SessionOperation(NAME, 1, 1, Ping()))),
            f"84 1851 43616e61 07 82 1850 85 1841 {name_form} 01 01 81 01",
        ),
        (PutUser(b"ana", b"p", (b"r",)), "84 1852 43616e61 4170 8141 72"),
        (PutUser(b"ana", b"", (), Presence.PRESENT), "85 1852 43616e61 40 80 02"),
        (RemoveUser(b"ana"), "82 1853 43616e61"),
        (PutRole(b"r", (b"read keys a",)), "83 1854 4172 81 4b" + b"read keys a".hex()),
        (RemoveRole(b"r"), "82 1855 4172"),
        (PutToken(b"ana", b"t", NAME * 2, 5), "85 1856 43616e61 4174 5820" + "73" * 32 + "05"),
        (RemoveToken(b"ana", b"t"), "83 1857 43616e61 4174"),
    ]
    for operation, form in forms:
        assert encode(operation) == bytes.fromhex(form), operation
    assert stamp(b"body", 258) == bytes.fromhex("02 0000000000000102") + b"body"
    others = {*get_args(Operation), *OPERATIONS} - {Command, ServiceOperation}
    assert {type(operation) for operation, _ in forms} >= others
    assert list(Mode) == [Mode.REDIS, Mode.ATOMIC] == [0, 1]


@given(operations(), TIMES)
def test_operations_come_back_with_their_types_and_their_time(operation: Operation, time_ms: int) -> None:
    body = encode(operation)
    time_back, back = decode(stamp(body, time_ms))
    assert time_back == time_ms
    assert exactly_equal(back, operation)
    assert encode(back) == body


@given(operations(), operations())
def test_different_operations_have_different_bytes(left: Operation, right: Operation) -> None:
    assert (encode(left) == encode(right)) == (left == right)


@pytest.mark.parametrize("sequence", [1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1])
@pytest.mark.parametrize("session", [b"", NAME, b"s" * 24, b"s" * 300])
def test_the_payload_of_a_session_is_what_stands_in_it(sequence: int, session: bytes) -> None:
    for inner in (Set(b"k", b"v"), TransactionOperation((Ping(),), ((b"k", 3),))):
        operation = SessionOperation(session, sequence, max(1, sequence // 2), inner)
        assert session_payload(stamp(encode(operation), 7), operation) == encode(inner)


def entry(parts: object, *, version: int = VERSION, time_ms: int = 0) -> bytes:
    """An entry that need not be one of ours."""
    return bytes((version,)) + time_ms.to_bytes(8) + cbor.encode(parts)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        stamp(b"", 0),
        encode(Ping()),
        entry([1], version=1),
        entry([1], version=3),
        entry([1], time_ms=TIME_MS_MAX + 1),
        entry([1], time_ms=2**64 - 1),
    ],
    ids=repr,
)
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(data)


@pytest.mark.parametrize(
    "parts",
    [
        [63],
        [69],
        [64],
        [64, 0, []],
        [64, 0, [], []],
        [64, 0, [], -1, []],
        [64, 2, [], 0, []],
        [64, True, [], 0, []],
        [64, 0, [b"k"], 0, []],
        [64, 0, [b"k", -1], 0, []],
        [64, 0, ["k", 1], 0, []],
        [64, 0, [b"k", True], 0, []],
        [64, 0, [[b"k", 1]], 0, []],
        [64, 0, [], 0, [1]],
        [64, 0, [], 0, [[]]],
        [64, 0, [], 0, [[2]]],
        [64, 0, [], 0, [[64, 0, [], 0, []]]],
        [64, 0, [], 0, [[66, NAME]]],
        [64, 0, [], 0, [], []],
        [65, NAME, 1, 1],
        [65, NAME, 1, 1, []],
        [65, NAME, 1, 1, [66, NAME]],
        [65, NAME, 1, 1, [65, NAME, 1, 1, [1]]],
        [65, NAME, -1, 1, [1]],
        [65, NAME, 1, True, [1]],
        [65, "name", 1, 1, [1]],
        [65, NAME, 1, 1, b"\x81\x01"],
        [65, NAME, 1, 1, [64.0, 0, [], []]],
        [66],
        [66, 5],
        [67, NAME, NAME],
        [68, 0],
        [68.0],
        ["68"],
        [[68]],
    ],
    ids=repr,
)
def test_other_forms_are_refused(parts: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(entry(parts))


@given(operations(), HOSTILE_BYTES)
def test_trailing_bytes_are_refused(operation: Operation, trailing: bytes) -> None:
    if trailing:
        with pytest.raises(RemoteProtocolError):
            decode(stamp(encode(operation), 0) + trailing)


@pytest.mark.parametrize(
    "operation",
    [
        TransactionOperation((Get("text"),)),  # type: ignore[arg-type]
        TransactionOperation((), ((b"k", -1),)),
        TransactionOperation((), ((b"k", 2**63),)),
        TransactionOperation((), ((b"k", True),)),
        TransactionOperation((), (("k", 1),)),  # type: ignore[arg-type]
        TransactionOperation((), mode=2),  # type: ignore[arg-type]
        SessionOperation("name", 1, 1, Ping()),  # type: ignore[arg-type]
        SessionOperation(NAME, -1, 1, Ping()),
        SessionOperation(NAME, 1, 2**63, Ping()),
        SessionOperation(NAME, 1, 1, Get(5)),  # type: ignore[arg-type]
        RegisterSession(5),  # type: ignore[arg-type]
        CloseSession("name"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_could_not_be_decoded_is_not_encoded(operation: Any) -> None:
    """Hazard B67: it would be committed, and stop every node for ever."""
    with pytest.raises(LocalProtocolError):
        encode(operation)


def test_the_largest_operations_pass() -> None:
    """What the frontends admit can be encoded, and what is encoded can be decoded, up to the limits of both."""
    count = TRANSACTION_KEYS_MAX
    key_bytes = COMMAND_BYTES_CEILING // count
    keys = [b"%d" % number + bytes(key_bytes - 6) for number in range(100_000, 100_000 + count)]
    for transaction in (
        TransactionOperation(tuple(Set(key, b"", 2**50) for key in keys)),
        TransactionOperation((), tuple((key, 2**63 - 1) for key in keys)),
        TransactionOperation((MultiGet(tuple(keys[:1_000])), MultiGet(tuple(keys[:1_000])))),
    ):
        operation = SessionOperation(NAME, 2**63 - 1, 2**63 - 1, transaction)
        data = stamp(encode(operation), TIME_MS_MAX)
        assert decode(data)[1] == operation


def test_too_large_operations_are_refused_before_the_log() -> None:
    ping, key = (Ping(),), (b"k", 0)
    for operation in (
        TransactionOperation((Set(b"k", bytes(BODY_BYTES_MAX)),)),
        TransactionOperation(ping * (TRANSACTION_KEYS_MAX + 1)),
        TransactionOperation(ping * TRANSACTION_KEYS_MAX, (key,)),
        TransactionOperation((), (key,) * (TRANSACTION_KEYS_MAX + 1)),
        SessionOperation(NAME, 1, 1, TransactionOperation(ping * (TRANSACTION_KEYS_MAX + 1))),
    ):
        with pytest.raises(RequestRefused) as refused:
            encode(operation)
        assert refused.value.code == "too_large"
    assert PREFIX_BYTES == 9
