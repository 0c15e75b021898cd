"""The changes of what is being applied, over a view of the state that stays as it is until they are handed
on."""

from typing import Protocol


class KeyValueView(Protocol):
    """A readable ordered key space: the state store, or a transaction over it."""

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


class Transaction:
    """Reads through its own changes to the view below, and collects writes in `changes` (None: deleted).

    A transaction is itself a view: another one laid over it can be thrown away, or merged. It lives as long as nobody
    writes to the view below. `deadline_ms` is the earliest of the deadlines that were set in it, None if none was.
    """

    __slots__ = ("_get_below", "_head_below", "_view", "changes", "deadline_ms")

    def __init__(self, view: KeyValueView) -> None:
        self._view = view
        self._get_below = view.get
        self._head_below = view.head
        self.changes: dict[bytes, bytes | None] = {}
        self.deadline_ms: int | None = None

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key` as this transaction sees it, or None."""
        changes = self.changes
        return changes[key] if key in changes else self._get_below(key)

    def head(self, key: bytes, length: int, /) -> bytes | None:
        """Return the first `length` bytes of the value of `key` as this transaction sees it, or None."""
        changes = self.changes
        if key not in changes:
            return self._head_below(key, length)
        value = changes[key]
        return None if value is None else value[:length]

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key`; it need not exist."""
        self.changes[key] = None

    def note_deadline(self, time_ms: int) -> None:
        """Something that was put here is to end at `time_ms` of the cluster clock."""
        if self.deadline_ms is None or time_ms < self.deadline_ms:
            self.deadline_ms = time_ms

    def merge(self, upper: "Transaction") -> None:
        """Take over all changes of `upper`, which was laid over this one."""
        self.changes.update(upper.changes)
        if upper.deadline_ms is not None:
            self.note_deadline(upper.deadline_ms)

    def scan(
        self, first: bytes, end: bytes | None, *, limit: int, length: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` pairs with `first` <= key < `end` (None: no end) in ascending order, as seen
        from here; of each value no more than `length` bytes.

        Costs a look at every change of this transaction.
        """
        if limit <= 0:
            return []
        own = {
            key: value for key, value in self.changes.items() if first <= key and (end is None or key < end)
        }
        # Each deletion here hides at most one pair below, so this many pairs below are enough to fill the limit.
        hidden = sum(value is None for value in own.values())
        merged: dict[bytes, bytes | None] = dict(
            self._view.scan(first, end, limit=limit + hidden, length=length)
        )
        merged.update(own)
        present = sorted((key, value) for key, value in merged.items() if value is not None)[:limit]
        return present if length is None else [(key, value[:length]) for key, value in present]
