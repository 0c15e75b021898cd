"""Planted bugs of checkpoints, compaction and snapshots."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raftdb.core import follower, raft, snapshots
from raftdb.core.block import Block
from raftdb.core.log import Log
from raftdb.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
)
from raftdb.core.model import EntryId, Index, Role
from raftdb.core.state import RaftState
from raftdb.node import stored
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.replica import Replica
from raftdb.simulation.planting import Patches, handlers
from storage import memory
from storage.contract import FrozenChanges
from storage.manifest import Manifest
from storage.memory import MemoryStateStore
from storage.memory_disk import MemoryDisk
from tests.sim.mutations.planting import Mutation


def compacted_entries_have_term_0() -> Patches:
    plain = Log.term_at

    def term_at(self: Log, index: Index) -> int | None:
        return 0 if index < self.base.index else plain(self, index)

    return [(Log, "term_at", term_at)]


def install_keeps_a_conflicting_tail() -> Patches:
    plain = RaftState.install_snapshot

    def install_snapshot(self: RaftState, end: EntryId, index: Index, data: bytes) -> None:
        first = max(end.index + 1, self.log.cache_first)
        tail: Sequence[Block] = ()
        if first == end.index + 1 <= self.log.last_index:
            tail = self.log.cached(first, self.log.last_index, bytes_max=1 << 60) or ()
        plain(self, end, index, data)
        self.log.append(tail)

    return [(RaftState, "install_snapshot", install_snapshot)]


def install_drops_a_matching_tail() -> Patches:
    def is_needed(state: RaftState, offer: InstallSnapshot) -> bool:
        return offer.last_index > state.commit_index

    return [(snapshots, "_is_needed", is_needed)]


def appends_behind_a_snapshot_are_refused() -> Patches:
    plain = follower.on_append_entries

    def on_append_entries(state: RaftState, message: AppendEntries) -> None:
        base = state.log.base
        if message.previous_index == base.index > 1:
            reply = AppendEntriesReply(state.id, message.source, state.term, base.index, False, 0)
            state.say(replace(reply, hint_index=base.index - 1, hint_term=base.term))
        else:
            plain(state, message)

    return handlers(AppendEntries, raft.hear_then(on_append_entries), Role.FOLLOWER)


def applies_while_it_installs() -> Patches:
    plain = Replica._apply

    def apply(self: Replica) -> None:
        installing, self._installing = self._installing, False
        plain(self)
        self._installing = installing

    return [(Replica, "_apply", apply)]


def installed_state_is_merged() -> Patches:
    plain = MemoryStateStore.install

    def install(disk: MemoryDisk, snapshot: bytes) -> Manifest:
        before = dict(disk.content)
        manifest = plain(disk, snapshot)
        kept = {key: value for key, value in before.items() if key not in disk.content}
        marker = memory._applied_at(manifest.index, manifest.term, len(kept) + len(disk.content) - 1)
        disk.commit(kept | marker)
        return manifest

    return [(MemoryStateStore, "install", staticmethod(install))]


def applied_index_lags_behind_the_data() -> Patches:
    plain = MemoryStateStore.flush

    def flush(self: MemoryStateStore, frozen: FrozenChanges) -> None:
        plain(self, replace(frozen, index=max(1, frozen.index - 1)))

    return [(MemoryStateStore, "flush", flush)]


def any_snapshot_is_installed() -> Patches:
    def has_received(self: Replica, offer: InstallSnapshot) -> bool:
        return not self._installing and self.received_snapshot is not None

    return [(Replica, "_has_received", has_received)]


def log_is_not_connected_after_a_crash() -> Patches:
    return [(stored, "_connects", lambda loaded, checkpoint: True)]


def compacts_what_is_not_durable() -> Patches:
    plain = CompactionPolicy.base_after

    def base_after(self: CompactionPolicy, log: Log, *, checkpoint_index: Index, **others: Any) -> Index:
        return plain(self, log, checkpoint_index=checkpoint_index + 1, **others)

    return [(CompactionPolicy, "base_after", base_after)]


def any_checkpoint_ends_the_wait() -> Patches:
    plain = Replica._flushed

    def flushed(self: Replica, frozen: FrozenChanges) -> None:
        waiting = self._checkpoints._waiting
        waiting.update({number: wish._replace(durable_index=0) for number, wish in waiting.items()})
        plain(self, frozen)

    return [(Replica, "_flushed", flushed)]


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("B19", "compacted entries have term 0", compacted_entries_have_term_0),
    Mutation("B25", "an install keeps a conflicting tail", install_keeps_a_conflicting_tail),
    Mutation("B26", "an install drops a matching tail", install_drops_a_matching_tail),
    Mutation("B27", "appends right behind a snapshot are refused", appends_behind_a_snapshot_are_refused),
    Mutation("B28", "applies while it installs", applies_while_it_installs),
    Mutation("B29", "an installed state is merged", installed_state_is_merged),
    Mutation("B30", "the applied index lags behind the data", applied_index_lags_behind_the_data),
    Mutation("B30b", "compacts what is not durable in the state", compacts_what_is_not_durable),
    Mutation("B33", "any snapshot is installed", any_snapshot_is_installed),
    Mutation("B34", "the log does not follow the state after a crash", log_is_not_connected_after_a_crash),
    Mutation("B106", "any checkpoint ends the wait for one", any_checkpoint_ends_the_wait),
)
