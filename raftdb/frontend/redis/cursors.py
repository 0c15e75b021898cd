"""The cursors of SCAN that a node keeps: numbers that stand for keys."""

from collections import OrderedDict

CURSORS_MAX = 10_000
"""Most cursors that are kept; one more drops the one that was used longest ago."""


class Cursors:
    """Numbers from 1, each for the key after which a page begins. A cursor may be used repeatedly."""

    __slots__ = ("_cursors_max", "_keys", "_last")

    def __init__(self, cursors_max: int = CURSORS_MAX) -> None:
        self._cursors_max = cursors_max
        self._keys: OrderedDict[int, bytes] = OrderedDict()
        self._last = 0

    def number_of(self, key: bytes) -> int:
        """A new cursor for the page after `key`."""
        self._last += 1
        self._keys[self._last] = key
        if len(self._keys) > self._cursors_max:
            self._keys.popitem(last=False)
        return self._last

    def key_of(self, number: int) -> bytes | None:
        """The key of a cursor; None if the cursor is not known."""
        key = self._keys.get(number)
        if key is not None:
            self._keys.move_to_end(number)
        return key
