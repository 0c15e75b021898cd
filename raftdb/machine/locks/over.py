"""What of locks is over at a time, swept or not.

For one claim that is told by its own record. A search over many locks asks for all that are over at once: what is not
swept yet stands at the front of two indexes, and is next to nothing, while looking at the record of each claim on the
way would be twice the work of the search itself.
"""

from typing import NamedTuple

from raftdb.limits import TIME_MS_MAX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.records import (
    ENDS,
    HOLD_KIND,
    Claim,
    load_hold,
    scan_bound,
    split_hold_end,
    user_of,
)
from raftdb.machine.session_records import ENDED_SESSIONS, bound_count
from raftdb.machine.users.records import rights_of, users_revision
from raftdb.machine.users.rights import Domain, Need

OVER_MAX = 2_000
"""Ends that `find_over` looks at. A session has 1,000 locks at most, and the sweeper works on it at once."""


class Over(NamedTuple):
    """Holds and places that are over and not swept yet: of each the owner and the lock."""

    holds: dict[tuple[bytes, bytes], None]
    places: dict[tuple[bytes, bytes], None]
    are_all: bool
    """False if there may be more."""


def is_gone(view: KeyValueView, claim: Claim) -> bool:
    """Return whether the session of a hold or a place has ended, and the claim with it."""
    return bool(claim.session) and bound_count(view, claim.session) is None


def is_over(view: KeyValueView, claim: Claim, clock_ms: int) -> bool:
    """Return whether a hold is over."""
    return claim.ends_ms < clock_ms or is_gone(view, claim)


def may_take(view: KeyValueView, claim: Claim, name: bytes) -> bool:
    """Return whether who waits at a place may still be given the lock: the rights of its user, or the user, may have
    gone since it was taken, and who waits on nobody's behalf gets nothing where there are users."""
    if users_revision(view) == 0:
        return True
    rights = rights_of(view, user_of(claim.owner))
    return rights is not None and rights.unmet((Need(Domain.LOCKS, name, changes=True),)) is None


def find_over(view: KeyValueView, clock_ms: int) -> Over:
    """Return what is over and not swept yet, of all locks."""
    over = Over({}, {}, are_all=True)
    ends = ENDS.due(view, clock_ms, limit=OVER_MAX)
    for _, what in ends:
        if what[:1] == HOLD_KIND:
            name, token = split_hold_end(what)
            claim = load_hold(view, name, token)
            if claim is not None:
                over.holds[claim.owner, name] = None
    left = OVER_MAX - len(ends)
    for _, session in ENDED_SESSIONS.due(view, TIME_MS_MAX, limit=left):
        bound = scan_bound(view, session, limit=left)
        for kind, owner, name in bound:
            (over.holds if kind == HOLD_KIND else over.places)[owner, name] = None
        left -= min(left, 1 + len(bound))
    return over if left else over._replace(are_all=False)
