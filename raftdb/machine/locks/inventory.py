"""What all locks of a state have, and whether what is counted of each agrees with its holds and places."""

from collections import Counter
from collections.abc import Iterator

from raftdb.limits import TIME_MS_MAX
from raftdb.machine.inventory import Noted, everything, shortened
from raftdb.machine.keyspace import HOLD_PREFIX, LOCK_LINE_PREFIX, LOCK_PREFIX
from raftdb.machine.layer import KeyValueView
from raftdb.machine.locks.records import (
    ENDS,
    LOCK_KIND,
    LockMode,
    LockRecord,
    load_lock,
    place_of,
    shown_owner,
    split_name,
    token_of,
    unpack_claim,
)
from raftdb.machine.reply import shown_key


def take_inventory(view: KeyValueView) -> Iterator[Noted]:
    """Count the locks, those who hold them and those who wait; name what is odd."""
    names = dict.fromkeys(key[1:] for key, _ in everything(view, LOCK_PREFIX))
    wrong: list[Noted] = []
    holders, waiters = _holders(view, wrong), _waiters(view, wrong)
    yield Noted("locks", len(names))
    yield Noted("lock holders", holders.total())
    yield Noted("lock waiters", waiters.total())
    ends = ENDS.due(view, TIME_MS_MAX, limit=1 << 62)
    going_on = dict.fromkeys(what[1:] for _, what in ends if what[:1] == LOCK_KIND)
    for name in sorted(names | dict.fromkeys(holders) | dict.fromkeys(waiters)):
        lock = load_lock(view, name) or LockRecord(0, 0, 0, 0, LockMode.EXCLUSIVE, b"")
        said, found = (lock.holders, lock.waiting), (holders[name], waiters[name])
        if said != found:
            what = "counts {} holders and {} waiters, and has {} and {}".format(*said, *found)
            what = f"{shown_key(name)} {what}"
            wrong.append(Noted("lock", what, is_wrong=True))
        elif not lock.holders and lock.waiting and name not in going_on:
            what = f"nobody holds {shown_key(name)}, and {lock.waiting} wait for it"
            wrong.append(Noted("lock", what, is_wrong=True))
    yield from shortened(wrong)


def _holders(view: KeyValueView, wrong: list[Noted]) -> Counter[bytes]:
    """How many hold each lock. What is `wrong` with a hold is put there."""
    found: Counter[bytes] = Counter()
    for key, record in everything(view, HOLD_PREFIX):
        (name, token), owner = split_name(key[1:]), unpack_claim(record).owner
        found[name] += 1
        if token_of(view, owner, name) != int.from_bytes(token):
            wrong.append(_unknown(owner, "hold", name))
    return found


def _waiters(view: KeyValueView, wrong: list[Noted]) -> Counter[bytes]:
    """How many wait for each lock, likewise."""
    found: Counter[bytes] = Counter()
    for key, record in everything(view, LOCK_LINE_PREFIX):
        (name, number), owner = split_name(key[1:]), unpack_claim(record).owner
        found[name] += 1
        if place_of(view, owner, name) != int.from_bytes(number):
            wrong.append(_unknown(owner, "wait for", name))
    return found


def _unknown(owner: bytes, does: str, name: bytes) -> Noted:
    """A claim that the records of its owner do not have."""
    what = f"{shown_key(shown_owner(owner))} is not known to {does} {shown_key(name)}"
    return Noted("lock", what, is_wrong=True)
