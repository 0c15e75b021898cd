"""The direct way to and from the bytes of short commands gives what the general way gives, for anything."""

import random
from typing import Any

import pytest

from raftdb.errors import LocalProtocolError, RemoteProtocolError
from raftdb.machine import entries, forms
from raftdb.machine.counters import IncrementBy
from raftdb.machine.locks.holding import Lock, Renew, Unlock
from raftdb.machine.locks.records import LockMode
from raftdb.machine.operations import Operation, SessionOperation, UserOperation
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.service import Command
from raftdb.machine.sessions import RegisterSession
from raftdb.machine.short_forms import decode_short, encode_short
from raftdb.machine.strings import KEEP_TTL, Condition, Delete, Get, GetSet, Set
from raftdb.wire import cbor

LENGTHS = (0, 1, 23, 24, 25, 255, 256, 257, 4095, 4096, 65_535, 65_536)
TIMES = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1)
NUMBERS = (0, 1, 23, 24, -1, -24, -25, 255, -256, 2**63 - 1, -(2**63))

COMMANDS: list[Command] = [
    *(Set(b"k" * length, b"v" * (length // 2)) for length in LENGTHS),
    *(GetSet(b"k", b"v" * length) for length in LENGTHS),
    *(of(b"k" * length) for of in (Get, Delete) for length in LENGTHS),
    *(IncrementBy(b"k", number) for number in NUMBERS),
    *(Set(b"k", b"v", ttl_ms) for ttl_ms in (1, KEEP_TTL, 1000)),
    Set(b"k", b"v", 0, Condition.IF_MISSING),
    *(Enqueue(b"jobs", b"v" * length) for length in LENGTHS),
    *(
        Enqueue(b"jobs", b"v", delay, b"g", 9, b"d", b"u", ttl)
        for delay, ttl in zip(NUMBERS, TIMES, strict=True)
    ),
    *(Receive(b"jobs", count, 600_000, b"ana") for count in (1, 23, 24, 100)),
    *(of(b"jobs") for of in (Dequeue, Receive)),
    *(Unlock(b"gate", time) for time in TIMES),
    *(Renew(b"gate", 1 << 16, time) for time in TIMES),
    *(Lock(b"gate", mode, limit, owner=b"ana") for mode in LockMode for limit in (0, 24)),
]


WITHIN: list[Any] = [
    *(Set(b"k", b"v" * 64), Get(b"k" * 300), Receive(b"jobs"), Lock(b"gate", owner=b"ana")),
    RegisterSession(b"s", ttl_ms=7000),
]
OUTER: list[Operation] = [
    *(
        SessionOperation(name, sequence, acknowledged, command)
        for command in WITHIN[:-1]
        for name in (b"", b"s" * 16, b"s" * 300)
        for sequence, acknowledged in ((1, 0), (24, 23), (256, 255), (2**63 - 1, 2**32))
    ),
    *(
        UserOperation(user, revision, operation)
        for operation in (*WITHIN, SessionOperation(b"s" * 16, 2, 1, WITHIN[0]))
        for user in (b"", b"ana", b"u" * 64)
        for revision in (0, 24, 2**40)
    ),
]


def general(data: bytes) -> object:
    """What the general way makes of `data`; None if it refuses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "decode_short", lambda data, position: None)
        try:
            return entries.decode(entries.stamp(data, 0))[1]
        except RemoteProtocolError:
            return None


def generally_encoded(operation: Operation) -> bytes:
    """What the general way makes of an operation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "encode_short", lambda operation: None)
        return entries.encode(operation)


@pytest.mark.parametrize("operation", OUTER, ids=lambda operation: f"{operation!r:.60}")
def test_what_stands_in_a_session_or_is_for_a_user_goes_the_direct_way(operation: Operation) -> None:
    encoded = generally_encoded(operation)
    assert general(encoded) == operation
    assert encode_short(operation) in (None, encoded)
    assert decode_short(b"prefix" + encoded, 6) == operation
    assert entries.encode(operation) == encoded


@pytest.mark.parametrize("command", WITHIN[:2], ids=repr)
def test_the_hot_ones_are_encoded_directly_within_others(command: Command) -> None:
    inner = SessionOperation(b"s" * 16, 2, 1, command)
    for operation in (inner, UserOperation(b"ana", 7, inner), UserOperation(b"ana", 7, command)):
        assert encode_short(operation) == generally_encoded(operation)


def test_what_may_not_stand_within_another_is_left_to_the_general_way_which_refuses_it() -> None:
    inner = SessionOperation(b"s", 2, 1, Set(b"k", b"v"))
    whose = UserOperation(b"ana", 7, Set(b"k", b"v"))
    session: Any = RegisterSession(b"s", ttl_ms=7000)
    outer: list[Any] = [
        SessionOperation(b"s", 2, 1, inner),  # type: ignore[arg-type]
        SessionOperation(b"s", 2, 1, session),
        UserOperation(b"ana", 7, whose),
        UserOperation(b"ana", -1, Set(b"k", b"v")),
        SessionOperation(b"s", -1, 0, Set(b"k", b"v")),
    ]
    for operation in outer:
        assert encode_short(operation) is None
        with pytest.raises(LocalProtocolError):
            entries.encode(operation)
    head, body = cbor.encode([65, b"s", 2, 1]), encode_short(inner)
    assert body is not None
    nested = b"\x85" + head[1:] + body
    assert decode_short(nested, 0) is None
    assert general(nested) is None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command!r:.40}")
def test_both_ways_give_the_same_bytes_and_the_same_command(command: Command) -> None:
    encoded = cbor.encode(forms.to_parts(command))
    assert encode_short(command) in (None, encoded)
    assert decode_short(b"prefix" + encoded, 6) in (None, command)
    assert entries.encode(command) == encoded
    assert entries.decode(entries.stamp(encoded, 7)) == (7, command)


@pytest.mark.parametrize(
    "command",
    [
        *(Set(b"k", b"v" * 64), Get(b"k"), Delete(b"k"), IncrementBy(b"k", 1), IncrementBy(b"k", -1)),
        *(Enqueue(b"jobs", b"v" * 64), Receive(b"jobs"), Receive(b"jobs", 10, 600_000), Dequeue(b"jobs")),
        Unlock(b"gate", 1 << 32),
    ],
    ids=repr,
)
def test_the_hot_commands_go_the_direct_way(command: Command) -> None:
    encoded = encode_short(command)
    assert encoded is not None
    assert decode_short(encoded, 0) == command


def test_a_lock_is_decoded_directly() -> None:
    command = Lock(b"gate", owner=b"ana")
    assert decode_short(entries.encode(command), 0) == command


def test_a_field_of_a_wrong_type_is_refused_the_general_way() -> None:
    for bad in (Set("k", b"v"), Set(b"k", None), IncrementBy(b"k", True), IncrementBy(b"k", 1.0)):  # type: ignore[arg-type]
        assert encode_short(bad) is None
    for wrong in (Unlock(b"gate", -1), Unlock(b"gate", 2**63), Unlock(b"gate", None), Unlock(b"gate", True)):  # type: ignore[arg-type]
        assert encode_short(wrong) is None


def test_what_is_decoded_directly_is_what_the_general_way_decodes() -> None:
    """Bytes that are changed, cut, or go on are never taken for something else than they are."""
    draw = random.Random(2026)
    seeds = [generally_encoded(one) for one in (*COMMANDS, *OUTER) if len(repr(one)) < 600]
    taken = 0
    for _ in range(20_000):
        data = bytearray(draw.choice(seeds))
        change = draw.randrange(4)
        if change == 0:
            del data[draw.randrange(len(data)) :]
        elif change == 1:
            data += draw.randbytes(draw.randrange(1, 4))
        for _ in range(draw.randrange(3) if data else 0):
            data[draw.randrange(min(len(data), 24))] = draw.randrange(256)
        found = decode_short(bytes(data), 0)
        taken += found is not None
        assert found is None or found == general(bytes(data))
    assert taken > 1000
