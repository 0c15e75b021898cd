"""The changes of entries that are being applied: a layer over a view of the state, which stays as it is until they are
handed on.

Nothing else happens while an entry is applied, so its cost is counted here, where all accesses pass: keys that were
looked up, keys that scans passed, bytes of values. The last two bound a client's transaction
(`raftdb.machine.transactions`), so they must be the same on every replica: they count what a scan has passed in the key
space and in the changes over it, and do not depend on how a store keeps them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Protocol, TypeAlias

from raftdb.errors import ReplyError, required
from raftdb.machine.happenings import Happened, Happening


class KeyValueView(Protocol):
    """A readable ordered key space: the state store, or a layer over it."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        ...

    def head(self, key: bytes, length: int, /) -> bytes | None:
        """Return the first `length` bytes of the value of `key`, or None; at a cost that does not grow with it."""
        ...

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` pairs with `first` <= key < `end` (None: no end) in ascending order of keys; of each
        value no more than `length` bytes, as `head` gives them."""
        ...


TOO_MANY_KEYS = "the transaction touches too many keys"
"""The error where `passed_max` ends a scan. It is a replicated rule, as all texts of errors are."""


Written: TypeAlias = tuple[bytes, bool, bytes | None, bytes | None]
"""A change of a value: where it stands, whether a record stood there before, the new record (None: removed), and the
name of the client's session in which it was done, if it was in one. A place without a key (`machine.values`) stands for
all values."""


class Layer:
    """Reads through its own changes to the view below, and collects writes in `changes` (None: deleted).

    A layer is itself a view: another one laid over it can be thrown away, or merged. It is valid until the view
    below is written to. `deadline_ms` is the earliest of the deadlines that were set in it, None if none was; `events`
    are, in order, the names of what has changed in it that somebody may wait for (`note_change`); `happened` is what is
    to be counted (`note_happened`).

    A layer also knows where it is applied: `session` is the name of the client's session whose operation runs, None
    outside of one, `user` on whose behalf it is, empty for nobody's, and `next_place` numbers what the entry makes.

    `values_prefix` is what the keys of values begin with, None until it is needed (`raftdb.machine.values`): it is
    asked for more often than it changes.

    `users_revision` is the index of the last change of users, None until it is needed (`raftdb.machine.users.records`),
    for the same reason.

    `waits` is true while an operation runs whose sender waits until it is served (`raftdb.machine.waiting`).

    `written` are, in order, the values that were changed in it, for whoever keeps their history (`Written`).

    `looked_up` counts keys, `passed` the keys that scans passed, found or not, and `moved_bytes` the bytes of values
    that were read or written. A scan that makes `passed` more than `passed_max` ends in a `ReplyError`.
    """

    __slots__ = (
        "_get_below",
        "_head_below",
        "_order",
        "_place",
        "_view",
        "changes",
        "clock_at_least_ms",
        "deadline_ms",
        "events",
        "happened",
        "looked_up",
        "moved_bytes",
        "passed",
        "passed_max",
        "session",
        "user",
        "users_revision",
        "values_prefix",
        "waits",
        "written",
    )

    def __init__(self, view: KeyValueView, *, passed_max: int | None = None) -> None:
        self._view = view
        self.values_prefix: bytes | None = None
        self.users_revision: int | None = None
        self.session: bytes | None = None
        self.user = b""
        self._place = (0, 0)
        """The entry in which a place was given out last, and the next place in it."""
        if isinstance(view, Layer):
            # A key that is looked up through a layer is counted in that layer, and only once.
            self._get_below, self._head_below = view.peek, view.peek_head
            self.session, self.user, self._place = view.session, view.user, view._place
            self.values_prefix, self.users_revision = view.values_prefix, view.users_revision
        else:
            self._get_below, self._head_below = view.get, view.head
        self.changes: dict[bytes, bytes | None] = {}
        self.clock_at_least_ms = 0
        """A time that the cluster clock is known to have reached here: entries proposed together bear the same one."""
        self._order: list[bytes] | None = None
        """The keys of `changes` in ascending order, from the first scan on: most layers have none."""
        self.deadline_ms: int | None = None
        self.events: list[bytes] = []
        self.written: list[Written] = []
        self.happened: list[Happened] = []
        self.looked_up = self.passed = self.moved_bytes = 0
        self.passed_max = passed_max
        self.waits = False

    def peek(self, key: bytes, /) -> bytes | None:
        """Return the value of `key` as this layer sees it, or None, without counting it."""
        changes = self.changes
        return changes[key] if key in changes else self._get_below(key)

    def peek_head(self, key: bytes, length: int, /) -> bytes | None:
        """Return the first `length` bytes of the value of `key`, or None, without counting it."""
        changes = self.changes
        if key not in changes:
            return self._head_below(key, length)
        value = changes[key]
        return None if value is None else value[:length]

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key` as this layer sees it, or None."""
        self.looked_up += 1
        changes = self.changes
        value = changes[key] if key in changes else self._get_below(key)
        if value is not None:
            self.moved_bytes += len(value)
        return value

    def head(self, key: bytes, length: int, /) -> bytes | None:
        """Return the first `length` bytes of the value of `key` as this layer sees it, or None."""
        self.looked_up += 1
        return self.peek_head(key, length)

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        if self._order is not None and key not in self.changes:
            insort(self._order, key)
        self.changes[key] = value
        self.moved_bytes += len(value)

    def delete(self, key: bytes) -> None:
        """Remove `key`; it need not exist."""
        if self._order is not None and key not in self.changes:
            insort(self._order, key)
        self.changes[key] = None

    def note_deadline(self, time_ms: int) -> None:
        """Something that was put here is to end at `time_ms` of the cluster clock."""
        if self.deadline_ms is None or time_ms < self.deadline_ms:
            self.deadline_ms = time_ms

    def note_change(self, name: bytes) -> None:
        """Note a change of something that a command may wait for (`raftdb.machine.waiting`). A name is the prefix of a
        service, followed by the name there. What nobody can wait for is not noted: it would cost every write."""
        self.events.append(name)

    def note_happened(self, what: Happening, waited_ms: int = 0) -> None:
        """Note what is to be counted, unless this layer is thrown away (`raftdb.machine.happenings`)."""
        self.happened.append(Happened(what, waited_ms))

    def next_place(self, index: int) -> int:
        """Return a place within the entry at `index`, which is being applied: 0, then 1, and so on. The index and the
        place together name something that the entry makes, for ever and in order."""
        place = self._place[1] if self._place[0] == index else 0
        self._place = (index, place + 1)
        return place

    def merge(self, upper: "Layer") -> None:
        """Take over all changes of `upper`, which was laid over this one."""
        self._place, self.values_prefix = upper._place, upper.values_prefix
        self.users_revision = upper.users_revision
        self.changes.update(upper.changes)
        self._order = None
        self.events += upper.events
        self.written += upper.written
        self.happened += upper.happened
        if upper.deadline_ms is not None:
            self.note_deadline(upper.deadline_ms)

    def count(self, upper: "Layer") -> None:
        """Count what was done in `upper`, which was laid over this one, whether it is merged or thrown away."""
        self.looked_up += upper.looked_up
        self.passed += upper.passed
        self.moved_bytes += upper.moved_bytes

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` pairs with `first` <= key < `end` (None: no end) in ascending order, as seen
        from here; of each value no more than `length` bytes.

        It costs time for what it returns, and for the deletions among the changes in between; the first scan orders the
        changes. Raises `ReplyError` beyond `passed_max`.
        """
        if limit <= 0:
            return []
        order = self._order
        if order is None:
            order = self._order = sorted(self.changes)
        own = bisect_left(order, first)
        own_end = len(order) if end is None else bisect_left(order, end)
        if own == own_end and self.passed_max is None:
            # The usual case, and that of all reads beside the log: nothing here lies over the range.
            pairs = self._view.scan(first, end, limit=limit, length=length)
            self.passed += len(pairs)
            return pairs
        below = self._below(first, end, limit=limit, length=length)
        pair = next(below, None)
        found: list[tuple[bytes, bytes]] = []
        while len(found) < limit and (pair is not None or own < own_end):
            self.passed += 1
            if self.passed_max is not None and self.passed > self.passed_max:
                raise ReplyError(TOO_MANY_KEYS)
            if own == own_end or (pair is not None and pair[0] < order[own]):
                found.append(required(pair, "pair below"))
                pair = next(below, None) if len(found) < limit else None
                continue
            key = order[own]
            own += 1
            if pair is not None and pair[0] == key:
                pair = next(below, None)
            value = self.changes[key]
            if value is not None:
                found.append((key, value if length is None else value[:length]))
        return found

    def _below(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        """The pairs of the view below in a range, in pages of no more than are wanted."""
        if self.passed_max is not None:
            # One more than may be passed shows that there are too many.
            limit = min(limit, self.passed_max - self.passed + 1)
        while True:
            page = self._view.scan(first, end, limit=limit, length=length)
            yield from page
            if len(page) < limit:
                return
            first = page[-1][0] + b"\0"
