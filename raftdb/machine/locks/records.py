"""How locks stand in the key space, and how their records are read, written and removed.

    l  name                  a lock: its kind, and how many hold it and wait for it
    k  lock token            a hold, by its token
    o  owner lock            the token under which an owner holds a lock
    j  lock number           a place in the line of a lock; the lowest number is the next to be served
    O  owner lock            the number of the place of an owner in the line of a lock
    M  owner                 all lines in which an owner has a place
    J  lock number           the owner of a place, if it has places in other lines, too
    I  binding kind ...      the holds and places of a session
    i  time kind ...         what ends at a time (`machine.locks.ends`)

Names and owners that are followed by something else have their length before them, in one byte. An owner stands within
its user (`owner_in`): two users may call an owner by the same name, and have nothing of each other.

A token is the index of the entry that granted it and the place in that entry, in one number, so that a later one is
higher, over all locks. The numbers of places are made in the same way; those at the front of the line count downwards
below all others, because the latest is before the ones that were there.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from raftdb.machine.deadlines import DeadlineIndex
from raftdb.machine.keyspace import (
    BOUND_PREFIX,
    HELD_PREFIX,
    HOLD_PREFIX,
    LOCK_END_PREFIX,
    LOCK_LINE_PREFIX,
    LOCK_PREFIX,
    LOCK_SWEPT_KEY,
    PLACE_PREFIX,
    TANGLED_PREFIX,
    WAITER_PREFIX,
    pack_number,
    read_number,
)
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.scanning import behind
from raftdb.machine.session_records import BINDING_BYTES

ENDS = DeadlineIndex(LOCK_END_PREFIX, LOCK_SWEPT_KEY)
"""What ends of locks, by the time at which it does."""

HOLD_KIND = b"h"
PLACE_KIND = b"p"
LOCK_KIND = b"l"
"""What a deadline, or a binding, belongs to: a hold, a place, a lock that has to be handed on further."""

ENTRY_BITS = 16
"""Bits of a token for the place in its entry."""

_BEHIND = 1 << 63
"""Added to the numbers of places that are not at the front."""


class LockMode(IntEnum):
    """How a lock is held. The numbers are in the log and in the state: never reuse one."""

    EXCLUSIVE = 0
    SHARED = 1
    LIMITED = 2
    """By up to a number of owners."""


MODE_NAMES = {LockMode.EXCLUSIVE: b"exclusive", LockMode.SHARED: b"shared", LockMode.LIMITED: b"limited"}


class LockRecord(NamedTuple):
    """A lock. `limit` is 0 for one that is exclusive or shared. `mode` is that of its holders; `owner` is the only one
    of them, empty if there are more, or it is not known."""

    limit: int
    holders: int
    waiting: int
    tangled: int
    """How many of those that wait have places in other lines, too."""
    mode: int
    owner: bytes


class Claim(NamedTuple):
    """A hold, or a place in the line: whose it is (`owner_in`), since when, and for how long. `ends_ms` is 0 for a
    place; `session` binds it to a session, and is empty if it is bound to none."""

    mode: int
    ttl_ms: int
    since_ms: int
    ends_ms: int
    session: bytes
    owner: bytes


class Wait(NamedTuple):
    """A place of an owner, as its record lists it: in the line of which lock, and where."""

    number: int
    mode: int
    lock: bytes


_EXCLUSIVE = int(LockMode.EXCLUSIVE)
_LOCK = Struct(">IIIIB")
_CLAIM = Struct(f">BIQQ{BINDING_BYTES}s")
_WAIT = Struct(">QBB")
_HELD = Struct(">QB")
_NO_BINDING = bytes(BINDING_BYTES)


def number_of(index: int, place: int) -> int:
    """Return the number of what is made at a place of the entry at `index`."""
    return index << ENTRY_BITS | place


def place_number(index: int, place: int, *, at_front: bool) -> int:
    """Return the number of a place in a line that is made at a place of the entry at `index`."""
    number = number_of(index, place)
    return _BEHIND - 1 - number if at_front else _BEHIND + number


def load_lock(view: KeyValueView, name: bytes) -> LockRecord | None:
    """Return the lock of this name, None if nobody holds it or waits for it."""
    record = view.get(LOCK_PREFIX + name)
    return None if record is None else unpack_lock(record)


def unpack_lock(record: bytes) -> LockRecord:
    """Return the lock that a record holds."""
    limit, holders, waiting, tangled, mode = _LOCK.unpack_from(record)
    return LockRecord(limit, holders, waiting, tangled, mode, record[_LOCK.size :])


def store_lock(layer: Layer, name: bytes, lock: LockRecord) -> None:
    """Store a lock; one that nobody holds or waits for is removed."""
    if lock.holders or lock.waiting:
        layer.put(LOCK_PREFIX + name, _LOCK.pack(*lock[:-1]) + lock.owner)
    else:
        layer.delete(LOCK_PREFIX + name)


def pack_claim(claim: Claim) -> bytes:
    """Return the record of a claim."""
    session = claim.session or _NO_BINDING
    return _CLAIM.pack(claim.mode, claim.ttl_ms, claim.since_ms, claim.ends_ms, session) + claim.owner


def unpack_claim(record: bytes) -> Claim:
    """Return the claim that a record holds."""
    mode, ttl_ms, since_ms, ends_ms, session = _CLAIM.unpack_from(record)
    session = b"" if session == _NO_BINDING else session
    return Claim(mode, ttl_ms, since_ms, ends_ms, session, record[_CLAIM.size :])


def within(text: bytes) -> bytes:
    """Return a name or an owner as it stands in a key before something else."""
    return bytes((len(text),)) + text


def owner_in(user: bytes, owner: bytes) -> bytes:
    """Return an owner of a user, empty for nobody, as it stands in the state."""
    return within(user) + owner


def user_of(owner: bytes) -> bytes:
    """Return the user of an owner that stands in the state."""
    return split_name(owner)[0]


def shown_owner(owner: bytes) -> bytes:
    """Return an owner that stands in the state as its user calls it."""
    return split_name(owner)[1]


def hold_key(name: bytes, token: int) -> bytes:
    """Return where a hold stands."""
    return HOLD_PREFIX + within(name) + pack_number(token)


def line_key(name: bytes, number: int) -> bytes:
    """Return where a place in a line stands."""
    return LOCK_LINE_PREFIX + within(name) + pack_number(number)


def held_key(owner: bytes, name: bytes) -> bytes:
    """Return where the token of an owner stands."""
    return HELD_PREFIX + within(owner) + name


def place_key(owner: bytes, name: bytes) -> bytes:
    """Return where the number of the place of an owner stands. It is also the name of the change that it waits for."""
    return PLACE_PREFIX + within(owner) + name


def tangled_key(name: bytes, number: int) -> bytes:
    """Return where the owner of a place stands that has others."""
    return TANGLED_PREFIX + within(name) + pack_number(number)


def load_hold(view: KeyValueView, name: bytes, token: int) -> Claim | None:
    """Return the hold under this token, whether it is over or not; None if there is none."""
    if not 0 < token < _BEHIND:
        return None
    record = view.get(hold_key(name, token))
    return None if record is None else unpack_claim(record)


def token_of(view: KeyValueView, owner: bytes, name: bytes) -> int:
    """Return the token under which an owner holds a lock, over or not; 0 if it does not."""
    record = view.get(held_key(owner, name))
    return 0 if record is None else int(_HELD.unpack(record)[0])


def store_held(layer: Layer, owner: bytes, name: bytes, token: int, mode: int) -> None:
    """Note the token under which an owner holds a lock."""
    layer.put(held_key(owner, name), _HELD.pack(token, mode))


def holds_of(view: KeyValueView, owner: bytes, *, limit: int) -> list[tuple[bytes, int]]:
    """Return up to `limit` pairs of a lock that an owner holds, and the mode."""
    first = HELD_PREFIX + within(owner)
    pairs = view.scan(first, behind(first), limit=limit)
    return [(key[len(first) :], _HELD.unpack(record)[1]) for key, record in pairs]


def place_of(view: KeyValueView, owner: bytes, name: bytes) -> int | None:
    """Return the number of the place of an owner in the line of a lock, None if it has none."""
    record = view.get(place_key(owner, name))
    return None if record is None else read_number(record)


def load_place(view: KeyValueView, name: bytes, number: int | None) -> Claim | None:
    """Return the place with this number in the line of a lock, None if there is none."""
    record = None if number is None else view.get(line_key(name, number))
    return None if record is None else unpack_claim(record)


def scan_holds(view: KeyValueView, name: bytes, *, limit: int) -> list[tuple[int, Claim]]:
    """Return up to `limit` holds of a lock with their tokens, the oldest first."""
    first = HOLD_PREFIX + within(name)
    pairs = view.scan(first, behind(first), limit=limit)
    return [(read_number(key[len(first) :]), unpack_claim(record)) for key, record in pairs]


def scan_line(
    view: KeyValueView, name: bytes, *, limit: int, end: int | None = None, after: int | None = None
) -> list[tuple[int, Claim]]:
    """Return up to `limit` places in the line of a lock with their numbers, in the order in which they are served:
    those after the number `after` and before the number `end`."""
    prefix = LOCK_LINE_PREFIX + within(name)
    first = prefix if after is None else prefix + pack_number(after) + b"\0"
    last = behind(prefix) if end is None else prefix + pack_number(end)
    pairs = view.scan(first, last, limit=limit)
    return [(read_number(key[len(prefix) :]), unpack_claim(record)) for key, record in pairs]


def scan_tangled(view: KeyValueView, name: bytes, *, first: int, end: int, limit: int) -> list[bytes]:
    """Return up to `limit` owners of places from `first` on and before `end` who have others."""
    prefix = TANGLED_PREFIX + within(name)
    pairs = view.scan(prefix + pack_number(first), prefix + pack_number(end), limit=limit)
    return [owner for _, owner in pairs]


def scan_places(view: KeyValueView, after: bytes, limit: int) -> list[tuple[bytes, bytes, bytes]]:
    """Return up to `limit` places in all lines, after the key `after`: the key, the owner and the lock of each."""
    first = PLACE_PREFIX if after < PLACE_PREFIX else after + b"\0"
    found = []
    for key, _ in view.scan(first, behind(PLACE_PREFIX), limit=limit):
        found.append((key, *split_name(key[1:])))
    return found


def load_waits(view: KeyValueView, owner: bytes) -> list[Wait]:
    """Return all places of an owner."""
    record = view.get(WAITER_PREFIX + owner)
    waits: list[Wait] = []
    at, end = 0, 0 if record is None else len(record)
    while record is not None and at < end:
        number, mode, length = _WAIT.unpack_from(record, at)
        first, at = at + _WAIT.size, at + _WAIT.size + length
        waits.append(Wait(number, mode, record[first:at]))
    return waits


def sole_blocker(view: KeyValueView, owner: bytes) -> tuple[bytes, bytes] | None:
    """Return the lock for which an owner waits and the one who holds it, without unpacking more than that; None if it
    waits for others, too, or shares, or may have more than this one before it."""
    record = view.get(WAITER_PREFIX + owner)
    if record is None:
        return None
    _, mode, length = _WAIT.unpack_from(record)
    if mode != _EXCLUSIVE or len(record) != _WAIT.size + length:
        return None
    name = record[_WAIT.size :]
    lock = view.get(LOCK_PREFIX + name)
    if lock is None:
        return None
    limit, _, _, tangled, _ = _LOCK.unpack_from(lock)
    return None if limit or tangled or len(lock) == _LOCK.size else (name, lock[_LOCK.size :])


def store_waits(layer: Layer, owner: bytes, waits: list[Wait]) -> None:
    """Store all places of an owner."""
    if waits:
        layer.put(
            WAITER_PREFIX + owner,
            b"".join(_WAIT.pack(wait.number, wait.mode, len(wait.lock)) + wait.lock for wait in waits),
        )
    else:
        layer.delete(WAITER_PREFIX + owner)


def bound_key(session: bytes, kind: bytes, owner: bytes, name: bytes) -> bytes:
    """Return what says that something of a session is a hold, or a place, of an owner."""
    return BOUND_PREFIX + session + kind + within(owner) + name


def scan_bound(view: KeyValueView, session: bytes, *, limit: int) -> list[tuple[bytes, bytes, bytes]]:
    """Return up to `limit` holds and places of a session, ended or not: the kind, the owner and the lock of each."""
    prefix = BOUND_PREFIX + session
    found = []
    for key, _ in view.scan(prefix, behind(prefix), limit=limit):
        kind, owner, name = key[len(prefix) : len(prefix) + 1], *split_name(key[len(prefix) + 1 :])
        found.append((kind, owner, name))
    return found


def hold_end(name: bytes, token: int) -> bytes:
    """Return what stands in the index of ends for a hold."""
    return HOLD_KIND + within(name) + pack_number(token)


def split_hold_end(what: bytes) -> tuple[bytes, int]:
    """Return the name of the lock and the token that stand in the index of ends."""
    name, token = split_name(what[1:])
    return name, read_number(token)


def split_name(text: bytes) -> tuple[bytes, bytes]:
    """Return what `within` put before something else, and that."""
    length = text[0]
    return text[1 : 1 + length], text[1 + length :]
