"""Planted bugs of the history and of those who follow changes: what is missed, told twice, or never was."""

from typing import Any

from raftdb.core.model import Index
from raftdb.machine import expiry, values
from raftdb.machine.layer import KeyValueView, Layer
from raftdb.machine.values import remove_value
from raftdb.node import history as node_history
from raftdb.node import watches
from raftdb.node.history import History
from raftdb.node.watches import Part, Watcher, Watches
from raftdb.simulation import watchers
from raftdb.simulation.planting import Patches
from tests.sim.mutations.planting import Mutation


def a_snapshot_leaves_the_history_as_it_was() -> Patches:
    """What a snapshot skips is missing in it, and it does not say so."""

    def restart(self: History, applied: Index, view: KeyValueView) -> None:
        if not self.applied:
            self.begin = applied
        self.applied = applied

    return [(History, "restart", restart)]


def forgotten_changes_count_as_known() -> Patches:
    """The history lets the oldest changes go, and goes on to begin before them."""
    plain = History._let_go

    def let_go(self: History) -> None:
        begin = self.begin
        plain(self)
        self.begin = begin

    return [(History, "_let_go", let_go)]


def the_place_is_included() -> Patches:
    """Who goes on after an entry is told it again."""
    return [
        (node_history, "bisect_right", lambda *given, **more: max(more["lo"], _right(*given, **more) - 1))
    ]


def _right(*given: Any, **more: Any) -> int:
    from bisect import bisect_right

    return bisect_right(*given, **more)


def places_run_ahead() -> Patches:
    """A watcher is said to have got all that was applied."""

    def position_of(self: Watches, watcher: Watcher) -> Index:
        return self._history.applied

    return [(Watches, "position_of", position_of)]


def who_catches_up_is_live_at_once() -> Patches:
    plain = Watches.join

    def join(self: Watches, watcher: Watcher) -> bool:
        watcher.position = max(watcher.position, self._history.applied)
        return plain(self, watcher)

    return [(Watches, "join", join)]


def what_comes_together_is_told_in_part() -> Patches:
    """After as many entries as are looked at together all count as told."""
    plain = Watches.advance

    def advance(self: Watches, **limit: Any) -> Any:
        deliveries = plain(self, **limit)
        if self._live:
            self._position = self._history.applied
        return deliveries

    return [(Watches, "advance", advance)]


def ends_by_time_are_not_noted() -> Patches:
    """Keys whose time is up go without a word."""

    def remove(layer: Layer, state_key: bytes, before: bytes) -> None:
        written = list(layer.written)
        remove_value(layer, state_key, before)
        layer.written = written

    return [(expiry, "remove_value", remove)]


def what_was_undone_is_told() -> Patches:
    """The changes of a transaction are noted, also if it is undone in the end."""
    plain = Layer.count

    def count(self: Layer, upper: Layer) -> None:
        plain(self, upper)
        self.written += upper.written
        upper.written = []

    return [(Layer, "count", count)]


def the_end_of_all_keys_is_one_of_none() -> Patches:
    """Who follows changes does not hear of a FLUSHALL."""
    plain = values.remove_all_values

    def remove_all(layer: Layer) -> None:
        written = list(layer.written)
        plain(layer)
        layer.written = written

    from raftdb.machine import keys

    return [(keys, "remove_all_values", remove_all)]


def pages_of_the_present_do_not_fit_each_other() -> Patches:
    """What happens to keys that were sent, while others are read, is not told."""
    plain = watches.missed

    def missed(*given: Any, **more: Any) -> tuple[list[Part], bool]:
        return [], plain(*given, **more)[1]

    return [(watchers, "missed", missed)]


MUTATIONS = (
    Mutation("W1", "a snapshot leaves the history as it was", a_snapshot_leaves_the_history_as_it_was),
    Mutation("W2", "changes that were let go count as known", forgotten_changes_count_as_known),
    Mutation("W3", "who goes on after an entry is told it again", the_place_is_included),
    Mutation("W4", "a place is told that was not reached", places_run_ahead),
    Mutation("W5", "who catches up is live at once", who_catches_up_is_live_at_once),
    Mutation("W6", "of many new entries only some are told", what_comes_together_is_told_in_part),
    Mutation("W7", "keys whose time is up go without a word", ends_by_time_are_not_noted),
    Mutation("W8", "what a transaction has undone is told", what_was_undone_is_told),
    Mutation("W9", "the end of all keys is not told", the_end_of_all_keys_is_one_of_none),
    Mutation(
        "W10", "pages of the present state do not fit each other", pages_of_the_present_do_not_fit_each_other
    ),
)
