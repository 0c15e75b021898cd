"""Looking at locks: who holds one and who waits for it, and which there are.

What is over is not shown, swept or not. Of holders and places the first ones are listed, and all are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.errors import ReplyError
from raftdb.limits import LOCK_NAME_BYTES_MAX, SCAN_LIMIT_DEFAULT, SCAN_LIMIT_MAX
from raftdb.machine.clock import read_clock
from raftdb.machine.integers import NotNegative
from raftdb.machine.keyspace import LOCK_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.holding import check_name
from raftdb.machine.locks.over import is_gone, is_over
from raftdb.machine.locks.records import (
    MODE_NAMES,
    Claim,
    LockMode,
    load_lock,
    scan_holds,
    scan_line,
    shown_owner,
    unpack_lock,
)
from raftdb.machine.reply import Result
from raftdb.machine.scanning import behind
from raftdb.machine.service import Command

LISTED_MAX = 100
"""Most holders, and most places, of one lock that are listed."""


@dataclass(frozen=True, slots=True)
class LockInfo(Command):
    """Read who holds a lock, and who waits for it."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Locks(Command):
    """Read up to `limit` locks whose names begin with `prefix` and come after `after`."""

    prefix: bytes = b""
    after: bytes = b""
    limit: NotNegative = SCAN_LIMIT_DEFAULT


def lock_info(view: KeyValueView, command: LockInfo) -> Result:
    """Answer names and values in turn: the limit, how many holders there are and wait, the holders and the line; None
    if nobody holds the lock or waits.

    A holder is its owner, the name of its mode, the token, the time since when it holds the lock, and the milliseconds
    that are left. A place is its owner, the mode, and the time since when it waits.
    """
    check_name(command.name)
    lock = load_lock(view, command.name)
    if lock is None:
        return Result(None, None)
    holders = [
        [shown_owner(claim.owner), _mode(claim), token, claim.since_ms, claim.ends_ms - read_clock(view)]
        for token, claim in _live_holds(view, command.name)
    ]
    places = _live_places(view, command.name)
    line = [[shown_owner(claim.owner), _mode(claim), claim.since_ms] for claim in places]
    if not holders and not line:
        return Result(None, None)
    flat: list[object] = []
    for name, value in (
        (b"limit", lock.limit),
        (b"held", _count(lock.holders, len(holders))),
        (b"waiting", _count(lock.waiting, len(line))),
        (b"holders", holders),
        (b"line", line),
    ):
        flat += (name, value)
    return Result(flat, None)


def locks(view: KeyValueView, command: Locks) -> Result:
    """Answer the locks in the order of their names: of each its name, the name of the mode in which it is held, and how
    many hold it and wait."""
    if max(len(command.prefix), len(command.after)) > LOCK_NAME_BYTES_MAX:
        raise ReplyError("prefix is too long", hint=f"a name has at most {LOCK_NAME_BYTES_MAX} bytes")
    if not 1 <= command.limit <= SCAN_LIMIT_MAX:
        raise ReplyError("invalid limit", hint=f"from 1 to {SCAN_LIMIT_MAX}")
    first = LOCK_PREFIX + max(command.prefix, command.after + b"\0" if command.after else b"")
    found = []
    for key, record in view.scan(first, behind(LOCK_PREFIX + command.prefix), limit=command.limit):
        name, lock = key[1:], unpack_lock(record)
        holders = _count(lock.holders, len(_live_holds(view, name)))
        waiting = _count(lock.waiting, len(_live_places(view, name)))
        found.append([name, MODE_NAMES[LockMode(lock.mode)], holders, waiting])
    return Result(found, None)


def _live_holds(view: KeyValueView, name: bytes) -> Sequence[tuple[int, Claim]]:
    clock_ms = read_clock(view)
    holds = scan_holds(view, name, limit=LISTED_MAX)
    return [(token, claim) for token, claim in holds if not is_over(view, claim, clock_ms)]


def _live_places(view: KeyValueView, name: bytes) -> list[Claim]:
    return [claim for _, claim in scan_line(view, name, limit=LISTED_MAX) if not is_gone(view, claim)]


def _count(counted: int, live: int) -> int:
    """How many there are, of which the first were looked at."""
    return live if counted <= LISTED_MAX else counted


def _mode(claim: Claim) -> bytes:
    return MODE_NAMES[LockMode(claim.mode)]
