"""What ends of locks: leases, lines that go on, and what sessions leave behind.

A lease that is over is ended by an `Expire`, and the lock handed on in the same entry. A session that its client has
closed gives its holds and places back in entries of `GIVEN_BACK_MAX` each; they count for nothing from the moment on in
which it was closed.
"""

from raftdb.budgets import SWEEP_LOCKS_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.layer import Layer
from raftdb.machine.locks.line import OpenLock
from raftdb.machine.locks.records import (
    ENDS,
    HOLD_KIND,
    bound_key,
    load_hold,
    load_place,
    place_of,
    scan_bound,
    split_hold_end,
)
from raftdb.machine.service import Ending
from raftdb.machine.session_records import ENDED_SESSIONS

GIVEN_BACK_MAX = 100
"""Holds and places of one session that one entry gives back."""


def _end(layer: Layer, time_ms: int, what: bytes, index: int) -> int:
    """End a lease, or go on with a line. Returns how many owners that concerned."""
    ENDS.lift(layer, time_ms, what)
    if what[:1] != HOLD_KIND:
        return 1 + _hand_on(OpenLock(layer, what[1:], index))
    name, token = split_hold_end(what)
    claim = load_hold(layer, name, token)
    if claim is None or claim.ends_ms != time_ms:
        return 1
    opened = OpenLock(layer, name, index)
    opened.release(token, claim)
    return 1 + _hand_on(opened)


def _hand_on(opened: OpenLock) -> int:
    opened.hand_on()
    opened.save()
    return opened.served


def _give_back(layer: Layer, time_ms: int, session: bytes, index: int) -> int:
    """Give back some of what a session that has ended held and waited for. Returns how many owners that concerned."""
    ENDED_SESSIONS.lift(layer, time_ms, session)
    concerned = 0
    bound = scan_bound(layer, session, limit=GIVEN_BACK_MAX + 1)
    for kind, owner, name in bound[:GIVEN_BACK_MAX]:
        layer.delete(bound_key(session, kind, owner, name))
        concerned += 1 + _give_back_one(layer, kind, owner, name, index)
    if len(bound) > GIVEN_BACK_MAX:
        ENDED_SESSIONS.set(layer, read_clock(layer) + 1, session)
    return concerned


def _give_back_one(layer: Layer, kind: bytes, owner: bytes, name: bytes, index: int) -> int:
    opened = OpenLock(layer, name, index)
    if kind == HOLD_KIND:
        held = opened.hold_of(owner)
        if held is not None:
            opened.release(*held)
    else:
        number = place_of(layer, owner, name)
        place = load_place(layer, name, number)
        if number is not None and place is not None:
            opened.leave(number, place)
    return _hand_on(opened)


LEASES = Ending(index=ENDS, end=_end, count_max=SWEEP_LOCKS_MAX, cost_max=SWEEP_LOCKS_MAX)
OF_SESSIONS = Ending(
    index=ENDED_SESSIONS, end=_give_back, count_max=SWEEP_LOCKS_MAX, cost_max=SWEEP_LOCKS_MAX
)
