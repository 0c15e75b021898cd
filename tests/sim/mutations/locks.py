"""Planted bugs of locks: who gets one, for how long, under which token, and who waits for whom."""

from typing import Any

from raftdb.limits import LOCK_TTL_MS_MAX
from raftdb.machine import strings
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks import deadlocks, ends, holding, line
from raftdb.machine.locks.fencing import Fence
from raftdb.machine.locks.holding import Unlock
from raftdb.machine.locks.line import OpenLock
from raftdb.machine.locks.records import LockMode
from raftdb.machine.services import GUARDS
from raftdb.simulation.planting import Patches
from tests.sim.mutations.data import on_its_own_clock
from tests.sim.mutations.planting import Mutation


def _passes(view: KeyValueView, command: object) -> None:
    """A guard that lets everything pass."""


def two_hold_a_lock() -> Patches:
    """Whoever asks gets it, whoever holds it."""
    return [(OpenLock, "admits", lambda self, mode, owner: True)]


def a_limit_admits_one_more() -> Patches:
    plain = OpenLock.admits

    def admits(self: OpenLock, mode: int, owner: bytes) -> bool:
        return plain(self, mode, owner) or (mode == LockMode.LIMITED and self.holders == self.limit)

    return [(OpenLock, "admits", admits)]


def shared_requests_overtake() -> Patches:
    plain = holding._is_free

    def is_free(opened: OpenLock, request: Any) -> bool:
        overtakes = request.mode == LockMode.SHARED and opened.mode == LockMode.SHARED and opened.holders > 0
        return overtakes or plain(opened, request)

    return [(holding, "_is_free", is_free)]


def tokens_fall() -> Patches:
    return [(line, "number_of", lambda index, place: (1 << 40) - (index << 16) + place)]


def fences_let_everybody_pass() -> Patches:
    return [
        (GUARDS, Fence, _passes),  # type: ignore[list-item]
        (strings, "fence_guard", _passes),
    ]


def transactions_give_back_what_is_over() -> Patches:
    return [(GUARDS, Unlock, _passes)]  # type: ignore[list-item]


def leases_that_are_over_are_renewed() -> Patches:
    """Until the sweeper has come."""
    return [(holding, "is_over", lambda view, claim, clock_ms: False)]


def ends_are_not_handed_on() -> Patches:
    """A lease that is over leaves the lock free, and those in the line wait on."""

    def hand_on(opened: OpenLock) -> int:
        opened.save()
        return 0

    return [(ends, "_hand_on", hand_on)]


def deadlocks_are_not_looked_for() -> Patches:
    return [(holding, "check_wait", lambda view, owner, wait, clock_ms: None)]


def requests_ahead_are_not_waited_for() -> Patches:
    """Only holders are in the graph."""
    return [(deadlocks._Search, "_reach_tangled", lambda self, owner, name, end: None)]


def renewals_add_to_what_is_left() -> Patches:
    plain = OpenLock.renew

    def renew(self: OpenLock, token: int, claim: Any, ttl_ms: int, session: bytes) -> Any:
        return plain(self, token, claim, ttl_ms + claim.ends_ms - self.clock_ms, session)

    return [(OpenLock, "renew", renew)]


def upgrades_wait_at_the_end() -> Patches:
    """Not before those who wait for the one who upgrades anyway."""
    plain = OpenLock.stand

    def stand(
        self: OpenLock, owner: bytes, mode: int, ttl_ms: int, session: bytes, *, at_front: bool
    ) -> None:
        plain(self, owner, mode, ttl_ms, session, at_front=False)

    return [(OpenLock, "stand", stand)]


def who_waited_need_not_renew() -> Patches:
    """The lease of a grant to somebody who waited is as long as it was asked for."""
    return [(line, "LOCK_FIRST_LEASE_MS", LOCK_TTL_MS_MAX)]


MUTATIONS = (
    Mutation("B76k", "two hold a lock exclusively", two_hold_a_lock),
    Mutation("B76l", "a lock with a limit admits one more", a_limit_admits_one_more),
    Mutation("B76m", "a shared request overtakes an exclusive one", shared_requests_overtake),
    Mutation("B69", "tokens fall", tokens_fall),
    Mutation("B69b", "a fence lets everybody pass", fences_let_everybody_pass),
    Mutation("B69c", "a transaction gives back what is over", transactions_give_back_what_is_over),
    Mutation("B69d", "a lease that is over is renewed", leases_that_are_over_are_renewed),
    Mutation("B68", "the end of a lease leaves the line waiting", ends_are_not_handed_on),
    Mutation("B70b", "renewing adds to what is left", renewals_add_to_what_is_left),
    Mutation("B76n", "nobody looks for deadlocks", deadlocks_are_not_looked_for),
    Mutation("B76o", "requests ahead are not in the graph", requests_ahead_are_not_waited_for),
    Mutation("B76p", "an upgrade waits at the end of the line", upgrades_wait_at_the_end),
    Mutation("B70c", "who waited keeps a lock without renewing it", who_waited_need_not_renew),
    Mutation("B63l", "replicas end leases by their own clocks", lambda: on_its_own_clock(line)),
)
