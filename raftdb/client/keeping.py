"""What a client holds, and when each of it is renewed or lost. No I/O: `renewing` has the threads.

Renewals are sent together: one transaction for all locks that are due, and one `extend` for the deliveries of a queue;
a session, of which a client has one, is renewed by itself. So a process that holds a thousand things sends a handful of
requests each third of their time. A renewal counts from its arrival and replaces the one before. So twice does no harm,
and it is sent again without asking whether it arrived.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from raftdb.client.leases import Lease

TOGETHER_MAX = 100
"""Most renewals in one request, so that it is far from every limit."""


class Sort(Enum):
    """What can be held."""

    LOCK = "lock"
    DELIVERY = "delivery"
    SESSION = "session"


@dataclass(slots=True, eq=False)
class Kept:
    """Something that is held. `name` is that of the lock, of the queue of a delivery, or of the session; `token` is the
    token or the receipt. `on_lost` is called once, on another thread, when it is lost."""

    lease: Lease
    name: bytes
    token: bytes
    sort: Sort
    on_lost: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Renewals to be sent in one request: of locks, of deliveries of one queue for the same time, or of one session."""

    kept: tuple[Kept, ...]

    @property
    def sort(self) -> Sort:
        """What it is about."""
        return self.kept[0].sort

    @property
    def ends_ms(self) -> float:
        """When the first of them is lost."""
        return min(one.lease.ends_ms for one in self.kept)

    def commands(self) -> list[tuple[str, list[bytes]]]:
        """What is to be executed: one command for deliveries, one for each lock. A session is renewed without."""
        first = self.kept[0]
        if first.sort is Sort.DELIVERY:
            return [
                ("extend", [first.name, in_seconds(first.lease.ttl_ms), *(one.token for one in self.kept)])
            ]
        return [("renew", [one.name, one.token, b"TTL", in_seconds(one.lease.ttl_ms)]) for one in self.kept]


def in_seconds(duration_ms: float) -> bytes:
    """A duration as commands take it: seconds with three decimals."""
    return f"{duration_ms / 1000.0:.3f}".encode()


@dataclass(slots=True)
class Keeping:
    """All that is kept. Threads may call its methods at a time, each of which works on a copy of what is kept."""

    _kept: dict[Kept, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kept: Kept) -> None:
        """Keep something from now on."""
        self._kept[kept] = None

    def remove(self, kept: Kept) -> bool:
        """Keep it no longer; returns whether it was kept. Of several threads only one gets True."""
        return self._kept.pop(kept, _MISSING) is not _MISSING

    def due(self, now_ms: float) -> list[Batch]:
        """The renewals that are due at `now_ms`."""
        groups: dict[object, list[Kept]] = {}
        for one in list(self._kept):
            if one.lease.due_ms <= now_ms:
                group = one.sort if one.sort is Sort.LOCK else (one.sort, one.name, one.lease.ttl_ms)
                groups.setdefault(group, []).append(one)
        return [Batch(part) for group in groups.values() for part in _in_parts(group)]

    def next_due_ms(self) -> float:
        """When the next renewal is due; `inf` if none is."""
        return min((one.lease.due_ms for one in list(self._kept)), default=inf)

    def take_lost(self) -> list[Kept]:
        """What is lost by now, and is kept no longer."""
        return [one for one in list(self._kept) if one.lease.is_lost and self.remove(one)]

    def next_end_ms(self) -> float:
        """When the next is lost unless it is renewed; `inf` if nothing is kept."""
        return min((one.lease.ends_ms for one in list(self._kept)), default=inf)


_MISSING = object()


def _in_parts(group: list[Kept]) -> Iterable[tuple[Kept, ...]]:
    return (tuple(group[first : first + TOGETHER_MAX]) for first in range(0, len(group), TOGETHER_MAX))
