"""How many hold locks and wait for them, over all locks, page by page: for those who watch a node."""

from dataclasses import dataclass
from typing import NamedTuple

from raftdb.machine.keyspace import LOCK_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.records import unpack_lock
from raftdb.machine.reply import Result
from raftdb.machine.scanning import page_behind
from raftdb.machine.service import Query


class LockLevel(NamedTuple):
    """How many owners hold a lock, and how many wait for it."""

    name: bytes
    held: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ReadLockLevels(Query):
    """Read the levels of up to `limit` locks whose names come after `after` (None: from the first), in order."""

    after: bytes | None
    limit: int


def read_lock_levels(view: KeyValueView, query: ReadLockLevels) -> Result:
    """Answer a list of `LockLevel`; one that is shorter than `limit` is the last. Leases that are over and were not
    swept yet count as held."""
    page = page_behind(view, LOCK_PREFIX, query.after, query.limit)
    locks = [(name, unpack_lock(record)) for name, record in page]
    return Result([LockLevel(name, lock.holders, lock.waiting) for name, lock in locks], None)
