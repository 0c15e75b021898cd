"""Whether a wait would never end: a search of who waits for whom, over all locks, before a place is given.

An owner waits for those who hold what it asks for, and for those before it in the line, if they exclude one another. If
one of them waits in turn, directly or not, for the owner who asks, nobody of that cycle would ever be served. The one
whose request would close it is refused, and nobody else is touched. The graph had no cycle before, so one can only lead
through this request.

Most requests need no search: who holds nothing and waits nowhere else is waited for by nobody. If a search is not over
soon, and only a few wait for the owner who asks, it goes on with these: a cycle leads through nobody else. It looks at
two records for each owner that it comes to: the owner's places, and the lock of each. The others in a line are passed
by unless they wait elsewhere, too (they are *tangled*): those who wait only here wait for what is looked at anyway.
What is over and not swept yet is read once, before the search, and not with each step.

A search visits `VISITED_MAX` at most, because nothing else is applied meanwhile. Beyond that the request is refused:
nothing may wait unsearched. Locks with a limit are outside: any of several holders may give way there.
"""

from raftdb.errors import Deadlock, ReplyError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.over import Over, find_over
from raftdb.machine.locks.records import (
    LockMode,
    LockRecord,
    Wait,
    holds_of,
    load_lock,
    load_waits,
    scan_holds,
    scan_line,
    scan_tangled,
    shown_owner,
    sole_blocker,
)
from raftdb.machine.reply import shown_key

VISITED_MAX = 10_000
"""Owners, places and locks that a search comes to. In a chain of owners that each wait for one lock of one other it
comes to 5,000 of them. With `benchmarks.lock_apply` the longest searches take about 15 ms, and 22 if all is read from
the disk."""
SCAN_VISITS = 5
"""What a scan counts for, beside what it finds: it takes as long as so many visits."""
FIRST_MAX = 64
"""Owners that a search visits before it asks who waits for the one who began it."""
NEAR_MAX = 64
"""If those are no more, it goes on with these alone."""
NEAR_VISITED_MAX = 1_000
"""And if no more holds, places and lines have to be looked at to find that out."""
STEPS_SHOWN = 5
"""Steps of a cycle that the message names; the error has them all."""

Cycle = tuple[tuple[bytes, bytes], ...]


def check_wait(view: KeyValueView, owner: bytes, wait: Wait, clock_ms: int) -> None:
    """Raise `Deadlock` if `owner` would wait for ever at a place that it is to get, and `ReplyError` (`too_large`) if
    that takes too long to find out."""
    places = load_waits(view, owner)
    holds = holds_of(view, owner, limit=VISITED_MAX + 1)
    if not places and not any(_is_waited_for(view, name) for name, _ in holds):
        return
    over = find_over(view, clock_ms)
    cycle = _Search(view, owner, wait, over, dict(holds), places).run()
    if cycle is not None:
        raise _deadlock(cycle) if over.are_all else _too_large()


def _is_waited_for(view: KeyValueView, name: bytes) -> bool:
    lock = load_lock(view, name)
    return lock is not None and lock.waiting > 0


def _deadlock(found: Cycle) -> Deadlock:
    cycle = tuple((shown_owner(owner), lock) for owner, lock in found)
    steps = [f"{shown_key(owner)} for {shown_key(lock)}" for owner, lock in cycle[:STEPS_SHOWN]]
    more = f", and {len(cycle) - STEPS_SHOWN} more" if len(cycle) > STEPS_SHOWN else ""
    return Deadlock(
        f"this would wait for ever: {', '.join(steps)}{more} wait in a circle",
        cycle=cycle,
        hint="give back what is held, and take locks in the same order everywhere",
    )


class _Search:
    """One search, which begins with a place that `asker` is to get. What is `over` does not count."""

    def __init__(
        self,
        view: KeyValueView,
        asker: bytes,
        wait: Wait,
        over: Over,
        holds: dict[bytes, int],
        places: list[Wait],
    ) -> None:
        self._view, self._asker, self._wait, self._over = view, asker, wait, over
        self._holds = {name: mode for name, mode in holds.items() if (asker, name) not in over.holds}
        """The locks that the asker holds, with their modes."""
        self._places = {place.lock: place for place in places if (asker, place.lock) not in over.places}
        # Whoever is behind the new place would wait for it.
        self._places[wait.lock] = wait
        self._near = dict.fromkeys([*self._holds, *self._places])
        """The locks where somebody may wait for the asker."""
        self._from: dict[bytes, tuple[bytes, bytes]] = {}
        """By owner that was reached: the one that waits for it, and for which lock."""
        self._frontier: list[bytes] = []
        self._holders_reached: dict[bytes, None] = {}
        self._tangled_reached: dict[bytes, int] = {}
        """By lock: the number of the place up to which those who wait elsewhere, too, were reached."""
        self._relevant: dict[bytes, None] | None = None
        self._visited = 0

    def run(self) -> Cycle | None:
        """Return the cycle that the place would close, None if there is none."""
        self._visit(len(self._holds))
        self._expand(self._asker, self._wait, is_tangled=False)
        for visited, owner in enumerate(self._frontier):
            if self._visited > VISITED_MAX:
                raise _too_large()
            if visited == FIRST_MAX:
                self._relevant = self._waiting_for_asker()
            if self._relevant is not None and owner not in self._relevant:
                continue
            if self._pass_on(owner):
                continue
            waits = load_waits(self._view, owner)
            self._visit(1 + 2 * len(waits))
            for wait in waits:
                if (owner, wait.lock) in self._over.places:
                    continue
                if self._expand(owner, wait, is_tangled=len(waits) > 1):
                    return self._path((owner, wait.lock))
        return None

    def _pass_on(self, owner: bytes) -> bool:
        """Whether `owner` waits for one lock, which one other holds, and nobody else matters there; then that one is
        reached. What `_expand` would do, for the steps of which long chains are made."""
        sole = sole_blocker(self._view, owner)
        if sole is None or sole[0] in self._near:
            return False
        name, holder = sole
        self._visited += 2
        over = self._over
        if (over.places and (owner, name) in over.places) or (over.holds and (holder, name) in over.holds):
            return True
        self._reach(owner, name, holder)
        return True

    def _waiting_for_asker(self) -> dict[bytes, None] | None:
        """All who may wait for the asker, directly or not, and the asker; None if they are more than a few. A cycle
        leads through nobody else."""
        found = {self._asker: None}
        frontier = [self._asker]
        visited = 0
        for owner in frontier:
            holds = holds_of(self._view, owner, limit=NEAR_MAX + 1)
            lines: list[tuple[bytes, int | None]] = [(name, None) for name, _ in holds]
            lines += [(wait.lock, wait.number) for wait in load_waits(self._view, owner)]
            visited += len(lines)
            if len(lines) > NEAR_MAX or visited > NEAR_VISITED_MAX:
                return None
            for name, after in lines:
                lock = load_lock(self._view, name)
                if lock is None or lock.waiting == 0 or lock.limit:
                    continue
                line = scan_line(self._view, name, limit=NEAR_MAX + 1, after=after)
                visited += len(line)
                for _, claim in line:
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

    def _expand(self, owner: bytes, wait: Wait, *, is_tangled: bool) -> bool:
        """Reach all for whom `owner` waits at a place, which is counted as tangled or not. Returns whether the asker is
        one of them."""
        name, mode = wait.lock, wait.mode
        lock = load_lock(self._view, name)
        if lock is None or lock.limit:
            return False
        if name in self._near and owner != self._asker and self._asker_blocks(wait):
            return True
        if LockMode.EXCLUSIVE in (lock.mode, mode) and name not in self._holders_reached:
            self._holders_reached[name] = None
            self._reach_holders(owner, name, lock)
        if mode == LockMode.SHARED:
            self._reach_past_exclusive(owner, wait, lock)
        elif lock.tangled > is_tangled:
            self._reach_tangled(owner, name, wait.number)
        return False

    def _asker_blocks(self, wait: Wait) -> bool:
        """Whether the asker holds the lock, or has a place before this one, in a way that excludes it."""
        held = self._holds.get(wait.lock)
        if held is not None and LockMode.EXCLUSIVE in (held, wait.mode):
            return True
        place = self._places.get(wait.lock)
        return (
            place is not None and place.number < wait.number and LockMode.EXCLUSIVE in (place.mode, wait.mode)
        )

    def _reach_holders(self, owner: bytes, name: bytes, lock: LockRecord) -> None:
        if lock.owner:
            self._reach_holder(owner, name, lock.owner)
            return
        holds = scan_holds(self._view, name, limit=VISITED_MAX + 1)
        self._visit(SCAN_VISITS + len(holds))
        for _, claim in holds:
            self._reach_holder(owner, name, claim.owner)

    def _reach_holder(self, owner: bytes, name: bytes, holder: bytes) -> None:
        if (holder, name) not in self._over.holds:
            self._reach(owner, name, holder)

    def _reach_tangled(self, owner: bytes, name: bytes, end: int) -> None:
        """Reach those before a place who wait elsewhere, too, and were not reached yet."""
        first = self._tangled_reached.get(name, 0)
        if first >= end:
            return
        self._tangled_reached[name] = end
        blockers = scan_tangled(self._view, name, first=first, end=end, limit=VISITED_MAX + 1)
        self._visit(SCAN_VISITS + len(blockers))
        for blocker in blockers:
            if (blocker, name) not in self._over.places:
                self._reach(owner, name, blocker)

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
            self._visit(SCAN_VISITS + len(places))
            for _, claim in reversed(places):
                is_over = (claim.owner, wait.lock) in self._over.places
                if claim.mode == LockMode.EXCLUSIVE and not is_over:
                    self._reach(owner, wait.lock, claim.owner)
                    return

    def _reach(self, owner: bytes, name: bytes, blocker: bytes) -> None:
        if blocker in self._from or blocker == self._asker or blocker == owner:
            return
        if self._relevant is not None and blocker not in self._relevant:
            return
        self._from[blocker] = (owner, name)
        self._frontier.append(blocker)

    def _visit(self, count: int) -> None:
        self._visited += count
        if self._visited > VISITED_MAX:
            raise _too_large()


def _too_large() -> ReplyError:
    return ReplyError(
        "too many wait for one another to tell whether this would end",
        hint=f"the limit is {VISITED_MAX} owners and locks; try again when fewer wait",
        code="too_large",
    )
