"""Times at which something is to happen, many of them and mostly taken back before: a wheel of slots."""

from typing import Generic, TypeVar

SLOT_MS = 32
"""The resolution of the times."""

Item = TypeVar("Item")


class Timers(Generic[Item]):
    """Items by their times, in milliseconds of a clock that never goes back; each has a number. Adding and taking back
    cost the same however many there are."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[int, Item]] = {}
        self._passed = 0
        """The first slot that is not over."""

    def add(self, time_ms: float, number: int, item: Item) -> int:
        """Let `item` be due at `time_ms`. Returns its slot."""
        slot = max(int(time_ms) // SLOT_MS, self._passed)
        self._slots.setdefault(slot, {})[number] = item
        return slot

    def remove(self, slot: int, number: int) -> None:
        """Take back what was added with this number, if it is not due yet."""
        items = self._slots.get(slot)
        if items is not None:
            items.pop(number, None)
            if not items:
                del self._slots[slot]

    def until(self, now_ms: float) -> dict[int, Item]:
        """Take what is due, by number, in the order of its times, to within a slot."""
        end = int(now_ms) // SLOT_MS
        due: dict[int, Item] = {}
        if end > self._passed:
            passed = range(self._passed, end)
            for slot in passed if len(passed) < len(self._slots) else sorted(self._slots):
                if slot < end and slot in self._slots:
                    due.update(self._slots.pop(slot))
            self._passed = end
        return due
