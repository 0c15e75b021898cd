"""The locks of the model: lists of holds and places, and the effect of each command on them.

Each rule is written a second time, as in the rest of the model (`model`). Who waits for whom is a dictionary that is
made anew from the lists for every request, and followed without a bound.

What is over stays in the lists until somebody who comes later is in need of it, or the sweeper comes, as in the
machine: the token of the next holder tells when that was.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raftdb.limits import LOCK_FIRST_LEASE_MS
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import LeaveLine, Lock, Renew, Unlock, UnlockOwned
from raftdb.machine.locks.looking import LockInfo
from raftdb.machine.locks.records import LockMode, shown_owner
from raftdb.machine.service import Command
from raftdb.machine.session_records import shown_session
from raftdb.machine.strings import FencedSet
from raftdb.simulation.modelled import Failed, Failure

EXCLUSIVE, SHARED = LockMode.EXCLUSIVE, LockMode.SHARED
WORDS = {EXCLUSIVE: b"exclusive", SHARED: b"shared", LockMode.LIMITED: b"limited"}

SessionOfModel = tuple[bytes, int]
"""The name of a session, and the entry that began it."""


@dataclass(slots=True)
class Claim:
    """A hold, with its token and its end, or a place in a line."""

    owner: bytes
    mode: LockMode
    ttl_ms: int
    since_ms: int
    session: SessionOfModel | None
    token: int = 0
    ends_ms: int = 0

    def excludes(self, mode: LockMode) -> bool:
        """Whether nobody can hold the lock in this mode beside it."""
        return EXCLUSIVE in (self.mode, mode)


@dataclass(slots=True)
class LockOfModel:
    """A lock: its holders, the oldest first, and its line, the next one first."""

    limit: int = 0
    holders: list[Claim] = field(default_factory=list)
    line: list[Claim] = field(default_factory=list)


class Asking(NamedTuple):
    """In which session something is asked, and whether the sender waits until it has it."""

    session: SessionOfModel | None = None
    waits: bool = False


class LockModel:
    """All locks. `begin` tells of each entry; `ended` are the sessions that have ended, with the time."""

    def __init__(self) -> None:
        self.locks: dict[bytes, LockOfModel] = {}
        self.ended: dict[SessionOfModel, int] = {}
        self.freed: list[SessionOfModel] = []
        """The sessions that held or waited for nothing any more at some moment of the present entry."""
        self._clock_ms = 0
        self._entry = 0
        self._next_place: Callable[[], int] = lambda: 0

    def begin(self, index: int, clock_ms: int, next_place: Callable[[], int]) -> None:
        """What follows is of this entry."""
        self._entry, self._clock_ms, self._next_place = index, clock_ms, next_place
        self.freed = []

    def state(self) -> tuple[Any, ...]:
        """A copy of all that commands may change."""
        return deepcopy(self.locks), list(self.freed)

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go back to this state."""
        self.locks, self.freed = state

    def bound(self, session: SessionOfModel) -> int:
        """How many holds and places a session has."""
        return sum(
            claim.session == session for lock in self.locks.values() for claim in (*lock.holders, *lock.line)
        )

    def close(self, session: SessionOfModel) -> None:
        """A session has ended: what it has is over, and given back when the sweeper comes."""
        if self.bound(session):
            self.ended[session] = self._clock_ms + 1

    def run(self, command: Command, asking: Asking) -> Any:
        """The answer of a command. Raises `Failed`, and then nothing has changed."""
        before = self.state()
        try:
            return LOCK_RULES[type(command)](self, command, asking)
        except Failed:
            self.restore(before)
            raise
        finally:
            self.locks = {name: lock for name, lock in self.locks.items() if lock.holders or lock.line}

    def refuses(self, command: Command) -> bool:
        """Whether a command names a lock that is not held any more, so that its transaction is refused."""
        match command:
            case Unlock(name, token) | Renew(name, token):
                return self._held(name, token) is None
            case Fence(name, token, mode):
                return not self.is_fenced(name, token, mode)
            case FencedSet():
                return not self.is_fenced(command.lock, command.token, EXCLUSIVE)
        return False

    def is_fenced(self, name: bytes, token: int, mode: LockMode) -> bool:
        """Whether a lock is held under this token, alone or with `SHARED` in any way."""
        held = self._held(name, token)
        return held is not None and (held.mode is EXCLUSIVE or mode is not EXCLUSIVE)

    def expire(self) -> None:
        """End the leases that are over, and give back what sessions have left."""
        due = sorted(
            (hold.ends_ms, len(name), name, hold.token)
            for name, lock in self.locks.items()
            for hold in lock.holders
            if hold.ends_ms < self._clock_ms
        )
        for _, _, name, token in due:
            lock = self.locks[name]
            for hold in [hold for hold in lock.holders if hold.token == token]:
                self._release(lock, hold)
                self._hand_on(lock)
        for session in sorted(self.ended, key=lambda session: (self.ended[session], session)):
            if self.ended[session] < self._clock_ms:
                del self.ended[session]
                self._give_back(session)
        self.locks = {name: lock for name, lock in self.locks.items() if lock.holders or lock.line}

    def _give_back(self, session: SessionOfModel) -> None:
        claims = sorted(
            (is_place, len(claim.owner), claim.owner, name)
            for name, lock in self.locks.items()
            for is_place, several in enumerate((lock.holders, lock.line))
            for claim in several
            if claim.session == session
        )
        for is_place, _, owner, name in claims:
            lock = self.locks[name]
            for claim in [claim for claim in (lock.holders, lock.line)[is_place] if claim.owner == owner]:
                (self._leave if is_place else self._release)(lock, claim)
            self._hand_on(lock)

    def _is_over(self, claim: Claim) -> bool:
        return self._is_gone(claim) or claim.ends_ms < self._clock_ms

    def _is_gone(self, claim: Claim) -> bool:
        return claim.session in self.ended

    def _held(self, name: bytes, token: int) -> Claim | None:
        holders = self.locks.get(name, LockOfModel()).holders
        found = [hold for hold in holders if hold.token == token and not self._is_over(hold)]
        return found[0] if found else None

    def lock_of(self, name: bytes) -> LockOfModel:
        """The lock of this name, a free one if there is none. Raises `Failed` for a bad name."""
        if not 0 < len(name) <= 200:
            raise Failed(Failure("bad_key"))
        return self.locks.setdefault(name, LockOfModel())

    def _release(self, lock: LockOfModel, hold: Claim) -> None:
        lock.holders.remove(hold)
        self._note_freed(hold.session)

    def _leave(self, lock: LockOfModel, place: Claim) -> None:
        lock.line.remove(place)
        self._note_freed(place.session)

    def _note_freed(self, session: SessionOfModel | None) -> None:
        if session is not None and not self.bound(session):
            self.freed.append(session)

    def _settle(self, lock: LockOfModel) -> bool:
        over = [hold for hold in lock.holders if self._is_over(hold)]
        for hold in over:
            self._release(lock, hold)
        return bool(over)

    def _admits(self, lock: LockOfModel, mode: LockMode, owner: bytes) -> bool:
        others = [hold for hold in lock.holders if hold.owner != owner]
        if mode is LockMode.LIMITED:
            return len(lock.holders) < lock.limit
        return not any(hold.excludes(mode) for hold in others)

    def _grant(self, lock: LockOfModel, claim: Claim, lease_ms: int) -> Claim:
        """Let the owner of a claim hold the lock, instead of what it held."""
        token = (self._entry << 16) + self._next_place()
        hold = Claim(
            claim.owner,
            claim.mode,
            claim.ttl_ms,
            self._clock_ms,
            claim.session,
            token,
            self._clock_ms + lease_ms,
        )
        lock.holders.append(hold)
        return hold

    def _hand_on(self, lock: LockOfModel) -> None:
        while lock.line:
            first = lock.line[0]
            if self._is_gone(first):
                self._leave(lock, first)
                continue
            if not self._admits(lock, first.mode, first.owner):
                self._settle(lock)
            if not self._admits(lock, first.mode, first.owner):
                return
            for own in [hold for hold in lock.holders if hold.owner == first.owner]:
                self._release(lock, own)
            self._grant(lock, first, min(first.ttl_ms, LOCK_FIRST_LEASE_MS))
            self._leave(lock, first)

    def _answer(self, hold: Claim) -> list[Any]:
        return [hold.token, WORDS[hold.mode], hold.ends_ms]

    def lock(self, command: Lock, asking: Asking) -> Any:
        """Take a lock, or a place in its line."""
        limited = command.mode is LockMode.LIMITED
        is_bad = len(command.owner) > 100 or not 1_000 <= command.ttl_ms <= 86_400_000
        lock = self.lock_of(command.name)
        if is_bad or limited != (command.limit > 0) or not (command.owner or asking.session):
            raise Failed
        owner = command.owner or shown_session(required_session(asking.session)[0]).encode()
        if lock.limit != command.limit and (lock.holders or lock.line):
            self._settle(lock)
            self._hand_on(lock)
            if lock.holders or lock.line:
                raise Failed(Failure("conflict"))
        lock.limit = command.limit
        asked = Claim(owner, command.mode, command.ttl_ms, self._clock_ms, asking.session)
        for own in [hold for hold in lock.holders if hold.owner == owner]:
            if self._is_over(own):
                self._release(lock, own)
                self._hand_on(lock)
            elif own.mode in (command.mode, EXCLUSIVE):
                return self._renewed(own, asked)
        if self._stays(lock, asked):
            return None
        held = next((hold for hold in lock.holders if hold.owner == owner), None)
        if held is not None and held.mode in (command.mode, EXCLUSIVE):
            return self._renewed(held, asked)
        if not self._is_free(lock, asked, held) and self._settle(lock) and held is None:
            self._hand_on(lock)
        if self._is_free(lock, asked, held):
            if held is not None:
                self._release(lock, held)
            return self._answer(self._grant(lock, asked, command.ttl_ms))
        if asking.waits:
            self._stand(command.name, lock, asked, at_front=held is not None)
        return None

    def _renewed(self, own: Claim, asked: Claim) -> Any:
        before = own.session
        own.ttl_ms, own.ends_ms = asked.ttl_ms, self._clock_ms + asked.ttl_ms
        own.session = asked.session or before
        self._note_freed(before)
        return self._answer(own)

    def _stays(self, lock: LockOfModel, asked: Claim) -> bool:
        """Whether the request finds its place, and has it still after those at the front were served."""
        for place in [place for place in lock.line if place.owner == asked.owner]:
            if self._is_gone(place) or place.mode not in (asked.mode, EXCLUSIVE):
                self._leave(lock, place)
                self._hand_on(lock)
                return False
            before = place.session
            place.ttl_ms, place.session = asked.ttl_ms, asked.session or before
            self._note_freed(before)
            self._hand_on(lock)
        return any(place.owner == asked.owner for place in lock.line)

    def _is_free(self, lock: LockOfModel, asked: Claim, own: Claim | None) -> bool:
        return (own is not None or not lock.line) and self._admits(lock, asked.mode, asked.owner)

    def _stand(self, name: bytes, lock: LockOfModel, asked: Claim, *, at_front: bool) -> None:
        lock.line.insert(0 if at_front else len(lock.line), asked)
        if asked.mode is not LockMode.LIMITED and asked.owner in self._reached_from(asked.owner, name):
            raise Failed(Failure("deadlock"))
        self._next_place()

    def _reached_from(self, owner: bytes, name: bytes) -> set[bytes]:
        """All for whom an owner waits, directly or not, because of its place in the line of a lock."""
        edges: dict[bytes, set[bytes]] = {}
        for of, lock in self.locks.items():
            ahead = [hold for hold in lock.holders if not self._is_over(hold)]
            for place in [] if lock.limit else [one for one in lock.line if not self._is_gone(one)]:
                blockers = {one.owner for one in ahead if one.excludes(place.mode)} - {place.owner}
                if place.owner != owner or of == name:
                    edges.setdefault(place.owner, set()).update(blockers)
                ahead.append(place)
        reached: set[bytes] = set()
        frontier = [owner]
        while frontier:
            new = edges.get(frontier.pop(), set()) - reached
            reached |= new
            frontier += new
        return reached

    def renew(self, command: Renew, asking: Asking) -> Any:
        """Hold a lock longer."""
        self.lock_of(command.name)
        if command.ttl_ms and not 1_000 <= command.ttl_ms <= 86_400_000:
            raise Failed
        held = self._held(command.name, command.token)
        if held is None:
            return 0
        held.ttl_ms = command.ttl_ms or held.ttl_ms
        held.ends_ms = self._clock_ms + held.ttl_ms
        return 1

    def unlock(self, command: Unlock, asking: Asking) -> Any:
        """Give a lock back."""
        lock, held = self.lock_of(command.name), self._held(command.name, command.token)
        if held is None:
            return 0
        self._release(lock, held)
        self._hand_on(lock)
        return 1

    def unlock_owned(self, command: UnlockOwned, asking: Asking) -> Any:
        """Give back what an owner has."""
        lock = self.lock_of(command.name)
        for place in [place for place in lock.line if place.owner == command.owner]:
            self._leave(lock, place)
        own = [hold for hold in lock.holders if hold.owner == command.owner]
        for hold in own:
            self._release(lock, hold)
        self._hand_on(lock)
        return bool(own) and not self._is_over(own[0])

    def leave_line(self, command: LeaveLine, asking: Asking) -> Any:
        """Give a place up."""
        lock, owner = self.lock_of(command.name), shown_owner(command.owner)
        places = [place for place in lock.line if place.owner == owner]
        for place in places:
            self._leave(lock, place)
            self._hand_on(lock)
        own = [hold for hold in lock.holders if hold.owner == owner and not self._is_over(hold)]
        return None if places or not own else [*self._answer(own[0]), own[0].ends_ms - self._clock_ms]

    def lock_info(self, command: LockInfo, asking: Asking) -> Any:
        """Who holds a lock, and who waits for it."""
        lock = self.lock_of(command.name)
        holders = [
            [hold.owner, WORDS[hold.mode], hold.token, hold.since_ms, hold.ends_ms - self._clock_ms]
            for hold in lock.holders
            if not self._is_over(hold)
        ]
        line = [[one.owner, WORDS[one.mode], one.since_ms] for one in lock.line if not self._is_gone(one)]
        if not holders and not line:
            return None
        numbers = [b"limit", lock.limit, b"held", len(holders), b"waiting", len(line)]
        return [*numbers, b"holders", holders, b"line", line]


def required_session(session: SessionOfModel | None) -> SessionOfModel:
    """The session of a request that has one."""
    if session is None:
        raise Failed
    return session


LOCK_RULES: dict[type[Command], Callable[[LockModel, Any, Asking], Any]] = {
    Lock: LockModel.lock,
    Renew: LockModel.renew,
    Unlock: LockModel.unlock,
    UnlockOwned: LockModel.unlock_owned,
    LeaveLine: LockModel.leave_line,
    Fence: lambda model, command, asking: int(model.is_fenced(command.name, command.token, command.mode)),
    LockInfo: LockModel.lock_info,
}
"""The effect of each command."""
