"""The changes of what is being applied, over a view of the state that stays as it is until they are handed
on."""

from typing import Protocol


class KeyValueView(Protocol):
    """A readable ordered key space: the state store, or a transaction over it."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""
        ...

    def scan(self, first: bytes, end: bytes | None, *, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` pairs with `first` <= key < `end` (None: no end) in ascending order of keys."""
        ...


class Transaction:
    """Reads through its own changes to the view below, and collects writes in `changes` (None: deleted).

    A transaction is itself a view: another one laid over it can be thrown away, or merged by updating
    `changes` with its own. It lives as long as nobody writes to the view below.
    """

    __slots__ = ("_get_below", "_view", "changes")

    def __init__(self, view: KeyValueView) -> None:
        self._view = view
        self._get_below = view.get
        self.changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key` as this transaction sees it, or None."""
        changes = self.changes
        return changes[key] if key in changes else self._get_below(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key`; it need not exist."""
        self.changes[key] = None

    def scan(self, first: bytes, end: bytes | None, *, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` pairs with `first` <= key < `end` (None: no end) in ascending order, as seen
        from here.

        Costs a look at every change of this transaction.
        """
        own = {
            key: value for key, value in self.changes.items() if first <= key and (end is None or key < end)
        }
        # Each own change hides at most one pair below, so this many pairs below are enough to fill the limit.
        merged: dict[bytes, bytes | None] = dict(self._view.scan(first, end, limit=limit + len(own)))
        merged.update(own)
        present = [(key, value) for key, value in merged.items() if value is not None]
        return sorted(present)[: max(limit, 0)]
