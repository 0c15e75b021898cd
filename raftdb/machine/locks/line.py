"""One lock while an entry changes it: who holds it, who waits in its line, and how it is handed on.

The line is fair: nobody overtakes anybody. Who is at its front gets the lock as soon as those who hold it admit that,
in the entry that ends the hold before. Of those who share it many may be at the front at once; an entry serves
`SHARED_GRANTS_MAX` of them, and the next one goes on.

What is over is over whether it was swept or not: where somebody is in the way, it is looked whether that is so. Of very
many holders only the first are looked at; the sweeper ends the others a moment later.
"""

from raftdb.limits import LOCK_FIRST_LEASE_MS
from raftdb.machine.clock import read_clock
from raftdb.machine.happenings import Happening
from raftdb.machine.keyspace import pack_number
from raftdb.machine.layer import Layer
from raftdb.machine.locks.over import is_gone, is_over, may_take
from raftdb.machine.locks.records import (
    ENDS,
    ENTRY_BITS,
    HOLD_KIND,
    LOCK_KIND,
    PLACE_KIND,
    Claim,
    LockMode,
    LockRecord,
    Wait,
    bound_key,
    held_key,
    hold_end,
    hold_key,
    line_key,
    load_hold,
    load_lock,
    load_waits,
    number_of,
    pack_claim,
    place_key,
    place_number,
    scan_holds,
    scan_line,
    store_held,
    store_lock,
    store_waits,
    tangled_key,
    token_of,
)
from raftdb.machine.session_records import bind

SHARED_GRANTS_MAX = 500
"""Owners who get a lock that they share in one entry; the rest get it in the next."""
SETTLED_MAX = 64
"""Holders of one lock of whom it is looked whether their time is over when somebody else asks for it."""
GONE_MAX = 500
"""Places of whom nobody may have the lock any more that are taken out of a line in one entry."""


class OpenLock:
    """One lock, as part of the entry at `index`. Call `save` at the end. Only one may be open at a time, because the
    records of other locks may be changed, too."""

    __slots__ = (
        "clock_ms",
        "holders",
        "index",
        "layer",
        "limit",
        "mode",
        "name",
        "owner",
        "served",
        "tangled",
        "waiting",
    )

    def __init__(self, layer: Layer, name: bytes, index: int) -> None:
        record = load_lock(layer, name) or LockRecord(0, 0, 0, 0, LockMode.EXCLUSIVE, b"")
        self.limit, self.holders, self.waiting, self.tangled, self.mode, self.owner = record
        self.layer, self.name, self.index = layer, name, index
        self.clock_ms = read_clock(layer)
        self.served = 0
        """How many that were in the line got the lock, or were taken out."""

    def save(self) -> None:
        """Store the lock."""
        record = LockRecord(self.limit, self.holders, self.waiting, self.tangled, self.mode, self.owner)
        store_lock(self.layer, self.name, record)

    def hold_of(self, owner: bytes) -> tuple[int, Claim] | None:
        """Return the token and the hold of an owner, over or not."""
        token = token_of(self.layer, owner, self.name)
        claim = load_hold(self.layer, self.name, token)
        return None if claim is None else (token, claim)

    def admits(self, mode: int, owner: bytes) -> bool:
        """Return whether the holders leave room for `owner` to hold it, too, or instead of itself."""
        if self.holders == 0:
            return True
        if mode == LockMode.EXCLUSIVE:
            return self.holders == 1 and token_of(self.layer, owner, self.name) > 0
        if mode == LockMode.SHARED:
            return self.mode == LockMode.SHARED
        return self.holders < self.limit

    def grant(
        self, owner: bytes, mode: int, ttl_ms: int, session: bytes, *, lease_ms: int, waited_ms: int = 0
    ) -> tuple[int, Claim]:
        """Let an owner hold the lock under a new token, until `lease_ms` from now."""
        layer, name = self.layer, self.name
        layer.note_happened(Happening.GRANTED, waited_ms)
        token = number_of(self.index, layer.next_place(self.index))
        claim = Claim(mode, ttl_ms, self.clock_ms, self.clock_ms + lease_ms, session, owner)
        layer.put(hold_key(name, token), pack_claim(claim))
        store_held(layer, owner, name, token, mode)
        ENDS.set(layer, claim.ends_ms, hold_end(name, token))
        self._bind(session, HOLD_KIND, owner)
        self.owner = owner if self.holders == 0 else b""
        self.holders += 1
        self.mode = mode
        return token, claim

    def renew(self, token: int, claim: Claim, ttl_ms: int, session: bytes) -> tuple[int, Claim]:
        """Let a hold end `ttl_ms` from now. It belongs to `session` from now on, if there is one."""
        layer, end = self.layer, hold_end(self.name, token)
        renewed = claim._replace(
            ttl_ms=ttl_ms, ends_ms=self.clock_ms + ttl_ms, session=session or claim.session
        )
        if renewed.session != claim.session:
            self._bind(renewed.session, HOLD_KIND, claim.owner)
            self._unbind(claim.session, HOLD_KIND, claim.owner)
        ENDS.lift(layer, claim.ends_ms, end)
        ENDS.set(layer, renewed.ends_ms, end)
        layer.put(hold_key(self.name, token), pack_claim(renewed))
        return token, renewed

    def release(self, token: int, claim: Claim) -> None:
        """End a hold."""
        layer, name = self.layer, self.name
        if claim.ends_ms < self.clock_ms:
            layer.note_happened(Happening.LEASE_EXPIRED)
        layer.delete(hold_key(name, token))
        layer.delete(held_key(claim.owner, name))
        ENDS.lift(layer, claim.ends_ms, hold_end(name, token))
        self._unbind(claim.session, HOLD_KIND, claim.owner)
        self.holders -= 1
        self.owner = b""

    def stand(self, owner: bytes, mode: int, ttl_ms: int, session: bytes, *, at_front: bool) -> None:
        """Give an owner a place at the end of the line, or at its front."""
        layer, name = self.layer, self.name
        number = place_number(self.index, layer.next_place(self.index), at_front=at_front)
        layer.put(line_key(name, number), pack_claim(Claim(mode, ttl_ms, self.clock_ms, 0, session, owner)))
        layer.put(place_key(owner, name), pack_number(number))
        self._bind(session, PLACE_KIND, owner)
        self.waiting += 1
        if mode != LockMode.LIMITED:
            self._list(owner, Wait(number, mode, name))

    def stay(self, number: int, claim: Claim, ttl_ms: int, session: bytes) -> None:
        """Let a place be asked for again: where it is, for another time to live. It belongs to `session` from now on,
        if there is one."""
        again = claim._replace(ttl_ms=ttl_ms, session=session or claim.session)
        if again.session != claim.session:
            self._bind(again.session, PLACE_KIND, claim.owner)
            self._unbind(claim.session, PLACE_KIND, claim.owner)
        if again != claim:
            self.layer.put(line_key(self.name, number), pack_claim(again))

    def leave(self, number: int, claim: Claim) -> None:
        """Take a place out of the line."""
        layer, name = self.layer, self.name
        layer.delete(line_key(name, number))
        place = place_key(claim.owner, name)
        layer.delete(place)
        layer.note_change(place)
        self._unbind(claim.session, PLACE_KIND, claim.owner)
        self.waiting -= 1
        if claim.mode != LockMode.LIMITED:
            self._unlist(claim.owner, number)

    def settle(self) -> bool:
        """End the holds whose time is over, or whose sessions have ended, of the first holders. Returns whether there
        were any."""
        if self.holders == 0:
            return False
        sole = self.hold_of(self.owner) if self.owner else None
        holds = [sole] if sole is not None else scan_holds(self.layer, self.name, limit=SETTLED_MAX)
        over = [(token, claim) for token, claim in holds if is_over(self.layer, claim, self.clock_ms)]
        for token, claim in over:
            self.release(token, claim)
        return bool(over)

    def hand_on(self) -> None:
        """Let those at the front of the line have the lock, as far as the holders admit them."""
        settled = False
        while self.waiting:
            page = scan_line(self.layer, self.name, limit=SETTLED_MAX if self.served else 1)
            for number, claim in page:
                if is_gone(self.layer, claim) or not may_take(self.layer, claim, self.name):
                    self.leave(number, claim)
                    self.served += 1
                    if self.served >= GONE_MAX:
                        self._go_on_later()
                        return
                    continue
                if not self.admits(claim.mode, claim.owner) and not settled:
                    settled = True
                    self.settle()
                if not self.admits(claim.mode, claim.owner):
                    return
                token = self._serve(number, claim)
                if claim.mode != LockMode.EXCLUSIVE and _place_in(token) >= SHARED_GRANTS_MAX - 1:
                    self._go_on_later()
                    return

    def _serve(self, number: int, claim: Claim) -> int:
        """Let the owner of a place have the lock. Its client may be gone, so it has to renew it soon."""
        held = self.hold_of(claim.owner)
        if held is not None:
            self.release(*held)
        lease_ms = min(claim.ttl_ms, LOCK_FIRST_LEASE_MS)
        waited_ms = max(0, self.clock_ms - claim.since_ms)
        token, _ = self.grant(
            claim.owner, claim.mode, claim.ttl_ms, claim.session, lease_ms=lease_ms, waited_ms=waited_ms
        )
        self.leave(number, claim)
        self.served += 1
        return token

    def _go_on_later(self) -> None:
        """Let the next `Expire` go on with the line, if there is one."""
        if self.waiting:
            ENDS.set(self.layer, self.clock_ms + 1, LOCK_KIND + self.name)

    def _bind(self, session: bytes, kind: bytes, owner: bytes) -> None:
        if session:
            self.layer.put(bound_key(session, kind, owner, self.name), b"")
            bind(self.layer, session, 1)

    def _unbind(self, session: bytes, kind: bytes, owner: bytes) -> None:
        if session:
            self.layer.delete(bound_key(session, kind, owner, self.name))
            bind(self.layer, session, -1)

    def _list(self, owner: bytes, wait: Wait) -> None:
        """Note a place among those of its owner. With a second one both are tangled."""
        waits = load_waits(self.layer, owner)
        if waits:
            self._tangle(owner, wait)
            if len(waits) == 1:
                self._tangle(owner, waits[0])
        store_waits(self.layer, owner, [*waits, wait])

    def _unlist(self, owner: bytes, number: int) -> None:
        waits = load_waits(self.layer, owner)
        others = [wait for wait in waits if wait.lock != self.name]
        if others:
            self._untangle(Wait(number, 0, self.name))
            if len(others) == 1:
                self._untangle(others[0])
        store_waits(self.layer, owner, others)

    def _tangle(self, owner: bytes, wait: Wait) -> None:
        self.layer.put(tangled_key(wait.lock, wait.number), owner)
        self._count_tangled(wait.lock, 1)

    def _untangle(self, wait: Wait) -> None:
        self.layer.delete(tangled_key(wait.lock, wait.number))
        self._count_tangled(wait.lock, -1)

    def _count_tangled(self, name: bytes, change: int) -> None:
        if name == self.name:
            self.tangled += change
            return
        record = load_lock(self.layer, name)
        if record is not None:
            store_lock(self.layer, name, record._replace(tangled=record.tangled + change))


def _place_in(token: int) -> int:
    """The place of a token in its entry."""
    return token & ((1 << ENTRY_BITS) - 1)
