"""Lists of names for those who may read some of them: the others are passed over where they are looked for.

So a page is full, and `next_after`, limits and costs are those of the names that its reader may see. It holds for lists
alone. What counts all names, or changes them, needs the right to all of them, and so does a list in a transaction.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from raftdb.machine.keyspace import LOCK_PREFIX, QUEUE_PREFIX
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.locks.looking import Locks
from raftdb.machine.queues.looking import QueueNames
from raftdb.machine.reply import Result
from raftdb.machine.scanning import Keys, ReadPage, Scan, behind
from raftdb.machine.service import ReadHandler
from raftdb.machine.users.records import rights_of
from raftdb.machine.users.rights import Domain, Rights
from raftdb.machine.values import values_prefix


class _Listed(NamedTuple):
    """What a list is about: the kind of names, and what stands before each in the key space."""

    domain: Domain
    front: Callable[[KeyValueView], bytes]


_LISTED_KEYS = _Listed(Domain.KEYS, values_prefix)
LISTED: dict[type[Any], _Listed] = {
    Keys: _LISTED_KEYS,
    Scan: _LISTED_KEYS,
    ReadPage: _LISTED_KEYS,
    QueueNames: _Listed(Domain.QUEUES, lambda view: QUEUE_PREFIX),
    Locks: _Listed(Domain.LOCKS, lambda view: LOCK_PREFIX),
}
"""The operations that list names, all of which have a `prefix`."""


def lists_some(rights: Rights, operation: Any) -> bool:
    """Whether this is a list of names some of which these rights are about."""
    what = LISTED.get(type(operation))
    return what is not None and bool(rights.readable(what.domain, operation.prefix))


def listed(view: Layer, user: bytes, operation: Any, read: ReadHandler) -> Result:
    """Answer a list of names, by its handler `read`, with those that a user may read."""
    domain, front = LISTED[type(operation)]
    rights = rights_of(view, user)
    if rights is None or rights.is_admin:
        return read(view, operation)
    seen = _NarrowedLayer(view, front(view), rights.readable(domain, operation.prefix))
    try:
        return read(seen, operation)
    finally:
        view.count(seen)


class _NarrowedLayer(Layer):
    """A view whose scans of names find those that begin with one of `prefixes`, which are in order, none of them the
    beginning of another. `front` stands before all names of the kind."""

    __slots__ = ("_ends", "_firsts", "_front")

    def __init__(self, view: KeyValueView, front: bytes, prefixes: Sequence[bytes]) -> None:
        super().__init__(view)
        self._front = front
        self._firsts = [front + prefix for prefix in prefixes]
        self._ends = [behind(first) for first in self._firsts]

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See `Layer`."""
        if not first.startswith(self._front):
            return super().scan(first, end, limit=limit, length=length)
        found: list[tuple[bytes, bytes]] = []
        for place in range(bisect_right(self._ends, first), len(self._firsts)):
            begin, stop = max(first, self._firsts[place]), self._ends[place]
            if end is not None:
                if begin >= end:
                    break
                stop = min(stop, end)
            found += super().scan(begin, stop, limit=limit - len(found), length=length)
            if len(found) >= limit:
                break
        return found
