"""Following changes: who watches keys with a prefix gets each change of them once, in order, and none that is not
committed. No I/O, so the simulator runs the same.

Each node serves its watchers from its own history, so any node can, whether it leads or not. A watcher is at a
*position*: it has got every change up to that entry. It may be at any node, and go on at another from its position,
because all nodes apply the same entries.

* A watcher that is behind *catches up*: it reads the history in pages, each at the pace of its client (`catch_up`).
* One that is not is *live* (`join`). All that are live are told together: `advance` goes through the new entries once,
  finds the watchers of each key by its prefixes, and names them with the changes, which are made into bytes once. So
  ten thousand watchers of other prefixes cost a look-up for each length that their prefixes have: 2 us a change where
  applying it takes 5, and 3 us more if one of them gets it (`benchmarks/watchers.py`).
* A position may be above all that was applied here: the client was at a node that is further. It gets what comes after.
* A position below the beginning of the history is `Compacted`: changes were missed, and only the present state helps.
  That happens to live watchers, too, when a snapshot is put in place.

The present state is read in pages of keys while the state goes on (`raftdb.frontend.http_watch`). The changes of keys
that were sent before a page are sent before it, up to the entry at which the page was read (`missed`); so the watcher
has what all the keys up to the last of the page were at that entry, and after the last page it can go on from there. It
never needs more of the history than what happens between two pages.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from raftdb.core.model import Index
from raftdb.node.history import Change, Entry, History, key_of_change

ENTRIES_TOGETHER = 256
"""Entries that are looked through at a time."""


class Part(NamedTuple):
    """The changes of one entry that a watcher gets, each with its place among all changes of the entry."""

    entry: Entry
    changes: Sequence[tuple[int, Change]]


class Watcher:
    """One that follows the keys that begin with `prefix`, from after the entry at `position` on."""

    __slots__ = ("position", "prefix")

    def __init__(self, prefix: bytes, position: Index) -> None:
        self.prefix = prefix
        self.position = position


class Delivery(NamedTuple):
    """A part for all live watchers of a prefix."""

    part: Part
    watchers: Sequence[Watcher]


class Watches:
    """The watchers of one node that are live; those that catch up are only known to their owners."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._position: Index = 0
        """What is up to here was given out for live watchers."""
        self._told: Index = 0
        """What is up to here they have got."""
        self._live: dict[bytes, dict[Watcher, None]] = {}
        """The live watchers by their prefixes."""
        self._lengths: dict[int, int] = {}
        """The lengths that their prefixes have, in ascending order, and how many prefixes have each."""

    @property
    def has_live(self) -> bool:
        """True if anybody is to be told of new changes."""
        return bool(self._live)

    @property
    def is_behind(self) -> bool:
        """True if there may be something for live watchers."""
        return bool(self._live) and self._position != self._history.applied

    def is_live(self, watcher: Watcher) -> bool:
        """Return whether this watcher is told of new changes."""
        return watcher in self._live.get(watcher.prefix, ())

    def position_of(self, watcher: Watcher) -> Index:
        """Return up to which entry this watcher has got everything."""
        return max(watcher.position, self._told) if self.is_live(watcher) else watcher.position

    def catch_up(self, watcher: Watcher, *, limit: int = ENTRIES_TOGETHER) -> list[Part]:
        """Return what comes next for a watcher that is not live, from up to `limit` entries, and move it on. Raises
        `Compacted`."""
        entries = self._history.after(watcher.position, limit=limit)
        if len(entries) == limit:
            watcher.position = entries[-1].revision
        else:
            watcher.position = max(watcher.position, self._history.applied)
        return [part for part in (part_of(entry, watcher.prefix) for entry in entries) if part.changes]

    def join(self, watcher: Watcher) -> bool:
        """Let a watcher be live if it has got all that the others have; returns whether it is. It is at once after
        `catch_up` has returned less than it might."""
        if not self._live:
            self._position = self._told = self._history.applied
        if watcher.position < self._position:
            return False
        prefix = watcher.prefix
        if prefix not in self._live:
            self._live[prefix] = {}
            self._lengths[len(prefix)] = self._lengths.get(len(prefix), 0) + 1
            self._lengths = dict(sorted(self._lengths.items()))
        self._live[prefix][watcher] = None
        return True

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher, live or not."""
        prefix = watcher.prefix
        watchers = self._live.get(prefix, {})
        if watcher in watchers:
            watcher.position = max(watcher.position, self._told)
            del watchers[watcher]
            if not watchers:
                del self._live[prefix]
                self._lengths[len(prefix)] -= 1
                if not self._lengths[len(prefix)]:
                    del self._lengths[len(prefix)]

    def advance(self, *, limit: int = ENTRIES_TOGETHER) -> list[Delivery]:
        """Return what the next entries, up to `limit`, have for live watchers. Who carries that to them moves each of
        them on, lets those leave that do not take it, and then calls `told`. Raises `Compacted` for all: each has to
        leave."""
        if not self._live:
            return []
        entries = self._history.after(self._position, limit=limit)
        deliveries: list[Delivery] = []
        for entry in entries:
            for prefix, changes in self._matches(entry).items():
                watchers = [each for each in self._live[prefix] if each.position < entry.revision]
                if watchers:
                    deliveries.append(Delivery(Part(entry, changes), watchers))
        self._position = entries[-1].revision if len(entries) == limit else self._history.applied
        return deliveries

    def told(self) -> None:
        """The live watchers have got what `advance` has returned, or have left."""
        self._told = self._position

    def _matches(self, entry: Entry) -> dict[bytes, list[tuple[int, Change]]]:
        """The changes of an entry by the prefixes that live watchers have."""
        found: dict[bytes, list[tuple[int, Change]]] = {}
        for place, change in enumerate(entry.changes):
            key = key_of_change(change)
            for length in self._lengths:
                if length > len(key):
                    break
                prefix = key[:length]
                if prefix in self._live:
                    found.setdefault(prefix, []).append((place, change))
        return found

    def live(self) -> list[Watcher]:
        """Return all live watchers."""
        return [watcher for watchers in self._live.values() for watcher in watchers]


def part_of(entry: Entry, prefix: bytes, *, last_key: bytes | None = None) -> Part:
    """Return the changes of an entry of keys that begin with `prefix`, up to `last_key`; there may be none."""
    keys = ((place, change, key_of_change(change)) for place, change in enumerate(entry.changes))
    return Part(
        entry,
        [
            (place, change)
            for place, change, key in keys
            if key.startswith(prefix) and (last_key is None or key <= last_key)
        ],
    )


def missed(
    history: History, watcher: Watcher, until: Index, last_key: bytes | None, *, limit: int = ENTRIES_TOGETHER
) -> tuple[list[Part], bool]:
    """Return what happened to the keys that were sent already, which are those up to `last_key` (None: there are none),
    up to the entry at `until`, and move the watcher on; and whether that is all. Raises `Compacted`."""
    entries = [entry for entry in history.after(watcher.position, limit=limit) if entry.revision <= until]
    is_all = len(entries) < limit
    watcher.position = until if is_all else entries[-1].revision
    if last_key is None:
        return [], is_all
    return _not_empty(part_of(entry, watcher.prefix, last_key=last_key) for entry in entries), is_all


def _not_empty(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if part.changes]
