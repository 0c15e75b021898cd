"""How many hold locks and wait for them, over all locks, page by page: for those who watch a node."""

from dataclasses import dataclass
from typing import NamedTuple

from raftdb.machine.keyspace import LOCK_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.records import unpack_lock
from raftdb.machine.reply import Result
from raftdb.machine.scanning import behind
from raftdb.machine.service import Query


class LockLevels(NamedTuple):
    """Of the locks of a page: the last name (None: no lock follows), how many owners hold one, and how many wait."""

    last: bytes | None
    held: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ReadLockLevels(Query):
    """Read the levels of up to `limit` locks whose names come after `after` (None: from the first)."""

    after: bytes | None
    limit: int


def read_lock_levels(view: KeyValueView, query: ReadLockLevels) -> Result:
    """Answer `LockLevels`. Leases that are over and were not swept yet count as held."""
    first = LOCK_PREFIX if query.after is None else LOCK_PREFIX + query.after + b"\0"
    pairs = view.scan(first, behind(LOCK_PREFIX), limit=query.limit)
    locks = [unpack_lock(record) for _, record in pairs]
    last = pairs[-1][0][len(LOCK_PREFIX) :] if len(pairs) == query.limit else None
    return Result(
        LockLevels(last, sum(lock.holders for lock in locks), sum(lock.waiting for lock in locks)), None
    )
