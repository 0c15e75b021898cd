"""The beginning of a restored cluster: what its first members write, what they know of it, and its name."""

from raftdb.core.block import Block, entries_of
from raftdb.core.membership import Configuration
from raftdb.core.model import EntryId, EntryKind, HardState, Member
from raftdb.core.state import RaftSettings
from raftdb.machine.keyspace import CONFIGURATION_KEY, pack_configuration
from raftdb.machine.machine import Machine
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.replica import Replica
from raftdb.node.stored import (
    FIRST_ENTRY,
    bootstrap,
    bootstrap_restored,
    decode_hard_state,
    first_entry_of,
    load_raft,
)
from raftdb.server.folder import cluster_id_of
from raftdb.wire.configuration import decode_configuration, encode_configuration
from storage.memory import MemoryLogStore, MemoryStateStore
from tests.addresses import at

OLD = Configuration((Member("n1", at("old:1")), Member("n9", at("old:9"))))
NEW = Configuration((Member("n1", at("new:1")), Member("n2", at("new:2")), Member("n3", at("new:3"))))
BASE = EntryId(1000, 7)


def restored_stores() -> tuple[MemoryLogStore, MemoryStateStore]:
    """A log and a state as a restore leaves them, under the configuration of the old cluster."""
    log, state = MemoryLogStore(), MemoryStateStore()
    old = pack_configuration(900, encode_configuration(OLD))
    state.write({CONFIGURATION_KEY: old}, index=BASE.index, term=BASE.term)
    frozen = state.freeze()
    assert frozen is not None
    state.flush(frozen)
    state.thaw(frozen)
    log.reset(*BASE)
    bootstrap_restored(log, NEW)
    return log, state


def test_the_log_goes_on_behind_the_backup_with_the_new_members_in_a_new_term() -> None:
    log, _ = restored_stores()
    found = log.load(collect_kinds=frozenset({EntryKind.CONFIGURATION}))
    assert (found.base_index, found.base_term, found.last_index) == (1000, 7, 1001)
    assert found.hard_state is not None
    assert decode_hard_state(found.hard_state) == HardState(8, None)
    (entry,) = entries_of(map(Block.read, found.collected))
    assert (*entry.name, decode_configuration(entry.data)) == (1001, 8, NEW)
    assert log.load() == restored_stores()[0].load(), "equal on every first member"


def test_a_restored_node_follows_the_new_members_and_is_unproven_until_it_has_met_a_majority() -> None:
    log, state = restored_stores()
    assert first_entry_of(log) == EntryId(1001, 8)
    raft = load_raft("n1", log, state, settings=RaftSettings(), randrange=lambda low, high: low)
    assert raft.state.configurations.latest == NEW
    assert (raft.state.term, raft.state.commit_index) == (8, 1000)
    replica = Replica(
        raft,
        log_reader=log,
        state=state,
        machine=Machine(),
        patience_ticks=10,
        policy=CompactionPolicy(),
        first_entry=first_entry_of(log),
    )
    assert replica.is_unproven
    replica.links.add("n2")
    assert not replica.is_unproven


def test_a_cluster_that_began_empty_knows_its_first_entry() -> None:
    log = MemoryLogStore()
    bootstrap(log, NEW)
    assert first_entry_of(log) == FIRST_ENTRY


def test_the_name_of_a_cluster_depends_on_its_members_and_on_its_backup() -> None:
    members = {"n1": at("a:1"), "n2": at("b:2")}
    names = {
        cluster_id_of(members),
        cluster_id_of(members, "aa"),
        cluster_id_of(members, "bb"),
        cluster_id_of({"n1": at("a:1")}, "aa"),
    }
    assert len(names) == 4
    assert cluster_id_of(dict(reversed(members.items())), "aa") == cluster_id_of(members, "aa")
