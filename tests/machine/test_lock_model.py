"""Locks against the model of the simulator, under random requests, sessions and time: every answer, and after each of
them who holds and who waits, under which token and until when."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Renew, Unlock, UnlockOwned
from raftdb.machine.locks.looking import LockInfo
from raftdb.machine.locks.records import LockMode, owner_in
from raftdb.machine.operations import (
    Expire,
    GuardedOperation,
    Mode,
    Operation,
    SessionOperation,
    TransactionOperation,
    WaitingOperation,
)
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.service import Command
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import FencedSet, Get, Set
from raftdb.simulation.model import Model
from raftdb.simulation.modelled import comparable
from tests.machine.database import MACHINE, Database, check_books

NAMES = (b"a", b"b", b"c")
names = st.sampled_from(NAMES)
owners = st.sampled_from([b"x", b"y", b"z"])
leases_ms = st.sampled_from([1_000, 1_000, 5_000, 30_000, 60_000])
modes = st.sampled_from([LockMode.EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.SHARED])
sessions = st.sampled_from([b"s" * 16, b"u" * 16])

locks: st.SearchStrategy[Command] = st.one_of(
    st.builds(Lock, names, modes, st.just(0), leases_ms, owners),
    st.builds(Lock, names, modes, st.just(0), leases_ms, owners),
    st.builds(Lock, st.just(b"c"), st.just(LockMode.LIMITED), st.sampled_from([1, 2]), leases_ms, owners),
)
nameless: st.SearchStrategy[Command] = st.builds(Lock, names, modes, st.just(0), leases_ms)
others: st.SearchStrategy[Command] = st.one_of(
    st.builds(UnlockOwned, names, owners),
    st.builds(LeaveLine, names, owners.map(lambda owner: owner_in(b"", owner))),
    st.builds(LockInfo, names),
    st.builds(Get, st.just(b"k")),
)
OF_A_TOKEN: list[Callable[[bytes, int], Operation]] = [
    Unlock,
    Unlock,
    Renew,
    lambda name, token: Renew(name, token, 5_000),
    Fence,
    lambda name, token: Fence(name, token, LockMode.SHARED),
    lambda name, token: FencedSet(b"k", b"fenced", name, token),
    lambda name, token: GuardedOperation((Fence(name, token),), Set(b"k", b"guarded")),
    lambda name, token: TransactionOperation(
        (Set(b"k", b"1"), Unlock(name, token), Lock(name, owner=b"x")), (), Mode.ATOMIC
    ),
    lambda name, token: TransactionOperation((Unlock(name, token), Unlock(name, token), Get(b"k"))),
]

session_ttls = st.sampled_from([0, 0, 1_000, 40_000])

STEPS: dict[str, st.SearchStrategy[Any]] = {
    "advance": st.sampled_from([1, 2, 999, 1_000, 1_001, 10_001, 30_001, 3_000_000]),
    "try": locks | others,
    "wait": locks,
    "in session": st.tuples(sessions, st.integers(1, 6), locks | nameless, st.booleans()),
    "of a token": st.tuples(st.integers(0, 3), st.sampled_from(OF_A_TOKEN)),
    "untold": st.one_of(
        st.just(Expire()),
        st.just(Expire()),
        st.builds(RegisterSession, sessions, ttl_ms=session_ttls),
        st.builds(KeepSession, sessions, session_ttls),
        st.builds(CloseSession, sessions),
    ),
}
KINDS = [
    *("advance",) * 3,
    *("try",) * 2,
    *("wait",) * 6,
    *("in session",) * 3,
    *("of a token",) * 4,
    "untold",
]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=15, max_size=40))
    return [(kind, draw(STEPS[kind])) for kind in kinds]


@settings(max_examples=60)
@given(histories())
def test_locks_do_what_the_model_does(steps: list[tuple[str, Any]]) -> None:
    database, model = Database(), Model()
    asked: dict[tuple[bytes, int], Command] = {}
    tokens: list[tuple[bytes, int]] = []

    def run(operation: Operation) -> None:
        reply = database.run(operation)
        told = model.apply(database.index, database.now_ms, operation)
        if not isinstance(operation, Expire | RegisterSession | KeepSession | CloseSession):
            index, said = database.index, reply
            if isinstance(reply, Repetition):
                index, said = reply.index, reply.reply
            value = comparable(said.value if isinstance(said, Result) else said)
            assert (value, index) == (told.value, told.index)
        for name in NAMES:
            seen = MACHINE.read(LockInfo(name), database.layer)
            assert isinstance(seen, Result)
            assert comparable(seen.value) == model.read(LockInfo(name))
            held = seen.value[7] if isinstance(seen.value, list) else []
            tokens.extend((name, hold[2]) for hold in held if (name, hold[2]) not in tokens)

    run(RegisterSession(b"s" * 16))
    for kind, what in steps:
        if kind == "advance":
            database.now_ms += what
        elif kind == "wait":
            run(WaitingOperation(what))
        elif kind == "of a token":
            place, make = what
            if place < len(tokens):
                run(make(*tokens[-1 - place]))
        elif kind == "in session":
            session, sequence, work, waits = what
            operation = SessionOperation(session, sequence, 1, asked.setdefault((session, sequence), work))
            run(WaitingOperation(operation) if waits else operation)
        else:
            run(what)
    check_books(database.layer)
    grants = [token for _, token in tokens]
    assert len(set(grants)) == len(grants)
    assert sorted(model.sessions) == [key[1:] for key, _ in database.layer.scan(b"s", b"t", limit=10)]
