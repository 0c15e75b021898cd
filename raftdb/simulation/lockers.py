"""Simulated clients of locks: they ask for some, wait in lines, write under fences, renew and give back, in time or too
late; some forget what they hold, and some give their place up.

Nobody holds a request for them: who waits asks again, as a client does that has lost its connection, and finds its
place. Every answer is compared with the model (`answers`); what the locks promise is looked at apart from it
(`lock_witness`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from raftdb.errors import Deadlock
from raftdb.machine.editing import Append
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Renew, Unlock
from raftdb.machine.locks.looking import LockInfo
from raftdb.machine.locks.records import LockMode, owner_in
from raftdb.machine.operations import GuardedOperation, Mode, TransactionOperation, WaitingOperation
from raftdb.machine.strings import FencedSet
from raftdb.simulation.caller import AnswerToCheck, CallOutcome, Kind, World
from raftdb.simulation.paced import PacedClient
from raftdb.simulation.scheduler import MILLISECOND, Chance

LOCKS = (b"door", b"gate", b"hatch")
LIMITED = b"chairs"
CHAIRS = 2
LEASES_MS = (1_000, 2_000, 20_000)
FENCED = b"fenced-"
"""The beginning of keys that are written under the fence of a lock, with the token as the last thing in them."""
HELD_MAX = 3
"""Tokens that a client remembers, those that are over among them."""


class Token(NamedTuple):
    """What a client believes to hold."""

    name: bytes
    token: int
    is_exclusive: bool


class Locker(PacedClient):
    """One client of locks, with pauses between its requests, until it is told to stop. `deadlocks` counts refusals,
    `grants` tokens, and `fenced` refused writes."""

    def __init__(self, world: World, name: str, told: list[AnswerToCheck], *, with_session: bool) -> None:
        super().__init__(world, name, told, with_session=with_session)
        self.grants = self.deadlocks = self.fenced = 0
        self._owner = name.encode()
        self._tokens: list[Token] = []
        self._waits: list[Lock] = []

    def _note(self, ending: CallOutcome) -> None:
        if ending.kind is Kind.FAILED and ending.error is not None:
            self.deadlocks += isinstance(ending.error, Deadlock)
            self.fenced += ending.error.code == "fenced"

    def _proceed(self) -> None:
        chance = self._world.chance
        draw = chance.fraction()
        if self._waits and draw < 0.4:
            self._ask_again(chance)
        elif self._tokens and draw < 0.8:
            self._use(chance, chance.choose(self._tokens))
        else:
            self._acquire(chance)

    def _acquire(self, chance: Chance) -> None:
        ttl_ms = chance.choose(LEASES_MS)
        if chance.happens(0.2):
            self._lock(chance, Lock(LIMITED, LockMode.LIMITED, CHAIRS, ttl_ms, self._owner))
            return
        mode = LockMode.SHARED if chance.happens(0.5) else LockMode.EXCLUSIVE
        self._lock(chance, Lock(chance.choose(LOCKS), mode, 0, ttl_ms, self._owner))

    def _lock(self, chance: Chance, command: Lock) -> None:
        operation = command if chance.happens(0.2) else WaitingOperation(command)
        self._ask(operation, lambda ending: self._asked(command, ending, waits=operation is not command))

    def _asked(self, command: Lock, ending: CallOutcome, *, waits: bool) -> None:
        self._waits = [wait for wait in self._waits if wait.name != command.name]
        if ending.kind is Kind.ANSWERED and ending.value is not None:
            token, mode, _ = ending.value
            self._tokens = [*self._tokens[1 - HELD_MAX :], Token(command.name, token, mode == b"exclusive")]
            self.grants += 1
        elif waits and ending.kind in (Kind.ANSWERED, Kind.UNKNOWN):
            self._waits.append(command)
        self._pause()

    def _ask_again(self, chance: Chance) -> None:
        command = chance.choose(self._waits)
        if chance.happens(0.15):
            self._waits.remove(command)
            self._ask(LeaveLine(command.name, owner_in(b"", self._owner)))
            return
        if chance.happens(0.2):
            self._ask(LockInfo(command.name))
            return
        self._ask(WaitingOperation(command), lambda ending: self._asked(command, ending, waits=True))

    def _use(self, chance: Chance, held: Token) -> None:
        """Work under a lock, perhaps after a sleep beyond the lease."""
        delay_us = 0
        if chance.happens(0.2):
            delay_us = chance.choose(LEASES_MS[:2]) * MILLISECOND
        self._world.scheduler.after(delay_us, self._work, chance, held)

    def _work(self, chance: Chance, held: Token) -> None:
        if self.is_stopping:
            return
        name, token, is_exclusive = held
        note = Append(FENCED + name, b"%d." % token)
        mode = chance.choose((Mode.ATOMIC, Mode.REDIS))
        fence = Fence(name, token)
        if is_exclusive and chance.happens(0.5):
            writes: tuple[Callable[[], Any], ...] = (
                lambda: GuardedOperation((fence,), note),
                lambda: TransactionOperation((note, fence), (), mode),
                lambda: TransactionOperation((note, Unlock(name, token)), (), mode),
                lambda: FencedSet(FENCED + name, b"%d." % token, name, token),
            )
            maker: Callable[[], Any] = chance.choose(writes)
            self._ask(maker())
            return
        if chance.happens(0.5):
            self._tokens.remove(held) if held in self._tokens else None
            self._ask(Unlock(name, token))
            return
        others = (Renew(name, token), Renew(name, token, chance.choose(LEASES_MS)), LockInfo(name))
        self._ask(chance.choose(others))
