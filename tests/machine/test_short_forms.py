"""The direct way to and from the bytes of short commands gives what the general way gives, for anything."""

import random

import pytest

from raftdb.errors import RemoteProtocolError
from raftdb.machine import entries, forms
from raftdb.machine.counters import IncrementBy
from raftdb.machine.locks.holding import Lock, Renew, Unlock
from raftdb.machine.locks.records import LockMode
from raftdb.machine.queues.putting import Enqueue
from raftdb.machine.queues.taking import Dequeue, Receive
from raftdb.machine.service import Command
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


def general(data: bytes) -> object:
    """What the general way makes of `data`; None if it refuses it."""
    try:
        parts = cbor.decode(data, bytes_max=1 << 20, items_max=1000)
        return forms.from_parts(parts) if type(parts) is list else None
    except RemoteProtocolError:
        return None


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
    seeds = [cbor.encode(forms.to_parts(command)) for command in COMMANDS if len(repr(command)) < 600]
    taken = 0
    for _ in range(20_000):
        data = bytearray(draw.choice(seeds))
        change = draw.randrange(4)
        if change == 0:
            del data[draw.randrange(len(data)) :]
        elif change == 1:
            data += draw.randbytes(draw.randrange(1, 4))
        for _ in range(draw.randrange(3) if data else 0):
            data[draw.randrange(min(len(data), 8))] = draw.randrange(256)
        found = decode_short(bytes(data), 0)
        taken += found is not None
        assert found is None or found == general(bytes(data))
    assert taken > 1000
