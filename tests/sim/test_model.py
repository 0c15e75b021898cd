"""The model of the simulator and the machine say the same of random operations: two opinions that do not know each
other."""

import random

import pytest

from raftdb.commands.model import (
    Append,
    Command,
    CompareAndSet,
    Condition,
    DatabaseSize,
    Delete,
    Exists,
    ExpireAfter,
    Get,
    GetSet,
    IncrementBy,
    Keys,
    MultiGet,
    MultiSet,
    Persist,
    Scan,
    Set,
    Strlen,
    TimeToLive,
)
from raftdb.commands.operations import (
    CloseSession,
    Expire,
    Mode,
    Operation,
    RegisterSession,
    SessionOperation,
    Transaction,
)
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.transaction import Transaction as Layer
from raftdb.simulation.model import Model, comparable
from raftdb.wire.operations import encode, stamp
from tests.machine.views import DictionaryView

KEYS = (b"a", b"b", b"c")
SESSIONS = (b"s" * 16, b"u" * 16)
STEPS_MS = (0, 0, 1, 49, 50, 999, 5_000, 3_000_000)
"""The last is most of what a session may be idle."""
OPERATIONS = 40


def some_command(source: random.Random) -> Command:
    key, value = source.choice(KEYS), source.choice((b"", b"1", b"41", b"x"))
    ttl_ms = source.choice((-1, 0, 50, 1_000))
    commands: tuple[Command, ...] = (
        Get(key),
        Set(key, value, ttl_ms, source.choice(list(Condition))),
        Strlen(key),
        Delete(key),
        Append(key, value),
        Exists((key, source.choice(KEYS))),
        IncrementBy(key, source.randint(-5, 5)),
        MultiGet((key, b"b")),
        MultiSet(((key, value), (b"a", b"9"))),
        GetSet(key, value),
        CompareAndSet(key, source.randint(0, 9), value),
        ExpireAfter(key, ttl_ms),
        Persist(key),
        TimeToLive(key),
        Keys(b""),
        Scan(b"", key, 2),
        DatabaseSize(),
    )
    return source.choice(commands)


def some_work(source: random.Random) -> Command | Transaction:
    if source.random() < 0.7:
        return some_command(source)
    commands = tuple(some_command(source) for _ in range(source.randint(0, 4)))
    watched = tuple((source.choice(KEYS), source.randint(0, 9)) for _ in range(source.randint(0, 2)))
    return Transaction(commands, watched, source.choice(list(Mode)))


def some_operation(source: random.Random, before: list[Operation]) -> Operation:
    """Anything that may come next; often something in a session, often again what was there before."""
    chance, session = source.random(), source.choice(SESSIONS)
    if chance < 0.05:
        return Expire()
    if chance < 0.12:
        return RegisterSession(session)
    if chance < 0.14:
        return CloseSession(session)
    if chance > 0.5:
        return some_work(source)
    mine = [one for one in before if isinstance(one, SessionOperation) and one.session == session]
    if mine and source.random() < 0.4:
        return source.choice(mine)
    sequence = 1 + max((one.sequence for one in mine), default=0)
    return SessionOperation(session, sequence, max(1, sequence - source.randint(0, 3)), some_work(source))


@pytest.mark.parametrize("hundred", range(4))
def test_the_model_and_the_machine_agree(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        source = random.Random(seed)
        model, machine, layer = Model(), Machine(), Layer(DictionaryView())
        now_ms, operations = 0, list[Operation]()
        for index in range(1, OPERATIONS + 1):
            now_ms += source.choice(STEPS_MS)
            operation = some_operation(source, operations)
            operations.append(operation)
            reply = machine.apply(index, 1, stamp(encode(operation), now_ms), layer)
            told = model.apply(index, now_ms, operation)
            if isinstance(operation, Expire | RegisterSession | CloseSession):
                continue  # nobody acts on what these answer
            at, reply = (reply.index, reply.reply) if isinstance(reply, Repetition) else (index, reply)
            value = comparable(reply.value if isinstance(reply, Result) else reply)
            assert (value, at) == (told.value, told.index), (seed, index, operation)
