"""What locks promise, looked at entry by entry in the state of the machine, without the model.

After each entry of the committed log

* of the leases that are not over at most one is exclusive, and then it is the only one; of a lock with a limit there
  are no more than that;
* a token that was granted is higher than all before it;
* no owners wait for one another in a circle;
* the first in a line is kept out by somebody whose lease is not over, after each entry in which that lock was given or
  given back, or somebody came to wait for it;
* what was written under a fence was written under the token that held the lock exclusively before the entry.
"""

from collections.abc import Iterator, Sequence

from raftdb.core.model import Entry, EntryKind
from raftdb.errors import InvariantBroken
from raftdb.machine import entries
from raftdb.machine.clock import read_clock
from raftdb.machine.keyspace import HOLD_PREFIX, KEY_VALUE_PREFIX, LOCK_LINE_PREFIX, decode_value
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.locks.records import (
    Claim,
    LockMode,
    load_lock,
    scan_holds,
    scan_line,
    shown_owner,
    unpack_claim,
)
from raftdb.machine.machine import Machine
from raftdb.machine.session_records import bound_count
from raftdb.simulation.lockers import FENCED
from raftdb.simulation.waiters import ToldToken
from storage import MemoryStateStore

MANY = 10_000
_OF_LOCKS = (HOLD_PREFIX, LOCK_LINE_PREFIX)


class LockWitness:
    """See the module. `grants` counts tokens, `fenced_writes` what was written under one, `waits_max` the longest
    line."""

    def __init__(self) -> None:
        self.grants = self.fenced_writes = self.waits_max = 0
        self._state = MemoryStateStore()
        self._machine = Machine()
        self._names: set[bytes] = set()
        self._granted: dict[int, tuple[bytes, bytes]] = {}
        """By token: the lock, and the owner who got it."""
        self._highest = 0

    def follow(self, log: Sequence[Entry]) -> None:
        """Go through the whole committed log. Raises `InvariantBroken` at the first entry that breaks a promise."""
        for entry in log:
            if entry.kind is EntryKind.COMMAND:
                self._apply(entry)

    def check_told(self, told: Sequence[ToldToken]) -> None:
        """Raise `InvariantBroken` for a token that a client was told of, and that was not granted to it."""
        for name, owner, token in told:
            if self._granted.get(token) != (name, owner):
                raise InvariantBroken(
                    f"{owner!r} was told the token {token} of {name!r}, which nobody gave it"
                )

    def _apply(self, entry: Entry) -> None:
        time_ms, operation = entries.decode(entry.data)
        where = f"at entry {entry.index}, {operation}"
        layer = Layer(self._state)
        self._machine.apply(entry.index, entry.term, entry.data, layer)
        touched = {key[2 : 2 + key[1]] for key in layer.changes if key[:1] in _OF_LOCKS}
        self._names |= touched
        self._check_fences(layer, time_ms, where)
        for name in sorted(self._names):
            self._check_holders(layer, name, where)
        for name in sorted(self._moved(layer)):
            self._check_front(layer, name, where)
        if touched:
            self._check_tokens(layer, where)
            self._check_cycles(layer, where)
        self._state.write(layer.changes, index=entry.index, term=entry.term)

    def _moved(self, layer: Layer) -> set[bytes]:
        """The locks that somebody got, gave back, or came to wait for; to renew a lease is to look at no other."""
        return {
            key[2 : 2 + key[1]]
            for key, record in layer.changes.items()
            if key[:1] in _OF_LOCKS and (record is None) != (self._state.get(key) is None)
        }

    def _check_holders(self, view: KeyValueView, name: bytes, where: str) -> None:
        live = [claim for _, claim in _live(view, name, read_clock(view))]
        lock = load_lock(view, name)
        limit = 0 if lock is None else lock.limit
        modes = [claim.mode for claim in live]
        if LockMode.EXCLUSIVE in modes and len(live) > 1:
            raise InvariantBroken(f"{name!r} is held exclusively, and by {len(live)}, {where}")
        if limit and len(live) > limit:
            raise InvariantBroken(f"{name!r} with the limit {limit} is held by {len(live)}, {where}")

    def _check_front(self, view: KeyValueView, name: bytes, where: str) -> None:
        line = scan_line(view, name, limit=MANY)
        self.waits_max = max(self.waits_max, len(line))
        waiting = [claim for _, claim in line if not _is_gone(view, claim)]
        if not waiting:
            return
        first, lock = waiting[0], load_lock(view, name)
        live = [claim for _, claim in _live(view, name, read_clock(view))]
        others = [claim for claim in live if claim.owner != first.owner]
        limit = 0 if lock is None else lock.limit
        is_kept_out = len(live) >= limit if limit else any(_excludes(claim, first) for claim in others)
        if not is_kept_out:
            raise InvariantBroken(f"{first.owner!r} waits for {name!r}, and nobody is in the way, {where}")

    def _check_tokens(self, layer: Layer, where: str) -> None:
        new = sorted(
            int.from_bytes(key[-8:])
            for key, record in layer.changes.items()
            if key[:1] == HOLD_PREFIX and record is not None and self._state.get(key) is None
        )
        self.grants += len(new)
        for key, record in layer.changes.items():
            if key[:1] == HOLD_PREFIX and record is not None:
                self._granted[int.from_bytes(key[-8:])] = (key[2:-8], shown_owner(unpack_claim(record).owner))
        if new and new[0] <= self._highest:
            raise InvariantBroken(f"the token {new[0]} is not above {self._highest}, {where}")
        self._highest = max([self._highest, *new])

    def _check_cycles(self, view: KeyValueView, where: str) -> None:
        graph: dict[bytes, set[bytes]] = {}
        for name in self._names:
            lock = load_lock(view, name)
            if lock is None or lock.limit:
                continue
            ahead = [claim for _, claim in _live(view, name, read_clock(view))]
            for _, place in scan_line(view, name, limit=MANY):
                if _is_gone(view, place):
                    continue
                blockers = {claim.owner for claim in ahead if _excludes(claim, place)} - {place.owner}
                graph.setdefault(place.owner, set()).update(blockers)
                ahead.append(place)
        while ends := [owner for owner, others in graph.items() if not others & graph.keys()]:
            for owner in ends:
                del graph[owner]
        if graph:
            raise InvariantBroken(f"{sorted(graph)} wait for one another, {where}")

    def _check_fences(self, layer: Layer, time_ms: int, where: str) -> None:
        clock_ms = max(time_ms, read_clock(self._state))
        for key, record in layer.changes.items():
            if record is None or key[:1] != KEY_VALUE_PREFIX or FENCED not in key:
                continue
            self.fenced_writes += 1
            token, name = _last_token(record), key.partition(FENCED)[2]
            held = [of for of, claim in _live(self._state, name, clock_ms) if _is_alone(claim)]
            if held != [token]:
                raise InvariantBroken(f"{name!r}: written under {token}, but {held} held it, {where}")


def _last_token(record: bytes) -> int:
    data = decode_value(record).data
    return int(data.rstrip(b".").rpartition(b".")[2])


def _is_alone(claim: Claim) -> bool:
    return claim.mode == LockMode.EXCLUSIVE


def _excludes(one: Claim, other: Claim) -> bool:
    return LockMode.EXCLUSIVE in (one.mode, other.mode)


def _is_gone(view: KeyValueView, claim: Claim) -> bool:
    return bool(claim.session) and bound_count(view, claim.session) is None


def _live(view: KeyValueView, name: bytes, clock_ms: int) -> Iterator[tuple[int, Claim]]:
    """The holds of a lock that are not over at this time."""
    for token, claim in scan_holds(view, name, limit=MANY):
        if claim.ends_ms >= clock_ms and not _is_gone(view, claim):
            yield token, claim
