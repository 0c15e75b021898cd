"""What the core persists as bytes on disk, and a node's memory rebuilt from them.

`bootstrap` writes what a first member starts from, `load_raft` makes a node of what any start finds. Both are used by
the real node and by the simulator, on real and on simulated disks.
"""

from raftdb.core.block import Block, entries_of
from raftdb.core.log import Log
from raftdb.core.membership import Configuration, ConfigurationHistory
from raftdb.core.model import EntryId, EntryKind, HardState, NodeId
from raftdb.core.raft import Raft
from raftdb.core.state import RaftSettings, RandomRange
from raftdb.core.update import Persist
from raftdb.errors import Fatal
from raftdb.machine.keyspace import CONFIGURATION_KEY, unpack_configuration
from raftdb.wire import cbor
from raftdb.wire.configuration import FORM, decode_configuration, encode_configuration
from storage import LoadedLog, LogBatch, LogStore, StateStore

BOOTSTRAP_TERM = 1
"""Term of the first entry, the configuration that all first members share; no leader is ever elected in it."""
HARD_STATE_BYTES_MAX = 4096
LOADED_KINDS = frozenset({EntryKind.CONFIGURATION})
"""Entries that a start has to read: they say who the members are."""


def encode_hard_state(hard_state: HardState) -> bytes:
    """Term and vote as one record, so that no crash can part them (hazard B03)."""
    return cbor.encode([hard_state.term, hard_state.voted_for])


def decode_hard_state(data: bytes) -> HardState:
    """Term and vote as they were written; anything else is damage, and stops the node."""
    value = cbor.decode(data, bytes_max=HARD_STATE_BYTES_MAX, items_max=8)
    match value:
        case [int(term), str() | None as voted_for] if type(term) is int and term >= 0:
            return HardState(term, voted_for)
    raise Fatal(f"the stored term and vote are not readable: {value!r}", exit_code=4)


def batch_of(persist: Persist) -> LogBatch:
    """The batch for the log store that one `Persist` asks for."""
    hard_state = None if persist.hard_state is None else encode_hard_state(persist.hard_state)
    return LogBatch(hard_state, persist.truncate_from, [block.encoded for block in persist.blocks])


FIRST_ENTRY = EntryId(1, BOOTSTRAP_TERM)
"""The first entry of a cluster that began empty."""
FIRST_ENTRY_FACT = "first_entry"


def first_entry_of(log_store: LogStore) -> EntryId:
    """The entry that the log of every first member of this cluster began with."""
    stored = log_store.get_meta(FIRST_ENTRY_FACT)
    if stored is None:
        return FIRST_ENTRY
    match cbor.decode(stored, bytes_max=HARD_STATE_BYTES_MAX, items_max=8):
        case [int(index), int(term)]:
            return EntryId(index, term)
    raise Fatal("the stored first entry is not readable", exit_code=4)


def bootstrap_restored(log_store: LogStore, configuration: Configuration) -> None:
    """Write the entry that follows the state of a backup: equal on every first member that restores the same backup.

    The entry names the new members, follows the index at which the state ends, and has a new term of its own, in which
    no leader is ever elected.
    """
    base = log_store.load()
    first = EntryId(base.base_index + 1, base.base_term + 1)
    log_store.put_meta(FIRST_ENTRY_FACT, cbor.encode(list(first)))
    data = encode_configuration(configuration)
    block = Block.of(first.index, first.term, EntryKind.CONFIGURATION, (data,))
    log_store.write([LogBatch(encode_hard_state(HardState(first.term, None)), None, (block.encoded,))])


def bootstrap(log_store: LogStore, configuration: Configuration) -> None:
    """Write the beginning of a new cluster's log: equal on every first member, so that no leader is needed for it."""
    if log_store.load().hard_state is not None:
        return  # a crash came after this was written, but before the folder was marked complete
    data = encode_configuration(configuration)
    first = Block.of(1, BOOTSTRAP_TERM, EntryKind.CONFIGURATION, (data,))
    log_store.write([LogBatch(encode_hard_state(HardState(BOOTSTRAP_TERM, None)), None, (first.encoded,))])


def begin_empty(log_store: LogStore) -> None:
    """Write the log that a node that joins a running cluster starts from: the node knows no members, so it neither
    votes nor stands for election, and the leader sends it everything."""
    if log_store.load().hard_state is None:
        log_store.write([LogBatch(encode_hard_state(HardState(0, None)), None, ())])


def load_raft(
    node: NodeId,
    log_store: LogStore,
    state_store: StateStore,
    *,
    settings: RaftSettings,
    randrange: RandomRange,
) -> Raft:
    """The node as its disk remembers it: term, vote, log and configuration; the rest starts anew.

    All that the state's checkpoint has applied is committed. Raises Fatal if log and state do not fit together.
    """
    loaded = log_store.load(collect_kinds=LOADED_KINDS)
    if not _connects(loaded, state_store.checkpoint):
        log_store.reset(*state_store.checkpoint)
        loaded = log_store.load(collect_kinds=LOADED_KINDS)
    if loaded.hard_state is None:
        raise Fatal(
            "the log holds no term and vote",
            exit_code=4,
            hint="the folder was wiped or only half written: remove the node and add it under a new id",
        )
    named = entries_of(map(Block.read, loaded.collected))
    configurations = [(entry.index, decode_configuration(entry.data)) for entry in named]
    stored = state_store.get(CONFIGURATION_KEY)
    if stored is not None:
        index, data = unpack_configuration(stored)
        configurations = [(index, decode_configuration(data))] + [
            item for item in configurations if item[0] > index
        ]
    return Raft(
        node,
        settings=settings,
        randrange=randrange,
        hard_state=decode_hard_state(loaded.hard_state),
        log=_log_of(loaded, cache_bytes_max=settings.cache_bytes_max),
        configurations=ConfigurationHistory(FORM, configurations),
        commit_index=max(state_store.checkpoint[0], loaded.base_index),
    )


def _connects(loaded: LoadedLog, checkpoint: tuple[int, int]) -> bool:
    """True if the log goes on from the state; False if an installation that a crash cut short is to be finished.

    A snapshot is swapped in before the log begins anew after it. If the log does not hold the state's last entry, a
    crash came in between: the log's entries are older than the state, or conflict with it (hazards B31, B34).
    """
    index, term = checkpoint
    if index < loaded.base_index:
        raise Fatal(
            f"the log begins after {loaded.base_index}, but the state ends at {index}",
            exit_code=4,
            hint="the state was replaced or lost: let this node join again under a new id with an empty folder",
        )
    return index == 0 or _log_of(loaded, cache_bytes_max=0).term_at(index) == term


def _log_of(loaded: LoadedLog, *, cache_bytes_max: int) -> Log:
    """The core's log, made of a log found on disk."""
    return Log(
        base=EntryId(loaded.base_index, loaded.base_term),
        last_index=loaded.last_index,
        term_starts=loaded.term_starts,
        cache_bytes_max=cache_bytes_max,
    )
