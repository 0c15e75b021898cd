"""Whether a wait would never end: a search of who waits for whom, over all locks, before a place is given.

An owner waits for those who hold what it asks for, and for those before it in the line, if they exclude one another. If
one of them waits in turn, directly or not, for the owner who asks, nobody of that cycle would ever be served. The one
whose request would close it is refused, and nobody else is touched. The graph had no cycle before, so one can only lead
through this request.

Most requests need no search: who holds nothing and waits nowhere else is waited for by nobody. If a search is not over
soon, and only a few wait for the owner who asks, it goes on with these: a cycle leads through nobody else. It looks at
two records for each owner that it comes to: the owner's places, and the lock of each. The others in a line are passed
by unless they wait elsewhere, too (they are *tangled*): those who wait only here wait for what is looked at anyway.

A search visits `VISITED_MAX` owners at most. Beyond that the request is refused, because nothing may wait unsearched.
Locks with a limit are outside: any of several holders may give way there.
"""

from typing import NamedTuple

from raftdb.errors import Deadlock, ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.line import is_gone, is_over
from raftdb.machine.locks.records import (
    LockMode,
    LockRecord,
    Wait,
    holds_of,
    load_hold,
    load_lock,
    load_place,
    load_waits,
    place_of,
    scan_holds,
    scan_line,
    scan_tangled,
    token_of,
)
from raftdb.machine.reply import shown_key

VISITED_MAX = 10_000
"""Owners that a search comes to, and holds and places that it looks through one by one."""
FIRST_MAX = 64
"""Owners that a search visits before it asks who waits for the one who began it."""
NEAR_MAX = 64
"""If those are no more, it goes on with these alone."""
STEPS_SHOWN = 5
"""Steps of a cycle that the message names; the error has them all."""

Cycle = tuple[tuple[bytes, bytes], ...]


def check_wait(view: KeyValueView, owner: bytes, wait: Wait, clock_ms: int) -> None:
    """Raise `Deadlock` if `owner` would wait for ever at a place that it is to get, and `ReplyError` (`too_large`) if
    that takes too long to find out."""
    void: list[_Claimed] = []
    while True:
        cycle = _Search(view, owner, wait, void).run()
        if cycle is None:
            return
        over = [claimed for claimed in _over(view, cycle, clock_ms) if claimed not in void]
        if not over:
            raise _deadlock(cycle)
        void += over


class _Claimed(NamedTuple):
    """A hold of a lock, or else a place in its line."""

    is_hold: bool
    owner: bytes
    lock: bytes


def _over(view: KeyValueView, cycle: Cycle, clock_ms: int) -> list[_Claimed]:
    """The holds and places in a cycle that are over and not swept yet."""
    over = []
    for (owner, lock), (blocker, _) in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        hold = load_hold(view, lock, token_of(view, blocker, lock))
        if hold is not None and is_over(view, hold, clock_ms):
            over.append(_Claimed(True, blocker, lock))
        for who in (owner,) if hold is not None else (owner, blocker):
            place = load_place(view, lock, place_of(view, who, lock))
            if place is not None and is_gone(view, place):
                over.append(_Claimed(False, who, lock))
    return over


def _deadlock(cycle: Cycle) -> Deadlock:
    steps = [f"{shown_key(owner)} for {shown_key(lock)}" for owner, lock in cycle[:STEPS_SHOWN]]
    more = f", and {len(cycle) - STEPS_SHOWN} more" if len(cycle) > STEPS_SHOWN else ""
    return Deadlock(
        f"this would wait for ever: {', '.join(steps)}{more} wait in a circle",
        cycle=cycle,
        hint="give back what is held, and take locks in the same order everywhere",
    )


class _Search:
    """One search, which begins with a place that `asker` is to get. `void` are holds and places that do not count."""

    def __init__(self, view: KeyValueView, asker: bytes, wait: Wait, void: list[_Claimed]) -> None:
        self._view, self._asker, self._wait = view, asker, wait
        self._void = dict.fromkeys(void)
        self._places = {place.lock: place for place in load_waits(view, asker)}
        self._holds = dict(holds_of(view, asker, limit=VISITED_MAX + 1))
        self._from: dict[bytes, tuple[bytes, bytes]] = {}
        """By owner that was reached: the one that waits for it, and for which lock."""
        self._frontier: list[bytes] = []
        self._holders_reached: dict[bytes, None] = {}
        self._relevant: dict[bytes, None] | None = None
        self._passed = 0

    def run(self) -> Cycle | None:
        """Return the cycle that the place would close, None if there is none."""
        if not self._places and not any(map(self._is_waited_for, self._holds)):
            return None
        self._pass(len(self._holds))
        # Whoever is behind the new place would wait for it.
        self._places[self._wait.lock] = self._wait
        self._expand(self._asker, self._wait)
        for visited, owner in enumerate(self._frontier):
            if visited == FIRST_MAX:
                self._relevant = self._waiting_for_asker()
            if self._relevant is not None and owner not in self._relevant:
                continue
            for wait in load_waits(self._view, owner):
                is_void = self._void and _Claimed(False, owner, wait.lock) in self._void
                if not is_void and self._expand(owner, wait):
                    return self._path((owner, wait.lock))
        return None

    def _is_waited_for(self, name: bytes) -> bool:
        lock = load_lock(self._view, name)
        return lock is not None and lock.waiting > 0

    def _waiting_for_asker(self) -> dict[bytes, None] | None:
        """All who may wait for the asker, directly or not, and the asker; None if they are more than a few. A cycle
        leads through nobody else."""
        found = {self._asker: None}
        frontier = [self._asker]
        for owner in frontier:
            holds = holds_of(self._view, owner, limit=NEAR_MAX + 1)
            lines: list[tuple[bytes, int | None]] = [(name, None) for name, _ in holds]
            lines += [(wait.lock, wait.number) for wait in load_waits(self._view, owner)]
            if len(lines) > NEAR_MAX:
                return None
            for name, after in lines:
                lock = load_lock(self._view, name)
                if lock is None or lock.waiting == 0 or lock.limit:
                    continue
                for _, claim in scan_line(self._view, name, limit=NEAR_MAX + 1, after=after):
                    if claim.owner not in found:
                        found[claim.owner] = None
                        frontier.append(claim.owner)
                if len(found) > NEAR_MAX:
                    return None
        return found

    def _path(self, step: tuple[bytes, bytes]) -> Cycle:
        """The steps from the asker to this last one."""
        path = [step]
        while path[-1][0] != self._asker:
            path.append(self._from[path[-1][0]])
        return tuple(reversed(path))

    def _expand(self, owner: bytes, wait: Wait) -> bool:
        """Reach all for whom `owner` waits at a place. Returns whether the asker is one of them."""
        lock = load_lock(self._view, wait.lock)
        if lock is None or lock.limit:
            return False
        is_near = wait.lock in self._holds or wait.lock in self._places
        if is_near and owner != self._asker and self._asker_blocks(wait):
            return True
        if LockMode.EXCLUSIVE in (lock.mode, wait.mode):
            self._reach_holders(owner, wait.lock, lock)
        if wait.mode == LockMode.EXCLUSIVE:
            if lock.tangled:
                self._reach_tangled(owner, wait.lock, wait.number)
        else:
            self._reach_past_exclusive(owner, wait, lock)
        return False

    def _asker_blocks(self, wait: Wait) -> bool:
        """Whether the asker holds the lock, or has a place before this one, in a way that excludes it."""
        held = self._holds.get(wait.lock)
        if _Claimed(True, self._asker, wait.lock) in self._void:
            held = None
        if held is not None and LockMode.EXCLUSIVE in (held, wait.mode):
            return True
        place = self._places.get(wait.lock)
        return (
            place is not None and place.number < wait.number and LockMode.EXCLUSIVE in (place.mode, wait.mode)
        )

    def _reach_holders(self, owner: bytes, name: bytes, lock: LockRecord) -> None:
        if name in self._holders_reached:
            return
        self._holders_reached[name] = None
        if lock.owner:
            self._reach_holder(owner, name, lock.owner)
            return
        holds = scan_holds(self._view, name, limit=VISITED_MAX + 1)
        self._pass(len(holds))
        for _, claim in holds:
            self._reach_holder(owner, name, claim.owner)

    def _reach_holder(self, owner: bytes, name: bytes, holder: bytes) -> None:
        if not self._void or _Claimed(True, holder, name) not in self._void:
            self._reach(owner, name, holder)

    def _reach_tangled(self, owner: bytes, name: bytes, end: int) -> None:
        """Reach those before a place who wait elsewhere, too."""
        numbers = scan_tangled(self._view, name, end=end, limit=VISITED_MAX + 1)
        self._pass(len(numbers))
        for number in numbers:
            claim = load_place(self._view, name, number)
            if claim is not None and _Claimed(False, claim.owner, name) not in self._void:
                self._reach(owner, name, claim.owner)

    def _reach_past_exclusive(self, owner: bytes, wait: Wait, lock: LockRecord) -> None:
        """Reach the last exclusive request before a shared one, which waits for all that are before it in turn."""
        limits: tuple[int, ...] = (VISITED_MAX + 1,)
        if not lock.tangled and wait.lock not in self._places:
            # All in this line wait for the holders, and for nobody else who matters.
            if lock.mode == LockMode.EXCLUSIVE:
                return
            limits = (1, *limits)
        for limit in limits:
            places = scan_line(self._view, wait.lock, end=wait.number, limit=limit)
            self._pass(len(places))
            for _, claim in reversed(places):
                is_void = _Claimed(False, claim.owner, wait.lock) in self._void
                if claim.mode == LockMode.EXCLUSIVE and not is_void:
                    self._reach(owner, wait.lock, claim.owner)
                    return

    def _reach(self, owner: bytes, name: bytes, blocker: bytes) -> None:
        if blocker in self._from or blocker == self._asker or blocker == owner:
            return
        if self._relevant is not None and blocker not in self._relevant:
            return
        self._from[blocker] = (owner, name)
        self._frontier.append(blocker)
        if len(self._from) > VISITED_MAX:
            raise _too_large()

    def _pass(self, count: int) -> None:
        self._passed += count
        if self._passed > VISITED_MAX:
            raise _too_large()


def _too_large() -> ReplyError:
    return ReplyError(
        "too many wait for one another to tell whether this would end",
        hint=f"the limit is {VISITED_MAX} owners; try again when fewer wait",
        code="too_large",
    )
