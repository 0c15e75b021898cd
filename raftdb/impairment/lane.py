"""One direction between two nodes, under conditions: which messages come through, how often, and when.

What happens is drawn from a seed and from the order of the messages alone, so the same messages at the same times have
the same fate. Times are seconds on any clock that does not go back.
"""

import heapq
import random
from dataclasses import dataclass
from typing import Generic, TypeVar

from raftdb.impairment.conditions import NO_CONDITIONS, Conditions

HELD_BYTES_MAX = 16 * 1024 * 1024
"""The bytes of messages that a direction holds at most, beside the limit of its conditions; further ones are lost."""
REPEATED_AFTER_WAYS = 3
"""What has to be complete and is lost comes after this many times the delay more: there, back, and a while."""
REPEATED_AFTER_S_MIN = 0.2
"""And after this long at least, which is TCP's least on Linux."""
REPEATS_MAX = 15
"""What was lost this often in a row never arrives: TCP gives up, too."""

Item = TypeVar("Item")


@dataclass(slots=True)
class LaneCounts:
    """Messages since the direction is known. `passed` are those that came through, each copy; of these `delayed` were
    held. `overflowed`: lost because too many were held. `cut`: lost because the direction is cut."""

    passed: int = 0
    delayed: int = 0
    lost: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0
    overflowed: int = 0
    cut: int = 0


class Lane(Generic[Item]):
    """The direction with this `name`, with which its chance begins, too. It holds what is delayed."""

    def __init__(self, name: str, *, seed: int) -> None:
        self.conditions = NO_CONDITIONS
        self.is_cut = False
        self.counts = LaneCounts()
        self.held_bytes = 0
        self._name = name
        self._chance = random.Random(f"{seed} {name}")
        # When each is due, its place in the order of sending, its bytes, and itself.
        self._held: list[tuple[float, int, int, Item]] = []
        self._number = 0
        self._last_due_s = 0.0
        self._free_s = 0.0

    def begin_anew(self, seed: int) -> None:
        """Draw from another seed from now on."""
        self._chance = random.Random(f"{seed} {self._name}")

    def set(self, conditions: Conditions, *, is_cut: bool) -> None:
        """Change what happens to messages from now on. What is held stays due when it was, but is lost in a cut."""
        self.conditions = conditions
        if is_cut and not self.is_cut:
            self.counts.cut += self.clear()
        self.is_cut = is_cut

    @property
    def is_open(self) -> bool:
        """True while messages may go past it: nothing is done to them, and none is held that they would overtake."""
        return not (self.conditions or self.is_cut or self._held)

    @property
    def held_messages(self) -> int:
        """How many are held."""
        return len(self._held)

    @property
    def next_due_s(self) -> float | None:
        """When the next one is due; None if none is held."""
        return self._held[0][0] if self._held else None

    def put(self, item: Item, size_bytes: int, now_s: float) -> None:
        """Take a message: it is among those that are `due` once, more often, or never."""
        if self.is_cut:
            self.counts.cut += 1
            return
        for _ in range(self._copies()):
            self._hold(item, size_bytes, now_s)

    def due(self, now_s: float) -> list[Item]:
        """Remove and return what is to be sent by now, in order."""
        items = []
        while self._held and self._held[0][0] <= now_s:
            _, _, size_bytes, item = heapq.heappop(self._held)
            self.held_bytes -= size_bytes
            items.append(item)
        self.counts.passed += len(items)
        return items

    def clear(self) -> int:
        """Drop what is held; returns how many messages that were."""
        dropped = len(self._held)
        self._held.clear()
        self.held_bytes = 0
        self._last_due_s = 0.0
        return dropped

    def sent_s(self, size_bytes: int, now_s: float) -> float:
        """When the last bit is on its way: at once without a rate, else when all before it are, and it is, too."""
        rate = self.conditions.rate_bits_per_s
        if rate is None:
            return now_s
        self._free_s = max(self._free_s, now_s) + 8 * size_bytes / rate
        return self._free_s

    def arrival_s(self, size_bytes: int, now_s: float) -> float | None:
        """When a part of a stream arrives, which is not lost but sent again; None if it never does.

        The owner of the stream sees to its order, and asks whether the direction is cut.
        """
        due_s = self.sent_s(size_bytes, now_s) + self._delay_s()
        for _ in range(REPEATS_MAX):
            if not self._happens(self.conditions.loss_percent + self.conditions.corrupt_percent):
                return due_s
            way_s = self.conditions.delay_ms / 1000
            due_s += max(REPEATED_AFTER_WAYS * way_s, REPEATED_AFTER_S_MIN) + self._delay_s()
        return None

    def _copies(self) -> int:
        """How many copies of a message come through, counted."""
        conditions, counts = self.conditions, self.counts
        copies = 1
        if self._happens(conditions.duplicate_percent):
            copies += 1
            counts.duplicated += 1
        if self._happens(conditions.loss_percent):
            copies -= 1
            counts.lost += 1
        if copies and self._happens(conditions.corrupt_percent):
            copies -= 1
            counts.corrupted += 1
        return copies

    def _hold(self, item: Item, size_bytes: int, now_s: float) -> None:
        counts = self.counts
        is_full = len(self._held) >= self.conditions.limit_messages
        if is_full or (self._held and self.held_bytes + size_bytes > HELD_BYTES_MAX):
            counts.overflowed += 1
            return
        sent_s = self.sent_s(size_bytes, now_s)
        if self._happens(self.conditions.reorder_percent):
            counts.reordered += 1
            due_s = sent_s
        else:
            due_s = self._last_due_s = max(sent_s + self._delay_s(), self._last_due_s)
        if due_s > now_s:
            counts.delayed += 1
        self._number += 1
        self.held_bytes += size_bytes
        heapq.heappush(self._held, (due_s, self._number, size_bytes, item))

    def _delay_s(self) -> float:
        conditions = self.conditions
        delay_ms, jitter_ms = conditions.delay_ms, conditions.jitter_ms
        if jitter_ms and conditions.distribution == "normal":
            delay_ms = self._chance.normalvariate(delay_ms, jitter_ms)
        elif jitter_ms:
            delay_ms += self._chance.uniform(-jitter_ms, jitter_ms)
        return max(delay_ms, 0.0) / 1000

    def _happens(self, percent: float) -> bool:
        return percent > 0 and self._chance.random() * 100 < percent
