"""Until when something is held, a lock or a delivery, judged by this process alone. No I/O.

The cluster lets a lease end a while after the last renewal that reached it. Its holder cannot know when that one
arrived, but when it was *sent*: the cluster counts from a later moment, so who counts from the sending is done first,
whatever the network does and whichever node leads. A `Lease` therefore ends, for its holder, at the moment of the last
renewal sent + its time to live - a margin for clocks that run at different speeds and for what the holder still does
then. No network is needed to see it.

The clock is `now_ms`: it goes on while the machine sleeps. A process that was stopped (SIGSTOP, a suspended laptop, a
migrated virtual machine) finds its leases over when it wakes up.
"""

import time
from collections.abc import Callable
from itertools import count
from math import inf
from weakref import WeakKeyDictionary

from raftdb.errors import RaftdbError
from raftdb.limits import WAIT_AGAIN_MS, WAIT_MS_MAX

LOCK_TTL_S = 15.0
"""How long a lock outlives its last renewal, unless the caller says otherwise."""
SESSION_TTL_S = 15.0
"""How long the keys that are bound to a client outlive it, likewise."""
RENEWALS_PER_TTL = 3
"""A lease is renewed each third of its time to live, so two renewals may fail."""
MARGIN_SHARE = 0.1
MARGIN_MS_MIN = 500.0
"""A holder stops before the cluster does: by this share of the time to live, and at least by this."""
SENDING_MS = 1_000
"""How much of a wait may be over when the request for it is sent."""
RETRY_MS = 250.0
"""Pause after a renewal that did not succeed."""


class LockTimeout(RaftdbError):
    """The lock was not granted within `wait` (code `lock_timeout`)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "lock_timeout", message, hint="somebody else holds it: wait longer, or look at lockinfo"
        )


class LockLost(RaftdbError):
    """The lock was lost while it was in use: it was not renewed in time, and somebody else may hold it (code
    `lock_lost`)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "lock_lost",
            message,
            hint="what was written through `held.db` meanwhile was refused or is in order",
        )


class SessionLost(RaftdbError):
    """The session to which keys were bound was not renewed in time, or the cluster has ended it: they are gone, or soon
    will be, and nothing was written now (code `session_lost`)."""

    def __init__(self) -> None:
        super().__init__(
            "session_lost",
            "the session to which keys were bound is over, and so are they",
            hint="bind all of them again: the next write that binds one begins another session",
        )


def next_wait_ms(left_ms: float) -> float:
    """Return for how long a place in a line is asked for next by one that waits `left_ms` in all.

    After a wait of `WAIT_AGAIN_MS` the cluster keeps the place for who asks again. So the last wait is a shorter one:
    then it gives up the place at once.
    """
    if left_ms > WAIT_MS_MAX:
        return WAIT_MS_MAX
    if left_ms > WAIT_AGAIN_MS + SENDING_MS:
        return WAIT_AGAIN_MS + SENDING_MS
    return min(left_ms, WAIT_AGAIN_MS - 1)


def now_ms() -> float:
    """The clock of leases, in milliseconds: it also goes on while the machine is asleep."""
    return time.clock_gettime(_CLOCK) * 1000.0


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """One lease: `ttl_ms` from the latest renewal that the cluster has confirmed, counted from when that was sent.

    `sent_ms` is when the request was sent that got it. No renewal is due from `renewed_until_ms` on. Threads may share
    it; each operation on it is atomic, or does no harm if it comes late.
    """

    def __init__(
        self,
        ttl_ms: float,
        *,
        sent_ms: float,
        renewed_until_ms: float = inf,
        clock: Callable[[], float] = now_ms,
    ) -> None:
        self.ttl_ms = ttl_ms
        self.renewed_until_ms = renewed_until_ms
        self._clock = clock
        self._sent_ms = sent_ms
        self._tried_ms = -inf
        self._is_lost = False

    @property
    def margin_ms(self) -> float:
        """How long before its end by the cluster's clock the holder stops."""
        return max(self.ttl_ms * MARGIN_SHARE, MARGIN_MS_MIN)

    @property
    def ends_ms(self) -> float:
        """When it is lost, unless it is renewed."""
        return self._sent_ms + self.ttl_ms - self.margin_ms

    @property
    def is_lost(self) -> bool:
        """Whether it is over. Once it was seen to be over it stays so, whatever arrives later."""
        if not self._is_lost and self._clock() >= self.ends_ms:
            self._is_lost = True
        return self._is_lost

    @property
    def due_ms(self) -> float:
        """When the next renewal is to be sent; `inf` if there is none."""
        due_ms = max(self._sent_ms + self.ttl_ms / RENEWALS_PER_TTL, self._tried_ms + RETRY_MS)
        return inf if self._is_lost or due_ms >= self.renewed_until_ms else due_ms

    def renewed(self, sent_ms: float, ttl_ms: float | None = None) -> bool:
        """Note that the cluster has confirmed a renewal sent at `sent_ms`. Returns False if that came too late."""
        if self.is_lost:
            return False
        if sent_ms >= self._sent_ms:
            self._sent_ms = sent_ms
            self.ttl_ms = self.ttl_ms if ttl_ms is None else ttl_ms
        return not self.is_lost

    def failed(self) -> None:
        """Note that a renewal was tried, and not confirmed."""
        self._tried_ms = self._clock()

    def end(self) -> None:
        """Note that the cluster says that it is over."""
        self._is_lost = True


class Numbers:
    """A number for each object, as long as it lives: no two that live have the same, nor one after the other. The
    identity of an object, or of a thread, is used again when it is gone."""

    def __init__(self) -> None:
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._unused = count(1)

    def of(self, thing: object) -> int:
        """The number of `thing`, which asks for it itself: no other thread asks for the same one."""
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = next(self._unused)
        return number
